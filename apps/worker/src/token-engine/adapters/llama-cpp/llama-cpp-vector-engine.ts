import type { LlamaModel } from 'node-llama-cpp';
import { unitVector } from '../../unit-vector.js';
import type { VectorEngine, VectorModel } from '../../vector-engine.js';
import { VectorLanes } from '../../vector-lanes.js';
import { joinByTemplate, type PairMarks } from './join-vector-pair.js';
import type { TokenBytes } from './token-bytes.js';
import type { VectorAddonContext, VectorAddonModel } from './vector-addon.js';

/** What `openLlamaCppVectors` has opened; the engine closes it. */
export interface OpenedVectorModel {
  readonly loaded: LlamaModel;
  readonly model: VectorAddonModel;
  readonly contexts: readonly VectorAddonContext[];
  /** Tokens that a context reads at a time; less than the context only where a token sees only those before it. */
  readonly batchSize: number;
  readonly bytes: TokenBytes;
  /** How a pair becomes one input; only for models that score. */
  readonly pair: { readonly template: string } | PairMarks | undefined;
  /** Whether a score comes as a probability already, and not as its logit. */
  readonly scoresProbability: boolean;
}

/** llama.cpp's `llama_vocab_type`, the kinds that matter here: GPT-2's way of spelling, and BERT's. */
const BYTE_PAIR = 2;
const WORD_PIECE = 3;

/**
 * llama.cpp, one input to a context. Made by `openLlamaCppVectors`.
 *
 * Ownership: owns the model and the contexts until `close`.
 * Concurrency: a context belongs to one input at a time; llama.cpp computes in threads of its own meanwhile. What has
 * begun is computed to its end, since llama.cpp can't be stopped within a batch.
 */
export class LlamaCppVectorEngine implements VectorEngine {
  readonly #lanes: VectorLanes<VectorAddonContext>;
  #computing = 0;
  #closed: PromiseWithResolvers<void> | undefined;

  constructor(
    readonly model: VectorModel,
    private readonly opened: OpenedVectorModel,
  ) {
    this.#lanes = new VectorLanes(opened.contexts);
  }

  /** As llama.cpp does it; the text of a control token stays text, since a caller's text is no place for one. */
  tokenize(text: string): number[] {
    const { model } = this.opened;
    const tokens = this.tokenizePlain(text, false);
    const begin = model.tokenBos();
    if (model.shouldPrependBosToken() && begin >= 0 && tokens[0] !== begin) tokens.unshift(begin);
    const end = model.shouldAppendEosToken() ? model.tokenEos() : this.#separatorAtEnd();
    if (end >= 0 && tokens.at(-1) !== end) tokens.push(end);
    return tokens;
  }

  /** BERT's vocabularies end an input with their separator; the file does not say so. */
  #separatorAtEnd(): number {
    const { model } = this.opened;
    return model.getVocabularyType() === WORD_PIECE ? model.sepToken() : -1;
  }

  tokenizePlain(text: string, special: boolean): number[] {
    this.#checkOpen();
    return [...this.opened.model.tokenize(text, special)];
  }

  detokenize(tokens: readonly number[]): string {
    const text = Buffer.concat(tokens.map((token) => this.bytesOf(token))).toString('utf8');
    // These vocabularies put a space before the first word, too.
    return this.opened.model.getVocabularyType() === BYTE_PAIR ? text : text.replace(/^ /, '');
  }

  bytesOf(token: number): Uint8Array {
    this.#checkOpen();
    this.#checkToken(token);
    const bytes = this.opened.bytes.of(token);
    return bytes.length > 0 ? bytes : Buffer.from(this.opened.model.getTokenString(token) ?? '');
  }

  joinPair(query: string, document: string): number[] {
    const { pair } = this.opened;
    if (pair === undefined) throw new Error('This model scores no pairs.');
    const plain = (text: string, special: boolean) => this.tokenizePlain(text, special);
    if ('template' in pair) return joinByTemplate(pair.template, query, document, plain);
    return [...pair.before, ...plain(query, false), ...pair.between, ...plain(document, false), ...pair.after];
  }

  async embed(tokens: readonly number[], signal: AbortSignal): Promise<Float32Array> {
    if (this.model.scores) throw new Error('This model scores pairs and makes no vectors.');
    return unitVector(await this.#compute(tokens, signal));
  }

  async score(tokens: readonly number[], signal: AbortSignal): Promise<number> {
    if (!this.model.scores) throw new Error('This model makes vectors and scores no pairs.');
    const [value] = await this.#compute(tokens, signal);
    if (value === undefined || !Number.isFinite(value)) {
      throw new Error(`The model gave ${value} as a score; its file may be damaged.`);
    }
    return this.opened.scoresProbability ? value : 1 / (1 + Math.exp(-value));
  }

  async close(): Promise<void> {
    if (this.#closed === undefined) {
      this.#closed = Promise.withResolvers();
      if (this.#computing === 0) this.#closed.resolve();
      await this.#closed.promise;
      for (const context of this.opened.contexts) await context.dispose();
      await this.opened.loaded.dispose();
    }
    await this.#closed.promise;
  }

  async #compute(tokens: readonly number[], signal: AbortSignal): Promise<Float64Array> {
    this.#checkOpen();
    this.#checkInput(tokens);
    this.#computing++;
    try {
      const context = await this.#lanes.take(signal);
      try {
        const values = await this.#read(context, tokens);
        signal.throwIfAborted();
        return values;
      } finally {
        this.#lanes.give(context);
      }
    } finally {
      this.#computing--;
      if (this.#computing === 0) this.#closed?.resolve();
    }
  }

  async #read(context: VectorAddonContext, tokens: readonly number[]): Promise<Float64Array> {
    try {
      // Models that see only what came before keep it from input to input; the others have nothing to forget.
      context.disposeSequence(0);
      const { batchSize } = this.opened;
      for (let at = 0; at < tokens.length; at += batchSize) {
        const piece = Uint32Array.from(tokens.slice(at, at + batchSize));
        context.initBatch(piece.length);
        // All of them: llama.cpp makes it so by itself, but with a warning for each input.
        context.addToBatch(
          0,
          at,
          piece,
          piece.map((_token, index) => index),
        );
        await context.decodeBatch();
      }
      return context.getEmbedding(tokens.length, this.model.scores ? 1 : this.model.embeddingLength);
    } catch (cause) {
      throw new Error(`llama.cpp failed at an input of ${tokens.length} tokens; its log says why.`, { cause });
    }
  }

  #checkInput(tokens: readonly number[]): void {
    const { contextLength } = this.model;
    if (tokens.length === 0 || tokens.length > contextLength) {
      throw new Error(`An input has ${tokens.length} tokens; from 1 to ${contextLength} are possible.`);
    }
    for (const token of tokens) this.#checkToken(token);
  }

  #checkToken(token: number): void {
    if (Number.isInteger(token) && token >= 0 && token < this.model.vocabularySize) return;
    throw new Error(`${token} is none of the model's ${this.model.vocabularySize} tokens.`);
  }

  #checkOpen(): void {
    if (this.#closed !== undefined) throw new Error('The engine is closed.');
  }
}
