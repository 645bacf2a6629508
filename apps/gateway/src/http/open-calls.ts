import type { FastifyReply } from 'fastify';

/** Counts the calls that are being answered, so that a stopping gateway knows when it has finished. */
export class OpenCalls {
  #open = 0;
  #onIdle: (() => void) | undefined;

  track(reply: FastifyReply): void {
    this.#open++;
    reply.raw.once('close', () => {
      this.#open--;
      if (this.#open === 0) this.#onIdle?.();
    });
  }

  /** Resolves when the last answer has left, or after `timeoutMs`. */
  finished(timeoutMs: number): Promise<void> {
    if (this.#open === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#onIdle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
