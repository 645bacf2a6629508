/**
 * Cuts off the stop text that ended an answer, for an upstream that lets it through. What may be the beginning of one is
 * held back until it is clear.
 */
export class StopCut {
  #held = '';
  #stopped = false;

  constructor(private readonly stops: readonly string[]) {}

  push(text: string): string {
    if (this.#stopped) return '';
    const all = this.#held + text;
    const at = this.stops.map((stop) => all.indexOf(stop)).filter((index) => index !== -1);
    if (at.length > 0) {
      this.#stopped = true;
      this.#held = '';
      return all.slice(0, Math.min(...at));
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
