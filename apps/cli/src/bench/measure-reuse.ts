import { freshText } from './prompts.js';
import { medianOf } from './statistics.js';
import type { BenchRequest, Sample, Target } from './target.js';

export interface ReuseOptions {
  /** Tokens of the system prompt that all share, roughly. */
  readonly sharedTokens: number;
  readonly repetitions: number;
  readonly maxTokens: number;
  /** Tells apart runs against one server: it must not know the prompts of the run before. */
  readonly run: number;
}

/** First and second request with the same new system prompt and different questions. */
export interface ReusePair {
  readonly first: Sample;
  readonly second: Sample;
}

export interface ReuseFigures {
  /** The second was sent when the first had its whole answer. */
  readonly afterwards: readonly ReusePair[];
  /** The second was sent when the first had its first token, and still ran. */
  readonly meanwhile: readonly ReusePair[];
}

/** Both must be read anew, so they differ at once; and they are of about one length. */
const QUESTIONS = ['What is the capital of France?', 'Explain backpressure, please.'] as const;

/**
 * How much sooner an answer begins when the model has read its system prompt before.
 *
 * Each pair has a system prompt that nobody has sent before. Both ways to send the pair take turns.
 */
export async function measureReuse(target: Target, options: ReuseOptions): Promise<ReuseFigures> {
  const words = await wordsFor(target, options.sharedTokens);
  const afterwards: ReusePair[] = [];
  const meanwhile: ReusePair[] = [];
  for (let repetition = 0; repetition < options.repetitions; repetition++) {
    const [one, other] = [repetition * 2 + 1, repetition * 2 + 2].map((index) =>
      pairOf(freshText(words, options.run + index), options.maxTokens),
    );
    afterwards.push(await askInTurn(target, one!));
    meanwhile.push(await askMeanwhile(target, other!));
  }
  return { afterwards, meanwhile };
}

/** Tokens per word differ from vocabulary to vocabulary, so the server is asked once. */
async function wordsFor(target: Target, tokens: number): Promise<number> {
  const words = 200;
  const ask = (systemPrompt: string) => target.ask({ systemPrompt, prompt: QUESTIONS[0], maxTokens: 1 });
  const [short, long] = [await ask(freshText(0, 0)), await ask(freshText(words, 0))];
  return Math.ceil((tokens * words) / (long.promptTokens - short.promptTokens));
}

function pairOf(systemPrompt: string, maxTokens: number): [BenchRequest, BenchRequest] {
  const [first, second] = QUESTIONS.map((prompt) => ({ systemPrompt, prompt, maxTokens, ignoreEos: true }));
  return [first!, second!];
}

async function askInTurn(target: Target, [first, second]: [BenchRequest, BenchRequest]): Promise<ReusePair> {
  return { first: await target.ask(first), second: await target.ask(second) };
}

async function askMeanwhile(target: Target, [first, second]: [BenchRequest, BenchRequest]): Promise<ReusePair> {
  const begun = Promise.withResolvers<void>();
  const firstAnswer = target.ask({ ...first, onFirstToken: begun.resolve });
  // An answer without text would never tell that it began.
  await Promise.race([begun.promise, firstAnswer]);
  const [firstSample, secondSample] = await Promise.all([firstAnswer, target.ask(second)]);
  return { first: firstSample, second: secondSample };
}

/** How many times sooner the second began, pair by pair; the median of them. */
export function timesSooner(pairs: readonly ReusePair[]): number {
  return medianOf(pairs.map(({ first, second }) => first.firstTokenMs / second.firstTokenMs));
}
