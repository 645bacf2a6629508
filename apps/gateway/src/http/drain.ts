import type { Server } from 'node:http';
import { Server as NetServer, type Socket } from 'node:net';
import { setImmediate as afterReading, setTimeout as sleep } from 'node:timers/promises';
import { Doorbell } from '@millrace/runtime';
import type { OpenCalls } from './open-calls.js';

export interface DrainTerms {
  /** How long everything goes on as before, but that each answer is the last of its connection. */
  readonly drainDelayMs: number;
  /** From then on: how long answers may take to finish. */
  readonly drainTimeoutMs: number;
}

/** A request of which a part has come has so long for the rest, once nothing else is left. */
const LAST_BYTES_MS = 1_000;

/**
 * How a gateway takes leave of its clients, so that no request is lost that one of them has sent.
 *
 * HTTP/1.1 has no way to close an idle connection without a race: the client may be sending its next request just now. So every
 * answer says `Connection: close`, from the beginning of the delay on, and whoever is active has moved by its end. Connections that
 * idle stay open for as long as others are answered, and what comes on them is answered too; they are closed once nobody has asked
 * anything for `drainDelayMs`, which is how long it takes whoever sends requests to look elsewhere. A delay of 0 says that nobody
 * is in front: then they are closed at once.
 *
 * Concurrency: `run` once. Everything else is told by callbacks, none of which waits.
 */
export class Drain {
  readonly #sockets = new Set<Socket>();
  readonly #news = new Doorbell();
  #idleClosedMs: number | undefined;

  constructor(
    private readonly server: Server,
    private readonly calls: OpenCalls,
  ) {
    // The second is for TLS: what a client says is known only there.
    for (const event of ['connection', 'secureConnection']) server.on(event, (socket: Socket) => this.#track(socket));
    calls.onEnd(() => this.#news.ring());
  }

  /** Resolves when everyone has been answered and has left, or when the time is up. */
  async run({ drainDelayMs, drainTimeoutMs }: DrainTerms): Promise<void> {
    const beganMs = performance.now();
    this.calls.sayGoodbye();
    if (drainDelayMs > 0) await sleep(drainDelayMs);
    await this.#stopListening();
    const endMs = performance.now() + drainTimeoutMs;
    for (;;) {
      // What has arrived by now is read before anything is closed.
      await afterReading();
      const quietFromMs = Math.max(beganMs, this.calls.lastEndedMs) + drainDelayMs;
      const nextMs = this.#proceed(performance.now(), quietFromMs);
      if (nextMs === undefined || performance.now() >= endMs) return;
      await this.#newsBefore(Math.min(nextMs, endMs));
    }
  }

  /** For what is left when all is said. */
  closeAll(): void {
    this.server.closeAllConnections();
    for (const socket of this.#sockets) socket.destroy();
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#news.ring();
    });
  }

  /**
   * Not the server's own `close`, which ends idle connections too. Connections that the system has accepted for us are taken first:
   * it would reset them.
   */
  async #stopListening(): Promise<void> {
    await afterReading();
    NetServer.prototype.close.call(this.server);
  }

  /** @returns when to look again without news; undefined: it is over. */
  #proceed(nowMs: number, quietFromMs: number): number | undefined {
    if (this.calls.count > 0) {
      this.#idleClosedMs = undefined;
      return Number.POSITIVE_INFINITY;
    }
    if (this.#sockets.size === 0) return undefined;
    if (nowMs < quietFromMs) return quietFromMs;
    this.#idleClosedMs ??= nowMs;
    this.server.closeIdleConnections();
    // To Node these are in the midst of a request, since one may come.
    for (const socket of this.#sockets) if (socket.bytesRead === 0) socket.destroy();
    const giveUpMs = this.#idleClosedMs + LAST_BYTES_MS;
    return nowMs < giveUpMs ? giveUpMs : undefined;
  }

  async #newsBefore(ms: number): Promise<void> {
    const leftMs = ms - performance.now();
    const timer = Number.isFinite(leftMs) ? setTimeout(() => this.#news.ring(), Math.max(0, leftMs)) : undefined;
    await this.#news.heard();
    clearTimeout(timer);
  }
}
