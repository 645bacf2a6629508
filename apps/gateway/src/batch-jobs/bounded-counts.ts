/** Counts by name, of so many names at most: what was counted longest ago is forgotten for the next. */
export class BoundedCounts {
  readonly #counts = new Map<string, number>();

  constructor(private readonly namesMax: number) {}

  /** @returns how often, this time included. */
  add(name: string): number {
    const count = (this.#counts.get(name) ?? 0) + 1;
    this.#counts.delete(name);
    const [oldest] = this.#counts.keys();
    if (oldest !== undefined && this.#counts.size >= this.namesMax) this.#counts.delete(oldest);
    this.#counts.set(name, count);
    return count;
  }

  of(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  forget(name: string): void {
    this.#counts.delete(name);
  }
}
