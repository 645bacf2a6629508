import type { Server } from 'node:http';
import type { Logger } from '@millrace/runtime';
import { counter, gauge } from '@millrace/runtime';
import { MEASURED } from '../metrics/declarations.js';

/** Of `connectionsMax`: once fewer are left, connections that idle give way. */
const SPARE_SHARE = 0.05;
/** Looking for them takes a walk over all connections: milliseconds, where there are tens of thousands. */
const BETWEEN_LOOKS_MS_MIN = 100;
/** Refusals come by the thousand; the metric counts them, the log only tells that there are any. */
const BETWEEN_LINES_MS_MIN = 10_000;

/**
 * Bounds how many connections are open, since each costs memory and a file descriptor, whether or not it ever asks anything. Those
 * that have sent nothing are ended after `bodyTimeoutMs`, as slow requests are; those that idle between two requests, after
 * `keepAliveTimeoutMs` or as soon as room is wanted.
 */
export function boundConnections(server: Server, connectionsMax: number, logger: Logger): void {
  const spare = Math.ceil(connectionsMax * SPARE_SHARE);
  const refused = counter(MEASURED.refusedConnections);
  const makeRoom = atMostEvery(BETWEEN_LOOKS_MS_MIN, () => server.closeIdleConnections());
  const tell = atMostEvery(BETWEEN_LINES_MS_MIN, () => {
    logger.warn({ connectionsMax }, 'connections are refused: connectionsMax are open');
  });
  let open = 0;

  server.maxConnections = connectionsMax;
  server.on('connection', (socket) => {
    open++;
    socket.once('close', () => open--);
    if (open > connectionsMax - spare) makeRoom();
  });
  server.on('drop', () => {
    refused.add(1);
    makeRoom();
    tell();
  });
  server.once(
    'close',
    gauge(MEASURED.connections, () => [{ value: open }]),
  );
}

function atMostEvery(ms: number, act: () => void): () => void {
  let lastMs = Number.NEGATIVE_INFINITY;
  return () => {
    if (performance.now() - lastMs < ms) return;
    lastMs = performance.now();
    act();
  };
}
