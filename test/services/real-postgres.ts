import { execFileSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import {
  findProgram,
  freePort,
  NotInstalled,
  RealService,
  type ServiceTls,
  type ServiceUser,
  userToBecome,
} from './real-service.ts';

const USER = 'millrace';
/** Asked for by nobody, since every connection is trusted; it stands in the URL so that tests see it never stands elsewhere. */
const PASSWORD = 'pass-word-of-tests';
const CONNECT_TIMEOUT_MS = 1_000;
/** Where Debian keeps the versions of Postgres, each in a folder. */
const DEBIAN_VERSIONS = '/usr/lib/postgresql';

/** Of the gateway's own driver, what is needed here. */
interface Client {
  connect(): Promise<unknown>;
  query(sql: string): Promise<{ readonly rows: Record<string, unknown>[] }>;
  end(): Promise<void>;
  on(event: 'error', listener: (error: Error) => void): unknown;
}
export const pg = createRequire(new URL('../../apps/gateway/package.json', import.meta.url))('pg') as {
  readonly Client: new (config: object) => Client;
};

export class RealPostgres extends RealService {
  /** "Fast": clients are told and sent away, and what was committed is written. */
  protected readonly stopSignal = 'SIGINT';
  protected readonly program: string;

  readonly #tlsSettings: readonly string[];

  private constructor(port: number, program: string, user: ServiceUser | undefined, tls: ServiceTls | undefined) {
    super(port, 'postgres', user);
    this.program = program;
    this.#tlsSettings = tls === undefined ? [] : this.#settingsOf(tls);
  }

  /** @throws Error when this machine has none: `make test-services` installs it. */
  static async start(tls?: ServiceTls): Promise<RealPostgres> {
    const program = findProgram('postgres', debianFolders());
    if (program === undefined)
      throw new NotInstalled('There is no Postgres on this machine; `make test-services` installs it.');
    // Postgres refuses to run as root.
    const postgres = new RealPostgres(await freePort(), program, userToBecome('postgres'), tls);
    postgres.#make();
    if (tls?.demandsCertificates) postgres.#demandCertificates();
    await postgres.start();
    await postgres.ask(`create database ${USER}`, 'postgres');
    return postgres;
  }

  get url(): string {
    return this.#urlOf(USER);
  }

  /** Quick, and still safe from the death of its processes: only the machine's own would cost something. */
  protected get args(): readonly string[] {
    const settings = [
      `port=${this.port}`,
      'listen_addresses=127.0.0.1',
      `unix_socket_directories=${this.folder}`,
      'fsync=off',
      'full_page_writes=off',
      'max_connections=200',
      'shared_buffers=64MB',
      ...this.#tlsSettings,
    ];
    return ['-D', this.#data, ...settings.flatMap((setting) => ['-c', setting])];
  }

  #settingsOf({ cert, key, ca }: ServiceTls): readonly string[] {
    return [
      'ssl=on',
      `ssl_cert_file=${this.keep('tls.crt', cert)}`,
      `ssl_key_file=${this.keep('tls.key', key)}`,
      `ssl_ca_file=${this.keep('ca.crt', ca)}`,
    ];
  }

  /** Of whoever encrypts; the test itself does not. */
  #demandCertificates(): void {
    const rules = ['hostssl all all 127.0.0.1/32 trust clientcert=verify-ca', 'hostnossl all all 127.0.0.1/32 trust'];
    writeFileSync(join(this.#data, 'pg_hba.conf'), `${rules.join('\n')}\n`);
  }

  /** By a connection of its own. */
  async ask(sql: string, database = USER): Promise<Record<string, unknown>[]> {
    const client = new pg.Client({
      connectionString: this.#urlOf(database),
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    });
    client.on('error', () => undefined);
    try {
      await client.connect();
      return (await client.query(sql)).rows;
    } finally {
      void client.end().catch(() => undefined);
    }
  }

  protected async answers(): Promise<boolean> {
    return this.ask('select 1', 'postgres').then(
      () => true,
      () => false,
    );
  }

  get #data(): string {
    return join(this.folder, 'data');
  }

  #urlOf(database: string): string {
    return `postgres://${USER}:${PASSWORD}@127.0.0.1:${this.port}/${database}`;
  }

  #make(): void {
    const flags = ['--auth=trust', `--username=${USER}`, '--no-sync', '--encoding=UTF8', '--locale=C'];
    execFileSync(join(this.program, '..', 'initdb'), ['-D', this.#data, ...flags], {
      ...this.user,
      cwd: this.folder,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
  }
}

/** The newest version first. */
function debianFolders(): string[] {
  try {
    const versions = readdirSync(DEBIAN_VERSIONS).sort((one, other) => Number(other) - Number(one));
    return versions.map((version) => join(DEBIAN_VERSIONS, version, 'bin'));
  } catch {
    return [];
  }
}
