import type { GbnfWalk } from '../../gbnf/gbnf-walk.js';
import type { LlamaVocabulary } from './llama-vocabulary.js';

/** How the tokens of a vocabulary stand under one grammar. */
export class GrammarTokens {
  /** Never chosen: control tokens have no text, but llama.cpp's grammar reads their names as text. */
  readonly silent: Uint32Array;
  /** The names of tokens that end an answer and are spelled out in it. */
  readonly spelledEnds: ReadonlyMap<number, Uint8Array>;
  readonly #silent: ReadonlySet<number>;
  readonly #spelled: ReadonlySet<number>;

  constructor(
    readonly vocabulary: LlamaVocabulary,
    spelled: readonly number[],
  ) {
    this.#spelled = new Set(spelled);
    this.silent =
      spelled.length === 0
        ? vocabulary.silentTokens
        : vocabulary.silentTokens.filter((token) => !this.#spelled.has(token));
    this.#silent = new Set(this.silent);
    this.spelledEnds = new Map(
      spelled.filter((token) => vocabulary.isEnd(token)).map((token) => [token, vocabulary.bytesOf(token)]),
    );
  }

  isEnd(token: number): boolean {
    return this.vocabulary.isEnd(token);
  }

  isSilent(token: number): boolean {
    return this.#silent.has(token);
  }

  /** What an answer shows of `token`. */
  shown(token: number): Uint8Array {
    return this.vocabulary.shownBytesOf(token, this.#spelled);
  }

  /** Whether `token` may come next. An end may where the text is complete, with its name if that is spelled. */
  mayFollow(walk: GbnfWalk, token: number): boolean {
    if (!this.isEnd(token)) return !this.#silent.has(token) && walk.mayFollow(this.shown(token));
    const name = this.spelledEnds.get(token);
    return walk.complete || (name !== undefined && walk.completes(name));
  }

  /** All tokens but those that may come next. Goes over the whole vocabulary. */
  allBut(walk: GbnfWalk): Uint32Array {
    const may = new Uint8Array(this.vocabulary.size);
    const mayBegin = (byte: number) => walk.mayFollow(Uint8Array.of(byte));
    for (const candidates of [
      this.vocabulary.index.beginningWith(mayBegin),
      this.vocabulary.endTokens,
      this.#spelled,
    ]) {
      for (const token of candidates) if (this.mayFollow(walk, token)) may[token] = 1;
    }
    const others = new Uint32Array(may.length);
    let count = 0;
    for (let token = 0; token < may.length; token++) if (may[token] === 0) others[count++] = token;
    return others.subarray(0, count);
  }
}
