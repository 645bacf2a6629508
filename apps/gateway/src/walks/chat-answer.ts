import { type AnswerEvent, type ChatChunk, type ChatCompletion, InferenceError } from '@millrace/contracts';
import { type AnswerHeading, usageOf } from './answer-heading.js';

type Delta = ChatChunk['choices'][number]['delta'];
type FinishReason = ChatChunk['choices'][number]['finish_reason'];

/**
 * An answer as OpenAI streams it: the role once and alone, then text that is never empty, then an empty delta with the
 * reason, then the usage if it was asked for. The chunks of one event come together, to be written together.
 */
export async function* chatChunks(
  events: AsyncIterable<AnswerEvent>,
  heading: AnswerHeading,
  includeUsage: boolean,
): AsyncGenerator<readonly ChatChunk[]> {
  const { id, ...rest } = heading;
  const common = { id, object: 'chat.completion.chunk', ...rest } as const;
  // Asked for the usage, OpenAI puts `usage: null` on every other chunk; not asked, it leaves the key out.
  const noUsage = includeUsage ? { usage: null } : {};
  const chunk = (delta: Delta, finishReason: FinishReason = null): ChatChunk => ({
    ...common,
    choices: [{ index: 0, delta, logprobs: null, finish_reason: finishReason }],
    ...noUsage,
  });

  for await (const event of events) {
    if (event.kind === 'begun') yield [chunk({ role: 'assistant', content: '', refusal: null })];
    if (event.kind === 'tokens' && event.text !== '') yield [chunk({ content: event.text })];
    if (event.kind === 'finished') {
      const last = chunk({}, event.reason);
      yield includeUsage ? [last, { ...common, choices: [], usage: usageOf(event) }] : [last];
    }
  }
}

/** The same answer in one piece. */
export async function collectChat(events: AsyncIterable<AnswerEvent>, heading: AnswerHeading): Promise<ChatCompletion> {
  const { id, ...rest } = heading;
  let content = '';
  for await (const event of events) {
    if (event.kind === 'tokens') content += event.text;
    if (event.kind === 'finished') {
      const message = { role: 'assistant', content, refusal: null } as const;
      const choice = { index: 0, message, logprobs: null, finish_reason: event.reason };
      return { id, object: 'chat.completion', ...rest, choices: [choice], usage: usageOf(event) };
    }
  }
  throw new InferenceError('internal_error', 'The worker ended the answer without saying why. Send the request again.');
}
