import type { FinishReason as AnswerEnd, TextCompletion } from '@millrace/contracts';
import { UsageTally } from '../request-log/usage-tally.js';
import type { SequenceEvent, ValidTextRequest } from '../vocabulary.js';
import { type AnswerHeading, endedEarly, headOf, usageBody } from './answer-heading.js';
import { chooseBest } from './choose-best.js';
import { TextLogprobsWriter } from './text-logprobs.js';

type FinishReason = NonNullable<TextCompletion['choices'][number]['finish_reason']>;

/**
 * A text completion as OpenAI streams it: no role; an echoed prompt is text like the answer after it; the last chunk of
 * each choice has no text and the reason. Log-probabilities wait for text as those of chats do.
 */
export async function* textChunks(
  events: AsyncIterable<SequenceEvent>,
  heading: AnswerHeading,
  request: ValidTextRequest,
): AsyncGenerator<readonly TextCompletion[]> {
  const common = () => headOf(heading, 'text_completion');
  const noUsage = request.includeUsage ? { usage: null } : {};
  const tally = new UsageTally(request);
  const writers: TextLogprobsWriter[] = [];
  const chunk = (index: number, text: string, finishReason: FinishReason | null = null): TextCompletion => {
    const logprobs = writers[index]?.take() ?? null;
    return { ...common(), choices: [{ index, text, logprobs, finish_reason: finishReason }], ...noUsage };
  };

  for await (const event of events) {
    const { index } = event;
    tally.add(event);
    if (event.kind === 'echo' || event.kind === 'tokens') {
      if (request.logprobs !== undefined) {
        writers[index] ??= new TextLogprobsWriter();
        writers[index].add(event);
      }
      if (event.text !== '') yield [chunk(index, event.text)];
    }
    if (event.kind === 'finished') {
      const last = chunk(index, '', finishReasonOf(event.reason));
      const usage = request.includeUsage && tally.finished;
      yield usage ? [last, { ...common(), choices: [], usage: usageBody(tally.total()) }] : [last];
    }
  }
}

/** One sequence as far as it has come. */
class Candidate {
  text = '';
  reason: FinishReason | undefined;
  readonly #writer = new TextLogprobsWriter();
  #logprobSum = 0;
  #logprobs = 0;

  /** `told`: whether the caller wants to see log-probabilities; the choice of the best needs them in any case. */
  constructor(private readonly told: boolean) {}

  /** By which the best are chosen: of an answer without a token there is nothing to prefer. */
  get meanLogprob(): number {
    return this.#logprobs === 0 ? Number.NEGATIVE_INFINITY : this.#logprobSum / this.#logprobs;
  }

  add(event: SequenceEvent): void {
    if (event.kind === 'finished') this.reason = finishReasonOf(event.reason);
    if (event.kind !== 'echo' && event.kind !== 'tokens') return;
    this.text += event.text;
    if (this.told) this.#writer.add(event);
    if (event.kind === 'echo') return;
    for (const { logprob } of event.logprobs ?? []) {
      this.#logprobSum += logprob;
      this.#logprobs++;
    }
  }

  choice(index: number): TextCompletion['choices'][number] {
    if (this.reason === undefined) throw endedEarly();
    const logprobs = this.told ? this.#writer.takeAll() : null;
    return { index, text: this.text, logprobs, finish_reason: this.reason };
  }
}

/** The same completion in one piece, of the best candidates for each prompt. */
export async function collectText(
  events: AsyncIterable<SequenceEvent>,
  heading: AnswerHeading,
  request: ValidTextRequest,
): Promise<TextCompletion> {
  const { prompts, n, bestOf } = request;
  const told = request.logprobs !== undefined;
  const tally = new UsageTally(request);
  const candidates = Array.from({ length: prompts.length * bestOf }, () => new Candidate(told));
  for await (const event of events) {
    tally.add(event);
    candidates[event.index]!.add(event);
  }
  const best = prompts.flatMap((_, prompt) => chooseBest(candidates.slice(prompt * bestOf, (prompt + 1) * bestOf), n));
  const choices = best.map((candidate, index) => candidate.choice(index));
  return { ...headOf(heading, 'text_completion'), choices, usage: usageBody(tally.total()) };
}

/** A completion calls no tools; a server that says so all the same has ended its answer. */
function finishReasonOf(reason: AnswerEnd): FinishReason {
  return reason === 'tool_calls' ? 'stop' : reason;
}
