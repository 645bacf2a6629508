import { type AnswerEvent, InferenceError, type TextCompletion } from '@millrace/contracts';
import { type AnswerHeading, usageOf } from './answer-heading.js';

type FinishReason = TextCompletion['choices'][number]['finish_reason'];

/** A text completion as OpenAI streams it: no role; the last chunk has no text and the reason. */
export async function* textChunks(
  events: AsyncIterable<AnswerEvent>,
  heading: AnswerHeading,
  includeUsage: boolean,
): AsyncGenerator<readonly TextCompletion[]> {
  const { id, ...rest } = heading;
  const common = { id, object: 'text_completion', ...rest } as const;
  const noUsage = includeUsage ? { usage: null } : {};
  const chunk = (text: string, finishReason: FinishReason = null): TextCompletion => ({
    ...common,
    choices: [{ index: 0, text, logprobs: null, finish_reason: finishReason }],
    ...noUsage,
  });

  for await (const event of events) {
    if (event.kind === 'tokens' && event.text !== '') yield [chunk(event.text)];
    if (event.kind === 'finished') {
      const last = chunk('', event.reason);
      yield includeUsage ? [last, { ...common, choices: [], usage: usageOf(event) }] : [last];
    }
  }
}

/** The same completion in one piece. */
export async function collectText(events: AsyncIterable<AnswerEvent>, heading: AnswerHeading): Promise<TextCompletion> {
  const { id, ...rest } = heading;
  let text = '';
  for await (const event of events) {
    if (event.kind === 'tokens') text += event.text;
    if (event.kind === 'finished') {
      const choice = { index: 0, text, logprobs: null, finish_reason: event.reason };
      return { id, object: 'text_completion', ...rest, choices: [choice], usage: usageOf(event) };
    }
  }
  throw new InferenceError('internal_error', 'The worker ended the answer without saying why. Send the request again.');
}
