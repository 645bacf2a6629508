import type {
  FinishReason as AnswerEnd,
  CallDelta,
  ChatCallDelta,
  ChatChunk,
  ChatCompletion,
  ChatTokenLogprob,
  Citation,
  UsageBody,
} from '@millrace/contracts';
import { UsageTally } from '../request-log/usage-tally.js';
import type { SequenceEvent, ValidChatRequest } from '../vocabulary.js';
import { annotationsOf } from './annotations.js';
import { type AnswerHeading, endedEarly, headOf, usageBody } from './answer-heading.js';
import { newCallId } from './call-id.js';
import { chatLogprob } from './chat-logprobs.js';

type Delta = ChatChunk['choices'][number]['delta'];
type FinishReason = ChatChunk['choices'][number]['finish_reason'];
type TokensEvent = Extract<SequenceEvent, { kind: 'tokens' }>;
type Call = NonNullable<ChatCompletion['choices'][number]['message']['tool_calls']>[number];

/** What of a streamed choice has not been told yet, or must be known at its end. */
interface Streamed {
  logprobs: ChatTokenLogprob[];
  calls: number;
  readonly citations: Citation[];
}

/**
 * An answer as OpenAI streams it: for each choice the role once and alone, then thoughts, text and calls, never empty, then
 * an empty delta with the reason; then, for all of them, the usage if it was asked for. The chunks of one event come
 * together, to be written together.
 *
 * Log-probabilities that come without text wait for the next that has some, or ride on the last chunk of their choice.
 * Annotations all wait for the end: of several lists openai-node keeps the last, and openai-python breaks on the second.
 *
 * @returns what it took in all.
 */
export async function* chatChunks(
  events: AsyncIterable<SequenceEvent>,
  heading: AnswerHeading,
  request: ValidChatRequest,
): AsyncGenerator<readonly ChatChunk[], UsageBody> {
  const common = () => headOf(heading, 'chat.completion.chunk');
  // Asked for the usage, OpenAI puts `usage: null` on every other chunk; not asked, it leaves the key out.
  const noUsage = request.includeUsage ? { usage: null } : {};
  const tally = new UsageTally(request);
  const choices = Array.from({ length: request.n }, (): Streamed => ({ logprobs: [], calls: 0, citations: [] }));
  const chunk = (index: number, delta: Delta, finishReason: FinishReason = null): ChatChunk => {
    const logprobs = takeLogprobs(choices[index]!);
    return { ...common(), choices: [{ index, delta, logprobs, finish_reason: finishReason }], ...noUsage };
  };

  for await (const event of events) {
    const { index } = event;
    const choice = choices[index]!;
    tally.add(event);
    if (event.kind === 'begun') yield [chunk(index, { role: 'assistant', content: '', refusal: null })];
    if (event.kind === 'tokens') {
      note(choice, event);
      const chunks = deltasOf(event, request).map((delta) => chunk(index, delta));
      if (chunks.length > 0) yield chunks;
    }
    if (event.kind === 'finished') {
      const annotations = annotationsOf(choice.citations, request.prompts[0]!);
      const cited = annotations.length > 0 ? [chunk(index, { annotations })] : [];
      const last = chunk(index, {}, reasonOf(event.reason, choice.calls, request));
      const usage = request.includeUsage && tally.finished;
      yield [...cited, last, ...(usage ? [{ ...common(), choices: [], usage: usageBody(tally.total()) }] : [])];
    }
  }
  return usageBody(tally.total());
}

function note(choice: Streamed, { logprobs = [], calls = [], citations = [] }: TokensEvent): void {
  for (const logprob of logprobs) choice.logprobs.push(chatLogprob(logprob));
  for (const citation of citations) choice.citations.push(citation);
  choice.calls += calls.filter(({ name }) => name !== undefined).length;
}

function takeLogprobs(choice: Streamed): ChatChunk['choices'][number]['logprobs'] {
  if (choice.logprobs.length === 0) return null;
  const content = choice.logprobs;
  choice.logprobs = [];
  return { content, refusal: null };
}

