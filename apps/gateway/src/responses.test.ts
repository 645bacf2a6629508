import { responseEventSchema, responseSchema } from '@millrace/contracts';
import OpenAI from 'openai';
import { zodTextFormat } from 'openai/helpers/zod';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import type { Script } from './dispatch/fake-worker.testing.js';
import { calling, messagesOf, startResponses, streamedEvents } from './responses.testing.js';

const asked = { model: 'demo', input: 'How high is the tide?' };
const weather = {
  type: 'function' as const,
  name: 'get_weather',
  description: null,
  parameters: { type: 'object', properties: { city: { type: 'string' } } },
  strict: true,
};
const ROME = calling(0, 'get_weather', '{"ci', 'ty":"Rome"}');
const OSLO = calling(1, 'get_weather', '{"city":"Oslo"}');

const id = (beginning: string) => expect.stringMatching(new RegExp(`^${beginning}_[0-9a-f]{48}$`));
const CALL = expect.stringMatching(/^call_[A-Za-z0-9]{24}$/);
const message = (text: string) => ({
  id: id('msg'),
  type: 'message',
  role: 'assistant',
  status: 'completed',
  content: [{ type: 'output_text', text, annotations: [], logprobs: [] }],
});
const call = (text: string) => ({
  id: id('fc'),
  type: 'function_call',
  call_id: CALL,
  name: 'get_weather',
  arguments: text,
  status: 'completed',
});

