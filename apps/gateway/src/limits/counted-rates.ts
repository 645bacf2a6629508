import { randomUUID } from 'node:crypto';
import type { InferenceError } from '@millrace/contracts';
import type { Call, Caller } from '../vocabulary.js';
import { BudgetSeeds, type UsedTokens } from './budget-seeds.js';
import type { CallerRates, ExpectedUse, RateHold } from './caller-rates.js';
import { LimitRules, type ModelLimits } from './limit-rules.js';
import { OpenAsks } from './open-asks.js';
import { rateHeaders } from './rate-headers.js';
import type { Admitted, LimitRule, LimitStanding, RateAsk, RateLimiter, Refused } from './rate-limiter.js';
import { refusal } from './refuse.js';

export interface CountedRatesOptions {
  /** Of a model's id; undefined: none. The same object as long as they are the same. */
  readonly modelLimits: (model: string) => ModelLimits | undefined;
  readonly usedTokens: UsedTokens;
  /** Tokens reserved for an answer that doesn't say how long it may become. */
  readonly answerTokensEstimate: number;
  /** That of the records: for tests, the machine's elsewhere. */
  readonly nowMs?: () => number;
}

/** More than any limit may be, so that sums stay exact. */
const TOKENS_MAX = 1e13;

type Taker = Pick<Call, 'caller' | 'tell'>;

/** What came of one ask. */
interface Taken {
  readonly standings: readonly LimitStanding[];
  /** Undefined: it was counted. */
  readonly error: InferenceError | undefined;
  /** Of a refusal, until it may pass. */
  readonly retryAfterMs: number;
  /** Once; again it does nothing. */
  settle(tokens: number): void;
}

const NOTHING_TAKEN: Taken = { standings: [], error: undefined, retryAfterMs: 0, settle: () => {} };

/** The limits of keys and of models: reserved when a request enters, settled when it has ended. */
export class CountedRates implements CallerRates {
  readonly #limiter: RateLimiter;
  readonly #rules: LimitRules;
  readonly #seeds: BudgetSeeds;
  readonly #open: OpenAsks;
  readonly #answerTokensEstimate: number;
  // Ids are unique over all gateways, for a Redis counts for all of them.
  readonly #gateway = randomUUID();
  #asked = 0;

  constructor(limiter: RateLimiter, options: CountedRatesOptions) {
    const { modelLimits, usedTokens, answerTokensEstimate, nowMs = Date.now } = options;
    this.#limiter = limiter;
    this.#rules = new LimitRules(modelLimits);
    this.#seeds = new BudgetSeeds(limiter, usedTokens, nowMs);
    this.#open = new OpenAsks(limiter);
    this.#answerTokensEstimate = answerTokensEstimate;
  }

  get trouble(): string | undefined {
    return this.#limiter.trouble;
  }

  async take(call: Pick<Call, 'caller' | 'tell'>, use: ExpectedUse, signal: AbortSignal): Promise<RateHold> {
    signal.throwIfAborted();
    const models = [use.model, ...(use.fallbacks ?? [])];
    const tokens = this.#estimate(use);
    if (models.length === 1 || models.every((model) => this.#rules.ofModel(model).length === 0)) {
      return this.#takeAtOnce(call, use.model, tokens, signal);
    }
    return this.#takeApart(call, models, tokens, signal);
  }

  /** The caller's and the model's in one act: where one of them has no room, nothing is counted in the other. */
  async #takeAtOnce({ caller, tell }: Taker, model: string, tokens: number, signal: AbortSignal): Promise<RateHold> {
    const rules = this.#rules.of(caller, model);
    const hold = new CountedHold(model, (other) => this.#takeModel(caller, other, tokens, signal));
    if (rules.length === 0) return hold;
    const taken = await this.#take(rules, tokens, caller);
    tell(rateHeaders(taken.standings));
    if (taken.error !== undefined) throw taken.error;
    hold.keep(taken);
    return leftMeanwhile(hold, signal);
  }

  /**
   * The caller's first, and by itself, since it stays counted whichever model answers; then those of the first model that has room. A
   * request that all of them refuse is one of the caller's all the same.
   */
  async #takeApart(
    { caller, tell }: Taker,
    models: readonly string[],
    tokens: number,
    signal: AbortSignal,
  ): Promise<RateHold> {
    const own = await this.#take(this.#rules.of(caller), tokens, caller);
    if (own.error !== undefined) {
      tell(rateHeaders(own.standings));
      throw own.error;
    }
    try {
      const { model, taken } = await this.#firstWithRoom(models, (id) => this.#takeModel(caller, id, tokens, signal));
      tell(rateHeaders([...own.standings, ...taken.standings]));
      if (taken.error !== undefined) throw taken.error;
      const hold = new CountedHold(model, (other) => this.#takeModel(caller, other, tokens, signal));
      hold.keep(own);
      hold.counts(taken);
      return leftMeanwhile(hold, signal);
    } catch (error) {
      own.settle(0);
      throw error;
    }
  }

  /** Of models that all refuse, the one that has room soonest. */
  async #firstWithRoom(models: readonly string[], take: (model: string) => Promise<Taken>) {
    let soonest: { model: string; taken: Taken } | undefined;
    for (const model of models) {
      const taken = await take(model);
      if (taken.error === undefined) return { model, taken };
      if (soonest === undefined || taken.retryAfterMs < soonest.taken.retryAfterMs) soonest = { model, taken };
    }
    return soonest!;
  }

