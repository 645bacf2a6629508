import { tool } from '@llamaindex/core/tools';
import { OpenAI, OpenAIEmbedding, OpenAIResponses } from '@llamaindex/openai';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { url } from './our-side.js';

const messages = [{ role: 'user' as const, content: 'What is the capital of France?' }];

/** Its authors no longer maintain it; there are programs that use it all the same. */
describe('LlamaIndex.TS', () => {
  const llm = (more: object = {}) =>
    new OpenAI({
      model: 'millrace-demo',
      apiKey: 'any',
      baseURL: `${url}/v1`,
      temperature: 0,
      maxRetries: 0,
      ...more,
    });

  it('chat answers', async () => {
    const { message } = await llm().chat({ messages });
    expect(message.content).toContain('Paris');
  });

  it('chat streams the same', async () => {
    const whole = await llm().chat({ messages });
    const pieces: string[] = [];
    for await (const { delta } of await llm().chat({ messages, stream: true })) pieces.push(delta);
    expect(pieces.length).toBeGreaterThan(2);
    expect(pieces.join('')).toBe(whole.message.content);
  });

  it('the Responses API answers, whole and streamed', async () => {
    const responses = new OpenAIResponses({
      model: 'millrace-demo',
      apiKey: 'any',
      baseURL: `${url}/v1`,
      temperature: 0,
      maxRetries: 0,
    });
    const { message } = await responses.chat({ messages });
    expect(JSON.stringify(message.content)).toContain('Paris');
    const pieces: string[] = [];
    for await (const { delta } of await responses.chat({ messages, stream: true })) pieces.push(delta);
    expect(pieces.join('')).toContain('Paris');
  });

  it('complete answers a prompt', async () => {
    expect((await llm().complete({ prompt: 'What is the capital of Norway?' })).text).toContain('Oslo');
  });

  it('chat has a tool called, whole and streamed', async () => {
    const weather = tool({
      name: 'get_weather',
      description: 'Get the current weather in a city',
      parameters: z.object({ city: z.string() }),
      execute: () => '21',
    });
    const asked = { messages: [{ role: 'user' as const, content: 'What is the weather in Oslo?' }], tools: [weather] };
    const { message } = await llm().chat(asked);
    expect(message.options).toMatchObject({ toolCall: [{ name: 'get_weather' }] });
    const calls: unknown[] = [];
    for await (const { options } of await llm().chat({ ...asked, stream: true })) {
      if (options !== undefined && 'toolCall' in options) calls.push(options.toolCall);
    }
    expect(JSON.stringify(calls.at(-1))).toContain('Oslo');
  });

  it('chat returns what a schema allows', async () => {
    const schema = z.object({ city: z.enum(['Oslo', 'Paris']), certain: z.boolean() });
    const { message } = await llm().chat({ messages, responseFormat: schema });
    expect(schema.safeParse(JSON.parse(String(message.content))).success).toBe(true);
  });

  it('OpenAIEmbedding puts a paraphrase nearer than another statement', async () => {
    const vectors = new OpenAIEmbedding({ model: 'millrace-demo-embed', apiKey: 'any', baseURL: `${url}/v1` });
    const query = await vectors.getTextEmbedding('The train did not arrive on time.');
    const [near, far] = await vectors.getTextEmbeddings(['The train was late.', 'Anna bought a red bicycle.']);
    expect(vectors.similarity(query, near!)).toBeGreaterThan(vectors.similarity(query, far!));
  });
});
