import type { ChatChunk, ChatCompletion, ChatTokenLogprob } from '@millrace/contracts';
import { UsageTally } from '../request-log/usage-tally.js';
import type { SequenceEvent, ValidChatRequest } from '../vocabulary.js';
import { type AnswerHeading, endedEarly, usageBody } from './answer-heading.js';
import { chatLogprob } from './chat-logprobs.js';

type Delta = ChatChunk['choices'][number]['delta'];
type FinishReason = ChatChunk['choices'][number]['finish_reason'];

/**
 * An answer as OpenAI streams it: for each choice the role once and alone, then text that is never empty, then an empty
 * delta with the reason; then, for all of them, the usage if it was asked for. The chunks of one event come together, to
 * be written together.
 *
 * Log-probabilities that come without text wait for the next that has some, or ride on the last chunk of their choice.
 */
export async function* chatChunks(
  events: AsyncIterable<SequenceEvent>,
  heading: AnswerHeading,
  request: ValidChatRequest,
): AsyncGenerator<readonly ChatChunk[]> {
  const { id, ...rest } = heading;
  const common = { id, object: 'chat.completion.chunk', ...rest } as const;
  // Asked for the usage, OpenAI puts `usage: null` on every other chunk; not asked, it leaves the key out.
  const noUsage = request.includeUsage ? { usage: null } : {};
  const tally = new UsageTally(request);
  const waiting: (ChatTokenLogprob[] | undefined)[] = [];
  const chunk = (index: number, delta: Delta, finishReason: FinishReason = null): ChatChunk => {
    const content = waiting[index];
    if (content) waiting[index] = undefined;
    const logprobs = content ? { content, refusal: null } : null;
    return { ...common, choices: [{ index, delta, logprobs, finish_reason: finishReason }], ...noUsage };
  };

  for await (const event of events) {
    const { index } = event;
    tally.add(event);
    if (event.kind === 'begun') yield [chunk(index, { role: 'assistant', content: '', refusal: null })];
    if (event.kind === 'tokens') {
      if (event.logprobs) {
        waiting[index] ??= [];
        waiting[index].push(...event.logprobs.map(chatLogprob));
      }
      if (event.text !== '') yield [chunk(index, { content: event.text })];
    }
    if (event.kind === 'finished') {
      const last = chunk(index, {}, event.reason);
      const usage = request.includeUsage && tally.finished;
      yield usage ? [last, { ...common, choices: [], usage: usageBody(tally.total()) }] : [last];
    }
  }
}

interface Choice {
  content: string;
  readonly logprobs: ChatTokenLogprob[];
  reason: FinishReason;
}

/** The same answer in one piece. */
export async function collectChat(
  events: AsyncIterable<SequenceEvent>,
  heading: AnswerHeading,
  request: ValidChatRequest,
): Promise<ChatCompletion> {
  const { id, ...rest } = heading;
  const tally = new UsageTally(request);
  const choices = Array.from({ length: request.n }, (): Choice => ({ content: '', logprobs: [], reason: null }));
  for await (const event of events) {
    const choice = choices[event.index]!;
    tally.add(event);
    if (event.kind === 'tokens') {
      choice.content += event.text;
      if (event.logprobs) choice.logprobs.push(...event.logprobs.map(chatLogprob));
    }
    if (event.kind === 'finished') choice.reason = event.reason;
  }
  return {
    id,
    object: 'chat.completion',
    ...rest,
    choices: choices.map((choice, index) => wholeChoice(choice, index, request)),
    usage: usageBody(tally.total()),
  };
}

function wholeChoice({ content, logprobs, reason }: Choice, index: number, request: ValidChatRequest) {
  if (reason === null) throw endedEarly();
  return {
    index,
    message: { role: 'assistant', content, refusal: null } as const,
    logprobs: request.logprobs === undefined ? null : { content: logprobs, refusal: null },
    finish_reason: reason,
  };
}