  #takeModel(caller: Caller, model: string, tokens: number, signal: AbortSignal): Promise<Taken> {
    signal.throwIfAborted();
    return this.#take(this.#rules.ofModel(model), tokens, caller);
  }

  async #take(rules: readonly LimitRule[], tokens: number, caller: Caller): Promise<Taken> {
    if (rules.length === 0) return NOTHING_TAKEN;
    const ask = { id: `${this.#gateway}:${++this.#asked}`, rules, tokens };
    const decision = await this.#decide(ask, caller);
    const { standings } = decision;
    if (decision.outcome === 'refused') {
      const retryAfterMs = decision.retryAfterMs ?? Number.POSITIVE_INFINITY;
      return { standings, error: refusal(decision, caller, tokens), retryAfterMs, settle: () => {} };
    }
    this.#open.add(ask);
    const settle = (used: number) => {
      if (this.#open.remove(ask)) void this.#limiter.settle(ask, atLeastNothing(used)).catch(() => {});
    };
    return { standings, error: undefined, retryAfterMs: 0, settle };
  }

  async close(): Promise<void> {
    this.#open.close();
    this.#seeds.close();
    await this.#limiter.close();
  }

  async #decide(ask: RateAsk, { keyId }: Caller): Promise<Admitted | Refused> {
    let decision = await this.#limiter.take(ask);
    if (decision.outcome === 'unseeded') {
      // Only keys have budgets.
      await this.#seeds.bring(keyId!);
      decision = await this.#limiter.take({ ...ask, fromZero: true });
    }
    if (decision.outcome === 'unseeded') throw new TypeError('A limiter that may begin at 0 has to decide.');
    if (decision.outdated) this.#seeds.refresh(keyId!);
    return decision;
  }

  #estimate({ promptTokens, answers, answerTokensMax }: ExpectedUse): number {
    return Math.min(TOKENS_MAX, Math.ceil(promptTokens + answers * (answerTokensMax ?? this.#answerTokensEstimate)));
  }
}

/** Whoever waited for the decision has left: nobody would settle it. */
function leftMeanwhile(hold: CountedHold, signal: AbortSignal): RateHold {
  if (!signal.aborted) return hold;
  hold.settle(0);
  throw signal.reason;
}

/**
 * What a request is counted with: what stays whichever model answers, and what is the model's.
 *
 * Concurrency: a hold that is settled while it turns to another model gives back what it then gets.
 */
class CountedHold implements RateHold {
  #kept = NOTHING_TAKEN;
  #ofModel = NOTHING_TAKEN;
  #settled = false;

  constructor(
    private counted: string,
    private readonly takeModel: (model: string) => Promise<Taken>,
  ) {}

  get model(): string {
    return this.counted;
  }

  keep(taken: Taken): void {
    this.#kept = taken;
  }

  counts(taken: Taken): void {
    this.#ofModel = taken;
  }

  async turnTo(model: string): Promise<InferenceError | undefined> {
    if (model === this.counted || this.#settled) return undefined;
    const taken = await this.takeModel(model);
    if (taken.error !== undefined) return taken.error;
    if (this.#settled) {
      taken.settle(0);
      return undefined;
    }
    this.#ofModel.settle(0);
    this.#ofModel = taken;
    this.counted = model;
    return undefined;
  }

  settle(tokens: number): void {
    this.#settled = true;
    this.#kept.settle(tokens);
    this.#ofModel.settle(tokens);
  }
}

function atLeastNothing(tokens: number): number {
  return Number.isFinite(tokens) ? Math.max(0, Math.round(tokens)) : 0;
}
