import Anthropic from '@anthropic-ai/sdk';
import { betaZodTool } from '@anthropic-ai/sdk/helpers/beta/zod';
import { zodOutputFormat } from '@anthropic-ai/sdk/helpers/zod';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { sequencesOf } from '../stack.js';
import { startFailingFront } from './failing-front.js';
import { COMPUTED, url } from './our-side.js';

const model = 'millrace-demo';
const messages = [{ role: 'user' as const, content: 'What is the capital of France?' }];
const asksForWeather = [{ role: 'user' as const, content: 'What is the weather in Oslo?' }];
const ask = { model, messages, max_tokens: 100, temperature: 0 };
/** What it may say only ends long after whoever asks has left. */
const schema = { type: 'array', items: { type: 'boolean' }, minItems: 900, maxItems: 900 };
const long = { ...ask, max_tokens: 3_000, output_config: { format: { type: 'json_schema' as const, schema } } };
const Answer = z.object({ city: z.enum(['Oslo', 'Paris']), certain: z.boolean() });
const WEATHER: Anthropic.Tool = {
  name: 'get_weather',
  description: 'Get the current weather in a city',
  input_schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
};

function textOf({ content }: Pick<Anthropic.Message, 'content'>): string {
  return content.map((block) => (block.type === 'text' ? block.text : '')).join('');
}

