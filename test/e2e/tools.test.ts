import { Ajv2020 } from 'ajv/dist/2020.js';
import type OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from './stack.js';

const model = 'millrace-demo';
const ajv = new Ajv2020({ strict: false });

function tool(name: string, description: string, properties: Record<string, object>): OpenAI.ChatCompletionTool {
  const required = Object.keys(properties);
  const parameters = { type: 'object', properties, required, additionalProperties: false };
  return { type: 'function', function: { name, description, parameters } } as const;
}

const WEATHER = tool('get_weather', 'Get the current weather in a city', {
  city: { type: 'string', description: 'The city' },
});
const TIMER = tool('set_timer', 'Starts a countdown', {
  duration_minutes: { type: 'integer', minimum: 1, maximum: 600, description: 'Minutes' },
});

const asksForWeather = [{ role: 'user' as const, content: 'What is the weather in Oslo?' }];

/** Arguments obey the tool's schema, or the test fails. */
function checked(call: OpenAI.ChatCompletionMessageToolCall | undefined, tools = [WEATHER, TIMER]) {
  expect(call?.type).toBe('function');
  if (call?.type !== 'function') throw new Error('no function call');
  expect(call.id).toMatch(/^call_[A-Za-z0-9]{8,}$/);
  const called = tools.find((each) => each.type === 'function' && each.function.name === call.function.name);
  if (called?.type !== 'function') throw new Error(`${call.function.name} is none of the tools`);
  const given: unknown = JSON.parse(call.function.arguments);
  const valid = ajv.compile(called.function.parameters!);
  expect(valid(given), JSON.stringify(valid.errors)).toBe(true);
  return { name: call.function.name, given };
}

