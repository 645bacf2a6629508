import OpenAI, { toFile } from 'openai';
import { zodResponsesFunction, zodTextFormat } from 'openai/helpers/zod';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { sequencesOf } from '../stack.js';
import { openai, url } from './our-side.js';

const model = 'millrace-demo';
const input = 'What is the capital of France?';
const asksForWeather = 'What is the weather in Oslo?';
const ask = { model, input, temperature: 0 };
const Answer = z.object({ city: z.enum(['Oslo', 'Paris']), certain: z.boolean() });
const WEATHER: OpenAI.Responses.FunctionTool = {
  type: 'function',
  name: 'get_weather',
  description: 'Get the current weather in a city',
  parameters: {
    type: 'object',
    properties: { city: { type: 'string' } },
    required: ['city'],
    additionalProperties: false,
  },
  strict: true,
};
/** What it may say only ends long after whoever asks has left. */
const long = {
  ...ask,
  max_output_tokens: 3_000,
  text: {
    format: {
      type: 'json_schema' as const,
      name: 'long',
      schema: { type: 'array', items: { type: 'boolean' }, minItems: 900, maxItems: 900 },
    },
  },
};

describe('openai: responses and conversations', () => {
  const client = openai();

  describe('responses.create', () => {
    it('answers a message without words, and refuses none at all', async () => {
      const instructions = 'You answer briefly.';
      for (const empty of ['', [{ role: 'user' as const, content: '' }]]) {
        const response = await client.responses.create({ ...ask, instructions, input: empty, max_output_tokens: 16 });
        expect(response.status).toMatch(/^(completed|incomplete)$/);
      }
      const none = client.responses.create({ ...ask, instructions, input: [] });
      await expect(none).rejects.toBeInstanceOf(OpenAI.BadRequestError);
    });

    it('answers whole, with usage and what was asked', async () => {
      const response = await client.responses.create({
        ...ask,
        instructions: 'You answer briefly.',
        metadata: { of: 'test' },
      });
      expect(response.output_text).toContain('Paris');
      expect(response).toMatchObject({
        object: 'response',
        status: 'completed',
        error: null,
        incomplete_details: null,
        metadata: { of: 'test' },
        output: [{ type: 'message', role: 'assistant', status: 'completed' }],
      });
      expect(response.usage!.total_tokens).toBe(response.usage!.input_tokens + response.usage!.output_tokens);
      expect(response._request_id).toMatch(/^req_/);
    });

    it('streams the same, its events in order and numbered', async () => {
      const whole = await client.responses.create(ask);
      const types: string[] = [];
      const numbers: number[] = [];
      let text = '';
      for await (const event of await client.responses.create({ ...ask, stream: true })) {
        numbers.push(event.sequence_number);
        if (types.at(-1) !== event.type) types.push(event.type);
        if (event.type === 'response.output_text.delta') text += event.delta;
      }
      expect(text).toBe(whole.output_text);
      expect(numbers).toEqual([...numbers.keys()]);
      expect(types).toEqual([
        'response.created',
        'response.in_progress',
        'response.output_item.added',
        'response.content_part.added',
        'response.output_text.delta',
        'response.output_text.done',
        'response.content_part.done',
        'response.output_item.done',
        'response.completed',
      ]);
    });

    it('is incomplete at a limit, and says so', async () => {
      const response = await client.responses.create({ ...long, max_output_tokens: 16 });
      expect(response).toMatchObject({ status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } });
      expect(response.usage!.output_tokens).toBe(16);
    });

    it('takes a conversation of items in place of a text', async () => {
      const items: OpenAI.Responses.ResponseInput = [
        { role: 'developer', content: 'You answer briefly.' },
        { role: 'user', content: [{ type: 'input_text', text: 'Hello!' }] },
        { role: 'assistant', content: 'Hello.' },
        { role: 'user', content: input },
      ];
      expect((await client.responses.create({ ...ask, input: items })).output_text).toContain('Paris');
    });
  });

  describe('responses.stream', () => {
    it('tells of its events, and sums up', async () => {
      let snapshot = '';
      const runner = client.responses.stream(ask).on('response.output_text.delta', (event) => {
        snapshot = event.snapshot;
      });
      const response = await runner.finalResponse();
      expect(response.output_text).toContain('Paris');
      expect(snapshot).toBe(response.output_text);
    });

    it('parses what a zod schema allows', async () => {
      const runner = client.responses.stream({ ...ask, text: { format: zodTextFormat(Answer, 'answer') } });
      const { output_parsed } = await runner.finalResponse();
      expect(Answer.parse(output_parsed)).toEqual(output_parsed);
    });

    it('puts the arguments of a call together', async () => {
      const runner = client.responses.stream({
        ...ask,
        input: asksForWeather,
        tools: [WEATHER],
        tool_choice: 'required',
      });
      let snapshot = '';
      runner.on('response.function_call_arguments.delta', (event) => {
        snapshot = event.snapshot;
      });
      const { output } = await runner.finalResponse();
      expect(output).toMatchObject([{ type: 'function_call', name: 'get_weather', arguments: snapshot }]);
      expect(JSON.parse(snapshot)).toEqual({ city: 'Oslo' });
    });

    it('ends the work when it is aborted', async () => {
      const runner = client.responses.stream(long);
      runner.once('response.output_text.delta', () => runner.abort());
      await expect(runner.done()).rejects.toBeInstanceOf(OpenAI.APIUserAbortError);
      await expect.poll(() => sequencesOf(url)).toBe(0);
    });
  });

  describe('responses.parse', () => {
    it('returns what a zod schema allows', async () => {
      const { output_parsed } = await client.responses.parse({
        ...ask,
        text: { format: zodTextFormat(Answer, 'answer') },
      });
      expect(Answer.parse(output_parsed)).toEqual(output_parsed);
    });

    it('returns the arguments of a call as its schema has them', async () => {
      const tool = zodResponsesFunction({
        name: 'get_weather',
        description: 'Get the current weather in a city',
        parameters: z.object({ city: z.string() }),
      });
      const { output } = await client.responses.parse({
        ...ask,
        input: asksForWeather,
        tools: [tool],
        tool_choice: 'required',
      });
      expect(output).toMatchObject([{ type: 'function_call', parsed_arguments: { city: 'Oslo' } }]);
    });
  });

  it('a function is called, and what it said goes in with the id of the response before', async () => {
    const first = await client.responses.create({ ...ask, input: asksForWeather, tools: [WEATHER] });
    const [call] = first.output;
    if (call?.type !== 'function_call') throw new Error('No call.');
    const second = await client.responses.create({
      ...ask,
      previous_response_id: first.id,
      input: [
        { type: 'function_call_output', call_id: call.call_id, output: '{"temperature": 21, "condition": "sunny"}' },
      ],
      tools: [WEATHER],
    });
    expect(second.output_text).toContain('21');
    expect(second.previous_response_id).toBe(first.id);
  });

  it('responses are retrieved, their input is listed by pages, and they are deleted', async () => {
    const made = await client.responses.create({
      ...ask,
      input: [
        { role: 'user', content: 'Hello!' },
        { role: 'user', content: input },
      ],
    });
    expect((await client.responses.retrieve(made.id)).output_text).toBe(made.output_text);
    const texts: string[] = [];
    for await (const item of client.responses.inputItems.list(made.id, { limit: 1, order: 'asc' })) {
      texts.push(JSON.stringify(item));
    }
    expect(texts).toHaveLength(2);
    expect(texts[0]).toContain('Hello!');
    await client.responses.delete(made.id);
    await expect(client.responses.retrieve(made.id)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    await expect(client.responses.create({ ...ask, previous_response_id: made.id })).rejects.toMatchObject({
      param: 'previous_response_id',
    });
  });

  it('what is not to be stored is not there afterwards', async () => {
    const { id } = await client.responses.create({ ...ask, store: false });
    await expect(client.responses.retrieve(id)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  });

  it('in the background it is answered while nobody waits, and can be cancelled', async () => {
    const { id, status } = await client.responses.create({ ...ask, background: true });
    expect(['queued', 'in_progress', 'completed']).toContain(status);
    await expect.poll(async () => (await client.responses.retrieve(id)).status, { timeout: 30_000 }).toBe('completed');
    expect((await client.responses.retrieve(id)).output_text).toContain('Paris');
    const other = await client.responses.create({ ...long, background: true });
    expect((await client.responses.cancel(other.id)).status).toBe('cancelled');
    await expect.poll(() => sequencesOf(url)).toBe(0);
  });

  it('a stream in the background is taken up where it was left', async () => {
    const stream = await client.responses.create({ ...ask, background: true, stream: true });
    let id = '';
    let last = -1;
    for await (const event of stream) {
      if (event.type === 'response.created') id = event.response.id;
      last = event.sequence_number;
      if (event.type === 'response.in_progress') break;
    }
    let next: number | undefined;
    let final: OpenAI.Responses.Response | undefined;
    for await (const event of await client.responses.retrieve(id, { stream: true, starting_after: last })) {
      next ??= event.sequence_number;
      if (event.type === 'response.completed') final = event.response;
    }
    expect(next).toBe(last + 1);
    expect(JSON.stringify(final?.output)).toContain('Paris');
  });

  it('responses.inputTokens.count counts what create then reads', async () => {
    const { input_tokens } = await client.responses.inputTokens.count({ model, input });
    expect((await client.responses.create(ask)).usage!.input_tokens).toBe(input_tokens);
  });

  it('files are searched on the way', async () => {
    const store = await client.vectorStores.create({});
    const file = await toFile(Buffer.from('Anna wrote the letter.'), 'letter.md');
    await client.vectorStores.files.uploadAndPoll(store.id, file, { pollIntervalMs: 200 });
    const search = (temperature: number) =>
      client.responses.create({
        model,
        input: 'Hello!',
        temperature,
        tools: [{ type: 'file_search', vector_store_ids: [store.id] }],
        tool_choice: { type: 'file_search' },
        include: ['file_search_call.results'],
        max_output_tokens: 120,
      });
    // A tiny model does not always end what it looks for: it is asked until it does.
    let found: OpenAI.Responses.ResponseOutputItem | undefined;
    for (let attempt = 0; attempt < 30 && found === undefined; attempt++) {
      const { output } = await search(attempt === 0 ? 0 : 1);
      found = output.find((item) => item.type === 'file_search_call' && item.status === 'completed');
    }
    expect(found).toMatchObject({
      type: 'file_search_call',
      results: [{ filename: 'letter.md', text: 'Anna wrote the letter.' }],
    });
    await client.vectorStores.delete(store.id);
  });

  it('conversations are created, gone on with, listed, changed and deleted', async () => {
    const conversation = await client.conversations.create({
      metadata: { of: 'test' },
      items: [{ type: 'message', role: 'user', content: 'Hello!' }],
    });
    const response = await client.responses.create({ ...ask, conversation: conversation.id });
    expect(response.conversation).toEqual({ id: conversation.id });
    const items: OpenAI.Conversations.ConversationItem[] = [];
    for await (const item of client.conversations.items.list(conversation.id, { limit: 2, order: 'asc' }))
      items.push(item);
    expect(items.map((item) => (item.type === 'message' ? item.role : item.type))).toEqual([
      'user',
      'user',
      'assistant',
    ]);
    const of = { conversation_id: conversation.id };
    const added = await client.conversations.items.create(conversation.id, {
      items: [{ type: 'message', role: 'user', content: 'Thank you.' }],
    });
    const [thanks] = added.data;
    const thanksId = thanks!.type === 'message' ? thanks!.id : '';
    expect(await client.conversations.items.retrieve(thanksId, of)).toMatchObject({ role: 'user' });
    await client.conversations.items.delete(thanksId, of);
    await expect(client.conversations.items.retrieve(thanksId, of)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    expect(await client.conversations.update(conversation.id, { metadata: { of: 'other' } })).toMatchObject({
      metadata: { of: 'other' },
    });
    expect(await client.conversations.delete(conversation.id)).toMatchObject({ deleted: true });
    await expect(client.conversations.retrieve(conversation.id)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  });

  it('errors have their class before a stream begins, too', async () => {
    for (const stream of [false, true]) {
      await expect(client.responses.create({ ...ask, model: 'gpt-9', stream })).rejects.toBeInstanceOf(
        OpenAI.NotFoundError,
      );
      await expect(client.responses.create({ ...ask, temperature: 9, stream })).rejects.toMatchObject({
        param: 'temperature',
      });
    }
  });
});
