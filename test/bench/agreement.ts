/**
 * Whether a model answers in a batch as it does alone, and where it does not, how near a tie it was.
 *
 * A sequence alone and one in a batch differ in the last bits of their scores, because a sum over other shapes is rounded
 * otherwise. Where the two likeliest tokens are as good as equal, that decides; everywhere else it must not. So 32
 * prompts of mixed lengths are answered greedily, alone one after another and then together, joining at different times.
 * At the first token where two answers part, the margin is looked up: by how much the likeliest token was ahead of the
 * next, in the answer given alone, as a difference of log-probabilities. After that token they answer different texts.
 *
 *   node test/bench/agreement.ts [model.gguf] [threads]
 */
import type OpenAI from 'openai';
import { startStack } from '../e2e/stack.ts';

const PROMPTS = 32;
const TOKENS = 64;
/** A margin of so much means that the likeliest token was 1.1 times as likely as the next. */
const NEAR_TIE = 0.1;
const WORDS =
  'the mill stands beside a river and grinds corn for seven towns while its wheel turns in every season'.split(' ');

interface Told {
  readonly tokens: readonly string[];
  /** At each token, the likeliest less the next. */
  readonly margins: readonly number[];
}

const [model = 'models/millrace-demo.gguf', threads = '1'] = process.argv.slice(2);
const stack = await startStack({
  args: ['--model', model, '--model-id', 'measured', '--threads', threads, '--context', '1024'],
});
const client = stack.client();

/** From a few words to some hundred, no two alike from the beginning on. */
function prompt(index: number): string {
  const length = 4 + ((index * 37) % 150);
  return Array.from({ length }, (_, at) => WORDS[(index * 7 + at * (1 + (index % 5))) % WORDS.length]).join(' ');
}

async function answer(index: number): Promise<Told> {
  const request = {
    model: 'measured',
    prompt: prompt(index),
    max_tokens: TOKENS,
    temperature: 0,
    logprobs: 2,
    ignore_eos: true,
  };
  const { choices } = await client.completions.create(request as OpenAI.CompletionCreateParamsNonStreaming);
  const { tokens, top_logprobs } = choices[0]!.logprobs!;
  return { tokens: tokens!, margins: top_logprobs!.map(marginOf) };
}

function marginOf(top: Readonly<Record<string, number>>): number {
  const [first = 0, second = Number.NEGATIVE_INFINITY] = Object.values(top).sort((a, b) => b - a);
  return first - second;
}

const indexes = Array.from({ length: PROMPTS }, (_, index) => index);
const alone: Told[] = [];
for (const index of indexes) alone.push(await answer(index));
const together = await Promise.all(
  indexes.map(async (index) => {
    await new Promise((wake) => setTimeout(wake, (index * 53) % 400));
    return answer(index);
  }),
);

const partings = indexes.flatMap((index) => {
  const { tokens, margins } = alone[index]!;
  const at = tokens.findIndex((token, position) => token !== together[index]!.tokens[position]);
  return at === -1 ? [] : [{ index, at, margin: margins[at]! }];
});
const all = alone.flatMap(({ margins }) => margins).sort((a, b) => a - b);
const usual = all[Math.floor(all.length / 2)]!;
const widest = Math.max(0, ...partings.map(({ margin }) => margin));
process.stdout.write(
  `${PROMPTS - partings.length} of ${PROMPTS} answers of ${TOKENS} tokens are the same alone and together.\n` +
    partings
      .map(
        ({ index, at, margin }) =>
          `  answer ${index} parts at token ${at}, where the margin was ${margin.toFixed(4)}\n`,
      )
      .join('') +
    (partings.length > 0
      ? `The widest margin at a parting is ${widest.toFixed(4)}; ${NEAR_TIE} counts as a near tie, and ${usual.toFixed(2)} is usual here (median).\n`
      : ''),
);
await stack.stop();
process.exit(widest < NEAR_TIE ? 0 : 1);
