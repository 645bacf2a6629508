import type { RateAsk, RateLimiter } from './rate-limiter.js';

/** A third of what a place is held for, so that two may be missed. */
const RENEW_EVERY_MS = 10_000;
/** Held in one command, so that none takes long. */
const HELD_AT_ONCE_MAX = 100;

/** The requests of this gateway that were let through and not settled: as long as they run, their places are held. */
export class OpenAsks {
  readonly #asks = new Set<RateAsk>();
  #timer: NodeJS.Timeout | undefined;
  #renewing = false;

  constructor(
    private readonly limiter: Pick<RateLimiter, 'hold'>,
    private readonly everyMs = RENEW_EVERY_MS,
  ) {}

  get size(): number {
    return this.#asks.size;
  }

  add(ask: RateAsk): void {
    this.#asks.add(ask);
    this.#timer ??= setInterval(() => void this.#renew(), this.everyMs).unref();
  }

  /** Whether it was open. */
  remove(ask: RateAsk): boolean {
    return this.#asks.delete(ask);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#asks.clear();
  }

  async #renew(): Promise<void> {
    if (this.#renewing) return;
    this.#renewing = true;
    try {
      const asks = [...this.#asks];
      for (let from = 0; from < asks.length; from += HELD_AT_ONCE_MAX) {
        // Those settled meanwhile must not be held: that would occupy their places again.
        await this.limiter.hold(asks.slice(from, from + HELD_AT_ONCE_MAX).filter((ask) => this.#asks.has(ask)));
      }
    } catch {
      // The store is away. Places are held for thrice as long, and the next round says it again.
    } finally {
      this.#renewing = false;
    }
  }
}
