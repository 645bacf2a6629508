import { repetitions } from './repetitions.js';
import type { ResolvedSampling } from './token-engine.js';
import { TokenHistory } from './token-history.js';

/**
 * Takes a token out of the choice, unless nothing else is left. Far below what any logit becomes by other means, and
 * yet finite: where a grammar has come to its end, an end is still chosen.
 */
const LAST_RESORT = -1e30;

/** DRY's penalty grows without bound. More than this is the same, and 32-bit floats must not overflow. */
const PENALTY_MAX = 1e20;

export interface Vocabulary {
  /** The tokens that end an answer. */
  readonly endTokens: readonly number[];
  bytesOf(token: number): Uint8Array;
}

/**
 * What is added to the logits of some tokens before one is chosen: `logit_bias`, presence and frequency penalties, DRY,
 * and `ignore_eos`.
 *
 * Both adapters leave these to this class, for the sums depend on the tokens of prompt and answer alone, so an answer
 * that goes on elsewhere is penalised alike. llama.cpp has samplers for them; but its one for penalties has a single
 * history, where presence and frequency look at the answer and the repeat penalty at the prompt too, and the history
 * of its DRY can't be given to it. `repetitions` finds the same lengths as llama.cpp's DRY.
 */
export class LogitChanges {
  readonly #fixed = new Map<number, number>();
  readonly #counts = new Map<number, number>();
  readonly #history: TokenHistory;
  readonly #breakers: readonly Buffer[];
  readonly #breaks = new Map<number, boolean>();

  constructor(
    private readonly sampling: ResolvedSampling,
    prompt: readonly number[],
    chosen: readonly number[],
    private readonly vocabulary: Vocabulary,
  ) {
    this.#history = new TokenHistory(this.#looksBack() ? [...prompt, ...chosen] : []);
    this.#breakers = sampling.drySequenceBreakers.filter((text) => text !== '').map((text) => Buffer.from(text));
    for (const token of chosen) this.#count(token);
    for (const { token, bias } of sampling.logitBias) add(this.#fixed, token, bias);
    if (sampling.ignoreEos) for (const token of vocabulary.endTokens) this.#fixed.set(token, LAST_RESORT);
  }

  /** Notes a token that was chosen. */
  accept(token: number): void {
    this.#count(token);
    if (this.#looksBack()) this.#history.push(token);
  }

  /** What to add for the next token. The same object as before where nothing changes. */
  next(): ReadonlyMap<number, number> {
    const { presencePenalty, frequencyPenalty } = this.sampling;
    const countsMatter = this.#counts.size > 0 && (presencePenalty !== 0 || frequencyPenalty !== 0);
    if (!countsMatter && !this.#looksBack()) return this.#fixed;
    const changes = new Map(this.#fixed);
    if (countsMatter) {
      for (const [token, count] of this.#counts) add(changes, token, -presencePenalty - count * frequencyPenalty);
    }
    this.#addDry(changes);
    return changes;
  }

  #looksBack(): boolean {
    return this.sampling.dryMultiplier > 0;
  }

  #count(token: number): void {
    this.#counts.set(token, (this.#counts.get(token) ?? 0) + 1);
  }

  #addDry(changes: Map<number, number>): void {
    if (!this.#looksBack()) return;
    const { dryMultiplier, dryBase, dryAllowedLength, dryLastN } = this.sampling;
    const history = this.#history.last(dryLastN === 0 ? this.#history.length : dryLastN);
    const lengthMax = this.#lengthSinceBreak(history);
    if (history.length <= dryAllowedLength || lengthMax < dryAllowedLength) return;
    for (const [token, length] of repetitions(history, dryAllowedLength, lengthMax)) {
      if (this.#isBreak(token)) continue;
      add(changes, token, -Math.min(PENALTY_MAX, dryMultiplier * dryBase ** (length - dryAllowedLength)));
    }
  }

  /** No repetition goes back beyond a break. */
  #lengthSinceBreak(history: Uint32Array): number {
    const at = history.findLastIndex((token) => this.#isBreak(token));
    return history.length - 1 - at;
  }

  #isBreak(token: number): boolean {
    const known = this.#breaks.get(token);
    if (known !== undefined) return known;
    const bytes = Buffer.from(this.vocabulary.bytesOf(token));
    const breaks = this.#breakers.some((breaker) => bytes.includes(breaker));
    this.#breaks.set(token, breaks);
    return breaks;
  }
}

/** Biases for one token add up, except where it is ruled out. */
function add(changes: Map<number, number>, token: number, change: number): void {
  changes.set(token, (changes.get(token) ?? 0) + change);
}
