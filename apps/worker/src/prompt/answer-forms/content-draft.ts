import type { CallDelta, Citation } from '@millrace/contracts';
import type { ReadContent } from '../answer-reader.js';

/** What one push brings. */
export class ContentDraft {
  text = '';
  reasoning = '';
  readonly citations: Citation[] = [];
  readonly #calls: CallDelta[] = [];
  readonly #shown: [from: number, to: number][] = [];

  show(text: string, from: number): void {
    this.text += text;
    const last = this.#shown.at(-1);
    if (last?.[1] === from) last[1] += text.length;
    else this.#shown.push([from, from + text.length]);
  }

  call(delta: CallDelta): void {
    const last = this.#calls.at(-1);
    if (last === undefined || last.index !== delta.index) this.#calls.push(delta);
    else this.#calls[this.#calls.length - 1] = { ...last, arguments: last.arguments + delta.arguments };
  }

  content(decided: number): ReadContent {
    return {
      text: this.text,
      ...(this.reasoning === '' ? {} : { reasoning: this.reasoning }),
      ...(this.#calls.length === 0 ? {} : { calls: this.#calls }),
      ...(this.citations.length === 0 ? {} : { citations: this.citations }),
      shown: this.#shown,
      decided,
    };
  }
}
