import type { LlamaModel } from 'node-llama-cpp';
import { PlaceLedger } from '../../place-ledger.js';
import {
  type Choosing,
  type Chosen,
  type Detokenizer,
  type Grammar,
  PlacesFailed,
  type Scored,
  type StepResult,
  type StepWork,
  type TokenEngine,
  type TokenModel,
} from '../../token-engine.js';
import type { Addon, AddonContext, AddonModel } from './addon.js';
import { ByteDetokenizer } from './byte-detokenizer.js';
import { LlamaGrammar } from './llama-grammar.js';
import { LlamaVocabulary } from './llama-vocabulary.js';
import { LogprobReader, type WantedLogprob } from './logprob-reader.js';
import { PlaceSampler } from './place-sampler.js';
import { placesToFill } from './places-to-fill.js';

/** What `openLlamaCpp` has opened; the engine closes it. */
export interface OpenedModel {
  readonly loaded: LlamaModel;
  readonly addon: Addon;
  readonly model: AddonModel;
  readonly context: AddonContext;
}

/** A work of a step that was computed, with the addon's indexes into the batch. */
interface Computed {
  readonly work: StepWork;
  /** Where the token that follows can be chosen, if one is to be. */
  readonly chooseAt: number | undefined;
  /** Where each of `work.scored` can be read. */
  readonly scoredAt: readonly number[];
}

/**
 * llama.cpp, driven batch by batch. Made by `openLlamaCpp`.
 *
 * Ownership: the engine owns the model, the context and the samplers until `close`.
 * Concurrency: llama.cpp computes in threads of its own while `step` waits. Nothing else may touch the context then, so
 * every other method refuses during a step.
 */
export class LlamaCppTokenEngine implements TokenEngine {
  readonly #ledger: PlaceLedger;
  readonly #vocabulary: LlamaVocabulary;
  readonly #samplers = new Map<number, PlaceSampler>();
  /** How many tokens to tell beside each, for the places that were prepared to. */
  readonly #logprobs = new Map<number, number>();
  readonly #logprobReader: LogprobReader;
  #busy: 'a step' | 'a copy' | undefined;
  #closed = false;

  constructor(
    readonly model: TokenModel,
    private readonly opened: OpenedModel,
  ) {
    this.#ledger = new PlaceLedger(model);
    this.#vocabulary = new LlamaVocabulary(opened.model, model.vocabularySize);
    this.#logprobReader = new LogprobReader(opened.context, () => new opened.addon.AddonSampler(opened.model));
  }

  tokenize(text: string, options: { readonly special: boolean; readonly beginning: boolean }): number[] {
    this.#checkOpen('tokenize');
    const { model } = this.opened;
    const tokens = [...model.tokenize(text, options.special)];
    const first = model.tokenBos();
    // Templates often write the beginning themselves, and two of them make answers worse.
    const wanted = options.beginning && model.shouldPrependBosToken() && first >= 0 && tokens[0] !== first;
    return wanted ? [first, ...tokens] : tokens;
  }

