import { type Percentiles, percentilesOf } from '../statistics.js';
import type { Outcome } from './ask-streamed.js';
import { GapHistogram } from './gap-histogram.js';

/** What one level of one scenario came to. Times are of answered requests; undefined: there was none. */
export interface LoadFigures {
  readonly requests: number;
  readonly answered: number;
  readonly failed: number;
  /** Failed ones by what failed. */
  readonly errors: Readonly<Record<string, number>>;
  /** From the first request to the last answer. */
  readonly seconds: number;
  /** Answered ones. */
  readonly requestsPerSecond: number;
  readonly tokensPerSecond: number;
  readonly tokens: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  /** Answered ones in which nothing came that could be read: neither text nor thoughts. Their first token is their end. */
  readonly empty: number;
  readonly firstTokenMs?: Percentiles | undefined;
  /** Between two pieces of text. Right to 1 %. */
  readonly gapMs?: Percentiles | undefined;
  readonly totalMs?: Percentiles | undefined;
  /** How late requests were sent: the load generator's own delay, which is part of the times where a rate is given. */
  readonly sentLateMs?: Percentiles | undefined;
}

/** Servers name their errors, and one that makes up a name for each must not fill the memory. */
const CODES_MAX = 20;
const OTHER = 'other';

/** Counts outcomes as they come; their texts are not kept. */
export class Tally {
  readonly #firstTokenMs: number[] = [];
  readonly #totalMs: number[] = [];
  readonly #sentLateMs: number[] = [];
  readonly #gaps = new GapHistogram();
  readonly #errors = new Map<string, number>();
  #tokens = 0;
  #promptTokens = 0;
  #cachedTokens = 0;
  #empty = 0;
  failed = 0;
  /** What the first that failed was told. */
  firstFailure: string | undefined;

  get answered(): number {
    return this.#totalMs.length;
  }

  readonly take = (outcome: Outcome): void => {
    if (outcome.kind === 'failed') {
      this.failed += 1;
      this.firstFailure ??= `${outcome.code}${outcome.message === '' ? '' : `: ${outcome.message}`}`;
      const known = this.#errors.has(outcome.code) || this.#errors.size < CODES_MAX;
      const code = known ? outcome.code : OTHER;
      this.#errors.set(code, (this.#errors.get(code) ?? 0) + 1);
      return;
    }
    this.#firstTokenMs.push(outcome.firstTokenMs);
    this.#totalMs.push(outcome.totalMs);
    this.#sentLateMs.push(outcome.sentLateMs);
    for (const gap of outcome.gapsMs) this.#gaps.add(gap);
    this.#tokens += outcome.tokens;
    this.#promptTokens += outcome.promptTokens;
    this.#cachedTokens += outcome.cachedTokens;
    if (outcome.isEmpty) this.#empty += 1;
  };

  figures(busyMs: number): LoadFigures {
    const seconds = busyMs / 1_000;
    const byCount = [...this.#errors].toSorted(([, one], [, other]) => other - one);
    return {
      requests: this.answered + this.failed,
      answered: this.answered,
      failed: this.failed,
      errors: Object.fromEntries(byCount),
      seconds,
      requestsPerSecond: this.answered / seconds,
      tokensPerSecond: this.#tokens / seconds,
      tokens: this.#tokens,
      promptTokens: this.#promptTokens,
      cachedTokens: this.#cachedTokens,
      empty: this.#empty,
      firstTokenMs: percentilesIfAny(this.#firstTokenMs),
      gapMs: this.#gapPercentiles(),
      totalMs: percentilesIfAny(this.#totalMs),
      sentLateMs: percentilesIfAny(this.#sentLateMs),
    };
  }

  #gapPercentiles(): Percentiles | undefined {
    const [p50, p95, p99] = [50, 95, 99].map((percent) => this.#gaps.percentile(percent));
    return p50 === undefined ? undefined : { p50, p95: p95!, p99: p99! };
  }
}

function percentilesIfAny(values: readonly number[]): Percentiles | undefined {
  return values.length === 0 ? undefined : percentilesOf(values);
}