describe('a response', () => {
  it('comes whole, with all that its request said, and what holds where that said nothing', async () => {
    await using started = await startResponses(['Four ', 'metres.']);
    const { bed } = started;
    const response = await bed.post('/v1/responses', {
      ...asked,
      instructions: 'Be brief.',
      max_output_tokens: 50,
      temperature: 0.5,
      metadata: { of: 'a test' },
      tools: [{ ...weather, strict: undefined }],
      safety_identifier: 'somebody',
      prompt_cache_key: 'tides',
      user: 'me',
    });
    const body = await response.json();
    expect(body).toEqual({
      id: id('resp'),
      object: 'response',
      created_at: expect.any(Number),
      status: 'completed',
      background: false,
      completed_at: expect.any(Number),
      error: null,
      incomplete_details: null,
      instructions: 'Be brief.',
      max_output_tokens: 50,
      max_tool_calls: null,
      model: 'demo',
      output: [message('Four metres.')],
      parallel_tool_calls: true,
      previous_response_id: null,
      conversation: null,
      prompt_cache_key: 'tides',
      reasoning: { effort: null, summary: null },
      safety_identifier: 'somebody',
      service_tier: 'default',
      store: true,
      temperature: 0.5,
      text: { format: { type: 'text' }, verbosity: 'medium' },
      tool_choice: 'auto',
      tools: [weather],
      top_logprobs: 0,
      top_p: 1,
      truncation: 'disabled',
      usage: {
        input_tokens: expect.any(Number),
        input_tokens_details: { cached_tokens: expect.any(Number), cache_write_tokens: 0 },
        output_tokens: 3,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: expect.any(Number),
      },
      user: 'me',
      metadata: { of: 'a test' },
      access_programs: null,
    });
    expect(responseSchema.parse(body)).toEqual(body);
    expect(messagesOf(bed)).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'How high is the tide?' },
    ]);
    expect(bed.records()).toMatchObject([{ endpoint: 'responses', outcome: 'served', stream: false }]);
  });

  it('streams as OpenAI’s do: every event in its order, under its name, with its number', async () => {
    await using started = await startResponses([{ reasoning: 'Tides ' }, { reasoning: 'turn.' }, 'Four ', 'metres.']);
    const events = await streamedEvents(started.bed, asked);
    expect(events.map(({ type }) => type)).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      'response.reasoning_text.delta',
      'response.reasoning_text.delta',
      'response.reasoning_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ]);
    expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, index) => index));
    for (const event of events) expect(responseEventSchema.parse(event)).toEqual(event);
    expect(events.at(-1)).toMatchObject({
      response: {
        status: 'completed',
        output: [
          { type: 'reasoning', summary: [], content: [{ type: 'reasoning_text', text: 'Tides turn.' }] },
          message('Four metres.'),
        ],
        usage: { output_tokens: 5, output_tokens_details: { reasoning_tokens: 2 } },
      },
    });
    expect(started.bed.records()).toMatchObject([{ endpoint: 'responses', outcome: 'served', stream: true }]);
  });

  it('streams calls as items of their own, with their arguments bit by bit', async () => {
    await using started = await startResponses({ answer: ['Well. ', ...ROME, ...OSLO], reason: 'tool_calls' });
    const events = await streamedEvents(started.bed, { ...asked, tools: [weather] });
    expect(events.slice(7).map(({ type }) => type)).toEqual([
      'response.output_item.done',
      'response.output_item.added',
      'response.function_call_arguments.delta',
      'response.function_call_arguments.delta',
      'response.function_call_arguments.done',
      'response.output_item.done',
      'response.output_item.added',
      'response.function_call_arguments.delta',
      'response.function_call_arguments.done',
      'response.output_item.done',
      'response.completed',
    ]);
    expect(events[8]).toMatchObject({
      output_index: 1,
      item: { type: 'function_call', name: 'get_weather', arguments: '', status: 'in_progress' },
    });
    expect(events.at(-1)).toMatchObject({
      response: {
        status: 'completed',
        output: [message('Well. '), call('{"city":"Rome"}'), call('{"city":"Oslo"}')],
      },
    });
  });

  it.each([
    ['length', 'max_output_tokens'],
    ['content_filter', 'content_filter'],
  ] as const)('that ends with %s is incomplete, and says why', async (reason, told) => {
    await using started = await startResponses({ answer: ['Four '], reason });
    const whole = await started.bed.client.responses.create(asked);
    expect(whole).toMatchObject({ status: 'incomplete', incomplete_details: { reason: told }, completed_at: null });
    expect(whole.output).toMatchObject([{ status: 'incomplete', content: [{ text: 'Four ' }] }]);
    expect((await streamedEvents(started.bed, asked)).at(-1)).toMatchObject({
      type: 'response.incomplete',
      response: { incomplete_details: { reason: told } },
    });
  });

  it('is a message even where the model had nothing to say', async () => {
    await using started = await startResponses([]);
    expect((await started.bed.client.responses.create(asked)).output).toMatchObject([{ content: [{ text: '' }] }]);
  });

  it('has log-probabilities where they were asked for, those of its text alone', async () => {
    await using started = await startResponses({ answer: [{ reasoning: 'Hm. ' }, 'Four ', 'metres.'], logprob: -0.5 });
    const include = ['message.output_text.logprobs' as const];
    const whole = await started.bed.client.responses.create({ ...asked, include });
    const token = (text: string) => ({ token: text, logprob: -0.5, bytes: [...Buffer.from(text)], top_logprobs: [] });
    const logprobs = [token('Four '), token('metres.')];
    expect(whole.output[1]).toMatchObject({ content: [{ logprobs }] });
    const events = await streamedEvents(started.bed, { ...asked, include });
    const deltas = events.filter(({ type }) => type === 'response.output_text.delta');
    expect(deltas.map((event) => 'logprobs' in event && event.logprobs)).toEqual(logprobs.map((one) => [one]));
    expect(events.find(({ type }) => type === 'response.output_text.done')).toMatchObject({ logprobs });
  });
});

