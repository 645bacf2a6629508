import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Engine, Prompt } from '@millrace/contracts';
import { openOpenAiEngine } from '@millrace/openai-engine';
import { createLogger } from '@millrace/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { collect, type EngineLimits, question } from './engine.contract.ts';
import { ROOT } from './engines.testing.ts';

const url = process.env.MAX_SERVE_URL;
if (url === undefined) {
  console.warn(
    'Skipped: the engine on a real MAX Serve, because MAX_SERVE_URL names none (tools/max-serve/README.md).',
  );
}

const NEVER = new AbortController().signal;
const MODEL = 'demo';

function open({ runningMax, queueMax }: EngineLimits): Promise<Engine> {
  return openOpenAiEngine(
    {
      model: {
        id: MODEL,
        aliases: [],
        capabilities: ['chat', 'completion'],
        created: 0,
        samplingDefaults: {},
        isDefault: true,
      },
      upstream: {
        preset: 'max-serve',
        url: `${url}/v1`,
        maxConcurrent: runningMax,
        connectTimeoutMs: 2_000,
        silenceMsMax: 30_000,
        retriesMax: 0,
      },
      environment: {},
      limits: { queueMax, requestTimeoutMs: 60_000, backgroundTimeoutMs: 60_000 },
      logger: createLogger({ name: 'test', level: 'silent', format: 'json' }),
      report: () => {},
    },
    NEVER,
  );
}

it('configs/max-serve.yaml has batches of 32, as Millrace asks for', () => {
  const config = parse(readFileSync(join(ROOT, 'configs/max-serve.yaml'), 'utf8')) as Record<string, unknown>;
  expect(config).toEqual({
    runtime: { max_batch_size: 32 },
    sampling: { enable_structured_output: true, enable_penalties: true },
  });
});

describe.skipIf(url === undefined)('on a real MAX Serve', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await open({ runningMax: 32, queueMax: 32 });
  });
  afterAll(() => engine?.close());

  const request = (prompt: Prompt, more = {}) => ({
    requestId: 'req_1',
    model: MODEL,
    prompt,
    sampling: { temperature: 0 },
    stop: [] as string[],
    priority: 0,
    maxTokens: 60,
    ...more,
  });
  const ask = (prompt: Prompt, more = {}) => collect(engine.answer(request(prompt, more), NEVER));
  const FRANCE = question('What is the capital of France?');

  it('tells how long its context is', () => {
    expect(engine.describe().contextLength).toBeGreaterThan(1_000);
  });

  it('answers, and counts', async () => {
    const { text, finished } = await ask(FRANCE);
    expect(text).toBe('The capital of France is Paris.');
    expect(finished).toMatchObject({ reason: 'stop', usage: { promptTokens: 15, completionTokens: 10 } });
  });

  it('answers 32 at once as one alone', async () => {
    const together = await Promise.all(Array.from({ length: 32 }, () => ask(FRANCE)));
    expect(new Set(together.map(({ text }) => text))).toEqual(new Set(['The capital of France is Paris.']));
  });

  it('ends before a stop text, though MAX sends that and a token more', async () => {
    const { text, finished } = await ask(FRANCE, { stop: ['France'] });
    expect(text).toBe('The capital of ');
    expect(finished.reason).toBe('stop');
  });

  it('ends at its limit', async () => {
    const { text, finished } = await ask(FRANCE, { maxTokens: 3 });
    expect(text).toBe('The capital of');
    expect(finished.reason).toBe('length');
  });

  it('continues a text', async () => {
    const { text } = await ask({ kind: 'text', text: 'The capital of France is' }, { maxTokens: 4 });
    expect(text).toMatch(/^ Paris/);
  });

  it('tells log-probabilities', async () => {
    const { events } = await ask(FRANCE, { logprobs: 2 });
    const tokens = events.flatMap((event) => (event.kind === 'tokens' ? (event.logprobs ?? []) : []));
    expect(tokens.length).toBeGreaterThan(5);
    for (const { logprob, top } of tokens) {
      expect(logprob).toBeLessThanOrEqual(0);
      expect(top).toHaveLength(2);
    }
  });

  it('says with both numbers that a prompt is too long', async () => {
    const answer = ask(question('word '.repeat(3_000)));
    await expect(answer).rejects.toMatchObject({
      code: 'context_length_exceeded',
      message: expect.stringMatching(/\d{4}/),
    });
  });

  it('says what MAX says of a format that it was not started for', async () => {
    const format = { kind: 'json' };
    await expect(ask(FRANCE, { format })).rejects.toThrow(/enable-structured-output/);
  });

  it('frees the place of one who leaves', async () => {
    const left = new AbortController();
    const endless = request(question('Count to 15.'), {
      sampling: { temperature: 0, ignoreEos: true },
      maxTokens: 900,
    });
    const answer = engine.answer(endless, left.signal)[Symbol.asyncIterator]();
    for (let event = 0; event < 5; event++) await answer.next();
    left.abort(new Error('left'));
    await expect(answer.next()).rejects.toThrow('left');
    await expect.poll(() => engine.load()).toEqual({ running: 0, waiting: 0 });
  });
});
