import type { Vocabulary } from '../../logit-changes.js';
import type { AddonModel } from './addon.js';
import { TokenBytes } from './token-bytes.js';
import { TokenIndex } from './token-index.js';

/** What the engine knows of its tokens; read once, when it opens. */
export class LlamaVocabulary implements Vocabulary {
  readonly bytes: TokenBytes;
  readonly endTokens: readonly number[];
  /** Tokens without a text of their own that end nothing: the other control tokens, and unused ones. */
  readonly silentTokens: Uint32Array;
  readonly #ends: ReadonlySet<number>;
  readonly #controlTokens: ReadonlyMap<string, number>;
  #index: TokenIndex | undefined;

  constructor(
    private readonly model: AddonModel,
    readonly size: number,
  ) {
    this.bytes = new TokenBytes(model);
    const tokens = Array.from({ length: size }, (_, token) => token);
    this.endTokens = tokens.filter((token) => model.isEogToken(token));
    this.#ends = new Set(this.endTokens);
    this.silentTokens = Uint32Array.from(tokens.filter((token) => !this.bytes.isText(token) && !this.isEnd(token)));
    const controls = [...this.silentTokens, ...this.endTokens].filter((token) => this.bytes.isControl(token));
    this.#controlTokens = new Map(controls.map((token) => [model.getTokenString(token) ?? '', token]));
  }

  /** Made when it is first asked for. */
  get index(): TokenIndex {
    this.#index ??= new TokenIndex(this.bytes, this.size, (token) => this.isEnd(token));
    return this.#index;
  }

  isEnd(token: number): boolean {
    return this.#ends.has(token);
  }

  /** The control token of that name. Tokens that a model defines for itself are text, whatever they look like. */
  controlToken(name: string): number | undefined {
    return this.#controlTokens.get(name);
  }

  /** As the vocabulary spells it; control tokens by their name, though the detokenizer is silent about them. */
  bytesOf(token: number): Uint8Array {
    return this.bytes.isText(token)
      ? this.bytes.of(token)
      : new TextEncoder().encode(this.model.getTokenString(token) ?? '');
  }

  /**
   * Tokens that together spell exactly `bytes`, as few as may be. None of them ends an answer or is a control token.
   *
   * @throws Error when there are none.
   */
  tokensSpelling(bytes: Buffer): readonly number[] {
    return this.#ownTokens(bytes) ?? this.index.byteTokens(bytes);
  }

  /**
   * The model's own tokens for `bytes`; undefined where they can't be told. Some vocabularies put a space before a text,
   * which then becomes a part of its first token: behind the end of a line it does not.
   */
  #ownTokens(bytes: Buffer): readonly number[] | undefined {
    const text = bytes.toString('utf8');
    for (const before of ['', '\n']) {
      const tokens = [...this.model.tokenize(before + text, false)];
      let length = tokens.reduce((sum, token) => sum + this.bytes.of(token).length, 0);
      let from = 0;
      while (length > bytes.length) length -= this.bytes.of(tokens[from++]!).length;
      const own = tokens.slice(from);
      const spelt = Buffer.concat(own.map((token) => this.bytes.of(token)));
      if (spelt.equals(bytes) && own.every((token) => this.bytes.isText(token) && !this.isEnd(token))) return own;
    }
    return undefined;
  }

  /** What an answer shows of a token: control tokens only if they are in `spelled`. */
  shownBytesOf(token: number, spelled: ReadonlySet<number>): Uint8Array {
    return spelled.has(token) ? this.bytesOf(token) : this.bytes.of(token);
  }
}
