import type { AddonModel } from './addon.js';
import type { TokenBytes } from './token-bytes.js';

/** No token of this vocabulary. */
const NONE = -1;

/**
 * Finds tokens by what they spell. Reading a vocabulary of 128,000 takes about 0.1 s, so it is made when it is needed.
 */
export class TokenIndex {
  /** The first byte of every token; `NONE` for those without a text. */
  readonly #firstBytes: Int16Array;
  /** The token of every single byte, or `NONE`. */
  readonly #byteTokens = new Int32Array(256).fill(NONE);

  constructor(
    private readonly model: AddonModel,
    private readonly bytes: TokenBytes,
    size: number,
    isEnd: (token: number) => boolean,
  ) {
    this.#firstBytes = new Int16Array(size).fill(NONE);
    for (let token = 0; token < size; token++) {
      if (isEnd(token)) continue;
      const spelt = bytes.spell(token);
      if (spelt.length === 0) continue;
      this.#firstBytes[token] = spelt[0]!;
      if (spelt.length === 1) this.#byteTokens[spelt[0]!] = token;
    }
  }

  /** All tokens with a text that begins so as `mayBegin` allows, but for ends. */
  *beginningWith(mayBegin: (byte: number) => boolean): Generator<number> {
    const allowed = Array.from({ length: 256 }, (_, byte) => mayBegin(byte));
    for (const [token, byte] of this.#firstBytes.entries()) if (byte !== NONE && allowed[byte]) yield token;
  }

  /**
   * Tokens that together spell exactly `bytes`. None of them ends an answer or is a control token.
   *
   * @throws Error when the vocabulary has no token for one of the bytes.
   */
  spelling(bytes: Buffer): readonly number[] {
    return this.#tokenized(bytes) ?? [...bytes].map((byte) => this.#byteToken(byte));
  }

  /** The model's own tokens, which are few; undefined where they spell something else, such as a space before it. */
  #tokenized(bytes: Buffer): readonly number[] | undefined {
    const text = bytes.toString('utf8');
    const tokens = [...this.model.tokenize(text, false)];
    if (tokens.some((token) => this.#firstBytes[token] === NONE)) return undefined;
    const spelt = Buffer.concat(tokens.map((token) => this.bytes.of(token)));
    if (spelt.equals(bytes)) return tokens;
    const spaceBefore = spelt.length === bytes.length + 1 && this.bytes.of(tokens[0]!).length === 1;
    return spaceBefore && spelt.subarray(1).equals(bytes) ? tokens.slice(1) : undefined;
  }

  #byteToken(byte: number): number {
    const token = this.#byteTokens[byte]!;
    if (token !== NONE) return token;
    throw new Error(`The vocabulary has no token for the byte ${byte}, which the answer so far has.`);
  }
}
