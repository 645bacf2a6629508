import { codePointsIn } from './code-points.js';

/** Characters by which what is repeated may be off from where it should stand. */
const DRIFT_MAX = 256;

/**
 * An answer that a model writes twice: plain, then with marks around what it cites. The caller gets the first; this finds
 * the passages of the second in it.
 *
 * Mostly both are the same, so the place is known by counting. Where a model has changed a word, what is cited is looked for
 * nearby; what isn't found is not cited.
 */
export class GroundedAnswer {
  #plain = '';
  /** A place of the plain text that is known, in UTF-16 units and in code points. */
  #unit = 0;
  #codePoint = 0;
  /** Characters repeated since then, and before what is cited. */
  #between = 0;
  /** What is cited, while it is repeated. */
  #passage: string | undefined;
  #begun = false;

  /** More of the plain answer. */
  write(text: string): void {
    this.#plain += text;
  }

  /** More of the second time, which is written behind all of the first. */
  repeat(text: string): void {
    const more = this.#begun ? text : text.trimStart();
    this.#begun ||= more !== '';
    if (this.#passage === undefined) this.#between += more.length;
    else this.#passage += more;
  }

  /** From here on it is cited. */
  opens(): void {
    if (this.#passage === undefined) this.#passage = '';
  }

  /** What was cited, in code points of the plain answer; undefined where it isn't there. */
  closes(): { readonly start: number; readonly end: number } | undefined {
    const passage = this.#passage;
    this.#passage = undefined;
    if (passage === undefined || passage === '') return undefined;
    const at = this.#find(passage);
    if (at === undefined) {
      this.#between += passage.length;
      return undefined;
    }
    const start = this.#codePoint + codePointsIn(this.#plain.slice(this.#unit, at));
    this.#unit = at + passage.length;
    this.#codePoint = start + codePointsIn(passage);
    this.#between = 0;
    return { start, end: this.#codePoint };
  }

  #find(passage: string): number | undefined {
    const expected = this.#unit + this.#between;
    if (this.#plain.startsWith(passage, expected)) return expected;
    const from = Math.max(this.#unit, expected - DRIFT_MAX);
    const found = this.#plain.slice(from, expected + passage.length + DRIFT_MAX).indexOf(passage);
    return found < 0 ? undefined : from + found;
  }
}