describe('tools with the built-in model', () => {
  let stack: Stack;
  let client: OpenAI;
  beforeAll(async () => {
    stack = await startStack();
    client = stack.client();
  });
  afterAll(() => stack.stop());

  const ask = (more: Partial<OpenAI.ChatCompletionCreateParamsNonStreaming>) =>
    client.chat.completions.create({
      model,
      messages: asksForWeather,
      tools: [WEATHER, TIMER],
      temperature: 0,
      max_tokens: 200,
      ...more,
    });

  it('are called where the model chooses to, and the call is no text', async () => {
    const { choices, usage } = await ask({});
    expect(choices[0]!.finish_reason).toBe('tool_calls');
    expect(choices[0]!.message.content).toBeNull();
    expect(choices[0]!.message.tool_calls).toHaveLength(1);
    expect(checked(choices[0]!.message.tool_calls![0])).toEqual({ name: 'get_weather', given: { city: 'Oslo' } });
    expect(usage!.completion_tokens).toBeGreaterThan(5);
  });

  it('are left alone where the question needs none', async () => {
    const { choices } = await ask({ messages: [{ role: 'user', content: 'What is the capital of France?' }] });
    expect(choices[0]!.finish_reason).toBe('stop');
    expect(choices[0]!.message.tool_calls).toBeUndefined();
    expect(choices[0]!.message.content).toContain('Paris');
  });

  it('stream in deltas that the official helper puts together', async () => {
    const stream = client.chat.completions.stream({
      model,
      messages: asksForWeather,
      tools: [WEATHER, TIMER],
      temperature: 0,
    });
    const deltas: OpenAI.ChatCompletionChunk.Choice.Delta.ToolCall[] = [];
    stream.on('chunk', ({ choices }) => deltas.push(...(choices[0]?.delta.tool_calls ?? [])));
    const { choices } = await stream.finalChatCompletion();
    expect(checked(choices[0]!.message.tool_calls![0])).toEqual({ name: 'get_weather', given: { city: 'Oslo' } });
    expect(choices[0]!.finish_reason).toBe('tool_calls');
    expect(deltas[0]).toMatchObject({ index: 0, type: 'function', function: { name: 'get_weather', arguments: '' } });
    expect(deltas.length).toBeGreaterThan(2);
    for (const delta of deltas.slice(1)) {
      expect(delta).toEqual({ index: 0, function: { arguments: expect.stringMatching(/./s) } });
    }
  });

  it('are called as functions where they came so, and their results are read in that form', async () => {
    const functions = [WEATHER, TIMER].flatMap((one) => (one.type === 'function' ? [one.function] : []));
    const asked = { model, temperature: 0, max_tokens: 200, functions } as const;
    const { choices } = await client.chat.completions.create({ ...asked, messages: asksForWeather });
    const { message, finish_reason } = choices[0]!;
    expect(finish_reason).toBe('function_call');
    expect(message.function_call?.name).toBe('get_weather');
    expect(JSON.parse(message.function_call!.arguments)).toEqual({ city: 'Oslo' });
    const streamed = await client.chat.completions.stream({ ...asked, messages: asksForWeather }).finalChatCompletion();
    expect(streamed.choices[0]!.message.function_call).toEqual(message.function_call);

    const content = JSON.stringify({ temperature: 21, condition: 'sunny' });
    const answered = await client.chat.completions.create({
      ...asked,
      messages: [...asksForWeather, message, { role: 'function', name: 'get_weather', content }],
    });
    expect(answered.choices[0]!.finish_reason).toBe('stop');
    expect(answered.choices[0]!.message.content).toContain('21');
  });

  it('run to the end with the helper that calls them', async () => {
    const asked: unknown[] = [];
    const runner = client.chat.completions.runTools({
      model,
      messages: asksForWeather,
      temperature: 0,
      tools: [
        {
          type: 'function',
          function: {
            name: 'get_weather',
            description: 'Get the current weather in a city',
            parameters: (WEATHER as OpenAI.ChatCompletionFunctionTool).function.parameters! as never,
            parse: JSON.parse,
            function: (given: unknown) => {
              asked.push(given);
              return JSON.stringify({ temperature: 21, condition: 'sunny' });
            },
          },
        },
      ],
    });
    const final = await runner.finalContent();
    expect(asked).toEqual([{ city: 'Oslo' }]);
    expect(final).toContain('21');
  });

  it('are called whatever the question when a call is required, with arguments that obey', async () => {
    const messages = [{ role: 'user' as const, content: 'Tell me a story about a mill.' }];
    let whole = 0;
    for (const temperature of [0, 1.5]) {
      for (const seed of [1, 2, 3]) {
        const { choices } = await ask({ messages, tool_choice: 'required', temperature, seed, max_tokens: 400 });
        const { message, finish_reason } = choices[0]!;
        if (finish_reason === 'length') continue; // A string has no end that a tiny model must find.
        whole++;
        expect(finish_reason).toBe('tool_calls');
        for (const call of message.tool_calls!) checked(call);
      }
    }
    expect(whole).toBeGreaterThanOrEqual(4);
  });

  it('are called by name when one is named, once when calls in parallel are off', async () => {
    const named = { type: 'function' as const, function: { name: 'set_timer' } };
    const { choices } = await ask({ tool_choice: named, parallel_tool_calls: false, temperature: 1, seed: 5 });
    expect(choices[0]!.finish_reason).toBe('tool_calls');
    expect(choices[0]!.message.tool_calls).toHaveLength(1);
    expect(checked(choices[0]!.message.tool_calls![0]).name).toBe('set_timer');
  });

  it('are no concern of the model when forbidden', async () => {
    const { choices } = await ask({ tool_choice: 'none' });
    expect(choices[0]!.finish_reason).toBe('stop');
    expect(choices[0]!.message.tool_calls).toBeUndefined();
  });

  it('give each of several answers calls of its own', async () => {
    const { choices } = await ask({ n: 3, tool_choice: 'required', temperature: 0.7, seed: 9, max_tokens: 400 });
    const ids = choices.flatMap(({ message }) => message.tool_calls ?? []).map(({ id }) => id);
    expect(ids.length).toBeGreaterThanOrEqual(2);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('are refused by name where their schema cannot be kept, where they are unknown and where results answer no call', async () => {
    const strange = tool('strange', 'x', { a: { type: 'array', uniqueItems: true, items: { type: 'string' } } });
    await expect(ask({ tools: [WEATHER, strange] })).rejects.toMatchObject({
      status: 400,
      param: expect.stringMatching(/^tools\[1\]\.function\.parameters/),
    });
    await expect(ask({ tool_choice: { type: 'function', function: { name: 'nobody' } } })).rejects.toMatchObject({
      status: 400,
      param: expect.stringMatching(/^tool_choice/),
    });
    const messages: OpenAI.ChatCompletionMessageParam[] = [
      ...asksForWeather,
      { role: 'tool', tool_call_id: 'call_unknown', content: '21' },
    ];
    await expect(ask({ messages })).rejects.toMatchObject({
      status: 400,
      param: expect.stringMatching(/^messages\[1\]/),
    });
  });
});
