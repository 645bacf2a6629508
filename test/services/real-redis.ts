import { connect } from 'node:net';
import { findProgram, freePort, NotInstalled, RealService } from './real-service.ts';

const ANSWER_TIMEOUT_MS = 1_000;

export class RealRedis extends RealService {
  protected readonly stopSignal = 'SIGTERM';
  protected readonly program: string;

  private constructor(port: number, program: string) {
    super(port, 'redis');
    this.program = program;
  }

  /** @throws Error when this machine has none: `make test-services` installs it. */
  static async start(): Promise<RealRedis> {
    const program = findProgram('redis-server', ['/usr/bin']);
    if (program === undefined)
      throw new NotInstalled('There is no redis-server on this machine; `make test-services` installs it.');
    const redis = new RealRedis(await freePort(), program);
    await redis.start();
    return redis;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}/0`;
  }

  /** Nothing is written to the disk: what was counted is gone when it comes back, the harder case for whoever counts in it. */
  protected get args(): readonly string[] {
    return [
      '--port',
      String(this.port),
      '--bind',
      '127.0.0.1',
      '--save',
      '',
      '--appendonly',
      'no',
      '--dir',
      this.folder,
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
