/**
 * Cuts off the stop text that ended an answer, for an upstream that lets it through. What may be the beginning of one is
 * held back until it is clear.
 */
export class StopCut {
  #held = '';
  #found: string | undefined;

  constructor(private readonly stops: readonly string[]) {}

  /** The one that ended the answer. */
  get found(): string | undefined {
    return this.#found;
  }

  push(text: string): string {
    if (this.#found !== undefined) return '';
    const all = this.#held + text;
    const [first] = this.stops
      .map((stop) => ({ stop, at: all.indexOf(stop) }))
      .filter(({ at }) => at !== -1)
      .sort((one, other) => one.at - other.at);
    if (first !== undefined) {
      this.#found = first.stop;
      this.#held = '';
      return all.slice(0, first.at);
    }
    const held = Math.max(0, ...this.stops.map((stop) => beginningAtEnd(all, stop)));
    this.#held = all.slice(all.length - held);
    return all.slice(0, all.length - held);
  }

  /** What was held back, and is no stop text after all. */
  end(): string {
    const rest = this.#held;
    this.#held = '';
    return rest;
  }
}

/** How many characters at the end of `text` are the beginning of `stop`. */
function beginningAtEnd(text: string, stop: string): number {
  for (let length = Math.min(stop.length - 1, text.length); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length;
  }
  return 0;
}
