import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

/**
 * Answers `GET /metrics` on a port of its own, for a Prometheus that scrapes workers directly.
 *
 * @throws Error in one sentence when the port can't be had.
 */
export async function openScrapeServer(
  host: string,
  port: number,
  answerScrape: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<Server> {
  const server = createServer((request, response) => {
    if (request.method === 'GET' && request.url?.split('?')[0] === '/metrics') answerScrape(request, response);
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new Error(`The worker's metrics can't be served on ${host}:${port}. Choose another --worker-metrics-port.`, {
          cause,
        }),
      ),
    );
    server.listen(port, host, resolve);
  });
  // Metrics must not keep a process alive whose work is over.
  server.unref();
  return server;
}
