/** Thrown where the text ends before it is decided what stands there. Not an error: it never leaves the reader. */
export const MORE = Symbol('more');

const BLANK = /\s/;

/**
 * Goes through a text that is still being written, from left to right.
 *
 * Every question is answered as it will be answered once the whole text is there; where that can't be known yet, `MORE` is
 * thrown, and whoever asks tries again from the beginning with more text. So what is asked about must be short: nothing
 * stands behind `limit`, as if the text ended there.
 */
export class Scan {
  readonly #end: number;
  /** Whether the text really ends at `#end`. */
  readonly #ended: boolean;

  /** @param limit where to stop looking (UTF-16 index into `text`). */
  constructor(
    readonly text: string,
    public at: number,
    limit: number,
    ended: boolean,
  ) {
    this.#end = Math.min(text.length, limit);
    this.#ended = ended || text.length >= limit;
  }

  /** Whether `mark` stands here; goes on behind it. */
  takes(mark: string): boolean {
    const end = this.at + mark.length;
    if (end <= this.#end) {
      if (!this.text.startsWith(mark, this.at)) return false;
      this.at = end;
      return true;
    }
    if (!this.#ended && mark.startsWith(this.text.slice(this.at, this.#end))) throw MORE;
    return false;
  }

  /** Whether one of `marks` stands here: the first that does. */
  takesOneOf(marks: readonly string[]): boolean {
    return marks.some((mark) => this.takes(mark));
  }

  /** Goes on behind all blanks, or so many; never asks for more, since what follows will. */
  skipBlanks(charactersMax = Number.POSITIVE_INFINITY): void {
    const end = Math.min(this.#end, this.at + charactersMax);
    while (this.at < end && BLANK.test(this.text[this.at]!)) this.at++;
  }

  /** The next character, or nothing at the end. */
  peek(): string {
    if (this.at < this.#end) return this.text[this.at]!;
    if (!this.#ended) throw MORE;
    return '';
  }

  /** Whether the text is over here. */
  get over(): boolean {
    return this.peek() === '';
  }

  /** What is there yet, without asking for more. */
  soFar(): string {
    return this.text.slice(this.at, this.#end);
  }

  /** All characters that `allowed` matches. */
  takeAll(allowed: RegExp): string {
    const from = this.at;
    while (allowed.test(this.peek())) this.at++;
    return this.text.slice(from, this.at);
  }

  /** The text before `mark`, and goes on behind that; undefined where it doesn't come. */
  takeUntil(mark: string): string | undefined {
    const from = this.at;
    const found = this.text.indexOf(mark, from);
    if (found >= 0 && found + mark.length <= this.#end) {
      this.at = found + mark.length;
      return this.text.slice(from, found);
    }
    if (!this.#ended) throw MORE;
    return undefined;
  }

  /** A JSON string, decoded; undefined where none stands. */
  takeJsonString(): string | undefined {
    if (this.peek() !== '"') return undefined;
    const from = this.at++;
    for (let next = this.peek(); next !== '"'; next = this.peek()) {
      if (next === '') return undefined;
      this.at += next === '\\' ? 2 : 1;
    }
    this.at++;
    try {
      return JSON.parse(this.text.slice(from, this.at)) as string;
    } catch {
      return undefined;
    }
  }

  /** A JSON value as it is written, by its brackets and quotes alone; undefined where it doesn't end. */
  takeJsonValue(): string | undefined {
    const from = this.at;
    let depth = 0;
    for (;;) {
      const next = this.peek();
      if (next === '') return undefined;
      if (next === '"') {
        if (this.takeJsonString() === undefined) return undefined;
      } else if (depth === 0 && (next === ',' || next === '}' || next === ']')) {
        return this.at === from ? undefined : this.text.slice(from, this.at).trimEnd();
      } else {
        if (next === '{' || next === '[') depth++;
        if (next === '}' || next === ']') depth--;
        this.at++;
      }
      if (depth === 0 && '"}]'.includes(next)) return this.text.slice(from, this.at);
    }
  }
}
