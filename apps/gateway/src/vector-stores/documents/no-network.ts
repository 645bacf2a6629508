import dgram from 'node:dgram';
import dns from 'node:dns';
import net from 'node:net';

/**
 * Takes the network away from this process: whatever a document makes a library want to fetch, it can't. Node's own permissions
 * cover files, processes and addons, and the network only in later versions.
 */
export function takeNetworkAway(): void {
  const refuse = (): never => {
    throw new Error('This process has no network.');
  };
  net.Socket.prototype.connect = refuse;
  net.Server.prototype.listen = refuse;
  dgram.createSocket = refuse;
  for (const name of ['lookup', 'resolve', 'resolve4', 'resolve6'] as const)
    (dns as Record<string, unknown>)[name] = refuse;
  (globalThis as { fetch?: unknown }).fetch = undefined;
  (globalThis as { WebSocket?: unknown }).WebSocket = undefined;
}