describe('a response that fails', () => {
  it('before anything was told has a status of its own, streamed or not, and is on record once', async () => {
    const failure = { code: 'context_length_exceeded', message: 'The prompt has 9 tokens.', param: 'messages' };
    await using started = await startResponses({ failure });
    for (const stream of [false, true]) {
      const response = await started.bed.post('/v1/responses', { ...asked, stream });
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ error: { code: failure.code, param: 'input' } });
    }
    expect(started.bed.records().map(({ code }) => code)).toEqual([failure.code, failure.code]);
    expect(started.store.kept).toEqual([]);
  });

  it('after its first event tells so in events, and the official client throws', async () => {
    const failure = { code: 'internal_error', message: 'The engine broke.', afterTokens: 1 };
    await using started = await startResponses({ answer: ['Four ', 'metres.'], failure });
    const events = await streamedEvents(started.bed, asked);
    expect(events.slice(-2)).toMatchObject([
      { type: 'error', code: 'internal_error', error: { type: 'server_error', message: 'The engine broke.' } },
      {
        type: 'response.failed',
        response: {
          status: 'failed',
          error: { code: 'server_error', message: 'The engine broke.' },
          output: [{ status: 'incomplete', content: [{ text: 'Four ' }] }],
        },
      },
    ]);
    expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, index) => index));
    expect(started.store.kept).toMatchObject([{ response: { status: 'failed' } }]);
    const stream = await started.bed.client.responses.create({ ...asked, stream: true });
    const read = async () => {
      for await (const _ of stream);
    };
    await expect(read()).rejects.toThrow(OpenAI.APIError);
    expect((await started.bed.post('/v1/responses', asked)).status).toBe(500);
    expect(started.bed.records().map(({ outcome }) => outcome)).toEqual(['failed', 'failed', 'failed']);
  });

  it('when its status was spent on the wait is an error event alone', async () => {
    const failure = { code: 'internal_error', message: 'The engine broke.' };
    await using started = await startResponses({ stepsBeforeFirst: 100, failure }, { statusHoldMs: 10 });
    const response = await started.bed.post('/v1/responses', { ...asked, stream: true });
    expect(response.status).toBe(200);
    const text = await response.text();
    expect(text).toContain('event: error\ndata: {"type":"error","sequence_number":0,"code":"internal_error"');
  });

  it('frees its place when the client leaves in mid-stream', async () => {
    await using started = await startResponses({ endless: 'more ' }, { creditTokens: 8 });
    const leaving = new AbortController();
    const { body } = await started.bed.post('/v1/responses', { ...asked, stream: true }, { signal: leaving.signal });
    await body!.getReader().read();
    leaving.abort();
    await expect.poll(() => started.bed.worker.running).toBe(0);
    await expect.poll(() => started.bed.records()).toMatchObject([{ outcome: 'cancelled' }]);
    expect(started.store.kept).toEqual([]);
  });
});

