import type { CitationSource, OutputFormat, ToolChoice } from '@millrace/contracts';
import { checkGrammar } from '../../token-engine/gbnf/check-ambiguity.js';
import type { ChatPrompt } from '../chat-model.js';
import { formatGrammar } from '../format-grammar.js';
import { TooLarge } from '../json-schema/automaton.js';
import { writeSchema } from '../json-schema/compile-schema.js';
import { GrammarBuilder, type Item, literal, once } from '../json-schema/grammar-builder.js';
import { JsonRules } from '../json-schema/json-rules.js';
import { refuse } from '../json-schema/read-schema.js';
import { CallWriter } from './call-writer.js';
import type { Form } from './forms.js';
import type { CitationPlan, ReadingPlan } from './reading-plan.js';
import { type Tool, toolsOf, writeTools } from './tool-rules.js';
import { writeGbnf } from './write-gbnf.js';

/** Blanks that may stand between the reasoning and what is bound behind it. */
const LEAD = '[ \\t\\r\\n]{0,8}';

export interface ToPlan {
  readonly prompt: ChatPrompt;
  /** The prompt as the model reads it. */
  readonly rendered: string;
  readonly format: OutputFormat | undefined;
}

/** What of a template matters besides its form. */
export interface TemplateTraits {
  /** Whether its models may open the reasoning by themselves. */
  readonly thinks: boolean;
  /** Whether it can render several calls of one answer. */
  readonly severalCalls: boolean;
}

/** @throws InferenceError `invalid_request` naming the keyword of the schema or the line of the grammar at fault. */
export function planReading(form: Form, traits: TemplateTraits, { prompt, rendered, format }: ToPlan): ReadingPlan {
  const choice = prompt.toolChoice ?? 'auto';
  const tools = choice === 'none' ? [] : callable(toolsOf(prompt.tools), choice);
  const begin = beginOf(form, prompt, rendered);
  const parallelCalls = (prompt.parallelCalls ?? true) && typeof choice === 'string' && traits.severalCalls;
  const mayThink = begin === 'start' && traits.thinks && !endsWithMark(rendered, [form.reasoning.close]);
  const bindings = bindingsOf({ form, tools, choice, parallelCalls, format, begin, mayThink });
  const citations = citationsOf(form, prompt, rendered, format);
  return { form: form.name, begin, tools: tools.map(({ name }) => name), parallelCalls, bindings, citations };
}

function callable(tools: readonly Tool[], choice: ToolChoice): readonly Tool[] {
  return typeof choice === 'string' ? tools : tools.filter(({ name }) => name === choice.name);
}

function beginOf({ reasoning }: Form, { continueFinal, messages }: ChatPrompt, rendered: string): ReadingPlan['begin'] {
  if (endsWithMark(rendered, reasoning.opens)) return 'reasoning';
  if (continueFinal !== true) return 'start';
  const { content } = messages.at(-1) ?? {};
  if (typeof content !== 'string') return 'text';
  const opened = Math.max(...reasoning.opens.map((open) => content.lastIndexOf(open)));
  return opened > content.lastIndexOf(reasoning.close) ? 'reasoning' : 'text';
}

function endsWithMark(rendered: string, marks: readonly string[]): boolean {
  const end = rendered.trimEnd();
  return marks.some((mark) => end.endsWith(mark));
}

interface ToBind {
  readonly form: Form;
  readonly tools: readonly Tool[];
  readonly choice: ToolChoice;
  readonly parallelCalls: boolean;
  readonly format: OutputFormat | undefined;
  readonly begin: ReadingPlan['begin'];
  readonly mayThink: boolean;
}

function bindingsOf(toBind: ToBind): ReadingPlan['bindings'] {
  const { tools, format, begin, mayThink, choice } = toBind;
  const free = format === undefined && (tools.length === 0 || choice === 'auto');
  // Where a call opens, it is bound anew: what is text by the format may have turned out to be a call.
  const call = tools.length > 0 && choice === 'auto' ? writeGrammar(toBind, 'call') : undefined;
  if (free) return { call };
  const first = begin === 'reasoning' ? undefined : writeGrammar(toBind, 'first');
  const thought = begin === 'reasoning' || mayThink ? writeGrammar(toBind, 'thought') : undefined;
  return { first, thought, call };
}

function writeGrammar(toBind: ToBind, from: keyof ReadingPlan['bindings']): string {
  const { form, tools, format, mayThink, choice } = toBind;
  if (format !== undefined && tools.length === 0 && from === 'first' && !mayThink) return formatGrammar(format);
  const where = tools.length > 0 ? 'tools' : 'response_format';
  try {
    const builder = new GrammarBuilder();
    const json = new JsonRules(builder);
    const alternatives: Item[][] = [];
    if (tools.length > 0) {
      const rules = writeTools(builder, json, tools);
      alternatives.push(form.calls.write(new CallWriter(builder, json, rules, toBind.parallelCalls)));
    }
    if (from !== 'call' && format !== undefined && choice === 'auto') {
      alternatives.push([once(writeFormat(builder, json, format))]);
    }
    const root = builder.add(alternatives);
    if (from === 'thought') return builder.text(builder.add([[LEAD, once(root)]]))!;
    if (from === 'call' || !mayThink) return builder.text(root)!;
    return builder.text(builder.add([...form.reasoning.opens.map((open): Item[] => [literal(open)]), [once(root)]]))!;
  } catch (error) {
    if (!(error instanceof TooLarge)) throw error;
    throw refuse(where, `Together they ask for ${error.message}, which is the most. Offer fewer, or smaller schemas.`);
  }
}

function writeFormat(builder: GrammarBuilder, json: JsonRules, format: OutputFormat) {
  switch (format.kind) {
    case 'json':
      return json.object;
    case 'schema':
      return writeSchema(builder, json, format.schema, 'response_format.json_schema.schema');
    case 'grammar':
      return writeGbnf(builder, checkGrammar(format.grammar));
  }
}

function citationsOf(
  form: Form,
  { documents = [], messages }: ChatPrompt,
  rendered: string,
  format: OutputFormat | undefined,
): CitationPlan | undefined {
  if (form.citations === undefined) return undefined;
  const fromDocuments = documents.map((_, document): CitationSource => ({ kind: 'document', document }));
  const calls = messages
    .filter(({ role }) => role === 'tool')
    .map(({ tool_call_id: callId }): CitationSource => ({ kind: 'toolResult', callId: String(callId), result: 0 }));
  if (fromDocuments.length + calls.length === 0) return undefined;
  void rendered;
  void format;
  return { headings: false, sources: [fromDocuments] };
}
