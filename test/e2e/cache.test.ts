import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from './stack.js';

const ASKED = {
  model: 'millrace-demo',
  messages: [{ role: 'user' as const, content: 'What is the capital of France?' }],
  temperature: 0,
};
/** In place of what keeps all other tests from the cache. */
const NO_HEADERS = {};

describe('the same question, by the official client', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack();
  });
  afterAll(() => stack.stop());

  const ask = async (headers: Record<string, string> = NO_HEADERS) => {
    const { data, response } = await stack.client(headers).chat.completions.create(ASKED).withResponse();
    return { answer: data, told: response.headers.get('x-millrace-cache') };
  };

  it('is answered from the cache as it was answered first, whole and streamed, at no cost', async () => {
    const first = await ask();
    const again = await ask();
    expect([first.told, again.told]).toEqual(['miss', 'hit']);
    expect({ ...again.answer, id: '', created: 0 }).toEqual({ ...first.answer, id: '', created: 0 });
    expect(again.answer.id).not.toBe(first.answer.id);

    const stream = stack
      .client(NO_HEADERS)
      .chat.completions.stream({ ...ASKED, stream_options: { include_usage: true } });
    let chunks = 0;
    stream.on('chunk', () => void chunks++);
    const streamed = await stream.finalChatCompletion();
    expect(streamed.choices[0]?.message.content).toBe(first.answer.choices[0]?.message.content);
    expect(streamed.usage).toEqual(first.answer.usage);
    expect(chunks).toBeGreaterThan(4);

    const metrics = await (await fetch(`${stack.url}/metrics`)).text();
    expect(metrics).toMatch(/millrace_cache_requests_total\{outcome="hit"[^}]*\} 2/);
    expect(metrics).toMatch(
      new RegExp(`millrace_tokens_total\\{kind="completion"[^}]*\\} ${first.answer.usage!.completion_tokens}\n`),
    );
  });

  it('is computed again where that is asked for', async () => {
    expect((await ask({ 'x-millrace-cache': 'refresh' })).told).toBe('miss');
    expect((await ask({ 'x-millrace-cache': 'off' })).told).toBeNull();
    await expect(ask({ 'x-millrace-cache': 'maybe' })).rejects.toThrow(
      'x-millrace-cache is "maybe"; it takes one of on, off, refresh, semantic.',
    );
  });
});
