import { ContextOverflowError } from '@langchain/core/errors';
import { type AIMessageChunk, HumanMessage, SystemMessage, type UsageMetadata } from '@langchain/core/messages';
import { StringOutputParser } from '@langchain/core/output_parsers';
import { ChatPromptTemplate } from '@langchain/core/prompts';
import { tool } from '@langchain/core/tools';
import { ChatOpenAI, OpenAI, OpenAIEmbeddings } from '@langchain/openai';
import { createAgent } from 'langchain';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { AFTERTHOUGHT, STARTING_MS, startThinkingStack, THOUGHT, type ThinkingStack } from '../thinking-stack.js';
import { COMPUTED, url } from './our-side.js';

const question = 'What is the capital of France?';
const asksForWeather = 'What is the weather in Oslo?';
const Answer = z.object({ city: z.enum(['Oslo', 'Paris']), certain: z.boolean() });

function outputTokens(message: AIMessageChunk): number {
  return (message.usage_metadata as UsageMetadata | undefined)?.output_tokens ?? 0;
}

describe('LangChain.js', () => {
  const configuration = () => ({ baseURL: `${url}/v1`, defaultHeaders: COMPUTED });
  const common = () => ({ apiKey: 'any', maxRetries: 0, temperature: 0, configuration: configuration() });
  const chat = (more: object = {}) => new ChatOpenAI({ model: 'millrace-demo', ...common(), ...more });

  function weather(asked: unknown[]) {
    return tool(
      (given) => {
        asked.push(given);
        return JSON.stringify({ temperature: 21, condition: 'sunny' });
      },
      { name: 'get_weather', description: 'Get the current weather in a city', schema: z.object({ city: z.string() }) },
    );
  }

  it('ChatOpenAI.invoke answers, with usage and why it ended', async () => {
    const message = await chat().invoke([new SystemMessage('You answer briefly.'), new HumanMessage(question)]);
    expect(message.text).toContain('Paris');
    expect(outputTokens(message)).toBeGreaterThan(0);
    expect(message.response_metadata.finish_reason).toBe('stop');
  });

  it.each([false, true])('ChatOpenAI speaks the Responses API when told to (stream: %s)', async (streaming) => {
    const bound = chat({ useResponsesApi: true, streaming });
    const message = await bound.invoke(question);
    expect(message.text).toContain('Paris');
    expect(outputTokens(message)).toBeGreaterThan(0);
    const { tool_calls } = await bound.bindTools([weather([])]).invoke(asksForWeather);
    expect(tool_calls).toMatchObject([{ name: 'get_weather', args: { city: 'Oslo' } }]);
  });

  it.each([{}, { streaming: true }, { useResponsesApi: true }, { useResponsesApi: true, streaming: true }])(
    'ChatOpenAI knows a conversation that is too long for the model (%j)',
    async (options) => {
      const tooLong = chat(options).invoke('A river crosses the land. '.repeat(20_000));
      await expect(tooLong).rejects.toThrow(ContextOverflowError);
    },
  );

  it('ChatOpenAI.stream streams the same, and its pieces add up', async () => {
    const whole = await chat().invoke(question);
    let sum: AIMessageChunk | undefined;
    let pieces = 0;
    for await (const piece of await chat().stream(question)) {
      pieces++;
      sum = sum === undefined ? piece : sum.concat(piece);
    }
    expect(pieces).toBeGreaterThan(2);
    expect(sum!.text).toBe(whole.text);
    expect(outputTokens(sum!)).toBe(outputTokens(whole));
  });

  it('batch asks several at once', async () => {
    const messages = await chat().batch([question, 'What is the capital of Norway?']);
    expect(messages.map(({ text }) => /Paris|Oslo/.exec(text)?.[0])).toEqual(['Paris', 'Oslo']);
  });

  it('a chain of prompt, model and parser runs', async () => {
    const prompt = ChatPromptTemplate.fromMessages([['user', 'What is the capital of {country}?']]);
    const chain = prompt.pipe(chat()).pipe(new StringOutputParser());
    expect(await chain.invoke({ country: 'Norway' })).toContain('Oslo');
  });

  it.each(['jsonSchema', 'functionCalling', 'jsonMode'] as const)(
    'withStructuredOutput returns what a zod schema allows, by %s',
    async (method) => {
      // Any object will do for the mode that knows no schema.
      const structured =
        method === 'jsonMode'
          ? chat({ maxTokens: 200 }).withStructuredOutput(z.record(z.string(), z.unknown()), { method })
          : chat().withStructuredOutput(Answer, { method, name: 'answer' });
      const value = await structured.invoke(method === 'jsonMode' ? 'Reply with JSON.' : question);
      if (method === 'jsonMode') expect(typeof value).toBe('object');
      else expect(Answer.parse(value)).toEqual(value);
    },
  );

  it('bindTools has the tool called, whole and streamed', async () => {
    const bound = chat().bindTools([weather([])]);
    const { tool_calls } = await bound.invoke(asksForWeather);
    expect(tool_calls).toMatchObject([{ name: 'get_weather', args: { city: 'Oslo' } }]);
    let sum: AIMessageChunk | undefined;
    for await (const piece of await bound.stream(asksForWeather)) sum = sum === undefined ? piece : sum.concat(piece);
    expect(sum!.tool_calls).toMatchObject([{ name: 'get_weather', args: { city: 'Oslo' } }]);
  });

  it('bindTools has a call made whatever the question, if told so', async () => {
    const bound = chat({ maxTokens: 100 }).bindTools([weather([])], { tool_choice: 'get_weather' });
    const { tool_calls } = await bound.invoke(asksForWeather);
    expect(tool_calls?.map(({ name }) => name)).toEqual(['get_weather']);
  });

  it('an agent calls its tool, and answers with what that said', async () => {
    const asked: unknown[] = [];
    const agent = createAgent({ model: chat(), tools: [weather(asked)] });
    const { messages } = await agent.invoke({ messages: [{ role: 'user', content: asksForWeather }] });
    expect(asked).toEqual([{ city: 'Oslo' }]);
    expect(messages.map((message) => message.getType())).toEqual(['human', 'ai', 'tool', 'ai']);
    expect(messages.at(-1)!.text).toContain('21');
  });

  it('OpenAI continues a text', async () => {
    const text = await new OpenAI({ model: 'millrace-demo', maxTokens: 10, ...common() }).invoke('Once upon a time');
    expect(text.length).toBeGreaterThan(5);
  });

  it('OpenAIEmbeddings puts a paraphrase nearer than another statement', async () => {
    const vectors = new OpenAIEmbeddings({
      model: 'millrace-demo-embed',
      apiKey: 'any',
      configuration: configuration(),
    });
    const query = await vectors.embedQuery('The train did not arrive on time.');
    const [near, far] = await vectors.embedDocuments(['The train was late.', 'Anna bought a red bicycle.']);
    const dot = (other: readonly number[]) => query.reduce((sum, value, index) => sum + value * other[index]!, 0);
    expect(dot(near!)).toBeGreaterThan(dot(far!));
    expect(dot(query)).toBeCloseTo(1, 3);
  });

  it('an error is told as one, and not tried again where that is of no use', async () => {
    const unknown = new ChatOpenAI({ ...common(), model: 'gpt-9', maxRetries: 2 });
    await expect(unknown.invoke(question)).rejects.toMatchObject({ status: 404 });
  });
});

