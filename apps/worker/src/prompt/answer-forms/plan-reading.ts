import type { OutputFormat, ToolChoice } from '@millrace/contracts';
import { checkGrammar } from '../../token-engine/gbnf/check-ambiguity.js';
import type { ChatPrompt } from '../chat-model.js';
import { formatGrammar } from '../format-grammar.js';
import { TooLarge } from '../json-schema/automaton.js';
import { BARREN_SCHEMA, writeSchema } from '../json-schema/compile-schema.js';
import { GrammarBuilder, type Item, literal, once, type Rule } from '../json-schema/grammar-builder.js';
import { JsonRules } from '../json-schema/json-rules.js';
import { refuse } from '../json-schema/read-schema.js';
import { Remembered } from '../json-schema/remembered.js';
import { CallWriter } from './call-writer.js';
import { FORMS, type Form, type FormName } from './forms.js';
import { planCitations } from './plan-citations.js';
import type { ReadingPlan } from './reading-plan.js';
import { type Tool, textsOf, toolsOf, writeTools } from './tool-rules.js';
import { writeGbnf } from './write-gbnf.js';

export interface ToPlan {
  readonly prompt: ChatPrompt;
  /** The prompt as the model reads it. */
  readonly rendered: string;
  /** What the text of the answer must be. */
  readonly format: OutputFormat | undefined;
}

/** Blanks that may stand between the reasoning and what is bound behind it; the reader drops them. */
const LEAD = '[ \\t\\r\\n]{0,16}';

/**
 * How the answer to a prompt is to be read, and what binds it from which place on.
 *
 * @throws InferenceError `invalid_request` naming the keyword of the schema or the line of the grammar at fault.
 */
export function planReading(
  name: FormName,
  template: string,
  { prompt, rendered, format }: ToPlan,
  remembered: RememberedBindings,
): ReadingPlan {
  const form: Form = FORMS[name];
  const choice = prompt.toolChoice ?? 'auto';
  const tools = choice === 'none' ? [] : callable(toolsOf(prompt.tools), choice);
  const { begin, opened } = beginOf(form, prompt, rendered);
  const open = openings(form, template, begin, rendered);
  const parallelCalls = (prompt.parallelCalls ?? true) && typeof choice === 'string' && mayCallSeveral(template);
  const mustCall = tools.length > 0 && choice !== 'auto';
  const toBind: ToBind = { tools, mustCall, parallelCalls, format, thinking: begin === 'reasoning', open };
  const bound = remembered.get(JSON.stringify(toBind), () => bind(form, template, toBind));
  const citations = planCitations(form, prompt, rendered, format);
  return { form: name, begin, opened, tools: tools.map((tool) => tool.name), parallelCalls, ...bound, citations };
}

/** What takes long to plan, and is the same for equal tools. */
type Bound = Pick<ReadingPlan, 'bindings' | 'texts'>;
export type RememberedBindings = Remembered<Bound>;

export function rememberBindings(): RememberedBindings {
  return new Remembered(({ bindings }) =>
    Object.values(bindings).reduce((sum, grammar) => sum + (grammar?.length ?? 0), 0),
  );
}

function callable(tools: readonly Tool[], choice: ToolChoice): readonly Tool[] {
  return typeof choice === 'string' ? tools : tools.filter(({ name }) => name === choice.name);
}

/**
 * Some templates refuse an answer with several calls when it comes back, or take the first one only: Llama's "only supports
 * single tool-calls", gpt-oss's says "we assume max 1 tool call per message".
 */
function mayCallSeveral(template: string): boolean {
  return !/single tool-calls|max 1 tool call/.test(template);
}

function beginOf(
  { reasoning }: Form,
  { continueFinal, messages }: ChatPrompt,
  rendered: string,
): Pick<ReadingPlan, 'begin' | 'opened'> {
  const end = rendered.trimEnd();
  const opened = reasoning.findIndex(({ open }) => end.endsWith(open));
  if (opened >= 0) return { begin: 'reasoning', opened };
  if (continueFinal !== true) return { begin: 'start' };
  const { content } = messages.at(-1) ?? {};
  const text = typeof content === 'string' ? content : '';
  const within = reasoning.findIndex(({ open, close }) => text.lastIndexOf(open) > text.lastIndexOf(close));
  return within < 0 ? { begin: 'text' } : { begin: 'reasoning', opened: within };
}

