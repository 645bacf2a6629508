/** A Redis and a Postgres of our own that can be taken away, made to hang and brought back, on the same port and with the same data. */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort, type Stage, until } from '../bench/programs.ts';
import { childrenOf } from '../e2e/processes.ts';

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 10_000;
const QUERY_TIMEOUT_MS = 30_000;
/** Where Debian puts each version of Postgres. */
const POSTGRES_VERSIONS = '/usr/lib/postgresql';

/** A server that goes away when it is told to. */
abstract class Store {
  readonly port: number;
  #child: ChildProcess | undefined;
  #output = '';
  #isOver = false;

  protected constructor(port: number) {
    this.port = port;
  }

  protected abstract spawn(): ChildProcess;
  protected abstract answers(): Promise<boolean>;
  protected abstract readonly stopSignal: NodeJS.Signals;

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Resolves when it answers. */
  async start(): Promise<void> {
    if (this.#isOver) throw new Error('The store is not started again: everything is being cleaned up.');
    const child = this.spawn();
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (text: Buffer) => {
        this.#output = (this.#output + text.toString()).slice(-8_192);
      });
    }
    try {
      await until(() => child.exitCode !== null || this.answers(), START_TIMEOUT_MS, 'the store answers');
      if (child.exitCode !== null) throw new Error('it ended');
    } catch (error) {
      throw new Error(`${child.spawnfile} did not start: ${(error as Error).message}. It wrote:\n${this.#output}`);
    }
  }

  /** In an orderly way, as for an upgrade. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    this.thaw();
    const gone = once(child, 'exit');
    child.kill(this.stopSignal);
    const force = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await gone;
    clearTimeout(force);
  }

  /** For good: whoever plays with it may be in the middle of something. */
  async close(): Promise<void> {
    this.#isOver = true;
    await this.stop();
  }

  /** It keeps its connections, takes new ones, and says nothing: as on a machine that hangs. */
  freeze(): void {
    this.#signalAll('SIGSTOP');
  }

  thaw(): void {
    this.#signalAll('SIGCONT');
  }

  #signalAll(signal: NodeJS.Signals): void {
    const pid = this.pid;
    if (pid === undefined || this.#child?.exitCode !== null) return;
    // Postgres has a process for each connection, and each is a session of its own, which a signal to the group misses.
    for (const each of [pid, ...childrenOf(pid).map((child) => child.pid)]) {
      try {
        process.kill(each, signal);
      } catch {
        // It ended meanwhile.
      }
    }
  }
}

export class Redis extends Store {
  protected readonly stopSignal = 'SIGTERM';
  readonly #folder: string;

  private constructor(port: number, folder: string) {
    super(port);
    this.#folder = folder;
  }

  /** @returns undefined where the machine has none. */
  static async start(stage: Stage): Promise<Redis | undefined> {
    if (!isInstalled('redis-server')) return undefined;
    const redis = new Redis(await freePort(), stage.folder('redis'));
    stage.add(() => redis.close());
    await redis.start();
    return redis;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}/0`;
  }

  protected spawn(): ChildProcess {
    // Without persistence: what it had counted is gone when it comes back, which is the harder case for whoever counts in it.
    const args = [
      '--port',
      String(this.port),
      '--bind',
      '127.0.0.1',
      '--save',
      '',
      '--appendonly',
      'no',
      '--dir',
      this.#folder,
    ];
    return spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  }

  protected answers(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = connect(this.port, '127.0.0.1', () => socket.write('PING\r\n'));
      socket.on('data', (data) => {
        socket.destroy();
        resolve(data.toString().startsWith('+PONG'));
      });
      socket.on('error', () => resolve(false));
      socket.setTimeout(1_000, () => {
        socket.destroy();
        resolve(false);
      });
    });
  }
}

export class Postgres extends Store {
  /** It cancels what runs and ends; SIGTERM would wait for everybody to leave. */
  protected readonly stopSignal = 'SIGINT';
  readonly #folder: string;
  readonly #binaries: string;

  private constructor(port: number, folder: string, binaries: string) {
    super(port);
    this.#folder = folder;
    this.#binaries = binaries;
  }

  /** @returns undefined where the machine has none. */
  static async start(stage: Stage): Promise<Postgres | undefined> {
    const binaries = postgresBinaries();
    if (binaries === undefined) return undefined;
    const folder = stage.folder('postgres');
    const owner = otherThanRoot();
    if (owner !== undefined) chownSync(folder, owner.uid, owner.gid);
    const data = join(folder, 'data');
    const options = ['-D', data, '-U', 'millrace', '--auth=trust', '--no-sync', '-E', 'UTF8', '--locale=C.UTF-8'];
    execFileSync(join(binaries, 'initdb'), options, {
      ...owner,
      cwd: folder,
      stdio: 'pipe',
      timeout: START_TIMEOUT_MS,
    });
    const postgres = new Postgres(await freePort(), folder, binaries);
    stage.add(() => postgres.close());
    await postgres.start();
    return postgres;
  }

  get url(): string {
    return `postgres://millrace@127.0.0.1:${this.port}/postgres`;
  }

  /** The rows of a query, their columns with tabs between. */
  async query(sql: string): Promise<string[][]> {
    const args = ['-X', '-A', '-t', '-q', '-F', '\t', '-v', 'ON_ERROR_STOP=1', '-c', sql, this.url];
    const { stdout } = await promisify(execFile)(join(this.#binaries, 'psql'), args, { timeout: QUERY_TIMEOUT_MS });
    return stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.split('\t'));
  }

  protected spawn(): ChildProcess {
    const options = ['listen_addresses=127.0.0.1', `unix_socket_directories=${this.#folder}`, 'max_connections=60'];
    const args = [
      '-D',
      join(this.#folder, 'data'),
      '-p',
      String(this.port),
      ...options.flatMap((each) => ['-c', each]),
    ];
    return spawn(join(this.#binaries, 'postgres'), args, {
      ...otherThanRoot(),
      cwd: this.#folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  protected async answers(): Promise<boolean> {
    return this.query('SELECT 1').then(
      () => true,
      () => false,
    );
  }
}

function isInstalled(command: string): boolean {
  try {
    execFileSync(command, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Of the newest version, where there are several; they may also be on the path. */
function postgresBinaries(): string | undefined {
  if (existsSync(POSTGRES_VERSIONS)) {
    const versions = readdirSync(POSTGRES_VERSIONS).sort((one, other) => Number(other) - Number(one));
    for (const version of versions) {
      const folder = join(POSTGRES_VERSIONS, version, 'bin');
      if (existsSync(join(folder, 'postgres')) && existsSync(join(folder, 'psql'))) return folder;
    }
  }
  const folder = (process.env.PATH ?? '').split(':').find((each) => existsSync(join(each, 'postgres')));
  return folder !== undefined && existsSync(join(folder, 'psql')) ? folder : undefined;
}

/** Postgres refuses to run as root; its package brings a user for it. */
function otherThanRoot(): { readonly uid: number; readonly gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const id = (kind: string) => Number(execFileSync('id', [kind, 'postgres'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}
