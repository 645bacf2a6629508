import type { AnswerReader } from '../answer-reader.js';
import { FormReader } from './form-reader.js';
import { type FormName, formNamed, formOf } from './forms.js';
import { planReading, type TemplateTraits, type ToPlan } from './plan-reading.js';
import type { ReadingPlan } from './reading-plan.js';

/** How the models of one template write their answers: reasoning, tool calls, citations. */
export interface AnswerForm {
  readonly name: FormName;
  /** Control tokens that are marks in the answers, by name. */
  readonly marks: readonly string[];
  /**
   * How the answer to a prompt is to be read, and what it is bound to. Compiles grammars: for a thread of its own.
   *
   * @throws InferenceError `invalid_request` naming the keyword of a schema or the line of a grammar that can't be expressed.
   */
  plan(toPlan: ToPlan): ReadingPlan;
}

/** @param template the text of a Jinja template; of a file with several, all of them joined. */
export function answerFormOf(template: string): AnswerForm {
  const form = formOf(template);
  const traits: TemplateTraits = {
    thinks: form.reasoning.opens.some((open) => template.includes(open)),
    severalCalls: !/single tool-calls/.test(template),
  };
  return { name: form.name, marks: form.marks, plan: (toPlan) => planReading(form, traits, toPlan) };
}

export function openReader(plan: ReadingPlan): AnswerReader {
  return new FormReader(formNamed(plan.form), plan);
}
