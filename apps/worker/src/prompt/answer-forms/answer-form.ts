import type { AnswerReader } from '../answer-reader.js';
import { FormReader } from './form-reader.js';
import { FORMS, type FormName, formOf } from './forms.js';
import { planReading, rememberBindings, type ToPlan } from './plan-reading.js';
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
  const name = formOf(template);
  const { marks } = FORMS[name];
  const remembered = rememberBindings();
  return { name, marks, plan: (toPlan) => planReading(name, template, toPlan, remembered) };
}

export function openReader(plan: ReadingPlan): AnswerReader {
  return new FormReader(FORMS[plan.form], plan);
}
