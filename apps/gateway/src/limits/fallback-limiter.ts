import { counter, gauge, type Logger } from '@millrace/runtime';
import { MEASURED } from '../metrics/declarations.js';
import {
  type BudgetUse,
  isBudget,
  type RateAsk,
  type RateDecision,
  type RateLimiter,
  type SharedRateLimiter,
  type StandIn,
} from './rate-limiter.js';
import { SettleQueue, type SettleQueueLimits } from './settle-queue.js';

export interface FallbackOptions {
  /** How long nobody asks the shared limiter after it failed. */
  readonly retryMs: number;
  readonly settles?: SettleQueueLimits;
}

type Operation = 'take' | 'settle' | 'hold' | 'seed' | 'probe';

/** Budgets that were used while the shared limiter was away. Beyond, those are put right when they are outdated by themselves. */
const UNTOLD_MAX = 100_000;
/** At the end, settlements on their way get so long. */
const CLOSE_WAIT_MS = 1_000;

/**
 * Counts in the shared limiter, and in this gateway alone while that is away.
 *
 * The first call that fails opens the circuit: from then on nobody waits for the shared limiter, but for one probe every `retryMs`; the
 * first that succeeds closes it.
 *
 * What the shared limiter lets through is counted here as well. So this gateway goes on from there when it is alone; it remembers its
 * own part of a minute when the shared one comes back empty; and a caller who has used up everything here costs the shared one nothing.
 */
export class FallbackLimiter implements RateLimiter {
  readonly #failures = counter(MEASURED.limiterFailures);
  readonly #lost = counter(MEASURED.limiterSettlesLost);
  readonly #stopGauge: () => void;
  readonly #settles: SettleQueue;
  /** Asks that the shared limiter may know of. */
  readonly #told = new Set<string>();
  readonly #untoldBudgets = new Set<string>();
  #open = false;
  #reason = '';
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(
    private readonly shared: SharedRateLimiter,
    private readonly own: StandIn,
    private readonly options: FallbackOptions,
    private readonly logger: Logger,
  ) {
    this.#stopGauge = gauge(MEASURED.limiterFallback, () => [{ value: this.#open ? 1 : 0 }]);
    this.#settles = new SettleQueue(
      (ask, tokens) => this.#try('settle', () => this.shared.settle(ask, tokens)),
      () => this.#lost.add(1),
      options.settles,
    );
  }

  get trouble(): string | undefined {
    if (!this.#open) return undefined;
    return `Limits are counted by this gateway alone, since Redis does not count (${this.#reason}).`;
  }

  async take(ask: RateAsk): Promise<RateDecision> {
    if (this.#open) return this.#takeAlone(ask);
    const refusal = this.own.refusal(ask);
    if (refusal !== undefined) return refusal;
    this.#told.add(ask.id);
    try {
      const decision = await this.#try('take', () => this.shared.take(this.#withBegins(ask)));
      if (decision.outcome !== 'unseeded') this.own.mirror(ask, decision);
      if (decision.outcome !== 'admitted') this.#told.delete(ask.id);
      return this.#withUntold(ask, decision);
    } catch {
      const decision = await this.#takeAlone(ask);
      // The shared limiter may have let it through all the same, and nobody heard.
      if (decision.outcome !== 'admitted') this.#settleShared(ask, 0);
      return decision;
    }
  }

  async settle(ask: RateAsk, tokens: number): Promise<void> {
    this.#settleShared(ask, tokens);
    await this.own.settle(ask, tokens);
  }

  async hold(asks: readonly RateAsk[]): Promise<void> {
    const held = [this.own.hold(asks)];
    // In the same turn: a request that were settled in between would have its place taken again.
    if (!this.#open) {
      for (const { id } of asks) this.#told.add(id);
      held.push(this.#try('hold', () => this.shared.hold(asks)));
    }
    await Promise.all(held);
  }

  async seed(counted: string, used: BudgetUse): Promise<void> {
    await this.own.seed(counted, used);
    if (!this.#open) await this.#try('seed', () => this.shared.seed(counted, used));
  }

  async close(): Promise<void> {
    await this.#settles.close(CLOSE_WAIT_MS);
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#stopGauge();
    await Promise.all([this.shared.close(), this.own.close()]);
  }

  async #takeAlone(ask: RateAsk): Promise<RateDecision> {
    const decision = await this.own.take(ask);
    if (decision.outcome === 'admitted') this.#noteUntold(ask);
    return decision;
  }

  #settleShared(ask: RateAsk, tokens: number): void {
    if (this.#told.delete(ask.id)) this.#settles.push(ask, tokens);
  }

  #noteUntold({ rules }: RateAsk): void {
    for (const { kind, counter: counted } of rules) {
      if (isBudget(kind) && this.#untoldBudgets.size < UNTOLD_MAX) this.#untoldBudgets.add(counted);
    }
  }

  /** A shared limiter that came back empty while the records are away knows nothing of a budget; this gateway may. */
  #withBegins(ask: RateAsk): RateAsk {
    return ask.fromZero ? { ...ask, begins: this.own.budgetUse(ask.rules) } : ask;
  }

  /** What was used while the shared limiter was away it can only learn from the records. */
  #withUntold({ rules }: RateAsk, decision: RateDecision): RateDecision {
    if (this.#untoldBudgets.size === 0 || decision.outcome === 'unseeded') return decision;
    const untold = rules.filter(({ kind, counter: counted }) => isBudget(kind) && this.#untoldBudgets.delete(counted));
    return untold.length > 0 ? { ...decision, outdated: true } : decision;
  }

  async #try<Result>(operation: Operation, call: () => Promise<Result>): Promise<Result> {
    try {
      return await call();
    } catch (error) {
      this.#failures.add(1, { operation });
      this.#fail(error);
      throw error;
    }
  }

  #fail(error: unknown): void {
    // Only the message: errors of a store carry the command, with all that was in it.
    this.#reason = error instanceof Error ? error.message : String(error);
    if (this.#open || this.#closed) return;
    this.#open = true;
    this.#settles.pause();
    this.logger.warn(`Redis does not count (${this.#reason}): limits hold for this gateway alone until it is back.`);
    this.#probeLater();
  }

  #probeLater(): void {
    if (!this.#closed) this.#timer = setTimeout(() => void this.#probe(), this.options.retryMs).unref();
  }

  async #probe(): Promise<void> {
    try {
      await this.#try('probe', () => this.shared.probe());
    } catch {
      this.#probeLater();
      return;
    }
    this.#open = false;
    this.logger.info('Redis counts again: limits hold for all gateways together.');
    this.#settles.resume();
  }
}
