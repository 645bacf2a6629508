import { type ChatPromptBody, InferenceError, type ToolChoice } from '@millrace/contracts';
import type { ChatPrompt } from '../vocabulary.js';
import { show } from './show-value.js';

type Body = Pick<ChatPromptBody, 'tools' | 'tool_choice' | 'parallel_tool_calls'>;
type Tool = NonNullable<Body['tools']>[number];

export interface ChosenTools extends Pick<ChatPrompt, 'tools' | 'toolChoice' | 'parallelCalls'> {
  /** Where each tool of the prompt stands in the request, if some were left out. */
  readonly toolPlaces?: readonly number[] | undefined;
}

/** The tools that the model gets to see, and whether it has to call one. */
export function chosenTools({ tools, tool_choice: asked, parallel_tool_calls: parallel }: Body): ChosenTools {
  const all = tools ?? [];
  checkNames(all);
  // OpenAI's `none` forbids calls. A model that never sees the tools makes none.
  if (asked === 'none' || (all.length === 0 && (asked == null || asked === 'auto'))) return { tools: [] };
  if (all.length === 0) throw noTools(asked);
  const { choice, places } = choiceOf(asked, all);
  return {
    tools: (places === undefined ? all : places.map((place) => all[place]!)).map(plainTool),
    toolPlaces: places,
    toolChoice: choice,
    parallelCalls: parallel === false ? false : undefined,
  };
}

/** Templates print a tool as it stands, and a null would stand in the prompt. */
function plainTool({ type, function: fields }: Tool): ChatPrompt['tools'][number] {
  return { type, function: Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null)) };
}

function choiceOf(
  asked: Body['tool_choice'],
  tools: readonly Tool[],
): { readonly choice: ToolChoice | undefined; readonly places?: readonly number[] } {
  if (asked == null || asked === 'auto') return { choice: undefined };
  if (typeof asked === 'string') return { choice: asked };
  if (asked.type === 'function') {
    placeOf(asked.function.name, tools, 'tool_choice.function.name');
    return { choice: { name: asked.function.name } };
  }
  const { mode, tools: allowed } = asked.allowed_tools;
  const named = allowed.map(({ function: { name } }, index) =>
    placeOf(name, tools, `tool_choice.allowed_tools.tools[${index}].function.name`),
  );
  // In the order of the request, so that what is allowed changes no more of the prompt than it must.
  const places = [...new Set(named)].sort((a, b) => a - b);
  return { choice: mode === 'required' ? 'required' : undefined, places };
}

function placeOf(name: string, tools: readonly Tool[], param: string): number {
  const place = tools.findIndex((tool) => tool.function.name === name);
  if (place !== -1) return place;
  throw new InferenceError(
    'invalid_request',
    `\`${param}\` is ${show(name)}; none of the ${tools.length} \`tools\` has that name. Name one of them, or add it.`,
    { param },
  );
}

/** A call names its function and nothing else, so that of two with one name nobody could tell which is meant. */
function checkNames(tools: readonly Tool[]): void {
  const places = new Map<string, number>();
  for (const [index, tool] of tools.entries()) {
    const { name } = tool.function;
    const before = places.get(name);
    if (before !== undefined) throw twice(name, index, before);
    places.set(name, index);
  }
}

function twice(name: string, index: number, before: number): InferenceError {
  const param = `tools[${index}].function.name`;
  return new InferenceError(
    'invalid_request',
    `\`${param}\` is ${show(name)}, as \`tools[${before}].function.name\` is. Give each tool its own name.`,
    { param },
  );
}

function noTools(asked: Body['tool_choice']): InferenceError {
  return new InferenceError(
    'invalid_request',
    `\`tool_choice\` is ${show(asked)}, but there are no \`tools\` to choose from. Send tools, or leave tool_choice out.`,
    { param: 'tool_choice' },
  );
}
