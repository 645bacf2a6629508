import type { Citation, OutputFormat } from '@millrace/contracts';
import { COMPILED_GBNF_LIMITS, type Gbnf } from '../../token-engine/gbnf/gbnf.js';
import { GbnfWalk } from '../../token-engine/gbnf/gbnf-walk.js';
import { readGbnf } from '../../token-engine/gbnf/read-gbnf.js';
import type { Binding, ReadContent } from '../answer-reader.js';
import type { ChatPrompt } from '../chat-model.js';
import { answerFormOf, openReader } from './answer-form.js';
import type { ReadingPlan } from './reading-plan.js';

export const tool = (name: string, parameters?: unknown) => ({ type: 'function', function: { name, parameters } });

export const WEATHER = tool('get_weather', {
  type: 'object',
  properties: { city: { type: 'string' }, days: { type: 'integer' } },
  required: ['city'],
});
export const TIME = tool('get_time');

export interface Asked extends Partial<ChatPrompt> {
  readonly rendered?: string | undefined;
  readonly format?: OutputFormat | undefined;
}

/** How an answer to a prompt with two tools is read, by the form of `template`. */
export function planned(template: string, { rendered = '', format, ...prompt }: Asked = {}): ReadingPlan {
  const full: ChatPrompt = { kind: 'chat', messages: [], tools: [WEATHER, TIME], templateVariables: {}, ...prompt };
  // As it reaches the reader: from another thread.
  return structuredClone(answerFormOf(template).plan({ prompt: full, rendered, format }));
}

/** A whole answer, as a caller would put it together. */
export interface Collected {
  readonly text: string;
  readonly reasoning: string;
  readonly calls: readonly { readonly name: string; readonly arguments: string }[];
  readonly citations: readonly Citation[];
}

/** Reads an answer that comes in `pieces`, and checks on the way what every reader promises. */
export function read(plan: ReadingPlan, pieces: readonly string[]): Collected {
  const reader = openReader(plan);
  const whole = pieces.join('');
  const collected = new Collector(whole);
  let length = 0;
  for (const piece of pieces) {
    length += piece.length;
    collected.add(reader.push(piece), length);
  }
  collected.add(reader.end(), length);
  if (collected.calls.length !== reader.calls) throw new Error(`${reader.calls} calls counted`);
  if (collected.decided !== length) throw new Error(`${collected.decided} of ${length} characters decided`);
  const { text, reasoning, calls, citations } = collected;
  return { text, reasoning, calls, citations };
}

class Collector {
  text = '';
  reasoning = '';
  readonly calls: { name: string; arguments: string }[] = [];
  readonly citations: Citation[] = [];
  decided = 0;
  #shownTo = 0;

  constructor(private readonly whole: string) {}

  add({ text, reasoning = '', calls = [], citations = [], shown, decided }: ReadContent, length: number): void {
    this.text += text;
    this.reasoning += reasoning;
    this.citations.push(...citations);
    for (const call of calls) {
      if (call.name !== undefined) this.calls.push({ name: call.name, arguments: '' });
      if (call.index !== this.calls.length - 1) throw new Error(`call ${call.index} out of order`);
      this.calls[call.index]!.arguments += call.arguments;
    }
    if (shown.map(([from, to]) => this.whole.slice(from, to)).join('') !== text) throw new Error('shown is not text');
    for (const [from, to] of shown) {
      if (from < this.#shownTo || to > length) throw new Error('shown does not rise');
      this.#shownTo = to;
    }
    if (decided < this.decided || decided > length || this.#shownTo > decided) throw new Error('decided too early');
    this.decided = decided;
  }
}

/** All ways to split a text in two, and one character at a time. */
export function splits(text: string): string[][] {
  const inTwo = Array.from({ length: text.length + 1 }, (_, at) => [text.slice(0, at), text.slice(at)]);
  return [...inTwo, text.split('')];
}

const grammars = new Map<string, Gbnf>();

export function grammarOf(text: string): Gbnf {
  const known = grammars.get(text) ?? readGbnf(text, COMPILED_GBNF_LIMITS);
  grammars.set(text, known);
  return known;
}

/**
 * Writes an answer piece by piece as an engine would: whenever the reader binds, what follows must obey.
 *
 * @returns what could not be written, from the first piece that its binding rules out; and whether the answer may end.
 */
export function obeyed(plan: ReadingPlan, pieces: readonly string[]): { refused: string; mayEnd: boolean } {
  const reader = openReader(plan);
  let binding: Binding | undefined;
  let walk: GbnfWalk | undefined;
  for (const [at, piece] of pieces.entries()) {
    if (reader.binding !== binding) {
      binding = reader.binding;
      walk = binding && new GbnfWalk(grammarOf(binding.grammar));
      if (binding !== undefined && walk!.accept(Buffer.from(binding.derived)) === false)
        return { refused: binding.derived, mayEnd: false };
    }
    if (walk?.accept(Buffer.from(piece)) === false)
      return { refused: pieces.slice(at).join(''), mayEnd: walk.complete };
    reader.push(piece);
  }
  if (reader.binding === binding) return { refused: '', mayEnd: walk?.complete ?? true };
  const last = reader.binding && new GbnfWalk(grammarOf(reader.binding.grammar));
  const refused = last?.accept(Buffer.from(reader.binding!.derived)) === false ? reader.binding!.derived : '';
  return { refused, mayEnd: last?.complete ?? true };
}

/** What was written where a grammar binds in the midst of an answer, and that it does not derive. */
export function unfit(plan: ReadingPlan, answer: string): string[] {
  const reader = openReader(plan);
  let binding = reader.binding;
  return answer.split('').flatMap((character) => {
    reader.push(character);
    if (reader.binding === binding) return [];
    binding = reader.binding;
    if (binding === undefined) return [];
    return new GbnfWalk(grammarOf(binding.grammar)).accept(Buffer.from(binding.derived)) ? [] : [binding.derived];
  });
}
