import { Agent, request } from 'node:http';

export interface Sent {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | string | undefined;
}

export interface Told {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly text: string;
  readonly tookMs: number;
}

export const agent = new Agent({ keepAlive: true, maxSockets: 64 });

/** One request as it stands, and the whole of its answer. Not by fetch, which mends paths and headers before it sends them. */
export function exchange({ method, url, headers, body }: Sent, signal: AbortSignal): Promise<Told> {
  const { hostname, port, origin } = new URL(url);
  const path = url.slice(origin.length);
  const startedMs = performance.now();
  return new Promise((resolve, reject) => {
    const lengths = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
    const sending = request(
      { agent, host: hostname, port, method, path, headers: { ...headers, ...lengths }, signal },
      (response) => {
        const read: Buffer[] = [];
        response.on('data', (data: Buffer) => read.push(data));
        response.once('error', reject);
        response.once('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers as Record<string, string | undefined>,
            text: Buffer.concat(read).toString(),
            tookMs: performance.now() - startedMs,
          }),
        );
      },
    );
    sending.once('error', reject);
    sending.end(body);
  });
}

/** A command that sends the same. */
export function asCurl({ method, url, headers, body }: Sent, bodyFile: () => string): string {
  const words = ['curl', '-sS', '-i', '--path-as-is', '-X', method];
  for (const [name, value] of Object.entries(headers))
    words.push('-H', quoted(value === '' ? `${name};` : `${name}: ${value}`));
  if (body !== undefined) {
    const inline =
      typeof body === 'string' && body.length <= INLINE_MAX && !body.includes('\0') && !body.startsWith('@');
    words.push('--data-binary', quoted(inline ? body : `@${bodyFile()}`));
  }
  return [...words, quoted(url)].join(' ');
}

/** A longer body goes into a file. */
const INLINE_MAX = 2_000;

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
