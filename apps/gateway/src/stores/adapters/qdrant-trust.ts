import type { WatchedTls } from '@millrace/runtime';
import { Agent, buildConnector } from 'undici';

/** As many as the client has by itself, whose place this takes. */
const CONNECTIONS_MAX = 16;
const KEEP_ALIVE_MS = 10_000;

/** Goes with every request to a Qdrant: each new connection believes the authorities that are in force then, and no others. */
export function trustOfQdrant(tls: WatchedTls): RequestInit {
  const dispatcher = new Agent({
    connections: CONNECTIONS_MAX,
    keepAliveTimeout: KEEP_ALIVE_MS,
    // Whoever asks has a time-out of its own.
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: (options, done) => buildConnector({ ca: tls.current.ca, minVersion: 'TLSv1.2' })(options, done),
  });
  return { dispatcher } as unknown as RequestInit;
}
