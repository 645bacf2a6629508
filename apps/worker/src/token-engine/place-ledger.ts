import { contextExceeded } from '@millrace/contracts';
import type { StepWork, TokenModel } from './token-engine.js';

type Limits = Pick<TokenModel, 'contextLength' | 'placesMax' | 'tokensPerStepMax' | 'vocabularySize' | 'cutsAnywhere'>;

type Prepared = 'no' | 'plain' | 'with logprobs';

/**
 * How far each place is filled, and which steps are therefore possible.
 *
 * Adapters ask it before they touch anything, so that a mistake of their caller is one clear sentence and changes
 * nothing. llama.cpp itself would say "Eval has failed", or silently overwrite.
 */
export class PlaceLedger {
  readonly #lengths: (number | 'unknown')[];
  readonly #prepared: Prepared[];

  constructor(private readonly limits: Limits) {
    this.#lengths = Array.from({ length: limits.placesMax }, () => 0);
    this.#prepared = Array.from({ length: limits.placesMax }, () => 'no');
  }

  /** @throws Error when `place` is none of the engine's. */
  checkPlace(place: number): void {
    const { placesMax } = this.limits;
    if (Number.isInteger(place) && place >= 0 && place < placesMax) return;
    throw new Error(`There is no place ${place}: the engine has ${placesMax}, numbered from 0.`);
  }

  /** @throws Error when a token is none of the vocabulary's. */
  checkTokens(tokens: readonly number[]): void {
    const { vocabularySize } = this.limits;
    for (const token of tokens) {
      if (Number.isInteger(token) && token >= 0 && token < vocabularySize) continue;
      throw new Error(`${token} is no token: the vocabulary has ${vocabularySize}, numbered from 0.`);
    }
  }

  /** @throws Error naming what makes the step impossible. */
  checkStep(works: readonly StepWork[]): void {
    const seen = new Set<number>();
    let tokens = 0;
    for (const work of works) {
      if (seen.has(work.place)) throw new Error(`Place ${work.place} has two works in one step; it may have one.`);
      this.#checkWork(work);
      seen.add(work.place);
      tokens += work.tokens.length;
    }
    const { tokensPerStepMax } = this.limits;
    if (tokens > tokensPerStepMax) {
      throw new Error(`The step has ${tokens} tokens; the engine takes ${tokensPerStepMax}. Split a prompt.`);
    }
  }

  #checkWork({ place, position, tokens, choose, scored = [] }: StepWork): void {
    this.checkPlace(place);
    this.checkTokens(tokens);
    this.checkTokens(scored);
    if (tokens.length === 0) throw new Error(`Place ${place} has no tokens to read in this step; leave it out.`);
    const held = this.#lengths[place]!;
    if (held === 'unknown') throw new Error(`What place ${place} holds is unknown since the engine broke; clear it.`);
    if (position !== held) {
      throw new Error(`Place ${place} holds ${held} tokens, so it reads on at ${held}, not at ${position}.`);
    }
    const { contextLength } = this.limits;
    if (held + tokens.length > contextLength) {
      throw contextExceeded(contextLength, `The sequence would have ${held + tokens.length} tokens`);
    }
    const prepared = this.#prepared[place]!;
    if (choose && prepared === 'no') throw new Error(`Place ${place} is to choose a token but was not prepared.`);
    if (scored.length > tokens.length) {
      throw new Error(`Place ${place} is to score ${scored.length} tokens but reads ${tokens.length}; score no more.`);
    }
    if (scored.length > 0 && prepared !== 'with logprobs') {
      throw new Error(`Place ${place} is to score tokens but was not prepared to tell log-probabilities.`);
    }
  }

  /** Tokens that `place` holds. */
  held(place: number): number | 'unknown' {
    return this.#lengths[place]!;
  }

  noteStep(works: readonly StepWork[]): void {
    for (const { place, position, tokens } of works) this.#lengths[place] = position + tokens.length;
  }

  notePrepared(place: number, logprobs: number | undefined): void {
    this.#prepared[place] = logprobs === undefined ? 'plain' : 'with logprobs';
  }

  /** After a step that broke: nobody knows how far it came. */
  noteBroken(): void {
    this.#lengths.fill('unknown');
  }

  /** After a copy that failed. */
  noteUnknown(place: number): void {
    this.#lengths[place] = 'unknown';
  }

  noteCut(place: number, from: number): void {
    this.#lengths[place] = from;
  }

  /** @throws Error when `place` holds fewer than `from` tokens, or the model can't cut there. */
  checkCut(place: number, from: number): void {
    this.checkPlace(place);
    if (from === 0) return;
    this.#checkHolds(place, from, 'cut');
    this.#checkWhole(place, from, 'Clear it instead.');
  }

  /** @throws Error when `from` holds fewer than `tokens` tokens, when the model can't cut there, or `to` is `from`. */
  checkCopy(from: number, to: number, tokens: number): void {
    this.checkPlace(from);
    this.checkPlace(to);
    if (from === to) throw new Error(`Place ${from} is to be copied onto itself; choose another.`);
    this.#checkHolds(from, tokens, 'copied');
    if (tokens > 0) this.#checkWhole(from, tokens, 'Copy all of it.');
  }

  #checkHolds(place: number, tokens: number, what: string): void {
    const held = this.#lengths[place]!;
    if (held !== 'unknown' && Number.isInteger(tokens) && tokens >= 0 && tokens <= held) return;
    throw new Error(`Place ${place} holds ${held} tokens; it can't be ${what} at ${tokens}.`);
  }

  #checkWhole(place: number, tokens: number, remedy: string): void {
    const held = this.#lengths[place]!;
    if (this.limits.cutsAnywhere || tokens === held) return;
    throw new Error(`This model can't go back from ${held} tokens to ${tokens} in place ${place}. ${remedy}`);
  }
}
