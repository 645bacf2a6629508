/** Tokens in the order they came, for what looks back at them. Grows by doubling, so that a step copies nothing. */
export class TokenHistory {
  #tokens: Uint32Array;
  #length = 0;

  constructor(tokens: readonly number[]) {
    this.#tokens = new Uint32Array(Math.max(64, tokens.length * 2));
    this.#tokens.set(tokens);
    this.#length = tokens.length;
  }

  get length(): number {
    return this.#length;
  }

  push(token: number): void {
    if (this.#length === this.#tokens.length) {
      const grown = new Uint32Array(this.#tokens.length * 2);
      grown.set(this.#tokens);
      this.#tokens = grown;
    }
    this.#tokens[this.#length++] = token;
  }

  /** The last `count` tokens, or all if there are fewer. A view: it is right until the next `push`. */
  last(count: number): Uint32Array {
    return this.#tokens.subarray(Math.max(0, this.#length - count), this.#length);
  }
}
