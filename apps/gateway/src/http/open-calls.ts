import type { Socket } from 'node:net';
import type { InferenceError } from '@millrace/contracts';
import type { FastifyReply } from 'fastify';

declare module 'fastify' {
  interface FastifyReply {
    /** Ends the work on this call with an error, which is then its answer; undefined: nobody has begun with it. */
    endCall: ((error: InferenceError) => void) | undefined;
  }
}

/**
 * The calls that are being answered: a stopping gateway wants to know when there are none, lets each answer be the last of its
 * connection, and ends what takes too long.
 */
export class OpenCalls {
  readonly #open = new Set<FastifyReply>();
  /** On each connection, the call that came last. */
  readonly #newest = new WeakMap<Socket, FastifyReply>();
  /** Whose client is told that its connection closes. */
  readonly #lastWords = new WeakSet<FastifyReply>();
  readonly #onEnd: (() => void)[] = [];
  #lastEndedMs = Number.NEGATIVE_INFINITY;
  #saysGoodbye = false;
  #ended: InferenceError | undefined;

  get count(): number {
    return this.#open.size;
  }

  /** When an answer left last that others may follow on its connection, on the clock of `performance.now()`. */
  get lastEndedMs(): number {
    return this.#lastEndedMs;
  }

  /** Why nothing new is begun; undefined: it is. */
  get ended(): InferenceError | undefined {
    return this.#ended;
  }

  track(reply: FastifyReply): void {
    const { socket } = reply.raw.req;
    this.#open.add(reply);
    if (this.#saysGoodbye) this.#closeAfter(reply, socket);
    this.#newest.set(socket, reply);
    reply.raw.once('close', () => {
      this.#open.delete(reply);
      if (!this.#lastWords.has(reply)) this.#lastEndedMs = performance.now();
      for (const listener of this.#onEnd) listener();
    });
  }

  /** Calls `listener` whenever an answer has left. */
  onEnd(listener: () => void): void {
    this.#onEnd.push(listener);
  }

  /** From now on the client of each answer is told that its connection closes, wherever it can still be told. */
  sayGoodbye(): void {
    this.#saysGoodbye = true;
    for (const reply of this.#open) {
      const { socket } = reply.raw.req;
      if (this.#newest.get(socket) === reply) this.#closeAfter(reply, socket);
    }
  }

  /** Resolves when the last answer has left, or after `timeoutMs`. */
  async finished(timeoutMs: number): Promise<void> {
    if (this.#open.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, timeoutMs);
    this.onEnd(() => {
      if (this.#open.size === 0) resolve();
    });
    await promise;
    clearTimeout(timer);
  }

  /** Ends all of them with an error, and what comes from now on as well. */
  endAll(error: InferenceError): void {
    this.#ended = error;
    for (const reply of this.#open) {
      if (reply.endCall !== undefined) reply.endCall(error);
      else if (!reply.sent) reply.send(error); // Its body is still on its way.
    }
  }

  /** Of requests that were sent without awaiting the answers only the last one closes, or those behind it would be lost. */
  #closeAfter(reply: FastifyReply, socket: Socket): void {
    const before = this.#newest.get(socket);
    if (before !== undefined && !before.raw.headersSent) {
      before.removeHeader('connection');
      this.#lastWords.delete(before);
    }
    if (reply.raw.headersSent) return;
    reply.header('connection', 'close');
    this.#lastWords.add(reply);
  }
}
