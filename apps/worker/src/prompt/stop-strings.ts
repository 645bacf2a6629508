/**
 * Cuts a text that arrives in pieces at the first of several stop texts, and never lets a part of one through.
 *
 * Each stop text is followed by a small automaton (Knuth, Morris and Pratt): after every character it knows the longest
 * beginning of its stop text that the text now ends with. The longest of these over all stop texts is what must be held
 * back, since it may yet become a stop; everything before it is safe. The cost per character does not depend on the
 * length of the stop texts, which a search in the held text would not promise ("aaaa…b" against a text of a's).
 *
 * The stop text that is complete first wins, and among those complete at the same character the longest: what has been
 * cut is then the same however the text was cut into pieces, and no token is computed to see whether a longer stop
 * text might have begun earlier.
 */
export class StopStrings {
  readonly #automata: readonly Automaton[];
  #held = '';
  #found: string | undefined;

  constructor(stops: readonly string[]) {
    this.#automata = stops.filter((stop) => stop !== '').map((stop) => new Automaton(stop));
  }

  /** The stop text that was found; everything pushed later is ignored. Undefined: none was. */
  get found(): string | undefined {
    return this.#found;
  }

  /** The text that is now known to be part of the answer. */
  push(piece: string): string {
    if (this.#automata.length === 0) return piece;
    if (this.#found !== undefined) return '';
    const text = this.#held + piece;
    for (let at = this.#held.length; at < text.length; at++) {
      const stop = this.#readCharacter(text.charCodeAt(at));
      if (stop !== '') return this.#cut(text, at + 1 - stop.length, stop);
    }
    const safe = text.length - this.#mayYetStop();
    this.#held = text.slice(safe);
    return text.slice(0, safe);
  }

  /** What was held back, once the answer has ended in another way. */
  end(): string {
    const held = this.#held;
    this.#held = '';
    return held;
  }

  /** The longest stop text that this character completes; empty for none. */
  #readCharacter(code: number): string {
    let longest = '';
    for (const automaton of this.#automata) {
      if (automaton.read(code) && automaton.stop.length > longest.length) longest = automaton.stop;
    }
    return longest;
  }

  #cut(text: string, at: number, stop: string): string {
    this.#found = stop;
    this.#held = '';
    return text.slice(0, at);
  }

  #mayYetStop(): number {
    let longest = 0;
    for (const { matched } of this.#automata) longest = Math.max(longest, matched);
    return longest;
  }
}

class Automaton {
  /** How many characters of `stop` the text now ends with. */
  matched = 0;
  /** `#shorter[n]`: the next shorter beginning of `stop` that ends its first n + 1 characters. */
  readonly #shorter: readonly number[];

  constructor(readonly stop: string) {
    this.#shorter = shorterBeginnings(stop);
  }

  /** Whether the text now ends with the whole stop text. */
  read(code: number): boolean {
    const { stop } = this;
    while (this.matched > 0 && stop.charCodeAt(this.matched) !== code) this.matched = this.#shorter[this.matched - 1]!;
    if (stop.charCodeAt(this.matched) === code) this.matched++;
    return this.matched === stop.length;
  }
}

function shorterBeginnings(stop: string): number[] {
  const shorter = [0];
  let length = 0;
  for (let at = 1; at < stop.length; at++) {
    while (length > 0 && stop[at] !== stop[length]) length = shorter[length - 1]!;
    if (stop[at] === stop[length]) length++;
    shorter.push(length);
  }
  return shorter;
}
