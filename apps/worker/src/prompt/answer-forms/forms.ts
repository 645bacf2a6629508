import type { CallSyntax } from './call-syntax.js';
import { TaggedCalls } from './tagged-calls.js';

export type FormName = 'hermes' | 'generic';

/** How one family of models writes its answers. */
export interface Form {
  readonly name: FormName;
  /** Whether a template is one of this family's. The first form that says so is taken. */
  recognises(template: string): boolean;
  /** Control tokens that are marks in its answers, by name. */
  readonly marks: readonly string[];
  readonly reasoning: { readonly opens: readonly string[]; readonly close: string };
  readonly calls: CallSyntax;
  /** Marks around text that is for the caller as it stands. */
  readonly dropped: readonly string[];
  /** How what is cited is marked; absent where models cite nothing. */
  readonly citations?: 'listed' | 'by-call' | undefined;
}

const THINK = { opens: ['<think>'], close: '</think>' };

const HERMES_CALLS = new TaggedCalls('<tool_call>', '</tool_call>');

const HERMES: Form = {
  name: 'hermes',
  recognises: (template) => template.includes('<tool_call>'),
  marks: ['<tool_call>', '</tool_call>', '<think>', '</think>'],
  reasoning: THINK,
  calls: HERMES_CALLS,
  dropped: [],
};

/** For templates that tell nothing of tools: they are told how by the prompt. */
const GENERIC: Form = { ...HERMES, name: 'generic', recognises: () => true };

export const FORMS: readonly Form[] = [HERMES, GENERIC];

export function formNamed(name: FormName): Form {
  return FORMS.find((form) => form.name === name)!;
}

export function formOf(template: string): Form {
  return FORMS.find((form) => form.recognises(template))!;
}
