import type { OutputFormat, Prompt } from '@millrace/contracts';
import type { AnswerReader } from './answer-reader.js';

export type ChatPrompt = Extract<Prompt, { kind: 'chat' }>;

/** How one model is spoken to: the form of its prompts and of its answers. */
export interface ChatModel {
  /**
   * Control tokens, by name, that are marks in this model's answers and have to be spelled out for its readers and
   * grammars. A vocabulary need not have them: then they are written with ordinary tokens.
   */
  readonly marks: readonly string[];

  /**
   * The prompt, and how the answer to it is to be read. Rendered and compiled away from the event loop, within
   * `templateTimeoutMs`.
   *
   * @param format what the caller wants the answer's text to be; the reader binds it where its text begins.
   * @throws InferenceError `invalid_request` when the template refuses the messages or takes too long, or a tool's schema
   *   can't be expressed (`tools[2].function.parameters…`); `tools_not_supported`; `rate_limit_exceeded` when too many wait;
   *   the signal's reason.
   */
  prepare(prompt: ChatPrompt, format: OutputFormat | undefined, signal: AbortSignal): Promise<PreparedChat>;

  /** The prompt alone. @throws InferenceError as `prepare`. */
  render(prompt: ChatPrompt, signal: AbortSignal): Promise<string>;

  /**
   * An output format as a grammar in GBNF, for prompts that are no chat.
   *
   * @throws InferenceError `invalid_request` naming the keyword or the line at fault; as `prepare`.
   */
  compile(format: OutputFormat, signal: AbortSignal): Promise<string>;
}

export interface PreparedChat {
  readonly text: string;
  /** A reader of one answer; each of `n` answers has its own. */
  openReader(): AnswerReader;
}
