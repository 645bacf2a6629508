import type { OutputFormat } from '@millrace/contracts';
import { type AnswerReader, type Binding, PlainReader } from './answer-reader.js';
import { formatGrammar } from './format-grammar.js';

/** How an answer is to be read; plain data. */
export interface ReadingPlan {
  readonly binding?: Binding | undefined;
}

export function planReading(format: OutputFormat | undefined): ReadingPlan {
  return format === undefined ? {} : { binding: { grammar: formatGrammar(format), derived: '' } };
}

export function openReader(plan: ReadingPlan): AnswerReader {
  return new PlainReader(plan.binding);
}
