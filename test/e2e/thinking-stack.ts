import { rmSync, writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chunks, delta, startUpstream, stream } from '../../libs/openai-engine/src/upstream.testing.ts';
import { startStack } from './stack.ts';

/** What its model thinks of a question, and of what a tool said. */
export const THOUGHT = 'I had better look at the weather.';
export const AFTERTHOUGHT = 'So it is warm.';

/** A slow machine takes its time. */
export const STARTING_MS = 60_000;

export interface ThinkingStack extends AsyncDisposable {
  readonly url: string;
  /** Messages of each request to the model. */
  readonly asked: () => readonly Record<string, unknown>[][];
}

const usage = { choices: [], usage: { prompt_tokens: 5, completion_tokens: 7, total_tokens: 12 } };
const weather = { id: 'call_1', function: { name: 'get_weather', arguments: '{"city":"Oslo"}' } };
const calls = delta({ tool_calls: [{ index: 0, ...weather }] });
const words = [delta({ content: 'It is ' }), delta({ content: '21 degrees.' })];
const thinks = (text: string) => text.split(/(?<= )/).map((word) => delta({ reasoning: word }));

/** Millrace in front of a model that thinks first, then calls `get_weather`, thinks again, and answers; without tools it answers at once. */
export async function startThinkingStack(): Promise<ThinkingStack> {
  const upstream = await startUpstream((response, call) => {
    const { messages, tools } = call.body;
    const isAnswered = messages.at(-1).role === 'tool';
    const thought = thinks(isAnswered ? AFTERTHOUGHT : THOUGHT);
    const answer = isAnswered || tools === undefined ? [...words, delta({}, 'stop')] : [calls, delta({}, 'tool_calls')];
    return stream(chunks(...thought, ...answer, usage))(response, call);
  });
  const folder = await mkdtemp(join(tmpdir(), 'millrace-thinking-'));
  const models = join(folder, 'models.yaml');
  const entry = { preset: 'vllm', url: upstream.url, model: 'm', retriesMax: 0 };
  // JSON is YAML.
  writeFileSync(models, JSON.stringify({ models: [{ id: 'thinker', engine: 'openai-compatible', upstream: entry }] }));
  const stack = await startStack({ args: ['--models-file', models] });
  return {
    url: stack.url,
    asked: () => upstream.calls.map(({ body }) => body.messages),
    [Symbol.asyncDispose]: async () => {
      await stack.stop();
      await upstream.close();
      rmSync(folder, { recursive: true });
    },
  };
}