/** In the order in which a model writes them. */
function deltasOf({ reasoning, text, calls = [] }: TokensEvent, { oldCalls }: ValidChatRequest): Delta[] {
  return [
    ...(reasoning ? [{ reasoning_content: reasoning }] : []),
    ...(text === '' ? [] : [{ content: text }]),
    ...(oldCalls
      ? calls.flatMap(oldCallDeltas).map((call) => ({ function_call: call }))
      : calls.flatMap(callDeltas).map((call) => ({ tool_calls: [call] }))),
  ];
}

/** As OpenAI: who is called comes first and alone, without arguments, and every later piece has nothing but those. */
function callDeltas({ index, name, arguments: text }: CallDelta): ChatCallDelta[] {
  const opened = { index, id: newCallId(), type: 'function', function: { name: name ?? '', arguments: '' } } as const;
  return [...(name === undefined ? [] : [opened]), ...(text === '' ? [] : [{ index, function: { arguments: text } }])];
}

/** There is room for one, and so no index to tell several by. */
function oldCallDeltas({ index, name, arguments: text }: CallDelta): NonNullable<Delta['function_call']>[] {
  if (index > 0) return [];
  return [...(name === undefined ? [] : [{ name, arguments: '' }]), ...(text === '' ? [] : [{ arguments: text }])];
}

/** An answer with calls waits for their results, however its engine says that it ended; one without waits for none. */
function reasonOf(reason: AnswerEnd, calls: number, { oldCalls }: ValidChatRequest): NonNullable<FinishReason> {
  if (reason !== 'stop' && reason !== 'tool_calls') return reason;
  if (calls === 0) return 'stop';
  return oldCalls ? 'function_call' : 'tool_calls';
}

interface Choice {
  content: string;
  reasoning: string;
  readonly calls: Call[];
  readonly citations: Citation[];
  readonly logprobs: ChatTokenLogprob[];
  reason: AnswerEnd | null;
}

/** The same answer in one piece. */
export async function collectChat(
  events: AsyncIterable<SequenceEvent>,
  heading: AnswerHeading,
  request: ValidChatRequest,
): Promise<ChatCompletion> {
  const tally = new UsageTally(request);
  const choices = Array.from({ length: request.n }, emptyChoice);
  for await (const event of events) {
    const choice = choices[event.index]!;
    tally.add(event);
    if (event.kind === 'tokens') collect(choice, event);
    if (event.kind === 'finished') choice.reason = event.reason;
  }
  return {
    ...headOf(heading, 'chat.completion'),
    choices: choices.map((choice, index) => wholeChoice(choice, index, request)),
    usage: usageBody(tally.total()),
  };
}

function emptyChoice(): Choice {
  return { content: '', reasoning: '', calls: [], citations: [], logprobs: [], reason: null };
}

function collect(choice: Choice, event: TokensEvent): void {
  choice.content += event.text;
  choice.reasoning += event.reasoning ?? '';
  for (const call of event.calls ?? []) collectCall(choice.calls, call);
  for (const citation of event.citations ?? []) choice.citations.push(citation);
  for (const logprob of event.logprobs ?? []) choice.logprobs.push(chatLogprob(logprob));
}

/** A call's index is its place: they begin one after another. */
function collectCall(calls: Call[], { index, name, arguments: text }: CallDelta): void {
  if (name === undefined) calls[index]!.function.arguments += text;
  else calls.push({ id: newCallId(), type: 'function', function: { name, arguments: text } });
}

function wholeChoice(choice: Choice, index: number, request: ValidChatRequest): ChatCompletion['choices'][number] {
  const { content, reasoning, calls, citations, logprobs, reason } = choice;
  if (reason === null) throw endedEarly();
  const annotations = annotationsOf(citations, request.prompts[0]!);
  return {
    index,
    message: {
      role: 'assistant',
      content: content === '' && calls.length > 0 ? null : content,
      refusal: null,
      ...(reasoning !== '' && { reasoning_content: reasoning }),
      ...(calls.length > 0 && (request.oldCalls ? { function_call: calls[0]!.function } : { tool_calls: calls })),
      ...(annotations.length > 0 && { annotations }),
    },
    logprobs: request.logprobs === undefined ? null : { content: logprobs, refusal: null },
    finish_reason: reasonOf(reason, calls.length, request),
  };
}
