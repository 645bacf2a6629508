import type { LlamaModel } from 'node-llama-cpp';
import { PlaceLedger } from '../../place-ledger.js';
import {
  type Chosen,
  type Detokenizer,
  PlacesFailed,
  type ResolvedSampling,
  type StepWork,
  type TokenEngine,
  type TokenModel,
} from '../../token-engine.js';
import type { AddonContext, AddonModel, AddonSampler } from './addon.js';
import { ByteDetokenizer } from './byte-detokenizer.js';
import { PlaceSampler } from './place-sampler.js';
import { placesToFill } from './places-to-fill.js';
import { TokenBytes } from './token-bytes.js';

/** What `openLlamaCpp` has opened; the engine closes it. */
export interface OpenedModel {
  readonly loaded: LlamaModel;
  readonly model: AddonModel;
  readonly context: AddonContext;
  readonly createSampler: () => AddonSampler;
  /** Whether a place can forget its last tokens, or only all of them. */
  readonly cutsAnywhere: boolean;
}

/** A token that a place is to choose, at the addon's index into the batch. */
interface Choice {
  readonly place: number;
  readonly at: number;
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
  readonly #bytes: TokenBytes;
  readonly #samplers = new Map<number, PlaceSampler>();
  #stepping = false;
  #closed = false;

  constructor(
    readonly model: TokenModel,
    private readonly opened: OpenedModel,
  ) {
    this.#ledger = new PlaceLedger(model);
    this.#bytes = new TokenBytes(opened.model);
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

  openDetokenizer(): Detokenizer {
    return new ByteDetokenizer(this.#bytes);
  }

  isEnd(token: number): boolean {
    this.#checkOpen('isEnd');
    return this.opened.model.isEogToken(token);
  }

  prepare(place: number, sampling: ResolvedSampling, chosen: readonly number[]): void {
    this.#checkIdle('prepare');
    this.#ledger.checkPlace(place);
    this.#ledger.checkTokens(chosen);
    this.#samplerOf(place).prepare(sampling, chosen);
    this.#ledger.notePrepared(place);
  }

  async step(works: readonly StepWork[]): Promise<readonly Chosen[]> {
    this.#checkIdle('step');
    this.#ledger.checkStep(works);
    if (works.length === 0) return [];
    this.#stepping = true;
    try {
      const choices = await this.#read(works);
      return await this.#choose(choices);
    } finally {
      this.#stepping = false;
    }
  }

  async #read(works: readonly StepWork[]): Promise<Choice[]> {
    try {
      const fillers = this.#fillersFor(works);
      // The order matters: llama.cpp joins places into one pass only while their numbers rise from work to work.
      const inOrder = [...works, ...fillers].sort((a, b) => a.place - b.place);
      const { context } = this.opened;
      context.initBatch(countTokens(inOrder));
      const choices = inOrder.flatMap((work) => this.#addToBatch(work));
      await context.decodeBatch();
      for (const { place, position } of fillers) this.#forget(place, position);
      this.#ledger.noteStep(works);
      return choices;
    } catch (error) {
      this.#ledger.noteBroken();
      throw new Error(`llama.cpp failed at a step of ${works.length} places; its log says why.`, { cause: error });
    }
  }

  /** Works that nobody asked for, so that the places form rows: any token will do, as it is forgotten after the step. */
  #fillersFor(works: readonly StepWork[]): StepWork[] {
    if (!this.opened.cutsAnywhere) return [];
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

  #addToBatch({ place, position, tokens, choose }: StepWork): Choice[] {
    const chooseAt = choose ? Uint32Array.of(tokens.length - 1) : new Uint32Array();
    const [at] = this.opened.context.addToBatch(place, position, Uint32Array.from(tokens), chooseAt);
    return at === undefined ? [] : [{ place, at }];
  }

  /** All at once: the addon runs them side by side on the threads of Node's pool. */
  async #choose(choices: readonly Choice[]): Promise<Chosen[]> {
    const tokens = await Promise.allSettled(
      choices.map(({ place, at }) => this.opened.context.sampleToken(at, this.#samplerOf(place).next())),
    );
    const chosen: Chosen[] = [];
    const failed: number[] = [];
    let cause: unknown;
    for (const [index, { place }] of choices.entries()) {
      const outcome = tokens[index]!;
      if (outcome.status === 'rejected' || outcome.value < 0) {
        failed.push(place);
        if (outcome.status === 'rejected') cause = outcome.reason;
        continue;
      }
      this.#samplerOf(place).accept(outcome.value);
      chosen.push({ place, token: outcome.value });
    }
    if (failed.length > 0) throw new PlacesFailed(failed, chosen, cause);
    return chosen;
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
    if (this.#stepping) throw new Error('The engine was closed during a step; wait for the step to end.');
    if (this.#closed) return;
    this.#closed = true;
    for (const sampler of this.#samplers.values()) sampler.dispose();
    await this.opened.context.dispose();
    await this.opened.loaded.dispose();
  }

  /** Made when first needed: each holds 12 bytes per token of the vocabulary. */
  #samplerOf(place: number): PlaceSampler {
    const known = this.#samplers.get(place);
    if (known !== undefined) return known;
    const sampler = new PlaceSampler(this.opened.createSampler(), this.model.contextLength);
    this.#samplers.set(place, sampler);
    return sampler;
  }

  #checkOpen(what: string): void {
    if (this.#closed) throw new Error(`${what} was called on a closed engine.`);
  }

  #checkIdle(what: string): void {
    this.#checkOpen(what);
    if (this.#stepping) throw new Error(`${what} was called during a step; wait for the step to end.`);
  }
}

function countTokens(works: readonly StepWork[]): number {
  return works.reduce((sum, { tokens }) => sum + tokens.length, 0);
}
