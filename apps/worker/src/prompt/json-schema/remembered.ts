/** The same tools come with every request of a conversation. */
export const REMEMBERED_MAX = 64;
/** Of what is remembered, and of what it was made from. */
export const REMEMBERED_CHARACTERS_MAX = 8 * 1024 * 1024;

interface Entry<Value> {
  readonly value: Value;
  readonly characters: number;
}

/** What took long to make, by what it was made from; the values used last. */
export class Remembered<Value> {
  // A Map iterates in insertion order, so putting an entry back when it is used keeps the oldest first.
  readonly #known = new Map<string, Entry<Value>>();
  #characters = 0;

  /** @param charactersOf how large a value is. */
  constructor(
    private readonly charactersOf: (value: Value) => number,
    private readonly valuesMax = REMEMBERED_MAX,
  ) {}

  get(key: string, make: () => Value): Value {
    const known = this.#known.get(key);
    if (known !== undefined) {
      this.#known.delete(key);
      this.#known.set(key, known);
      return known.value;
    }
    const value = make();
    const characters = key.length + this.charactersOf(value);
    this.#known.set(key, { value, characters });
    this.#characters += characters;
    this.#forgetOldest();
    return value;
  }

  get size(): number {
    return this.#known.size;
  }

  #forgetOldest(): void {
    for (const [key, { characters }] of this.#known) {
      if (this.#known.size <= this.valuesMax && this.#characters <= REMEMBERED_CHARACTERS_MAX) return;
      this.#known.delete(key);
      this.#characters -= characters;
    }
  }
}
