import type { Vocabulary } from '../../logit-changes.js';
import type { AddonModel } from './addon.js';
import { TokenBytes } from './token-bytes.js';

/** What the engine knows of its tokens; read once, when it opens. */
export class LlamaVocabulary implements Vocabulary {
  readonly bytes: TokenBytes;
  readonly endTokens: readonly number[];
  /** Tokens without a text of their own that end nothing: the other control tokens, and unused ones. */
  readonly silentTokens: Uint32Array;
  readonly #ends: ReadonlySet<number>;

  constructor(
    private readonly model: AddonModel,
    readonly size: number,
  ) {
    this.bytes = new TokenBytes(model);
    const tokens = Array.from({ length: size }, (_, token) => token);
    this.endTokens = tokens.filter((token) => model.isEogToken(token));
    this.#ends = new Set(this.endTokens);
    this.silentTokens = Uint32Array.from(tokens.filter((token) => !this.bytes.isText(token) && !this.isEnd(token)));
  }

  isEnd(token: number): boolean {
    return this.#ends.has(token);
  }

  /** As the vocabulary spells it; control tokens by their name, though the detokenizer is silent about them. */
  bytesOf(token: number): Uint8Array {
    return this.bytes.isText(token)
      ? this.bytes.of(token)
      : new TextEncoder().encode(this.model.getTokenString(token) ?? '');
  }
}
