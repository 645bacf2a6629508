import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from './stack.js';

const QUESTION = [{ role: 'user' as const, content: 'What is the capital of France?' }];

describe('the first answer, by the official client', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack();
  });
  afterAll(() => stack.stop());

  it('is Paris', async () => {
    const completion = await stack
      .client()
      .chat.completions.create({ model: 'millrace-demo', messages: QUESTION, temperature: 0 });

    expect(completion.choices[0]?.message.content).toContain('Paris');
    expect(completion.choices[0]?.finish_reason).toBe('stop');
    expect(completion.usage?.prompt_tokens).toBeGreaterThan(0);
    expect(completion.usage?.total_tokens).toBe(completion.usage!.prompt_tokens + completion.usage!.completion_tokens);
  });

  it('is the same when it is streamed', async () => {
    const whole = await stack
      .client()
      .chat.completions.create({ model: 'millrace-demo', messages: QUESTION, temperature: 0 });
    const stream = stack.client().chat.completions.stream({
      model: 'millrace-demo',
      messages: QUESTION,
      temperature: 0,
      stream_options: { include_usage: true },
    });
    const streamed = await stream.finalChatCompletion();

    expect(streamed.choices[0]?.message.content).toBe(whole.choices[0]?.message.content);
    expect(streamed.usage).toEqual(whole.usage);
  });

  it('comes in several chunks', async () => {
    const stream = await stack
      .client()
      .chat.completions.create({ model: 'millrace-demo', messages: QUESTION, stream: true, temperature: 0 });
    const texts: string[] = [];
    for await (const chunk of stream) texts.push(chunk.choices[0]?.delta.content ?? '');

    expect(texts.filter((text) => text !== '').length).toBeGreaterThan(2);
    expect(texts.join('')).toContain('Paris');
  });

  it('comes from the default model when the request names none', async () => {
    const response = await fetch(`${stack.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ messages: QUESTION, temperature: 0 }),
    });
    const completion = (await response.json()) as { model: string; choices: { message: { content: string } }[] };

    expect(completion.model).toBe('millrace-demo');
    expect(completion.choices[0]?.message.content).toContain('Paris');
    expect(response.headers.get('x-request-id')).toMatch(/^req_/);
  });

  it('continues a text', async () => {
    const completion = await stack
      .client()
      .completions.create({ model: 'millrace-demo', prompt: 'Once upon a time', temperature: 0, max_tokens: 60 });

    expect(completion.object).toBe('text_completion');
    expect(completion.choices[0]?.text.length).toBeGreaterThan(20);
  });

  it('stops at a stop text, which is not part of it', async () => {
    const completion = await stack
      .client()
      .chat.completions.create({ model: 'millrace-demo', messages: QUESTION, temperature: 0, stop: ['Paris'] });

    expect(completion.choices[0]?.message.content).not.toContain('Par');
    expect(completion.choices[0]?.finish_reason).toBe('stop');
  });

  it('ends with length at max_tokens', async () => {
    const completion = await stack
      .client()
      .chat.completions.create({ model: 'millrace-demo', messages: QUESTION, temperature: 0, max_tokens: 2 });

    expect(completion.choices[0]?.finish_reason).toBe('length');
    expect(completion.usage?.completion_tokens).toBe(2);
  });

  it('is the same for the same seed, and another for another', async () => {
    const ask = async (seed: number) => {
      const completion = await stack
        .client()
        .completions.create({ model: 'millrace-demo', prompt: 'zq xv', temperature: 2, max_tokens: 24, seed });
      return completion.choices[0]!.text;
    };

    expect(await ask(7)).toBe(await ask(7));
    expect(await ask(7)).not.toBe(await ask(8));
  });

  it('names its models', async () => {
    const ids: string[] = [];
    for await (const model of stack.client().models.list()) ids.push(model.id);

    expect(ids).toEqual(['millrace-demo', 'millrace-demo-embed']);
    expect((await stack.client().models.retrieve('millrace-demo')).object).toBe('model');
  });

  it('tells orchestrators how it is', async () => {
    expect(await (await fetch(`${stack.url}/healthz`)).json()).toEqual({ status: 'ok' });
    expect(await (await fetch(`${stack.url}/readyz`)).json()).toEqual({
      status: 'ready',
      capabilities: {
        chat: ['millrace-demo'],
        completion: ['millrace-demo'],
        embedding: ['millrace-demo-embed'],
        rerank: ['millrace-demo-embed'],
      },
      models: ['millrace-demo', 'millrace-demo-embed'].map((id) => ({
        id,
        state: 'loaded',
        detail: expect.any(String),
      })),
    });
    expect((await (await fetch(`${stack.url}/health`)).json()) as object).toMatchObject({
      status: 'ok',
      workers: [{ state: 'ready' }],
    });
    expect(await (await fetch(`${stack.url}/metrics`)).text()).toContain('millrace_');
    expect(await (await fetch(`${stack.url}/openapi.json`)).json()).toMatchObject({ openapi: '3.1.0' });
    expect((await fetch(`${stack.url}/docs/`)).headers.get('content-type')).toContain('text/html');
  });
});