describe('what is kept of a response', () => {
  it('is there before its end was told, and another goes on from it', async () => {
    const script = (prompt: string): Script => ({ answer: [prompt.includes('Again') ? 'Five.' : 'Four.'] });
    await using started = await startResponses(script);
    const { client } = started.bed;
    const first = await client.responses.create({ ...asked, instructions: 'Be brief.' });
    let second = '';
    for await (const event of await client.responses.create({
      input: 'Again?',
      previous_response_id: first.id,
      stream: true,
    })) {
      if (event.type === 'response.completed') {
        second = event.response.id;
        expect(event.response.previous_response_id).toBe(first.id);
        expect(started.store.kept.map(({ response }) => response.id)).toEqual([first.id, second]);
      }
    }
    const third = await client.responses.create({ input: 'And now?', previous_response_id: second });
    expect(third.output_text).toBe('Five.');
    expect(messagesOf(started.bed, 2)).toEqual([
      { role: 'user', content: 'How high is the tide?' },
      { role: 'assistant', content: 'Four.' },
      { role: 'user', content: 'Again?' },
      { role: 'assistant', content: 'Five.' },
      { role: 'user', content: 'And now?' },
    ]);
    expect(started.store.kept[0]).toMatchObject({
      owner: undefined,
      input: [{ id: id('msg'), type: 'message', role: 'user', content: [{ type: 'input_text', text: asked.input }] }],
      response: { id: first.id, status: 'completed', store: true },
    });
  });

  it('is nothing where it says so', async () => {
    await using started = await startResponses(['Four.']);
    expect(await started.bed.client.responses.create({ ...asked, store: false })).toMatchObject({ store: false });
    expect(started.store.kept).toEqual([]);
  });

  it.each([false, true])('is not missed by who waits for the answer: streamed %s', async (stream) => {
    await using started = await startResponses(['Four.']);
    started.store.trouble = new Error('The database is away.');
    const { client } = started.bed;
    const response = stream
      ? await client.responses.stream(asked).finalResponse()
      : await client.responses.create(asked);
    expect(response.output_text).toBe('Four.');
    expect(response).toMatchObject({ status: 'completed', store: false });
    expect(started.bed.log.map(({ msg }) => msg)).toContain('a response could not be kept');
  });

  it('goes on in a conversation', async () => {
    await using started = await startResponses(['Four.']);
    started.store.conversations.set('conv_1', []);
    const { client } = started.bed;
    expect((await client.responses.create({ ...asked, conversation: 'conv_1' })).conversation).toEqual({
      id: 'conv_1',
    });
    await client.responses.create({ input: 'Sure?', conversation: { id: 'conv_1' } });
    expect(messagesOf(started.bed, 1)).toMatchObject([
      { content: asked.input },
      { role: 'assistant', content: 'Four.' },
      { content: 'Sure?' },
    ]);
    expect((await client.responses.inputTokens.count({ conversation: 'conv_1' })).input_tokens).toBeGreaterThan(0);
  });

  it.each([
    ['answered', {}, ['Four.'], 200],
    ['not kept', { store: false }, ['Four.'], 200],
    ['not valid', { tool_choice: 'required' }, ['Four.'], 400],
    ['not of a model that there is', { model: 'none' }, ['Four.'], 404],
    ['cut short by a failure', {}, { failure: { code: 'internal_error', message: 'Broken.', afterTokens: 1 } }, 500],
  ] as const)('lets its conversation go when it is %s', async (_what, changes, script, status) => {
    await using started = await startResponses(script);
    started.store.conversations.set('conv_1', []);
    const response = await started.bed.post('/v1/responses', { ...asked, conversation: 'conv_1', ...changes });
    expect(response.status).toBe(status);
    expect(started.store.held.size).toBe(0);
  });

  it('lets its conversation go before its end is told in a stream', async () => {
    await using started = await startResponses(['Four.']);
    started.store.conversations.set('conv_1', []);
    const stream = { ...asked, conversation: 'conv_1', stream: true as const };
    for await (const { type } of await started.bed.client.responses.create(stream)) {
      if (type === 'response.created') expect(started.store.held.size).toBe(1);
      if (type === 'response.completed') expect(started.store.held.size).toBe(0);
    }
  });

  it('can be referred to item by item', async () => {
    await using started = await startResponses(['Four.']);
    const { client } = started.bed;
    const { output } = await client.responses.create(asked);
    const reference = output[0]!.id as string;
    await client.responses.create({
      input: [{ role: 'user', content: 'How high?' }, { id: reference }, { role: 'user', content: 'Sure?' }],
    });
    expect(messagesOf(started.bed, 1).map(({ content }) => content)).toEqual(['How high?', 'Four.', 'Sure?']);
    await expect(
      client.responses.create({ input: [{ type: 'item_reference', id: 'msg_none' }] }),
    ).rejects.toMatchObject({ status: 400, param: 'input[0].id' });
  });

  it('that is not there is an error that OpenAI’s clients know', async () => {
    await using started = await startResponses(['Four.']);
    const { client } = started.bed;
    await expect(client.responses.create({ ...asked, previous_response_id: 'resp_none' })).rejects.toMatchObject({
      status: 400,
      code: 'previous_response_not_found',
      param: 'previous_response_id',
    });
    await expect(client.responses.create({ ...asked, conversation: 'conv_none' })).rejects.toMatchObject({
      status: 404,
      code: 'conversation_not_found',
    });
    expect(started.bed.records().map(({ endpoint }) => endpoint)).toEqual(['responses', 'responses']);
  });
});