  openDetokenizer(spelled: readonly number[] = []): Detokenizer {
    const names = new Set(spelled);
    return new ByteDetokenizer((token) => this.#vocabulary.shownBytesOf(token, names));
  }

  bytesOf(token: number): Uint8Array {
    this.#checkOpen('bytesOf');
    this.#ledger.checkTokens([token]);
    return this.#vocabulary.bytesOf(token);
  }

  controlToken(name: string): number | undefined {
    this.#checkOpen('controlToken');
    return this.#vocabulary.controlToken(name);
  }

  isEnd(token: number): boolean {
    return this.#vocabulary.isEnd(token);
  }

  openGrammar(gbnf: string, spelled: readonly number[] = []): Grammar {
    this.#checkOpen('openGrammar');
    this.#ledger.checkTokens(spelled);
    const { addon, model } = this.opened;
    return new LlamaGrammar(addon, model, this.#vocabulary, gbnf, spelled) as unknown as Grammar;
  }

  prepare(place: number, choosing: Choosing, prompt: readonly number[], chosen: readonly number[]): void {
    this.#checkIdle('prepare');
    this.#ledger.checkPlace(place);
    this.#ledger.checkTokens(prompt);
    this.#ledger.checkTokens(chosen);
    this.#samplerOf(place).prepare(choosing, prompt, chosen);
    if (choosing.logprobs === undefined) this.#logprobs.delete(place);
    else this.#logprobs.set(place, choosing.logprobs);
    this.#ledger.notePrepared(place, choosing.logprobs);
  }

  async step(works: readonly StepWork[]): Promise<StepResult> {
    this.#checkIdle('step');
    this.#ledger.checkStep(works);
    if (works.length === 0) return { chosen: [], scored: [] };
    this.#busy = 'a step';
    try {
      const computed = await this.#read(works);
      const { tokens, failed, cause } = await this.#choose(computed);
      const result = await this.#tell(computed, tokens);
      if (failed.length > 0) throw new PlacesFailed(failed, result, cause);
      return result;
    } finally {
      this.#busy = undefined;
    }
  }

  async #read(works: readonly StepWork[]): Promise<Computed[]> {
    try {
      const fillers = this.#fillersFor(works);
      // The order matters: llama.cpp joins places into one pass only while their numbers rise from work to work.
      const inOrder = [...works, ...fillers].sort((a, b) => a.place - b.place);
      const { context } = this.opened;
      context.initBatch(countTokens(inOrder));
      const computed = inOrder.map((work) => this.#addToBatch(work));
      await context.decodeBatch();
      for (const { place, position } of fillers) this.#forget(place, position);
      this.#ledger.noteStep(works);
      return computed;
    } catch (error) {
      this.#ledger.noteBroken();
      throw new Error(`llama.cpp failed at a step of ${works.length} places; its log says why.`, { cause: error });
    }
  }

  /** Works that nobody asked for, so that the places form rows: any token will do, as it is forgotten after the step. */
  #fillersFor(works: readonly StepWork[]): StepWork[] {
    if (!this.model.cutsAnywhere) return [];
    const places = works.map(({ place }) => place).sort((a, b) => a - b);
    const { contextLength, tokensPerStepMax } = this.model;
    const fillable = (place: number) => {
      const held = this.#ledger.held(place);
      return held !== 'unknown' && held < contextLength;
    };
    return placesToFill(places, fillable, tokensPerStepMax - countTokens(works)).map((place) => ({
      place,
      position: this.#ledger.held(place) as number,
      tokens: [0],
      choose: false,
    }));
  }

  #addToBatch(work: StepWork): Computed {
    const { place, position, tokens, choose, scored = [] } = work;
    const last = tokens.length - 1;
    const wanted = scored.map((_, index) => index);
    // The last token may be asked for twice, to score what follows and to choose it; the addon is told once.
    if (choose && wanted.at(-1) !== last) wanted.push(last);
    const { context } = this.opened;
    const indexes = [...context.addToBatch(place, position, Uint32Array.from(tokens), Uint32Array.from(wanted))];
    return { work, chooseAt: choose ? indexes.at(-1) : undefined, scoredAt: indexes.slice(0, scored.length) };
  }

