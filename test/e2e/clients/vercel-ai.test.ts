import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import {
  APICallError,
  cosineSimilarity,
  embed,
  embedMany,
  generateObject,
  generateText,
  isStepCount,
  Output,
  streamObject,
  streamText,
  tool,
} from 'ai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { AFTERTHOUGHT, STARTING_MS, startThinkingStack, THOUGHT, type ThinkingStack } from '../thinking-stack.js';
import { COMPUTED, url } from './our-side.js';

const CHAT = 'millrace-demo';
const EMBED = 'millrace-demo-embed';
const prompt = 'What is the capital of France?';
const asksForWeather = 'What is the weather in Oslo?';
const schema = z.object({ city: z.enum(['Oslo', 'Paris']), certain: z.boolean(), visits: z.array(z.int()).max(2) });
// It warns of every setting that a model has no use for, and of names that it would rather see no more.
globalThis.AI_SDK_LOG_WARNINGS = false;
const sure = { temperature: 0, maxRetries: 0 };

const PROVIDERS = ['@ai-sdk/openai', '@ai-sdk/openai, chat', '@ai-sdk/openai-compatible'] as const;

describe.each(PROVIDERS)('Vercel AI SDK by %s', (provider) => {
  function models() {
    const options = { baseURL: `${url}/v1`, apiKey: 'any', headers: COMPUTED };
    const compatible = createOpenAICompatible({
      name: 'millrace',
      supportsStructuredOutputs: true,
      includeUsage: true,
      ...options,
    });
    const openai = createOpenAI(options);
    switch (provider) {
      // Without a further word it asks for responses.
      case '@ai-sdk/openai':
        return { chat: openai(CHAT), text: openai.completion(CHAT), vectors: openai.embeddingModel(EMBED) };
      case '@ai-sdk/openai, chat':
        return { chat: openai.chat(CHAT), text: openai.completion(CHAT), vectors: openai.embeddingModel(EMBED) };
      case '@ai-sdk/openai-compatible':
        return {
          chat: compatible.chatModel(CHAT),
          text: compatible.completionModel(CHAT),
          vectors: compatible.embeddingModel(EMBED),
        };
    }
  }

  /** What it asks, and what the tool is called with. */
  function weather(asked: unknown[]) {
    return tool({
      description: 'Get the current weather in a city',
      inputSchema: z.object({ city: z.string() }),
      execute: async (given) => {
        asked.push(given);
        return { temperature: 21, condition: 'sunny' };
      },
    });
  }

  it('generateText answers, with its usage and why it ended', async () => {
    const { text, finishReason, usage, response } = await generateText({ model: models().chat, prompt, ...sure });
    expect(text).toContain('Paris');
    expect(finishReason).toBe('stop');
    expect(usage.outputTokens).toBeGreaterThan(0);
    expect(usage.totalTokens).toBe(usage.inputTokens! + usage.outputTokens!);
    expect(response.modelId).toBe(CHAT);
  });

  it('generateText keeps to instructions, a conversation and a limit', async () => {
    const { finishReason, usage } = await generateText({
      model: models().chat,
      system: 'You answer briefly.',
      messages: [
        { role: 'user', content: 'Hello!' },
        { role: 'assistant', content: 'Hello.' },
        { role: 'user', content: prompt },
      ],
      maxOutputTokens: 2,
      ...sure,
    });
    expect(finishReason).toBe('length');
    expect(usage.outputTokens).toBe(2);
  });

  it('streamText streams the same, and ends with its usage', async () => {
    const { text } = await generateText({ model: models().chat, prompt, ...sure });
    const streamed = streamText({ model: models().chat, prompt, ...sure });
    const pieces: string[] = [];
    for await (const piece of streamed.textStream) pieces.push(piece);
    expect(pieces.length).toBeGreaterThan(2);
    expect(pieces.join('')).toBe(text);
    expect(await streamed.finishReason).toBe('stop');
    expect((await streamed.usage).outputTokens).toBeGreaterThan(0);
  });

  it('generateObject returns what a zod schema allows', async () => {
    const { object } = await generateObject({ model: models().chat, schema, prompt, ...sure });
    expect(schema.parse(object)).toEqual(object);
  });

  it('streamObject comes to the same, by parts', async () => {
    const { object } = await generateObject({ model: models().chat, schema, prompt, ...sure });
    const streamed = streamObject({ model: models().chat, schema, prompt, ...sure });
    const parts: unknown[] = [];
    for await (const part of streamed.partialObjectStream) parts.push(part);
    expect(parts.length).toBeGreaterThan(1);
    expect(await streamed.object).toEqual(object);
  });

  it('Output.object and Output.choice return what they allow', async () => {
    const { output } = await generateText({ model: models().chat, prompt, output: Output.object({ schema }), ...sure });
    expect(schema.parse(output)).toEqual(output);
    const options = ['Oslo', 'Paris'] as const;
    const chosen = await generateText({
      model: models().chat,
      prompt,
      output: Output.choice({ options: [...options] }),
      ...sure,
    });
    expect(options).toContain(chosen.output);
  });

  it('tools are called, and the answer is made of what they said, in two steps', async () => {
    const asked: unknown[] = [];
    const { text, steps } = await generateText({
      model: models().chat,
      prompt: asksForWeather,
      tools: { get_weather: weather(asked) },
      stopWhen: isStepCount(3),
      ...sure,
    });
    expect(asked).toEqual([{ city: 'Oslo' }]);
    expect(steps.map(({ finishReason }) => finishReason)).toEqual(['tool-calls', 'stop']);
    expect(text).toContain('21');
  });

  it('tools are called in a stream too', async () => {
    const asked: unknown[] = [];
    const streamed = streamText({
      model: models().chat,
      prompt: asksForWeather,
      tools: { get_weather: weather(asked) },
      stopWhen: isStepCount(3),
      ...sure,
    });
    expect(await streamed.text).toContain('21');
    expect(asked).toEqual([{ city: 'Oslo' }]);
    expect(await streamed.steps).toHaveLength(2);
  });

  it.each([
    ['required', 'required'],
    ['the tool named', { type: 'tool', toolName: 'get_weather' }],
  ] as const)('a call is made whatever the question when it is %s', async (_what, toolChoice) => {
    const { toolCalls } = await generateText({
      model: models().chat,
      prompt: asksForWeather,
      tools: {
        get_weather: tool({ description: 'Weather', inputSchema: z.object({ city: z.enum(['Oslo', 'Bergen']) }) }),
      },
      toolChoice,
      ...sure,
    });
    expect(toolCalls).toHaveLength(1);
    expect(['Oslo', 'Bergen']).toContain((toolCalls[0]!.input as { city: string }).city);
  });

  it('a text is continued by the completion model', async () => {
    const { text, usage } = await generateText({
      model: models().text,
      prompt: 'Once upon a time',
      maxOutputTokens: 10,
      ...sure,
    });
    expect(text.length).toBeGreaterThan(5);
    expect(usage.outputTokens).toBe(10);
  });

  it('embed and embedMany put a paraphrase nearer than another statement', async () => {
    const model = models().vectors;
    const value = 'The train did not arrive on time.';
    const { embedding } = await embed({ model, value });
    const { embeddings, usage } = await embedMany({
      model,
      values: ['The train was late.', 'Anna bought a red bicycle.'],
    });
    expect(cosineSimilarity(embedding, embeddings[0]!)).toBeGreaterThan(cosineSimilarity(embedding, embeddings[1]!));
    expect(usage.tokens).toBeGreaterThan(0);
  });

  it('an error has its status, and whether to try again', async () => {
    const model = createOpenAI({ baseURL: `${url}/v1`, apiKey: 'any' }).chat('gpt-9');
    const error = await generateText({ model, prompt, maxRetries: 0 }).catch((thrown: unknown) => thrown);
    expect(APICallError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({ statusCode: 404, isRetryable: false, message: expect.stringContaining('gpt-9') });
  });

  it('an abort ends the stream', async () => {
    const leaving = new AbortController();
    const streamed = streamText({
      model: models().chat,
      prompt: 'Tell me a long story.',
      abortSignal: leaving.signal,
      ...sure,
    });
    const kinds: string[] = [];
    for await (const { type } of streamed.stream) {
      kinds.push(type);
      if (type === 'text-delta') leaving.abort();
    }
    expect(kinds.at(-1)).toBe('abort');
  });
});

describe('Vercel AI SDK with a model that thinks', () => {
  let stack: ThinkingStack;
  beforeAll(async () => {
    stack = await startThinkingStack();
  }, STARTING_MS);
  afterAll(() => stack?.[Symbol.asyncDispose]());

  const model = () => createOpenAI({ baseURL: `${stack.url}/v1`, apiKey: 'any', headers: COMPUTED })('thinker');
  const get_weather = tool({
    description: 'Get the current weather in a city',
    inputSchema: z.object({ city: z.string() }),
    execute: async () => ({ temperature: 21 }),
  });
  // It asks for summaries, and for what it sends back of thoughts, of models that it knows to think; of others it must be told.
  const thinking = (more: object = {}) => ({
    openai: { forceReasoning: true, reasoningSummary: 'auto' as const, ...more },
  });
  /** The messages with which the model was asked again, once its tool was called. */
  const askedAgain = () => stack.asked().findLast((messages) => messages.at(-1)?.role === 'tool');

  it('generateText tells what it thought', async () => {
    const { reasoningText, text } = await generateText({
      model: model(),
      prompt: asksForWeather,
      providerOptions: thinking(),
      maxRetries: 0,
    });
    expect(reasoningText).toBe(THOUGHT);
    expect(text).toBe('It is 21 degrees.');
  });

  it('streamText streams what it thinks, before what it says', async () => {
    const streamed = streamText({
      model: model(),
      prompt: asksForWeather,
      providerOptions: thinking(),
      maxRetries: 0,
    });
    const kinds: string[] = [];
    let thought = '';
    for await (const part of streamed.stream) {
      if (kinds.at(-1) !== part.type) kinds.push(part.type);
      if (part.type === 'reasoning-delta') thought += part.text;
    }
    expect(thought).toBe(THOUGHT);
    expect(kinds.filter((kind) => /^(reasoning|text)-/.test(kind))).toEqual([
      'reasoning-start',
      'reasoning-delta',
      'reasoning-end',
      'text-start',
      'text-delta',
      'text-end',
    ]);
  });

  it.each([
    ['generateText', true],
    ['generateText', false],
    ['streamText', true],
    ['streamText', false],
  ] as const)('%s goes on from its own thoughts once a tool was called (store: %s)', async (how, store) => {
    const asked = {
      model: model(),
      prompt: asksForWeather,
      tools: { get_weather },
      stopWhen: isStepCount(3),
      providerOptions: thinking({ store }),
      maxRetries: 0,
    };
    const steps = how === 'generateText' ? (await generateText(asked)).steps : await streamText(asked).steps;
    expect(steps.map(({ reasoningText }) => reasoningText)).toEqual([THOUGHT, AFTERTHOUGHT]);
    expect(askedAgain()?.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool']);
    expect(askedAgain()?.[1]).toMatchObject({ reasoning_content: THOUGHT });
  });
});
