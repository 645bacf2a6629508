import { setTimeout as sleep } from 'node:timers/promises';
import { mixSeed } from '../../mix-seed.js';
import { unitVector } from '../../unit-vector.js';
import type { VectorEngine, VectorModel } from '../../vector-engine.js';
import { VectorLanes } from '../../vector-lanes.js';

export interface VectorScript {
  readonly contextLength?: number;
  readonly concurrentMax?: number;
  readonly embeddingLength?: number;
  readonly scores?: boolean;
  /** How long an input takes; 0: until the next turn of the event loop. */
  readonly msPerInput?: number;
  /** Told of every input before it is computed; the input waits for what comes back. */
  readonly onInput?: (text: string) => void | Promise<void>;
  /** An input with this text breaks the engine. */
  readonly breaksAt?: string;
}

const EMBEDDING_LENGTH = 32;

/** One token is one byte of UTF-8; two control tokens follow the bytes. */
const BEGIN_TOKEN = 256;
const BETWEEN_TOKEN = 257;
const VOCABULARY_SIZE = 258;
const CONTROL_TEXTS = new Map([
  ['<begin>', BEGIN_TOKEN],
  ['<between>', BETWEEN_TOKEN],
]);

/**
 * A VectorEngine without a model: every word has a direction of its own, and a text points where its words do together.
 * So texts that share words are near, and a pair scores the part of the query's words that the document has.
 *
 * A token is a byte. The two control tokens begin an input, and stand between the texts of a pair.
 */
export class ScriptedVectorEngine implements VectorEngine {
  readonly model: VectorModel;
  /** Inputs that were computed, in the order in which they began. */
  readonly computed: string[] = [];
  closed = false;
  readonly #lanes: VectorLanes<number>;
  #computing = 0;
  #mostAtATime = 0;

  constructor(private readonly script: VectorScript = {}) {
    const { scores = false, concurrentMax = 2 } = script;
    this.model = {
      contextLength: script.contextLength ?? 512,
      concurrentMax,
      embeddingLength: scores ? 0 : (script.embeddingLength ?? EMBEDDING_LENGTH),
      scores,
      vocabularySize: VOCABULARY_SIZE,
      engine: 'scripted 1',
    };
    this.#lanes = new VectorLanes(Array.from({ length: concurrentMax }, (_, lane) => lane));
  }

  /** The most inputs that were computed side by side. */
  get mostAtATime(): number {
    return this.#mostAtATime;
  }

  tokenize(text: string): number[] {
    return [BEGIN_TOKEN, ...bytesIn(text)];
  }

  tokenizePlain(text: string, special: boolean): number[] {
    return special
      ? text.split(/(<begin>|<between>)/).flatMap((part) => CONTROL_TEXTS.get(part) ?? bytesIn(part))
      : bytesIn(text);
  }

  detokenize(tokens: readonly number[]): string {
    return Buffer.concat(tokens.map((token) => this.bytesOf(token))).toString('utf8');
  }

  bytesOf(token: number): Uint8Array {
    this.#checkToken(token);
    return token < BEGIN_TOKEN ? Uint8Array.of(token) : Buffer.from(token === BEGIN_TOKEN ? '<begin>' : '<between>');
  }

  joinPair(query: string, document: string): number[] {
    if (!this.model.scores) throw new Error('This model scores no pairs.');
    return [BEGIN_TOKEN, ...bytesIn(query), BETWEEN_TOKEN, ...bytesIn(document)];
  }

  async embed(tokens: readonly number[], signal: AbortSignal): Promise<Float32Array> {
    if (this.model.scores) throw new Error('This model scores pairs and makes no vectors.');
    return this.#compute(tokens, signal, () => unitVector(this.#direction(tokens)));
  }

  async score(tokens: readonly number[], signal: AbortSignal): Promise<number> {
    if (!this.model.scores) throw new Error('This model makes vectors and scores no pairs.');
    return this.#compute(tokens, signal, () => {
      const between = tokens.indexOf(BETWEEN_TOKEN);
      const query = wordsIn(plainText(tokens.slice(0, Math.max(0, between))));
      const document = new Set(wordsIn(plainText(tokens.slice(between + 1))));
      return query.filter((word) => document.has(word)).length / Math.max(1, query.length);
    });
  }

  async close(): Promise<void> {
    this.closed = true;
    while (this.#computing > 0) await sleep(1);
  }

  #direction(tokens: readonly number[]): number[] {
    const sum = Array.from({ length: this.model.embeddingLength }, () => 0);
    // A little of its own for a text without words, so that it points somewhere, too.
    for (const word of ['', ...wordsIn(plainText(tokens))]) {
      const seed = hashOf(word);
      const weight = word === '' ? 0.01 : 1;
      for (let at = 0; at < sum.length; at++) sum[at]! += weight * (mixSeed(seed, at) / 2 ** 31 - 1);
    }
    return sum;
  }

  async #compute<T>(tokens: readonly number[], signal: AbortSignal, result: () => T): Promise<T> {
    this.#checkInput(tokens);
    const lane = await this.#lanes.take(signal);
    this.#computing++;
    this.#mostAtATime = Math.max(this.#mostAtATime, this.#computing);
    try {
      const text = plainText(tokens);
      this.computed.push(text);
      await this.script.onInput?.(text);
      await sleep(this.script.msPerInput ?? 0);
      if (text === this.script.breaksAt) throw new Error(`The engine broke at "${text}".`);
      signal.throwIfAborted();
      return result();
    } finally {
      this.#computing--;
      this.#lanes.give(lane);
    }
  }

  #checkInput(tokens: readonly number[]): void {
    if (this.closed) throw new Error('The engine is closed.');
    const { contextLength } = this.model;
    if (tokens.length === 0 || tokens.length > contextLength) {
      throw new Error(`An input has ${tokens.length} tokens; from 1 to ${contextLength} are possible.`);
    }
    for (const token of tokens) this.#checkToken(token);
  }

  #checkToken(token: number): void {
    if (Number.isInteger(token) && token >= 0 && token < VOCABULARY_SIZE) return;
    throw new Error(`${token} is none of the model's ${VOCABULARY_SIZE} tokens.`);
  }
}

/** Without control tokens. */
function plainText(tokens: readonly number[]): string {
  return Buffer.from(tokens.filter((token) => token < BEGIN_TOKEN)).toString('utf8');
}

function bytesIn(text: string): number[] {
  return [...Buffer.from(text, 'utf8')];
}

function wordsIn(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
}

function hashOf(word: string): number {
  let hash = 17;
  for (const character of word) hash = mixSeed(hash, character.codePointAt(0)!);
  return hash;
}
