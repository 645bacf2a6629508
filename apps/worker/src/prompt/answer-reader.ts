import type { AnswerContent } from '@millrace/contracts';

/**
 * Reads one answer while it is written: what of it is text for the caller, what was thought, what is a tool call or a
 * citation; and what may be written next.
 *
 * Pure in the text: the same answer gives the same content however it is split. Text that may yet become a mark, such as
 * `<tool_`, is held back, but never more than the longest mark.
 */
export interface AnswerReader {
  /** The next characters of the answer as the model writes them, marks included. */
  push(text: string): ReadContent;
  /** The answer is over: what was held back, and calls that were cut short. */
  end(): ReadContent;
  /** Whether what comes next is thought. */
  readonly reasoning: boolean;
  /** How many calls were opened. An answer with any ends with `tool_calls`. */
  readonly calls: number;
  /** What binds the next token; undefined leaves it free. Changes only in `push`, and is then another object. */
  readonly binding: Binding | undefined;
}

/** What an answer must be from some place on. */
export interface Binding {
  /** In GBNF, from the rule `root`; to the end of the answer, or until the reader binds anew. */
  readonly grammar: string;
  /** What of the answer's text it has derived already; empty where it begins with the next token. */
  readonly derived: string;
}

export interface ReadContent extends AnswerContent {
  /**
   * Where, in the text that was pushed so far (UTF-16), the pieces of `text` come from: first, and behind the last. In
   * rising order. So that log-probabilities are told of the tokens that the caller sees.
   */
  readonly shown: readonly (readonly [from: number, to: number])[];
  /** How much of what was pushed is decided by now (UTF-16): text before this is not held back. */
  readonly decided: number;
}

/** An answer that is nothing but text. */
export class PlainReader implements AnswerReader {
  readonly reasoning = false;
  readonly calls = 0;
  #length = 0;

  /** @param binding what binds all of it. */
  constructor(readonly binding: Binding | undefined) {}

  push(text: string): ReadContent {
    const from = this.#length;
    this.#length += text.length;
    return { text, shown: text === '' ? [] : [[from, this.#length]], decided: this.#length };
  }

  end(): ReadContent {
    return { text: '', shown: [], decided: this.#length };
  }
}