describe('LangChain.js with a model that thinks', () => {
  let stack: ThinkingStack;
  beforeAll(async () => {
    stack = await startThinkingStack();
  }, STARTING_MS);
  afterAll(() => stack?.[Symbol.asyncDispose]());

  const chat = (more: object = {}) =>
    new ChatOpenAI({
      model: 'thinker',
      apiKey: 'any',
      maxRetries: 0,
      useResponsesApi: true,
      // Its own `reasoning` is sent to models alone whose names it knows.
      modelKwargs: { reasoning: { summary: 'auto' } },
      configuration: { baseURL: `${stack.url}/v1`, defaultHeaders: COMPUTED },
      ...more,
    });
  const thoughtOf = ({ contentBlocks }: { readonly contentBlocks: readonly object[] }) =>
    contentBlocks.map((block) => ('reasoning' in block ? block.reasoning : '')).join('');

  it('invoke tells what it thought', async () => {
    const message = await chat().invoke(asksForWeather);
    expect(thoughtOf(message)).toBe(THOUGHT);
    expect(message.text).toBe('It is 21 degrees.');
  });

  it('stream streams what it thinks', async () => {
    let sum: AIMessageChunk | undefined;
    for await (const piece of await chat().stream(asksForWeather)) sum = sum === undefined ? piece : sum.concat(piece);
    expect(thoughtOf(sum!)).toBe(THOUGHT);
    expect(sum!.text).toBe('It is 21 degrees.');
  });

  it.each([
    ['keeps', {}, {}],
    ['keeps nothing', { zdrEnabled: true }, { include: ['reasoning.encrypted_content' as const] }],
  ])('an agent goes on from its own thoughts where the server %s', async (_what, more, options) => {
    const get_weather = tool(() => '{"temperature":21}', {
      name: 'get_weather',
      description: 'Get the current weather in a city',
      schema: z.object({ city: z.string() }),
    });
    const model = chat(more).bindTools([get_weather], options);
    const question = new HumanMessage(asksForWeather);
    const called = await model.invoke([question]);
    const result = await get_weather.invoke(called.tool_calls![0]!);
    const answer = await model.invoke([question, called, result]);
    expect([thoughtOf(called), thoughtOf(answer)]).toEqual([THOUGHT, AFTERTHOUGHT]);
    const again = stack.asked().at(-1)!;
    expect(again.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool']);
    expect(again[1]).toMatchObject({ reasoning_content: THOUGHT });
  });
});
