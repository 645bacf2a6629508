/** Addresses as they were last told, and to whom: what every discovery has in common that asks somebody else. */
export class KnownAddresses {
  #listener: ((addresses: readonly string[]) => void) | undefined;
  #addresses: readonly string[] | undefined;
  #trouble: string | undefined;

  /** @param source who is asked, to begin a sentence with. */
  constructor(private readonly source: string) {}

  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** Whether it knows of any. */
  get any(): boolean {
    return (this.#addresses?.length ?? 0) > 0;
  }

  listen(listener: (addresses: readonly string[]) => void): void {
    this.#listener = listener;
  }

  learn(addresses: readonly string[]): void {
    this.#trouble = undefined;
    const sorted = [...new Set(addresses)].sort();
    if (this.#addresses?.join() === sorted.join()) return;
    this.#addresses = sorted;
    this.#listener?.(sorted);
  }

  /** They are what they are, but whoever runs it may have meant something else. */
  doubt(sentence: string): void {
    this.#trouble = sentence;
  }

  /** What was known stays in force; at the very first, that nobody can be found is told too, or a start would wait for it. */
  fail(why: string): void {
    this.#trouble = `${this.source} can't be asked for workers (${why.replace(/\.$/, '')}); those found last stay in use.`;
    if (this.#addresses !== undefined) return;
    this.#addresses = [];
    this.#listener?.([]);
  }
}
