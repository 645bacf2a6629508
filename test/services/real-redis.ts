import { connect } from 'node:net';
import { findProgram, freePort, NotInstalled, RealService, type ServiceTls } from './real-service.ts';

const ANSWER_TIMEOUT_MS = 1_000;

export class RealRedis extends RealService {
  protected readonly stopSignal = 'SIGTERM';
  protected readonly program: string;

  /** Beside the other, where it has a certificate. */
  readonly tlsPort: number;
  readonly #tlsArgs: readonly string[];
  readonly #keeps: boolean;

  private constructor(port: number, program: string, tlsPort: number, tls: ServiceTls | undefined, keeps: boolean) {
    super(port, 'redis');
    this.program = program;
    this.#keeps = keeps;
    this.tlsPort = tlsPort;
    this.#tlsArgs = tls === undefined ? [] : this.#argsOf(tls);
  }

  /**
   * @param keeps whether it still has what was written when it is started again.
   * @throws Error when this machine has none: `make test-services` installs it.
   */
  static async start(tls?: ServiceTls, { keeps = false }: { readonly keeps?: boolean } = {}): Promise<RealRedis> {
    const program = findProgram('redis-server', ['/usr/bin']);
    if (program === undefined)
      throw new NotInstalled('There is no redis-server on this machine; `make test-services` installs it.');
    const redis = new RealRedis(await freePort(), program, tls === undefined ? 0 : await freePort(), tls, keeps);
    await redis.start();
    return redis;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}/0`;
  }

  /** Unless it keeps it, nothing is written to the disk: what was counted is gone when it comes back, the harder case for whoever counts in it. */
  protected get args(): readonly string[] {
    return [
      '--port',
      String(this.port),
      '--bind',
      '127.0.0.1',
      '--save',
      '',
      ...(this.#keeps ? ['--appendonly', 'yes', '--appendfsync', 'always'] : ['--appendonly', 'no']),
      '--dir',
      this.folder,
      ...this.#tlsArgs,
    ];
  }

  #argsOf({ cert, key, ca, demandsCertificates = false }: ServiceTls): readonly string[] {
    return [
      ...['--tls-port', String(this.tlsPort)],
      ...['--tls-cert-file', this.keep('tls.crt', cert), '--tls-key-file', this.keep('tls.key', key)],
      ...['--tls-ca-cert-file', this.keep('ca.crt', ca), '--tls-auth-clients', demandsCertificates ? 'yes' : 'no'],
    ];
  }

  protected answers(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = connect(this.port, '127.0.0.1', () => socket.write('PING\r\n'));
      const answer = (isThere: boolean) => {
        socket.destroy();
        resolve(isThere);
      };
      socket.setTimeout(ANSWER_TIMEOUT_MS, () => answer(false));
      socket.once('data', (data) => answer(data.toString().startsWith('+PONG')));
      socket.once('error', () => answer(false));
    });
  }
}
