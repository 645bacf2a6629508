import { ActionCalls } from './action-calls.js';
import type { CallSyntax } from './call-syntax.js';
import { BY_CALL, type CitationStyle, LISTED } from './citation-marks.js';
import { DeepSeekCalls } from './deepseek-calls.js';
import { HarmonyCalls } from './harmony-calls.js';
import { ListCalls } from './list-calls.js';
import { LlamaCalls } from './llama-calls.js';
import { MistralCalls } from './mistral-calls.js';
import { ParameterCalls } from './parameter-calls.js';
import { TaggedCalls } from './tagged-calls.js';

/** How one family of models writes its answers. */
export interface Form {
  /** Whether a template is one of this family's. The first form that says so is taken. */
  readonly recognises: (template: string) => boolean;
  /** Control tokens that are marks in its answers, by name. */
  readonly marks: readonly string[];
  /** What stands around the reasoning; some models have one pair, some another. */
  readonly reasoning: readonly ReasoningMarks[];
  readonly calls: CallSyntax;
  /** Names of tools, never offered, that a model calls to say that it calls none. */
  readonly declining: readonly string[];
  /** Marks around text that is for the caller as it stands. */
  readonly dropped: readonly string[];
  /** What stands before a text that obeys a format; absent where nothing does. */
  readonly beforeFormat?: { readonly marks: readonly string[]; readonly optional: boolean } | undefined;
  /** Whether the reasoning may be opened in the midst of the answer, and again. */
  readonly thinksAgain?: boolean | undefined;
  /** How what is cited is marked; absent where models cite nothing. */
  readonly citations?: CitationStyle | undefined;
}

export interface ReasoningMarks {
  readonly open: string;
  readonly close: string;
}

const THINK: ReasoningMarks = { open: '<think>', close: '</think>' };
const MAGISTRAL_THINK: ReasoningMarks = { open: '[THINK]', close: '[/THINK]' };
const COHERE_THINK: ReasoningMarks = { open: '<|START_THINKING|>', close: '<|END_THINKING|>' };

const THINK_MARKS = [THINK.open, THINK.close];

const HARMONY_FINAL = ['<|channel|>final<|message|>', '<|channel|>final <|constrain|>json<|message|>'];

const contains =
  (...texts: readonly string[]) =>
  (template: string) =>
    texts.every((text) => template.includes(text));

const PLAIN = { reasoning: [THINK], declining: [], dropped: [] };

/** In the order in which they are tried. */
const TABLE = {
  'command-r7b': {
    recognises: (template) => /<\|START_(?:ACTION|RESPONSE|TEXT)\|>/.test(template),
    marks: [
      '<|START_THINKING|>',
      '<|END_THINKING|>',
      '<|START_ACTION|>',
      '<|END_ACTION|>',
      '<|START_RESPONSE|>',
      '<|END_RESPONSE|>',
      '<|START_TEXT|>',
      '<|END_TEXT|>',
    ],
    reasoning: [COHERE_THINK],
    calls: new ListCalls({
      opens: ['<|START_ACTION|>'],
      closes: ['<|END_ACTION|>'],
      nameKey: 'tool_name',
      argumentsKey: 'parameters',
      numberKey: 'tool_call_id',
    }),
    declining: [],
    dropped: ['<|START_RESPONSE|>', '<|END_RESPONSE|>', '<|START_TEXT|>', '<|END_TEXT|>'],
    beforeFormat: { marks: ['<|START_RESPONSE|>', '<|START_TEXT|>'], optional: true },
    citations: BY_CALL,
  },
  'command-r': {
    recognises: contains('<|CHATBOT_TOKEN|>'),
    marks: [],
    reasoning: [],
    calls: new ActionCalls(),
    declining: ['directly_answer', 'directly-answer'],
    dropped: [],
    citations: LISTED,
  },
  'gpt-oss': {
    recognises: contains('<|channel|>'),
    marks: ['<|start|>', '<|channel|>', '<|constrain|>', '<|message|>', '<|end|>', '<|call|>', '<|return|>'],
    reasoning: [{ open: '<|channel|>analysis<|message|>', close: '<|end|>' }],
    thinksAgain: true,
    calls: new HarmonyCalls(),
    declining: [],
    dropped: [
      ...HARMONY_FINAL,
      '<|channel|>commentary<|message|>',
      '<|start|>assistant',
      '<|end|>',
      '<|return|>',
      '<|call|>',
    ],
    beforeFormat: {
      marks: [...HARMONY_FINAL, ...HARMONY_FINAL.map((mark) => `<|start|>assistant${mark}`)],
      optional: false,
    },
  },
  deepseek: {
    recognises: contains('<｜tool▁calls▁begin｜>'),
    marks: [
      '<｜tool▁calls▁begin｜>',
      '<｜tool▁call▁begin｜>',
      '<｜tool▁sep｜>',
      '<｜tool▁call▁end｜>',
      '<｜tool▁calls▁end｜>',
      ...THINK_MARKS,
    ],
    ...PLAIN,
    calls: new DeepSeekCalls(),
  },
  mistral: {
    recognises: contains('[TOOL_CALLS]'),
    marks: ['[TOOL_CALLS]', '[CALL_ID]', '[ARGS]', '[THINK]', '[/THINK]', ...THINK_MARKS],
    ...PLAIN,
    reasoning: [MAGISTRAL_THINK, THINK],
    calls: new MistralCalls(),
  },
  'qwen3-coder': {
    recognises: contains('<tool_call>', '<function=', '<parameter='),
    marks: ['<tool_call>', '</tool_call>', ...THINK_MARKS],
    ...PLAIN,
    calls: new ParameterCalls(),
  },
  hermes: {
    recognises: contains('<tool_call>'),
    marks: ['<tool_call>', '</tool_call>', ...THINK_MARKS],
    ...PLAIN,
    calls: new TaggedCalls('<tool_call>', '</tool_call>'),
  },
  granite: {
    recognises: (template) => /<\|tool_call\|>|<\|\/tool\|>/.test(template),
    marks: ['<|tool_call|>', '<|/tool_call|>', ...THINK_MARKS],
    ...PLAIN,
    calls: new ListCalls({
      opens: ['<|tool_call|>'],
      closes: ['<|/tool_call|>'],
      nameKey: 'name',
      argumentsKey: 'arguments',
    }),
  },
  llama: {
    recognises: (template) =>
      template.includes('<function=') ||
      (template.includes('<|start_header_id|>') && /ipython|<\|python_tag\|>/.test(template)),
    marks: ['<|python_tag|>', ...THINK_MARKS],
    ...PLAIN,
    calls: new LlamaCalls(),
  },
  // For templates that tell nothing of tools: their prompts ask for calls as Hermes writes them.
  generic: {
    recognises: () => true,
    marks: ['<tool_call>', '</tool_call>', ...THINK_MARKS],
    ...PLAIN,
    calls: new TaggedCalls('<tool_call>', '</tool_call>'),
  },
} as const satisfies Record<string, Form>;

export type FormName = keyof typeof TABLE;

export const FORMS: Readonly<Record<FormName, Form>> = TABLE;

export function formOf(template: string): FormName {
  return (Object.keys(FORMS) as FormName[]).find((name) => FORMS[name].recognises(template))!;
}
