import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, RealService } from './real-service.ts';
import { findS3Program, type S3Program } from './s3-program.ts';

const ANSWER_TIMEOUT_MS = 1_000;
const S3RVER_FAULTS =
  'It takes no files in parts, mixes two that are put under one key at a time, gets ranges of a byte and of empty files wrong, sorts keys by language, and believes every secret: the tests of these are left out. Install Go or minio to have them.';

/** An S3 server with nothing in it, and one key that may do everything. */
export class RealS3 extends RealService {
  protected readonly stopSignal = 'SIGTERM';

  readonly kind: S3Program['kind'];
  readonly #path: string;

  private constructor(port: number, { kind, path }: S3Program) {
    super(port, 's3');
    this.kind = kind;
    this.#path = path;
    for (const name of ['data', 'sidecar']) mkdirSync(join(this.folder, name));
  }

  /** @throws NotInstalled when none can be had. */
  static async start(tell: (line: string) => void): Promise<RealS3> {
    const program = findS3Program(tell);
    tell(`S3 server of the tests: ${program.kind}, from ${program.from}.`);
    if (program.kind === 's3rver') tell(S3RVER_FAULTS);
    const s3 = new RealS3(await freePort(), program);
    await s3.start();
    return s3;
  }

  /** With the key in it. */
  get url(): string {
    const { name, secret } = this.#key;
    return `http://${name}:${secret}@127.0.0.1:${this.port}`;
  }

  /** What tests have to know of it. */
  get environmentOfTests(): NodeJS.ProcessEnv {
    return { TEST_S3_URL: this.url, TEST_S3_SERVER: this.kind };
  }

  protected get program(): string {
    return this.kind === 's3rver' ? process.execPath : this.#path;
  }

  protected override get environment(): NodeJS.ProcessEnv {
    const { name, secret } = this.#key;
    return {
      ...{ MINIO_ROOT_USER: name, MINIO_ROOT_PASSWORD: secret },
      ...{ ROOT_ACCESS_KEY: name, ROOT_SECRET_KEY: secret },
    };
  }

  protected get args(): readonly string[] {
    const address = `127.0.0.1:${this.port}`;
    const data = join(this.folder, 'data');
    const argsOf: Readonly<Record<S3Program['kind'], readonly string[]>> = {
      minio: ['server', data, '--address', address, '--quiet'],
      // Beside the files what it knows of them: not every file system has extended attributes.
      versitygw: ['--port', address, '--quiet', 'posix', '--sidecar', join(this.folder, 'sidecar'), data],
      s3rver: [this.#path, '--directory', data, '--address', '127.0.0.1', '--port', String(this.port), '--silent'],
    };
    return argsOf[this.kind];
  }

  protected async answers(): Promise<boolean> {
    try {
      const response = await fetch(`http://127.0.0.1:${this.port}/`, {
        signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
      });
      await response.arrayBuffer();
      return true;
    } catch {
      return false;
    }
  }

  /** s3rver knows only this one. */
  get #key(): { readonly name: string; readonly secret: string } {
    return this.kind === 's3rver' ? { name: 'S3RVER', secret: 'S3RVER' } : { name: 'testkey', secret: 'test-secret' };
  }
}