describe('@anthropic-ai/sdk', () => {
  const clientOf = (baseURL: string, options: object = {}) =>
    new Anthropic({ baseURL, apiKey: 'any', maxRetries: 0, defaultHeaders: COMPUTED, ...options });
  const client = clientOf(url);

  describe('messages.create', () => {
    it('answers whole, with usage, why it ended and the id of the request', async () => {
      const message = await client.messages.create({ ...ask, system: 'You answer briefly.' });
      expect(textOf(message)).toContain('Paris');
      expect(message).toMatchObject({
        type: 'message',
        role: 'assistant',
        stop_reason: 'end_turn',
        stop_sequence: null,
      });
      expect(message.usage.output_tokens).toBeGreaterThan(0);
      expect(message._request_id).toMatch(/^req_/);
    });

    it('streams the same, event by event', async () => {
      const whole = await client.messages.create(ask);
      const types: string[] = [];
      let text = '';
      for await (const event of await client.messages.create({ ...ask, stream: true })) {
        if (types.at(-1) !== event.type) types.push(event.type);
        if (event.type === 'content_block_delta' && event.delta.type === 'text_delta') text += event.delta.text;
      }
      expect(text).toBe(textOf(whole));
      expect(types.filter((type) => type !== 'ping')).toEqual([
        'message_start',
        'content_block_start',
        'content_block_delta',
        'content_block_stop',
        'message_delta',
        'message_stop',
      ]);
    });

    it('says why it ended: at a limit, or at a text that was to end it', async () => {
      expect(await client.messages.create({ ...ask, max_tokens: 2 })).toMatchObject({ stop_reason: 'max_tokens' });
      const stopped = await client.messages.create({ ...ask, stop_sequences: ['Paris'] });
      expect(stopped).toMatchObject({ stop_reason: 'stop_sequence', stop_sequence: 'Paris' });
      expect(textOf(stopped)).not.toContain('Paris');
    });

    it('goes on with what the assistant has begun', async () => {
      const begun = { role: 'assistant' as const, content: 'The capital of France is' };
      expect(textOf(await client.messages.create({ ...ask, messages: [...messages, begun] }))).toMatch(/^ ?Paris/);
    });

    it.each<[string, Anthropic.ToolChoice]>([
      ['any', { type: 'any' }],
      ['the tool named', { type: 'tool', name: 'get_weather' }],
    ])('has a tool called whatever the question when told %s', async (_what, tool_choice) => {
      const message = await client.messages.create({ ...ask, messages: asksForWeather, tools: [WEATHER], tool_choice });
      expect(message.stop_reason).toBe('tool_use');
      expect(message.content).toMatchObject([{ type: 'tool_use', name: 'get_weather', input: { city: 'Oslo' } }]);
    });
  });

  describe('messages.stream', () => {
    it('tells of texts and blocks, and sums up', async () => {
      const told: string[] = [];
      const stream = client.messages
        .stream(ask)
        .on('text', (_delta, snapshot) => told.push(snapshot))
        .on('contentBlock', ({ type }) => told.push(type));
      const message = await stream.finalMessage();
      expect(await stream.finalText()).toBe(textOf(message));
      expect(told.slice(-2)).toEqual([textOf(message), 'text']);
    });

    it('puts the input of a tool together', async () => {
      const message = await client.messages
        .stream({ ...ask, messages: asksForWeather, tools: [WEATHER] })
        .finalMessage();
      expect(message.stop_reason).toBe('tool_use');
      expect(message.content.at(-1)).toMatchObject({ type: 'tool_use', input: { city: 'Oslo' } });
    });

    it('ends the work when it is aborted', async () => {
      const stream = client.messages.stream(long);
      stream.once('text', () => stream.abort());
      await expect(stream.done()).rejects.toBeInstanceOf(Anthropic.APIUserAbortError);
      await expect.poll(() => sequencesOf(url)).toBe(0);
    });
  });

  it('messages.parse returns what a zod schema allows', async () => {
    const { parsed_output } = await client.messages.parse({
      ...ask,
      output_config: { format: zodOutputFormat(Answer) },
    });
    expect(Answer.parse(parsed_output)).toEqual(parsed_output);
  });

  it('the tool runner calls the tool and goes on with what it said', async () => {
    const asked: unknown[] = [];
    const weather = betaZodTool({
      name: 'get_weather',
      description: 'Get the current weather in a city',
      inputSchema: z.object({ city: z.string() }),
      run: (given) => {
        asked.push(given);
        return JSON.stringify({ temperature: 21, condition: 'sunny' });
      },
    });
    const runner = client.beta.messages.toolRunner({ ...ask, messages: asksForWeather, tools: [weather] });
    const final = await runner.runUntilDone();
    expect(asked).toEqual([{ city: 'Oslo' }]);
    expect(JSON.stringify(final.content)).toContain('21');
  });

  it('messages.countTokens counts what create then reads', async () => {
    const { input_tokens } = await client.messages.countTokens({ model, messages });
    const { usage } = await client.messages.create(ask);
    expect(input_tokens).toBe(usage.input_tokens + (usage.cache_read_input_tokens ?? 0));
  });

  it('models.list and models.retrieve know the models', async () => {
    const ids: string[] = [];
    for await (const { id, type } of client.models.list({ limit: 1 })) ids.push(`${type} ${id}`);
    expect(ids).toContain(`model ${model}`);
    expect(await client.models.retrieve(model)).toMatchObject({ id: model, type: 'model' });
  });

  it.each<[string, object, object]>([
    ['a value out of range', { temperature: 9 }, { constructor: Anthropic.BadRequestError, status: 400 }],
    ['a model that there is not', { model: 'claude-9' }, { constructor: Anthropic.NotFoundError, status: 404 }],
    ['no message', { messages: [] }, { constructor: Anthropic.BadRequestError, status: 400 }],
  ])('an error has its class and the id of its request: %s', async (_what, wrong, expected) => {
    for (const stream of [false, true]) {
      const error = await client.messages.create({ ...ask, ...wrong, stream }).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(Anthropic.APIError);
      expect(error).toMatchObject({ ...expected, error: { type: 'error' }, requestID: expect.stringMatching(/^req_/) });
    }
  });

  it('a refusal that says when is tried again by itself', async () => {
    await using front = await startFailingFront(url, [
      { status: 529, headers: { 'retry-after': '1' } },
      { close: true },
    ]);
    const message = await clientOf(front.url, { maxRetries: 2 }).messages.create(ask);
    expect(textOf(message)).toContain('Paris');
    expect(front.seen).toHaveLength(3);
  });

  it('a timeout is told as one, and ends the work as well', async () => {
    const answer = client.messages.create(long, { timeout: 300 });
    await expect(answer).rejects.toBeInstanceOf(Anthropic.APIConnectionTimeoutError);
    await expect.poll(() => sequencesOf(url)).toBe(0);
  });

  it('the raw response can be had beside the answer', async () => {
    const { data, response, request_id } = await client.messages.create(ask).withResponse();
    expect(textOf(data)).toContain('Paris');
    expect(response.headers.get('request-id')).toBe(request_id);
  });
});
