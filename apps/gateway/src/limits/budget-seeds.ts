import type { BudgetUse, RateLimiter } from './rate-limiter.js';

/** What a key really used, as the records say. Answers or fails within the time-out of its database. */
export type UsedTokens = (keyId: string) => Promise<BudgetUse>;

/** How long a request waits for what its key used, before its budget begins at 0. A late answer is of use to the next. */
const WAIT_MS = 500;
/** After the records could not be read: how long nobody waits for them. */
const RETRY_MS = 5_000;
/** Keys looked up at a time, as when a Redis comes back empty; the database's connections are fewer. Beyond, nobody waits. */
const LOOKS_AT_ONCE_MAX = 256;
/** Keys remembered as failed; beyond, all are tried again. */
const FAILED_MAX = 10_000;

/** Brings budgets what was really used: when nothing is known of one, and whenever that is old. */
export class BudgetSeeds {
  readonly #looks = new Map<string, Promise<void>>();
  readonly #retryAtMs = new Map<string, number>();
  #closed = false;

  constructor(
    private readonly limiter: Pick<RateLimiter, 'seed'>,
    private readonly usedTokens: UsedTokens,
    private readonly nowMs: () => number,
    private readonly waitMs = WAIT_MS,
  ) {}

  /** Looks once for all who ask at the same time. Resolves when the budget is seeded, or when waiting longer makes no sense. */
  async bring(keyId: string): Promise<void> {
    const look = this.#look(keyId);
    if (look === undefined) return;
    let timer: NodeJS.Timeout | undefined;
    const enough = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.waitMs);
    });
    await Promise.race([look, enough]);
    clearTimeout(timer);
  }

  /** The same for those who need not wait. */
  refresh(keyId: string): void {
    void this.#look(keyId);
  }

  close(): void {
    this.#closed = true;
  }

  #look(keyId: string): Promise<void> | undefined {
    const running = this.#looks.get(keyId);
    if (running !== undefined) return running;
    if (this.#closed || this.#looks.size >= LOOKS_AT_ONCE_MAX) return undefined;
    if (performance.now() < (this.#retryAtMs.get(keyId) ?? 0)) return undefined;
    const look = this.#seed(keyId).finally(() => this.#looks.delete(keyId));
    this.#looks.set(keyId, look);
    return look;
  }

  async #seed(keyId: string): Promise<void> {
    try {
      // Another clock than a shared limiter's, or a slow look, and a day may end in between.
      const atMs = this.nowMs();
      const used = await this.usedTokens(keyId);
      if (this.#closed) return;
      await this.limiter.seed(`key:${keyId}`, { ...used, atMs });
      this.#retryAtMs.delete(keyId);
    } catch {
      // The database or the store is away: readiness says so. Until it is back, the budget goes on from what is known.
      if (this.#retryAtMs.size >= FAILED_MAX) this.#retryAtMs.clear();
      this.#retryAtMs.set(keyId, performance.now() + RETRY_MS);
    }
  }
}
