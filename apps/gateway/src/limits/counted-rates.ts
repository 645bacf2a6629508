import { randomUUID } from 'node:crypto';
import type { Call, Caller } from '../vocabulary.js';
import { BudgetSeeds, type UsedTokens } from './budget-seeds.js';
import type { CallerRates, ExpectedUse, RateHold } from './caller-rates.js';
import { LimitRules, type ModelLimits } from './limit-rules.js';
import { OpenAsks } from './open-asks.js';
import { rateHeaders } from './rate-headers.js';
import type { Admitted, RateAsk, RateLimiter, Refused } from './rate-limiter.js';
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
const NOTHING_HELD: RateHold = { settle: () => {} };

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
    const rules = this.#rules.of(call.caller, use.model);
    if (rules.length === 0) return NOTHING_HELD;
    const ask = { id: `${this.#gateway}:${++this.#asked}`, rules, tokens: this.#estimate(use) };
    const decision = await this.#decide(ask, call.caller);
    call.tell(rateHeaders(decision.standings));
    if (decision.outcome === 'refused') throw refusal(decision, call.caller, ask.tokens);
    return this.#hold(ask, signal);
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

  #hold(ask: RateAsk, signal: AbortSignal): RateHold {
    this.#open.add(ask);
    const settle = (tokens: number) => {
      if (this.#open.remove(ask)) void this.#limiter.settle(ask, atLeastNothing(tokens)).catch(() => {});
    };
    if (signal.aborted) {
      // Whoever waited for the decision has left: nobody would settle it.
      settle(0);
      throw signal.reason;
    }
    return { settle };
  }

  #estimate({ promptTokens, answers, answerTokensMax }: ExpectedUse): number {
    return Math.min(TOKENS_MAX, Math.ceil(promptTokens + answers * (answerTokensMax ?? this.#answerTokensEstimate)));
  }
}

function atLeastNothing(tokens: number): number {
  return Number.isFinite(tokens) ? Math.max(0, Math.round(tokens)) : 0;
}
