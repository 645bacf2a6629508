import type { OutputFormat } from '@millrace/contracts';
import { type AnswerReader, PlainReader } from '../prompt/answer-reader.js';
import type { ChatModel, ChatPrompt, PreparedChat } from '../prompt/chat-model.js';
import { compileSchema, jsonObjectGrammar } from '../prompt/json-schema/compile-schema.js';
import { checkGrammar } from '../token-engine/gbnf/check-ambiguity.js';

export interface ToldChatOptions {
  readonly marks?: readonly string[];
  /** How an answer is read; absent: as plain text that the format binds. */
  readonly openReader?: (prompt: ChatPrompt) => AnswerReader;
  /** Awaited before a chat is prepared. */
  readonly held?: (signal: AbortSignal) => Promise<void>;
}

/** Prompts in ChatML, made in this thread; answers read as the test says. */
export class ToldChat implements ChatModel {
  readonly marks: readonly string[];
  prepared = 0;

  constructor(private readonly told: ToldChatOptions = {}) {
    this.marks = told.marks ?? [];
  }

  async prepare(prompt: ChatPrompt, format: OutputFormat | undefined, signal: AbortSignal): Promise<PreparedChat> {
    this.prepared++;
    await this.told.held?.(signal);
    const text = await this.render(prompt);
    const grammar = format && gbnfOf(format);
    const binding = grammar === undefined ? undefined : { grammar, derived: '' };
    return { text, openReader: () => this.told.openReader?.(prompt) ?? new PlainReader(binding) };
  }

  async compile(format: OutputFormat): Promise<string> {
    return gbnfOf(format);
  }

  async render({ messages }: ChatPrompt): Promise<string> {
    const turns = messages.map(({ role, content }) => `<|im_start|>${role}\n${content}<|im_end|>\n`);
    return `${turns.join('')}<|im_start|>assistant\n`;
  }
}

function gbnfOf(format: OutputFormat): string {
  switch (format.kind) {
    case 'json':
      return jsonObjectGrammar();
    case 'schema':
      return compileSchema(format.schema, 'response_format.json_schema.schema');
    case 'grammar':
      checkGrammar(format.grammar);
      return format.grammar;
  }
}