/** What the model may open its reasoning with by itself: the template has that, and the prompt has not closed it. */
function openings(
  { reasoning }: Form,
  template: string,
  begin: ReadingPlan['begin'],
  rendered: string,
): readonly string[] {
  const end = rendered.trimEnd();
  if (begin !== 'start' || reasoning.some(({ close }) => end.endsWith(close))) return [];
  return reasoning.map(({ open }) => open).filter((open) => template.includes(open));
}

interface ToBind {
  readonly tools: readonly Tool[];
  readonly mustCall: boolean;
  readonly parallelCalls: boolean;
  readonly format: OutputFormat | undefined;
  /** Whether the prompt has opened the reasoning. */
  readonly thinking: boolean;
  /** What the model may open its reasoning with. */
  readonly open: readonly string[];
}

function bind(form: Form, template: string, toBind: ToBind): Bound {
  const { tools, format, thinking, open } = toBind;
  const alone = tools.length === 0 && open.length === 0 && !thinking && form.beforeFormat === undefined;
  // As the caller wrote it, where nothing else may be written.
  if (alone) return { bindings: format === undefined ? {} : { first: formatGrammar(format) } };
  const texts = form.calls.parameters === undefined ? undefined : textsOf(tools);
  try {
    return { bindings: writeBindings(form, template, toBind), texts };
  } catch (error) {
    if (!(error instanceof TooLarge)) throw error;
    throw refuse(
      tools.length > 0 ? 'tools' : 'response_format',
      `The ${tools.length} tools and the format ask together for ${error.message}, which is the most. Offer fewer tools, or make their schemas smaller.`,
    );
  }
}

/** All in one grammar, which is then written out from different rules on: what takes long are the schemas. */
function writeBindings(form: Form, template: string, toBind: ToBind): ReadingPlan['bindings'] {
  const { format, mustCall, thinking, open } = toBind;
  const builder = new GrammarBuilder();
  const json = new JsonRules(builder);
  const calls = toBind.tools.length === 0 ? undefined : writeCalls(builder, json, form, template, toBind);
  // Where a call opens, it is bound anew: what the format takes for a text of its own may have turned out to be a call.
  const call = calls === undefined || mustCall ? undefined : builder.text(calls);
  if (!mustCall && format === undefined) return { call };
  const alternatives: Item[][] = calls === undefined ? [] : [[once(calls)]];
  if (!mustCall && format !== undefined) {
    alternatives.push([...beforeFormat(builder, form), once(writeFormat(builder, json, format))]);
  }
  const answer = builder.add(alternatives);
  const first = builder.add([...open.map((mark): Item[] => [literal(mark)]), [once(answer)]]);
  const thought = builder.add([[LEAD, once(answer)]]);
  return {
    call,
    first: thinking ? undefined : builder.text(first),
    thought: thinking || open.length > 0 ? builder.text(thought) : undefined,
  };
}

function writeCalls(
  builder: GrammarBuilder,
  json: JsonRules,
  form: Form,
  template: string,
  { tools, mustCall, parallelCalls }: ToBind,
): Rule {
  const rules = writeTools(builder, json, tools, form.calls.parameters);
  // Only who may call none may decline.
  const declining = mustCall ? [] : form.declining.map((name) => ({ name, arguments: builder.add([['"{}"']]) }));
  const writer = new CallWriter(builder, json, [...rules, ...declining], parallelCalls);
  return builder.add([form.calls.write(writer, template)]);
}

function beforeFormat(builder: GrammarBuilder, { beforeFormat: before }: Form): Item[] {
  if (before === undefined) return [];
  const marks = before.marks.map((mark): Item[] => [literal(mark)]);
  return [once(builder.add(before.optional ? [...marks, []] : marks))];
}

function writeFormat(builder: GrammarBuilder, json: JsonRules, format: OutputFormat): Rule {
  switch (format.kind) {
    case 'json':
      return json.object;
    case 'schema': {
      const where = 'response_format.json_schema.schema';
      const rule = writeSchema(builder, json, format.schema, where);
      if (builder.barren([rule]).length > 0) throw refuse(where, BARREN_SCHEMA);
      return rule;
    }
    case 'grammar':
      return writeGbnf(builder, checkGrammar(format.grammar));
  }
}