describe('the official client', () => {
  it('reads a text', async () => {
    await using started = await startResponses(['Four ', 'metres.']);
    expect((await started.bed.client.responses.create(asked)).output_text).toBe('Four metres.');
  });

  it('puts a stream together, of every kind of item', async () => {
    await using started = await startResponses({
      answer: [{ reasoning: 'Hm.' }, 'Let me ', 'see. ', ...ROME, ...OSLO],
      reason: 'tool_calls',
    });
    const stream = started.bed.client.responses.stream({ ...asked, tools: [weather] });
    const texts: string[] = [];
    stream.on('response.output_text.delta', ({ snapshot }) => texts.push(snapshot));
    const { output, output_text } = await stream.finalResponse();
    expect(output_text).toBe('Let me see. ');
    expect(texts).toEqual(['Let me ', 'Let me see. ']);
    expect(output).toMatchObject([
      { type: 'reasoning', content: [{ text: 'Hm.' }] },
      { type: 'message' },
      { type: 'function_call', arguments: '{"city":"Rome"}', parsed_arguments: { city: 'Rome' } },
      { type: 'function_call', arguments: '{"city":"Oslo"}' },
    ]);
  });

  it('puts calls together whose pieces an engine mixes with each other and with text', async () => {
    const piece = (index: number, name: string, bit: string) => ({ calls: [{ index, name, arguments: bit }] });
    const answer = [
      ...[piece(0, 'get_weather', ''), piece(1, 'get_weather', '{"city":')],
      ...[piece(0, '', '{"city":'), 'Well.', piece(1, '', '"Oslo"}'), piece(0, '', '"Rome"}')],
    ];
    await using started = await startResponses({ answer, reason: 'tool_calls' });
    const calls = [{ arguments: '{"city":"Rome"}' }, { arguments: '{"city":"Oslo"}' }];
    const body = { ...asked, tools: [weather] };
    const { client } = started.bed;
    expect((await client.responses.create(body)).output).toMatchObject([...calls, { type: 'message' }]);
    const streamed = await client.responses.stream(body).finalResponse();
    expect(streamed.output).toMatchObject([...calls, { type: 'message', content: [{ text: 'Well.' }] }]);
  });

  it.each([false, true])('parses what obeys a zod schema: streamed %s', async (stream) => {
    await using started = await startResponses(['{"metres":', '4}']);
    const text = { format: zodTextFormat(z.object({ metres: z.number() }), 'tide') };
    const { client } = started.bed;
    const response = stream
      ? await client.responses.stream({ ...asked, text }).finalResponse()
      : await client.responses.parse({ ...asked, text });
    expect(response.output_parsed).toEqual({ metres: 4 });
    expect(response.text?.format).toMatchObject({ type: 'json_schema', name: 'tide', strict: true });
    expect(started.bed.worker.started[0]?.format).toMatchObject({
      format: { $case: 'schemaJson', value: expect.stringContaining('metres') },
    });
  });

  it('sends back all that came out, with the results of its calls', async () => {
    const script = (prompt: string): Script =>
      prompt.includes('tool_call_id')
        ? { answer: ['Warm.'] }
        : { answer: [{ reasoning: 'Hm.' }, 'Let me see.', ...ROME, ...OSLO], reason: 'tool_calls' };
    await using started = await startResponses(script);
    const { client } = started.bed;
    const question = { role: 'user' as const, content: 'How warm?' };
    const first = await client.responses.parse({ model: 'demo', input: [question], tools: [weather] });
    const results = first.output
      .filter((item) => item.type === 'function_call')
      .map(({ call_id }, index) => ({ type: 'function_call_output' as const, call_id, output: `${index}` }));
    const second = await client.responses.create({
      input: [question, ...(first.output as OpenAI.Responses.ResponseInputItem[]), ...results],
      tools: [weather],
    });
    expect(second.output_text).toBe('Warm.');
    const [, answer, ...tools] = messagesOf(started.bed, 1);
    expect(answer).toMatchObject({
      role: 'assistant',
      content: 'Let me see.',
      reasoning_content: 'Hm.',
      tool_calls: [{ function: { arguments: '{"city":"Rome"}' } }, { function: { arguments: '{"city":"Oslo"}' } }],
    });
    expect(tools).toMatchObject([
      { role: 'tool', content: '0' },
      { role: 'tool', content: '1' },
    ]);
    // Or only the results, to a response that is kept.
    await client.responses.create({ previous_response_id: first.id, input: results, tools: [weather] });
    expect(messagesOf(started.bed, 2)).toEqual(messagesOf(started.bed, 1));
  });

  it('counts the tokens of an input', async () => {
    await using started = await startResponses([]);
    const { client } = started.bed;
    const counted = await client.responses.inputTokens.count({
      model: 'demo',
      input: 'one two three',
      tools: [weather],
    });
    expect(counted).toEqual({ object: 'response.input_tokens', input_tokens: expect.any(Number) });
    expect(counted.input_tokens).toBeGreaterThan(0);
  });
});
