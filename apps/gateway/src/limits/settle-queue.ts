import type { RateAsk } from './rate-limiter.js';

export interface SettleQueueLimits {
  /** Settlements that wait or are on their way. Beyond, the oldest that waits is lost. */
  readonly queueMax: number;
  readonly atOnceMax: number;
  readonly attemptsMax: number;
  readonly retryMs: number;
}

const LIMITS: SettleQueueLimits = { queueMax: 10_000, atOnceMax: 64, attemptsMax: 3, retryMs: 1_000 };

interface Settlement {
  readonly ask: RateAsk;
  readonly tokens: number;
  attempts: number;
}

/**
 * Tells the shared limiter off the requests' path what they really used, a few times if it fails.
 *
 * Concurrency: a settlement is either waiting or on its way, never both; trying one again is harmless, since a limiter settles once.
 */
export class SettleQueue {
  readonly #waiting: Settlement[] = [];
  #onTheirWay = 0;
  #retry: NodeJS.Timeout | undefined;
  #paused = false;
  #closed = false;

  /** @param lost is told of each that nobody will try again. */
  constructor(
    private readonly settle: (ask: RateAsk, tokens: number) => Promise<void>,
    private readonly lost: () => void,
    private readonly limits: SettleQueueLimits = LIMITS,
  ) {}

  get size(): number {
    return this.#waiting.length + this.#onTheirWay;
  }

  push(ask: RateAsk, tokens: number): void {
    if (this.#closed) {
      this.lost();
      return;
    }
    if (this.size >= this.limits.queueMax) {
      this.#waiting.shift();
      this.lost();
    }
    this.#waiting.push({ ask, tokens, attempts: 0 });
    this.#send();
  }

  /** Nothing is sent until `resume`: the store is away, and attempts would be wasted. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#send();
  }

  /** Waits for what is on its way, for at most `waitMs`. What is left then is lost. */
  async close(waitMs: number): Promise<void> {
    const endsMs = performance.now() + waitMs;
    while (this.size > 0 && !this.#paused && performance.now() < endsMs) await pause(CLOSE_LOOK_MS);
    this.#closed = true;
    clearTimeout(this.#retry);
    for (const _ of this.#waiting.splice(0)) this.lost();
  }

  #send(): void {
    while (!this.#paused && this.#retry === undefined && this.#onTheirWay < this.limits.atOnceMax) {
      const settlement = this.#waiting.shift();
      if (settlement === undefined) return;
      void this.#try(settlement);
    }
  }

  async #try(settlement: Settlement): Promise<void> {
    this.#onTheirWay++;
    settlement.attempts++;
    try {
      await this.settle(settlement.ask, settlement.tokens);
    } catch {
      this.#again(settlement);
    } finally {
      this.#onTheirWay--;
      this.#send();
    }
  }

  #again(settlement: Settlement): void {
    if (this.#closed || settlement.attempts >= this.limits.attemptsMax) {
      this.lost();
      return;
    }
    this.#waiting.unshift(settlement);
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      this.#send();
    }, this.limits.retryMs).unref();
  }
}

const CLOSE_LOOK_MS = 5;

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
