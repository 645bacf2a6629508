import type { CallDelta, Citation } from '@millrace/contracts';
import type { AnswerReader, Binding, ReadContent } from '../prompt/answer-reader.js';

/**
 * A form of answers that no model has, small enough to see through:
 * `«think»thought«/think»text, «cite»taken from the first document«/cite»«call name»{arguments}«/call»`. From `«call` on, `grammar` binds.
 */
export class MarkedReader implements AnswerReader {
  reasoning = false;
  calls = 0;
  binding: Binding | undefined;
  #inCall = false;
  #held = '';
  #length = 0;
  #decided = 0;
  /** Code points of the text, and where in it the passage begins. */
  #points = 0;
  #citedFrom = 0;

  constructor(private readonly grammar?: string) {}

  push(text: string): ReadContent {
    this.#length += text.length;
    this.#held += text;
    const read = new Read();
    for (let mark = /«([^»]*)»/u.exec(this.#held); mark !== null; mark = /«([^»]*)»/u.exec(this.#held)) {
      this.#take(mark.index, read);
      this.#decided += mark[0].length;
      this.#held = this.#held.slice(mark[0].length);
      this.#enter(mark[1]!, mark[0], read);
    }
    const begun = this.#held.indexOf('«');
    this.#take(begun === -1 ? this.#held.length : begun, read);
    return { ...read, decided: this.#decided };
  }

  end(): ReadContent {
    const read = new Read();
    this.#take(this.#held.length, read);
    return { ...read, decided: this.#decided };
  }

  #enter(mark: string, whole: string, read: Read): void {
    if (mark === 'think' || mark === '/think') this.reasoning = mark === 'think';
    if (mark === '/call') this.#inCall = false;
    if (mark === 'cite') this.#citedFrom = this.#points;
    if (mark === '/cite') {
      read.citations.push({ start: this.#citedFrom, end: this.#points, sources: [{ kind: 'document', document: 0 }] });
    }
    if (!mark.startsWith('call ')) return;
    read.calls.push({ index: this.calls++, name: mark.slice('call '.length), arguments: '' });
    this.#inCall = true;
    if (this.grammar !== undefined) this.binding = { grammar: this.grammar, derived: whole + this.#held };
  }

  #take(length: number, read: Read): void {
    const piece = this.#held.slice(0, length);
    this.#held = this.#held.slice(length);
    const from = this.#decided;
    this.#decided += length;
    if (piece === '') return;
    if (this.reasoning) read.reasoning += piece;
    else if (this.#inCall) read.calls.push({ index: this.calls - 1, arguments: piece });
    else {
      read.text += piece;
      this.#points += [...piece].length;
      read.shown.push([from, from + length]);
    }
  }
}

class Read {
  text = '';
  reasoning = '';
  calls: CallDelta[] = [];
  citations: Citation[] = [];
  shown: [number, number][] = [];
}
