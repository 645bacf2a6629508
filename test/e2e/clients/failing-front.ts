import { createServer, type IncomingHttpHeaders, request } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What it answers instead of what it stands in front of; `close` is to close the connection without a word. */
export interface Failure {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly close?: true;
}

export interface FailingFront extends AsyncDisposable {
  readonly url: string;
  /** Of every request that came, in order. */
  readonly seen: readonly IncomingHttpHeaders[];
}

/** In front of a server, as a proxy on the way is: it fails as it is told to, and then lets everything pass. */
export async function startFailingFront(behind: string, failures: readonly Failure[]): Promise<FailingFront> {
  const seen: IncomingHttpHeaders[] = [];
  const left = [...failures];
  const server = createServer((incoming, outgoing) => {
    seen.push(incoming.headers);
    const failure = left.shift();
    if (failure?.close) {
      incoming.socket.destroy();
    } else if (failure !== undefined) {
      incoming.resume();
      const error = { message: 'Not now.', type: 'server_error', param: null, code: null };
      outgoing
        .writeHead(failure.status ?? 503, { 'content-type': 'application/json', ...failure.headers })
        .end(JSON.stringify({ error }));
    } else {
      const onward = request(
        behind + incoming.url,
        { method: incoming.method, headers: incoming.headers },
        (answer) => {
          outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
          answer.pipe(outgoing);
        },
      );
      incoming.pipe(onward);
      outgoing.once('close', () => onward.destroy());
      onward.on('error', () => outgoing.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    [Symbol.asyncDispose]: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
