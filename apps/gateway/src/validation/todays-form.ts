import { type ChatMessage, type ChatPromptBody, InferenceError } from '@millrace/contracts';
import { show } from './show-value.js';

type Assistant = Extract<ChatMessage, { role: 'assistant' }>;

/**
 * A conversation in the form that OpenAI's API had before `tools`, told in the words of today: `functions` are tools, a
 * `function_call` is a tool call, and a message with the role `function` its result. Everything behind this knows only those, and
 * chat templates do so, too.
 *
 * @throws InferenceError a 400 in the words of the old form, wherever the words of today would mean nothing to the caller.
 */
export function inTodaysForm<Body extends ChatPromptBody>(body: Body): Body {
  const { functions, function_call: asked } = body;
  const messages = todaysMessages(body.messages);
  if (!hasFunctions(body) && asked == null) return { ...body, messages };
  refuseBothForms(body);
  checkFunctions(body);
  return {
    ...body,
    messages,
    tools: functions?.map((one) => ({ type: 'function' as const, function: one })),
    tool_choice: typeof asked === 'object' && asked !== null ? { type: 'function', function: asked } : asked,
    // An answer of that form has room for one.
    parallel_tool_calls: false,
  };
}

/** An empty list is none at all, as one of `tools` is: whoever sends both forms means the other. */
export function hasFunctions({ functions }: Pick<ChatPromptBody, 'functions'>): boolean {
  return functions != null && functions.length > 0;
}

function refuseBothForms(body: ChatPromptBody): void {
  const { tools, tool_choice, parallel_tool_calls } = body;
  const old = hasFunctions(body) ? 'functions' : 'function_call';
  const [other] = Object.entries({
    tools: tools?.length ? tools : undefined,
    tool_choice,
    parallel_tool_calls: parallel_tool_calls || undefined,
  }).flatMap(([name, value]) => (value == null ? [] : [name]));
  if (other === undefined) return;
  throw invalid(
    other,
    `\`${other}\` is given together with \`${old}\`, which is the older form of the same. Use one of the forms: \`tools\` and \`tool_choice\`, or \`functions\` and \`function_call\`.`,
  );
}

function checkFunctions({ functions, function_call: asked }: ChatPromptBody): void {
  const places = new Map<string, number>();
  for (const [index, { name }] of (functions ?? []).entries()) {
    const before = places.get(name);
    const param = `functions[${index}].name`;
    if (before !== undefined)
      throw invalid(
        param,
        `\`${param}\` is ${show(name)}, as \`functions[${before}].name\` is. Give each function its own name.`,
      );
    places.set(name, index);
  }
  if (typeof asked !== 'object' || asked === null || places.has(asked.name)) return;
  throw invalid(
    'function_call.name',
    `\`function_call.name\` is ${show(asked.name)}; none of the ${places.size} \`functions\` has that name. Name one of them, or add it.`,
  );
}

/** Nine letters and digits, which is what the pickiest of templates wants ids to be. */
const callIdAt = (index: number): string => `call${String(index).padStart(5, '0')}`;

interface OpenCall {
  readonly name: string;
  readonly message: number;
}

function todaysMessages(messages: readonly ChatMessage[]): ChatMessage[] {
  let open: OpenCall | undefined;
  const told = messages.map((message, index): ChatMessage => {
    if (message.role === 'function') {
      const { message: called } = answeredBy(message.name, open, index);
      open = undefined;
      return { role: 'tool', tool_call_id: callIdAt(called), name: message.name, content: message.content ?? '' };
    }
    refuseUnanswered(open);
    if (message.role !== 'assistant' || message.function_call === undefined) return message;
    const { function_call: call, ...rest } = message;
    if (call === null) return rest;
    refuseBothCalls(message, index);
    open = { name: call.name, message: index };
    return { ...rest, tool_calls: [{ id: callIdAt(index), type: 'function', function: call }] };
  });
  refuseUnanswered(open);
  return told;
}

/** As with tools: templates and models know no other order, and would take the result for that of another call. */
function answeredBy(name: string, open: OpenCall | undefined, index: number): OpenCall {
  const param = `messages[${index}].name`;
  if (open === undefined)
    throw invalid(
      param,
      `\`messages[${index}]\` has the role function, but the message before it has no function_call. Put it right behind the assistant message whose call it answers.`,
    );
  if (open.name === name) return open;
  throw invalid(
    param,
    `\`${param}\` is ${show(name)}, but \`messages[${open.message}].function_call\` calls ${show(open.name)}. Send the result of that call.`,
  );
}

function refuseUnanswered(open: OpenCall | undefined): void {
  if (open === undefined) return;
  const param = `messages[${open.message}].function_call`;
  throw invalid(
    param,
    `\`${param}\` is answered by no message. Put one with the role function and the name ${show(open.name)} right behind it.`,
  );
}

function refuseBothCalls(message: Assistant, index: number): void {
  if (!message.tool_calls?.length) return;
  const param = `messages[${index}].function_call`;
  throw invalid(
    param,
    `\`messages[${index}]\` has both \`function_call\` and \`tool_calls\`, which are two forms of one thing. Send one.`,
  );
}

function invalid(param: string, message: string): InferenceError {
  return new InferenceError('invalid_request', message, { param });
}
