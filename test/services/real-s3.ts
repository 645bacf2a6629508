import { mkdirSync } from 'node:fs';
import { type ClientRequest, request as plainRequest } from 'node:http';
import { request as securedRequest } from 'node:https';
import { join } from 'node:path';
import { freePort, RealService, type ServiceTls } from './real-service.ts';
import { findS3Program, type S3Program } from './s3-program.ts';

const ANSWER_TIMEOUT_MS = 1_000;
const S3RVER_FAULTS =
  'It takes no files in parts, mixes two that are put under one key at a time, gets ranges of a byte and of empty files wrong, sorts keys by language, and believes every secret: the tests of these are left out. Install Go or minio to have them.';

/** An S3 server with nothing in it, and one key that may do everything. */
export class RealS3 extends RealService {
  protected readonly stopSignal = 'SIGTERM';

  readonly kind: S3Program['kind'];
  readonly #path: string;
  readonly #tlsArgs: readonly string[];

  private constructor(port: number, { kind, path }: S3Program, tls: ServiceTls | undefined) {
    super(port, 's3');
    this.kind = kind;
    this.#path = path;
    for (const name of ['data', 'sidecar', 'certs']) mkdirSync(join(this.folder, name));
    this.#tlsArgs = tls === undefined ? [] : this.#argsOf(tls);
  }

  /** @param tls it then speaks nothing else; s3rver can't. @throws NotInstalled when none can be had. */
  static async start(tell: (line: string) => void, tls?: ServiceTls): Promise<RealS3> {
    const program = findS3Program(tell);
    tell(`S3 server of the tests: ${program.kind}, from ${program.from}.`);
    if (program.kind === 's3rver') tell(S3RVER_FAULTS);
    const s3 = new RealS3(await freePort(), program, tls);
    await s3.start();
    return s3;
  }

  /** With the key in it. */
  get url(): string {
    const { name, secret } = this.#key;
    return `${this.#scheme}://${name}:${secret}@127.0.0.1:${this.port}`;
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
      minio: ['server', data, '--address', address, '--quiet', ...this.#tlsArgs],
      // Beside the files what it knows of them: not every file system has extended attributes.
      versitygw: [
        '--port',
        address,
        '--quiet',
        ...this.#tlsArgs,
        'posix',
        '--sidecar',
        join(this.folder, 'sidecar'),
        data,
      ],
      s3rver: [this.#path, '--directory', data, '--address', '127.0.0.1', '--port', String(this.port), '--silent'],
    };
    return argsOf[this.kind];
  }

  protected answers(): Promise<boolean> {
    const options = { rejectUnauthorized: false, timeout: ANSWER_TIMEOUT_MS };
    const ask = this.#scheme === 'https' ? securedRequest : plainRequest;
    return new Promise((resolve) => {
      const sent: ClientRequest = ask(`${this.#scheme}://127.0.0.1:${this.port}/`, options, (response) => {
        response.resume();
        resolve(true);
      });
      sent
        .once('timeout', () => sent.destroy())
        .once('error', () => resolve(false))
        .end();
    });
  }

  get #scheme(): 'http' | 'https' {
    return this.#tlsArgs.length === 0 ? 'http' : 'https';
  }

  #argsOf({ cert, key }: ServiceTls): readonly string[] {
    // As minio wants them to be called.
    const files = [this.keep('certs/public.crt', cert), this.keep('certs/private.key', key)] as const;
    return this.kind === 'minio'
      ? ['--certs-dir', join(this.folder, 'certs')]
      : ['--cert', files[0], '--key', files[1]];
  }

  /** s3rver knows only this one. */
  get #key(): { readonly name: string; readonly secret: string } {
    return this.kind === 's3rver' ? { name: 'S3RVER', secret: 'S3RVER' } : { name: 'testkey', secret: 'test-secret' };
  }
}
