import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { APIError } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  beginStream,
  chunks,
  delta,
  event,
  json,
  type Play,
  type ScriptedUpstream,
  startUpstream,
  stream,
} from '../../libs/openai-engine/src/upstream.testing.ts';
import { type Stack, startStack } from './stack.ts';

const KEY = 'sk-end-to-end-Zx81kQ0aPw7T';
const folder = mkdtempSync(join(tmpdir(), 'millrace-upstream-'));
const usage = { choices: [], usage: { prompt_tokens: 5, completion_tokens: 7, total_tokens: 12 } };

const ANSWERS: Readonly<Record<string, Play>> = {
  'Think.': stream(
    chunks(delta({ role: 'assistant', reasoning: 'Hm.' }), delta({ content: 'é€😀' }), delta({}, 'stop'), usage),
  ),
  'Call.': stream(
    chunks(
      delta({ tool_calls: [{ id: 'x', function: { name: 'weather', arguments: { city: 'Oslo' } } }] }),
      delta({ tool_calls: [{ id: 'y', function: { name: 'weather', arguments: '{"city":"Bern"}' } }] }),
      delta({}, 'stop'),
    ),
  ),
  'Refuse.': json(401, { error: { message: `Incorrect API key provided: ${KEY}` } }),
  'Fail.': stream(event(delta({ content: 'a' })) + event({ error: { message: `I broke; ${KEY}`, code: 500 } })),
  'Never end.': (response) => {
    beginStream(response);
    response.write(event(delta({ content: 'a' })));
  },
};

describe('a model that another server runs', () => {
  let upstream: ScriptedUpstream;
  let stack: Stack;
  beforeAll(async () => {
    upstream = await startUpstream((response, call) => ANSWERS[call.body.messages.at(-1).content]!(response, call));
    const models = join(folder, 'models.yaml');
    const entry = { preset: 'vllm', url: upstream.url, model: 'm', apiKeyEnv: 'TEST_UPSTREAM_KEY', retriesMax: 0 };
    // JSON is YAML.
    writeFileSync(models, JSON.stringify({ models: [{ id: 'theirs', engine: 'openai-compatible', upstream: entry }] }));
    stack = await startStack({ args: ['--models-file', models], environment: { TEST_UPSTREAM_KEY: KEY } });
  });
  afterAll(async () => {
    await stack?.stop();
    await upstream?.close();
    rmSync(folder, { recursive: true });
  });

  const ask = (content: string, more: object = {}) =>
    stack.client().chat.completions.create({ model: 'theirs', messages: [{ role: 'user', content }], ...more });
  const failureOf = (asked: Promise<unknown>) =>
    asked.then(
      () => undefined,
      (error: unknown) => error as APIError,
    );

  it('answers with what it thought, and with its own numbers', async () => {
    const completion = await ask('Think.');
    expect(completion.choices[0]).toMatchObject({
      message: { content: 'é€😀', reasoning_content: 'Hm.' },
      finish_reason: 'stop',
    });
    expect(completion.usage).toMatchObject({ prompt_tokens: 5, completion_tokens: 7, total_tokens: 12 });
    expect(upstream.calls.at(-1)!.headers.authorization).toBe(`Bearer ${KEY}`);
  });

  it('calls tools in OpenAI’s form, whatever form they came in', async () => {
    const tools = [{ type: 'function' as const, function: { name: 'weather', parameters: {} } }];
    const messages = [{ role: 'user' as const, content: 'Call.' }];
    const streamed = stack.client().chat.completions.stream({ model: 'theirs', messages, tools });
    const { choices } = await streamed.finalChatCompletion();

    expect(choices[0]!.finish_reason).toBe('tool_calls');
    expect(choices[0]!.message.tool_calls).toMatchObject([
      { id: expect.stringMatching(/^call_/), function: { name: 'weather', arguments: '{"city":"Oslo"}' } },
      { id: expect.stringMatching(/^call_/), function: { name: 'weather', arguments: '{"city":"Bern"}' } },
    ]);
  });

  it('is refused what its server can not do, by name', async () => {
    const error = await failureOf(ask('Think.', { dry_multiplier: 1 }));
    expect(error).toMatchObject({ status: 400, code: 'unsupported_parameter', param: 'dry_multiplier' });
  });

  it('fails with the server, in a sentence without the key', async () => {
    expect(await failureOf(ask('Refuse.'))).toMatchObject({ status: 502, code: 'upstream_unauthorized' });
    const broken = await failureOf(ask('Fail.'));
    expect(broken).toMatchObject({
      status: 502,
      code: 'upstream_failed',
      message: expect.stringMatching(/I broke; \*\*\*/),
    });
    expect(stack.output()).not.toContain(KEY);
  });

  it('is left at once when the client leaves', async () => {
    const before = upstream.calls.length;
    const leaving = new AbortController();
    const messages = [{ role: 'user' as const, content: 'Never end.' }];
    const answer = await stack
      .client()
      .chat.completions.create({ model: 'theirs', messages, stream: true }, { signal: leaving.signal });
    for await (const chunk of answer) if (chunk.choices[0]?.delta.content) leaving.abort();

    await expect.poll(() => upstream.calls[before]!.left, { timeout: 5_000 }).toBe(true);
  });
});
