import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generate } from 'selfsigned';

const DAY_MS = 24 * 3_600_000;

export interface Pair {
  readonly cert: string;
  readonly key: string;
}

export interface PairOptions {
  /** Names and addresses; this machine's unless said. */
  readonly names?: readonly string[];
  /** From now; negative: in the past. A day before to 90 days after unless said. */
  readonly fromMs?: number;
  readonly toMs?: number;
}

/** An authority of its own, and what it signs. Each has a key on the curve that everybody speaks; making one takes milliseconds. */
export class TestAuthority {
  private constructor(readonly pair: Pair) {}

  static async make(name = 'Test authority'): Promise<TestAuthority> {
    const { private: key, cert } = await generate([{ name: 'commonName', value: name }], {
      ...lifetime({}),
      keyType: 'ec',
      algorithm: 'sha256',
      extensions: [
        { name: 'basicConstraints', cA: true, critical: true },
        { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
      ],
    });
    return new TestAuthority({ cert, key });
  }

  get cert(): string {
    return this.pair.cert;
  }

  /** For both ends of a connection. */
  async sign(name: string, options: PairOptions = {}): Promise<Pair> {
    const names = options.names ?? ['localhost', '127.0.0.1', '::1'];
    const { private: key, cert } = await generate([{ name: 'commonName', value: name }], {
      ...lifetime(options),
      keyType: 'ec',
      algorithm: 'sha256',
      ca: this.pair,
      extensions: [
        { name: 'basicConstraints', cA: false },
        { name: 'keyUsage', digitalSignature: true },
        { name: 'extKeyUsage', serverAuth: true, clientAuth: true },
        { name: 'subjectAltName', altNames: names.map(altName) },
      ],
    });
    return { cert, key };
  }
}

function lifetime({ fromMs = -DAY_MS, toMs = 90 * DAY_MS }: PairOptions) {
  const nowMs = Date.now();
  return { notBeforeDate: new Date(nowMs + fromMs), notAfterDate: new Date(nowMs + toMs) };
}

function altName(name: string) {
  return /^[\d.]+$|:/.test(name) ? ({ type: 7, ip: name } as const) : ({ type: 2, value: name } as const);
}

/** A folder of files that goes when the test ends. */
export class CertificateFolder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'millrace-tls-'));

  /** @returns its path. */
  write(name: string, content: string, mode = 0o600): string {
    const path = join(this.path, name);
    writeFileSync(path, content, { mode });
    return path;
  }

  writePair(name: string, { cert, key }: Pair): { certFile: string; keyFile: string } {
    return { certFile: this.write(`${name}.pem`, cert), keyFile: this.write(`${name}-key.pem`, key) };
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
