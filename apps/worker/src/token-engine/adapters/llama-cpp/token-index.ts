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

  constructor(bytes: TokenBytes, size: number, isEnd: (token: number) => boolean) {
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
   * One token for each byte. None of them ends an answer or is a control token.
   *
   * @throws Error when the vocabulary has none for one of the bytes.
   */
  byteTokens(bytes: Uint8Array): readonly number[] {
    return [...bytes].map((byte) => this.#byteToken(byte));
  }

  #byteToken(byte: number): number {
    const token = this.#byteTokens[byte]!;
    if (token !== NONE) return token;
    throw new Error(`The vocabulary has no token for the byte ${byte}, which the answer so far has.`);
  }
}
