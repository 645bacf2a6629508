import dgram from 'node:dgram';
import dns from 'node:dns';
import inspector from 'node:inspector';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';
import threads from 'node:worker_threads';

/**
 * Takes the network away from this process, and other processes and threads: whatever a document makes a library want to fetch, it can't.
 * Node's own permissions cover files, new processes and addons, and the network only in later versions.
 *
 * To be called when the watch has its thread: a thread has a network of its own, and so there are no more of them.
 */
export function takeNetworkAway(): void {
  take(net.Socket.prototype, ['connect']);
  take(net.Server.prototype, ['listen']);
  take(dgram.Socket.prototype, ['bind', 'connect', 'send', 'addMembership']);
  take(dgram, ['createSocket', 'Socket']);
  for (const names of [dns, dns.promises]) {
    take(names.Resolver.prototype, namesOf(names.Resolver.prototype));
    take(names, [...namesOf(names), 'Resolver']);
  }
  take(threads, ['Worker']);
  take(inspector, ['open']);
  // Signals reach every process of the same user: the gateway before all others.
  take(process, ['kill', '_kill', '_debugProcess']);
  take(globalThis, ['fetch', 'WebSocket', 'EventSource']);
  // Who imports a name gets what is there now, too.
  syncBuiltinESMExports();
}

function take(from: object, names: readonly string[]): void {
  for (const name of names) Object.defineProperty(from, name, { value: refuse, writable: false, configurable: false });
}

/** What asks for names, of which there are more with each version. */
function namesOf(resolver: object): string[] {
  return Object.getOwnPropertyNames(resolver).filter((name) => /^(lookup|resolve|reverse)/.test(name));
}

/** A function and no arrow: some of them are called with `new`. */
function refuse(): never {
  throw new Error('This process has no network.');
}