  /** All at once: the addon runs them side by side on the threads of Node's pool. */
  async #choose(computed: readonly Computed[]): Promise<{
    tokens: Map<number, number>;
    failed: number[];
    cause: unknown;
  }> {
    const tokens = new Map<number, number>();
    const failed: number[] = [];
    let cause: unknown;
    const choose = async ({ work: { place }, chooseAt }: Computed) => {
      if (chooseAt === undefined) return;
      const sampler = this.#samplerOf(place);
      try {
        const drawn = await this.opened.context.sampleToken(chooseAt, sampler.next());
        const again = drawn < 0 ? undefined : sampler.again(drawn);
        const token = again === undefined ? drawn : await this.opened.context.sampleToken(chooseAt, again);
        if (token >= 0 && sampler.accept(token)) tokens.set(place, token);
        else failed.push(place);
      } catch (error) {
        failed.push(place);
        cause = error;
      }
    };
    await Promise.all(computed.map(choose));
    return { tokens, failed, cause };
  }

  /** What the step gives: the tokens that were chosen, and the log-probabilities that were asked for. */
  async #tell(computed: readonly Computed[], tokens: ReadonlyMap<number, number>): Promise<StepResult> {
    const wanted: WantedLogprob[] = [];
    const want = (place: number, at: number, token: number) => {
      const top = this.#logprobs.get(place);
      if (top !== undefined) wanted.push({ at, token, top });
    };
    for (const { work, chooseAt, scoredAt } of computed) {
      const token = tokens.get(work.place);
      for (const [index, at] of scoredAt.entries()) want(work.place, at, work.scored![index]!);
      if (chooseAt !== undefined && token !== undefined) want(work.place, chooseAt, token);
    }
    const told = (await this.#logprobReader.read(wanted)).values();
    const chosen: Chosen[] = [];
    const scored: Scored[] = [];
    // In the order in which they were wanted.
    for (const { work, scoredAt } of computed) {
      const { place } = work;
      const token = tokens.get(place);
      const logprobs = scoredAt.map(() => told.next().value!);
      if (work.scored !== undefined) scored.push({ place, logprobs });
      if (token === undefined) continue;
      const logprob = this.#logprobs.has(place) ? told.next().value : undefined;
      chosen.push(logprob === undefined ? { place, token } : { place, token, logprob });
    }
    return { chosen, scored };
  }

  async copy(from: number, to: number, tokens: number): Promise<void> {
    this.#checkIdle('copy');
    this.#ledger.checkCopy(from, to, tokens);
    if (tokens === 0) return this.cutBack(to, 0);
    this.#busy = 'a copy';
    try {
      await this.opened.context.copySequenceStateFromOtherSequence(to, from);
      if (tokens !== this.#ledger.held(from)) this.#forget(to, tokens);
      this.#ledger.noteCut(to, tokens);
    } catch (error) {
      this.#ledger.noteUnknown(to);
      throw new Error(`llama.cpp failed to copy place ${from} to place ${to}; its log says why.`, { cause: error });
    } finally {
      this.#busy = undefined;
    }
  }

  cutBack(place: number, from: number): void {
    this.#checkIdle('cutBack');
    this.#ledger.checkCut(place, from);
    this.#forget(place, from);
    this.#ledger.noteCut(place, from);
  }

  #forget(place: number, from: number): void {
    if (from === 0) {
      this.opened.context.disposeSequence(place);
    } else if (!this.opened.context.removeTokenCellsFromSequence(place, from, -1)) {
      throw new Error(`This model can't go back to ${from} tokens in place ${place}. Clear the place instead.`);
    }
  }

  async close(): Promise<void> {
    if (this.#busy !== undefined) throw new Error(`The engine was closed during ${this.#busy}; wait for its end.`);
    if (this.#closed) return;
    this.#closed = true;
    for (const sampler of this.#samplers.values()) sampler.dispose();
    this.#logprobReader.dispose();
    await this.opened.context.dispose();
    await this.opened.loaded.dispose();
  }

  /** Made when first needed: each holds 12 bytes per token of the vocabulary. */
  #samplerOf(place: number): PlaceSampler {
    const known = this.#samplers.get(place);
    if (known !== undefined) return known;
    const { addon, model } = this.opened;
    const sampler = new PlaceSampler(new addon.AddonSampler(model), this.#vocabulary, this.model.contextLength);
    this.#samplers.set(place, sampler);
    return sampler;
  }

  #checkOpen(what: string): void {
    if (this.#closed) throw new Error(`${what} was called on a closed engine.`);
  }

  #checkIdle(what: string): void {
    this.#checkOpen(what);
    if (this.#busy !== undefined) throw new Error(`${what} was called during ${this.#busy}; wait for its end.`);
  }
}

function countTokens(works: readonly StepWork[]): number {
  return works.reduce((sum, { tokens }) => sum + tokens.length, 0);
}
