import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ModelServer extends AsyncDisposable {
  readonly url: string;
  /** What it was asked, in order: `GET /a range=… auth=…`. */
  readonly asked: string[];
  /** What it does; another at any time. */
  answer: (request: IncomingMessage, response: ServerResponse) => void;
}

/** A server that keeps files, and does with them what a test says. */
export async function startModelServer(answer: ModelServer['answer']): Promise<ModelServer> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const { range, authorization } = request.headers;
    asked.push(
      [`GET ${request.url}`, range && `range=${range}`, authorization && `auth=${authorization}`]
        .filter(Boolean)
        .join(' '),
    );
    started.answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const started: ModelServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    answer,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return started;
}

export function sha256Of(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

/** As servers of files answer: whole, or from where it is asked for, if it is still the same. @param breakAfter so many bytes, then the line is cut. */
export function serveFile(
  content: Buffer,
  {
    etag = `"${sha256Of(content).slice(0, 8)}"`,
    breakAfter = Number.POSITIVE_INFINITY,
  }: { etag?: string | undefined; breakAfter?: number } = {},
): ModelServer['answer'] {
  return (request, response) => {
    const [, asked] = /^bytes=(\d+)-$/.exec(request.headers.range ?? '') ?? [];
    const isSame = asked !== undefined && request.headers['if-range'] === etag;
    const from = isSame ? Number(asked) : 0;
    const headers = { ...(etag && { etag }), 'content-length': content.length - from };
    if (isSame)
      response.writeHead(206, { ...headers, 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` });
    else response.writeHead(200, headers);
    const part = content.subarray(from);
    if (part.length <= breakAfter) response.end(part);
    else breakOff(response, part.subarray(0, breakAfter));
  };
}

const READ_MS = 20;

/** What was written arrives, mostly: who has not read it when the line is cut loses it. What was promised beyond it does not. */
export function breakOff(response: ServerResponse, part: Buffer): void {
  response.write(part, () => setTimeout(() => response.socket?.destroySoon(), READ_MS));
}
