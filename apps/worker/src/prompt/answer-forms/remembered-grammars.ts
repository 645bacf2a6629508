/** The same tools come with every request of a conversation. */
export const GRAMMARS_REMEMBERED_MAX = 64;
/** Of the grammars and of what they were made from. */
export const REMEMBERED_CHARACTERS_MAX = 8 * 1024 * 1024;

/** Grammars by what they were made from; the ones used last. */
export class RememberedGrammars {
  // A Map iterates in insertion order, so putting an entry back when it is used keeps the oldest first.
  readonly #known = new Map<string, string>();
  #characters = 0;

  get(key: string, make: () => string): string {
    const known = this.#known.get(key);
    if (known !== undefined) {
      this.#known.delete(key);
      this.#known.set(key, known);
      return known;
    }
    const grammar = make();
    this.#known.set(key, grammar);
    this.#characters += key.length + grammar.length;
    this.#forgetOldest();
    return grammar;
  }

  get size(): number {
    return this.#known.size;
  }

  #forgetOldest(): void {
    for (const [key, grammar] of this.#known) {
      if (this.#known.size <= GRAMMARS_REMEMBERED_MAX && this.#characters <= REMEMBERED_CHARACTERS_MAX) return;
      this.#known.delete(key);
      this.#characters -= key.length + grammar.length;
    }
  }
}
