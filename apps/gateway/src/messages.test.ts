import Anthropic from '@anthropic-ai/sdk';
import { betaTool } from '@anthropic-ai/sdk/helpers/beta/json-schema';
import { jsonSchemaOutputFormat } from '@anthropic-ai/sdk/helpers/json-schema';
import { anthropicErrorSchema, messageEventSchema, messageSchema, openApiDocument } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import { MemoryResponseCache } from './cache/adapters/memory-response-cache.js';
import type { Script, ScriptedPiece, ScriptedToken } from './dispatch/fake-worker.testing.js';
import { collected, eventsOf, TestBed } from './gateway.testing.js';

const ask = { model: 'demo', max_tokens: 100, messages: [{ role: 'user' as const, content: 'one two three' }] };

function clientOf(bed: TestBed, options = {}): Anthropic {
  return new Anthropic({ baseURL: bed.url, apiKey: 'any', maxRetries: 0, ...options });
}

const start = (script: Script, settings = {}) => TestBed.start(settings, [{ script: () => script }]);

const calling = (index: number, name: string, ...bits: string[]): ScriptedPiece[] => [
  { calls: [{ index, name, arguments: '' }] },
  ...bits.map((bit) => ({ calls: [{ index, name: '', arguments: bit }] })),
];
const ROME = calling(0, 'get_weather', '{"ci', 'ty":', '"Rome"}');
const OSLO = calling(1, 'get_weather', '{"city":"Oslo"}');
const ID = expect.stringMatching(/^toolu_[A-Za-z0-9]{24}$/);
const used = (city: string) => ({
  type: 'tool_use',
  id: ID,
  name: 'get_weather',
  input: { city },
  caller: { type: 'direct' },
});
const weather = {
  name: 'get_weather',
  description: 'The weather.',
  input_schema: { type: 'object' as const, properties: { city: { type: 'string' } }, required: ['city'] },
};

/** What the worker was asked, as the template would read it. */
function promptOf(bed: TestBed, request = 0) {
  const { prompt } = bed.worker.started[request]!;
  if (prompt?.$case !== 'chat') throw new Error('It was no chat.');
  const { messagesJson, toolsJson, ...rest } = prompt.value;
  return { ...rest, messages: JSON.parse(messagesJson), tools: JSON.parse(toolsJson || '[]') };
}

describe('POST /v1/messages', () => {
  it('answers the official client', async () => {
    await using bed = await TestBed.start();
    const message = await clientOf(bed).messages.create(ask);
    expect(message).toEqual({
      id: expect.stringMatching(/^msg_[0-9a-f]{24}$/),
      type: 'message',
      role: 'assistant',
      model: 'demo',
      content: [{ type: 'text', text: 'one two three', citations: null }],
      stop_reason: 'end_turn',
      stop_sequence: null,
      stop_details: null,
      container: null,
      diagnostics: null,
      usage: {
        input_tokens: 2,
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: 1,
        output_tokens: 4,
        output_tokens_details: { thinking_tokens: 0 },
        server_tool_use: null,
        cache_creation: null,
        inference_geo: null,
        service_tier: 'standard',
        speed: 'standard',
      },
    });
    expect(messageSchema.parse(message)).toEqual(message);
    expect(message._request_id).toMatch(/^req_/);
    expect(bed.records()).toMatchObject([{ endpoint: 'messages', outcome: 'served', status: 200, stream: false }]);
    expect(bed.worker.started[0]).toMatchObject({ maxTokens: 100 });
  });

  it('streams in Anthropic’s form to the letter', async () => {
    const answer = [{ reasoning: 'Hm ' }, { reasoning: 'so.' }, 'Well. ', ...ROME, ...OSLO];
    // With credit for one token, none of them can be merged with the next.
    await using bed = await start({ answer, reason: 'tool_calls' }, { creditTokens: 1 });
    const body = { ...ask, stream: true, thinking: { type: 'adaptive' }, tools: [weather] };
    const response = await bed.post('/v1/messages', body);
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(response.headers.get('request-id')).toBe(response.headers.get('x-request-id'));
    const events = (await eventsOf(response)).map((event) => {
      const [, name, data] = /^event: (\w+)\ndata: (.*)$/.exec(event) ?? [];
      const parsed = messageEventSchema.parse(JSON.parse(data!));
      expect(parsed.type).toBe(name);
      return parsed;
    });
    const { message } = events[0] as Extract<(typeof events)[number], { type: 'message_start' }>;
    expect(message).toMatchObject({ content: [], stop_reason: null, usage: { input_tokens: 2, output_tokens: 0 } });
    const opened = (index: number, content_block: object) => ({ type: 'content_block_start', index, content_block });
    const delta = (index: number, delta: object) => ({ type: 'content_block_delta', index, delta });
    const closed = (index: number) => ({ type: 'content_block_stop', index });
    const json = (index: number, partial_json: string) => delta(index, { type: 'input_json_delta', partial_json });
    expect(events.slice(1)).toEqual([
      { type: 'ping' },
      opened(0, { type: 'thinking', thinking: '', signature: '' }),
      delta(0, { type: 'thinking_delta', thinking: 'Hm ' }),
      delta(0, { type: 'thinking_delta', thinking: 'so.' }),
      delta(0, { type: 'signature_delta', signature: 'millrace' }),
      closed(0),
      opened(1, { type: 'text', text: '', citations: null }),
      delta(1, { type: 'text_delta', text: 'Well. ' }),
      closed(1),
      opened(2, { ...used(''), input: {} }),
      json(2, '{"ci'),
      json(2, 'ty":'),
      json(2, '"Rome"}'),
      closed(2),
      opened(3, { ...used(''), input: {} }),
      json(3, '{"city":"Oslo"}'),
      closed(3),
      {
        type: 'message_delta',
        delta: { stop_reason: 'tool_use', stop_sequence: null, stop_details: null, container: null },
        usage: {
          input_tokens: 2,
          cache_creation_input_tokens: 0,
          cache_read_input_tokens: 1,
          output_tokens: expect.any(Number),
          output_tokens_details: { thinking_tokens: 2 },
          server_tool_use: null,
        },
      },
      { type: 'message_stop' },
    ]);
  });

  it('gives the stream helper of the official client the same message as a whole answer', async () => {
    const answer = [{ reasoning: 'Hm.' }, 'Let me ', 'see.', ...ROME, ...OSLO];
    await using bed = await start({ answer, reason: 'tool_calls' }, { creditTokens: 2 });
    const client = clientOf(bed);
    const asked = { ...ask, tools: [weather], thinking: { type: 'adaptive' as const } };
    const stream = client.messages.stream(asked);
    const texts: string[] = [];
    const thoughts: string[] = [];
    const inputs: unknown[] = [];
    const blocks: string[] = [];
    stream.on('text', (text) => texts.push(text));
    stream.on('thinking', (thought) => thoughts.push(thought));
    stream.on('inputJson', (_bit, snapshot) => inputs.push(snapshot));
    stream.on('contentBlock', ({ type }) => blocks.push(type));
    const { parsed_output: _, ...streamed } = await stream.finalMessage();
    expect(texts.join('')).toBe('Let me see.');
    expect(thoughts.join('')).toBe('Hm.');
    expect(inputs.at(-1)).toEqual({ city: 'Oslo' });
    expect(blocks).toEqual(['thinking', 'text', 'tool_use', 'tool_use']);
    expect(await stream.finalText()).toBe('Let me see.');
    expect(stream.request_id).toMatch(/^req_/);
    const whole = await client.messages.create(asked);
    const sameIds = (message: object) => JSON.parse(JSON.stringify(message).replace(/(msg|toolu)_\w+/g, '$1'));
    expect(sameIds(streamed)).toEqual(sameIds(whole));
    expect(whole.content).toEqual([
      { type: 'thinking', thinking: 'Hm.', signature: 'millrace' },
      { type: 'text', text: 'Let me see.', citations: null },
      used('Rome'),
      used('Oslo'),
    ]);
  });

  it('yields the same events where the official client iterates over them', async () => {
    await using bed = await TestBed.start();
    const events = await collected(await clientOf(bed).messages.create({ ...ask, stream: true }));
    expect(events[0]?.type).toBe('message_start');
    expect(events.at(-1)?.type).toBe('message_stop');
    const text = events.map((event) =>
      event.type === 'content_block_delta' && event.delta.type === 'text_delta' ? event.delta.text : '',
    );
    expect(text.join('')).toBe('one two three');
  });
});

describe('why an answer ended', () => {
  const cases: [string, Script, object, object][] = [
    ['by itself', { answer: ['a'] }, {}, { stop_reason: 'end_turn', stop_sequence: null }],
    ['with as many tokens as were asked for', { endless: 'a ' }, { max_tokens: 2 }, { stop_reason: 'max_tokens' }],
    [
      'with a stop sequence, which is named',
      { answer: ['a'], stopText: 'END' },
      { stop_sequences: ['STOP', 'END'] },
      { stop_reason: 'stop_sequence', stop_sequence: 'END' },
    ],
    ['with calls', { answer: [...ROME], reason: 'stop' }, { tools: [weather] }, { stop_reason: 'tool_use' }],
    [
      'with no calls, whatever its engine says',
      { answer: ['a'], reason: 'tool_calls' },
      {},
      { stop_reason: 'end_turn' },
    ],
    [
      'since a provider held it back',
      { answer: ['a'], reason: 'content_filter' },
      {},
      { stop_reason: 'refusal', stop_details: { type: 'refusal', category: null, explanation: null } },
    ],
    [
      'since the context was full',
      {
        answer: ['a'],
        reason: 'length',
        tamper: (update) =>
          update.settled ? { ...update, settled: { ...update.settled, completionTokens: 9_000 } } : update,
      },
      { max_tokens: 20_000 },
      { stop_reason: 'model_context_window_exceeded' },
    ],
  ];

  it.each(cases)('is told: %s', async (_how, script, changes, expected) => {
    await using bed = await start(script);
    const whole = await clientOf(bed).messages.create({ ...ask, ...changes });
    expect(whole).toMatchObject(expected);
    const streamed = await clientOf(bed)
      .messages.stream({ ...ask, ...changes })
      .finalMessage();
    expect(streamed).toMatchObject(expected);
  });

  it('takes as many tools and stop sequences as a program with several MCP servers sends', async () => {
    await using bed = await start({ answer: ['a'] });
    const tools = Array.from({ length: 1_024 }, (_, at) => ({ ...weather, name: `mcp__server__tool_${at}` }));
    const stop_sequences = Array.from({ length: 64 }, (_, at) => `END ${at}`);
    await clientOf(bed).messages.create({ ...ask, tools, stop_sequences });
    expect(bed.worker.started[0]?.stop).toEqual(stop_sequences);
  });

  it('hands the stop sequences to the worker, and lets the tokens of their answer through', async () => {
    await using bed = await start({ answer: ['a'], stopText: 'END' });
    await clientOf(bed).messages.create({ ...ask, stop_sequences: ['STOP', 'END'] });
    expect(bed.worker.started[0]?.stop).toEqual(['STOP', 'END']);
  });

  it.each([
    ['in the midst of its arguments', ['{"ci']],
    ['before they began', []],
  ])('leaves a call out of a whole answer that was cut %s', async (_where, bits) => {
    await using bed = await start({ answer: ['Well. ', ...calling(0, 'get_weather', ...bits)], reason: 'length' });
    const { content, stop_reason } = await clientOf(bed).messages.create({ ...ask, tools: [weather] });
    expect(content).toEqual([{ type: 'text', text: 'Well. ', citations: null }]);
    expect(stop_reason).toBe('max_tokens');
  });
});

it('leaves all calls out of a whole answer that was cut before any of them had arguments', async () => {
  const calls = ['get_weather', 'get_weather'].map((name, index) => ({ calls: [{ index, name, arguments: '' }] }));
  await using bed = await start({ answer: [{ text: 'Well. ' }, ...calls], reason: 'length' });
  const { content } = await clientOf(bed).messages.create({ ...ask, tools: [weather] });
  expect(content).toEqual([{ type: 'text', text: 'Well. ', citations: null }]);
});

it('tells calls one after another, whose pieces an engine mixes with each other and with text', async () => {
  const piece = (index: number, name: string, bit: string) => ({ calls: [{ index, name, arguments: bit }] });
  const answer: ScriptedPiece[] = [
    ...[piece(0, 'get_weather', ''), piece(1, 'get_weather', '{"city":')],
    ...[piece(0, '', '{"city":'), { text: 'Well.' }, piece(1, '', '"Oslo"}'), piece(0, '', '"Rome"}')],
  ];
  await using bed = await start({ answer, reason: 'tool_calls' }, { creditTokens: 1 });
  const asked = { ...ask, tools: [weather] };
  const text = { type: 'text', text: 'Well.', citations: null };
  const whole = await clientOf(bed).messages.create(asked);
  expect(whole.content).toEqual([used('Rome'), used('Oslo'), text]);
  expect(whole.stop_reason).toBe('tool_use');
  const streamed = await clientOf(bed).messages.stream(asked).finalMessage();
  expect(streamed.content).toEqual([used('Rome'), used('Oslo'), text]);
});

it('keeps a call of a tool that takes nothing', async () => {
  await using bed = await start({ answer: calling(0, 'get_weather'), reason: 'tool_calls' });
  const { content } = await clientOf(bed).messages.create({ ...ask, tools: [weather] });
  expect(content).toEqual([{ ...used('Rome'), input: {} }]);
});

describe('thoughts', () => {
  const answer: ScriptedToken[] = [{ reasoning: 'Hm.' }, 'Yes.'];
  const thought = { type: 'thinking', thinking: 'Hm.', signature: 'millrace' };
  const said = { type: 'text', text: 'Yes.', citations: null };

  it.each([
    [undefined, [said], 'none'],
    [{ type: 'disabled' }, [said], 'none'],
    [{ type: 'enabled', budget_tokens: 1_024 }, [thought, said], ''],
    [{ type: 'adaptive' }, [thought, said], ''],
    [{ type: 'adaptive', display: 'omitted' }, [{ ...thought, thinking: '' }, said], ''],
    [{ type: 'between_tools' }, [thought, said], ''],
  ])('are shown to whoever asks for them: %j', async (thinking, content, reasoningEffort) => {
    await using bed = await start({ answer });
    const response = await bed.post('/v1/messages', { ...ask, max_tokens: 2_000, thinking });
    expect(await response.json()).toMatchObject({ content, usage: { output_tokens_details: { thinking_tokens: 1 } } });
    expect(promptOf(bed).reasoningEffort).toBe(reasoningEffort);
  });

  it('are as deep as was asked for', async () => {
    await using bed = await start({ answer });
    for (const effort of ['low', 'max'] as const) {
      await clientOf(bed).messages.create({ ...ask, thinking: { type: 'adaptive' }, output_config: { effort } });
    }
    expect([promptOf(bed, 0), promptOf(bed, 1)]).toMatchObject([
      { reasoningEffort: 'low' },
      { reasoningEffort: 'xhigh' },
    ]);
  });

  it('come back to the model that thought them', async () => {
    await using bed = await start({ answer });
    const client = clientOf(bed);
    const { content } = await client.messages.create({ ...ask, thinking: { type: 'adaptive' } });
    const redacted = { type: 'redacted_thinking' as const, data: 'x' };
    const messages: Anthropic.MessageParam[] = [
      ...ask.messages,
      { role: 'assistant', content: [redacted, ...content] },
      { role: 'user', content: 'Why?' },
    ];
    await client.messages.create({ ...ask, messages });
    expect(promptOf(bed, 1).messages[1]).toEqual({ role: 'assistant', content: 'Yes.', reasoning_content: 'Hm.' });
  });
});

describe('a conversation in Anthropic’s words', () => {
  it('reaches the model as a chat: system prompt, turns, results', async () => {
    await using bed = await TestBed.start();
    const use = (id: string) => ({ type: 'tool_use' as const, id, name: 'get_weather', input: { city: id } });
    await clientOf(bed).messages.create({
      ...ask,
      system: [
        { type: 'text', text: 'x-anthropic-billing-header: cc_version=1; cch=abc;' },
        { type: 'text', text: 'Be brief.', cache_control: { type: 'ephemeral' } },
        { type: 'text', text: 'Be kind.' },
      ],
      tools: [weather, { name: 'other', input_schema: weather.input_schema, strict: true }],
      messages: [
        { role: 'user', content: 'Rome?' },
        { role: 'user', content: [{ type: 'text', text: 'And Oslo?' }] },
        { role: 'assistant', content: [{ type: 'text', text: 'Let me see.' }, use('a'), use('b')] },
        {
          role: 'user',
          content: [
            {
              type: 'tool_result',
              tool_use_id: 'b',
              content: [
                { type: 'text', text: '20' },
                { type: 'text', text: 'C' },
              ],
            },
            { type: 'tool_result', tool_use_id: 'a', content: 'no such city', is_error: true },
            { type: 'text', text: 'Go on.' },
          ],
        },
        { role: 'assistant', content: [use('c')] },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'c' }] },
      ],
    });
    const call = (id: string) => ({
      id,
      type: 'function',
      function: { name: 'get_weather', arguments: JSON.stringify({ city: id }) },
    });
    const { messages, tools } = promptOf(bed);
    expect(messages).toEqual([
      { role: 'system', content: 'Be brief.\nBe kind.' },
      { role: 'user', content: 'Rome?\nAnd Oslo?' },
      { role: 'assistant', content: 'Let me see.', tool_calls: [call('a'), call('b')] },
      { role: 'tool', tool_call_id: 'b', content: '20\nC' },
      { role: 'tool', tool_call_id: 'a', content: 'Error: no such city' },
      { role: 'user', content: 'Go on.' },
      { role: 'assistant', content: null, tool_calls: [call('c')] },
      { role: 'tool', tool_call_id: 'c', content: '' },
    ]);
    const { name, description, input_schema: parameters } = weather;
    expect(tools).toEqual([
      { type: 'function', function: { name, description, parameters } },
      { type: 'function', function: { name: 'other', parameters } },
    ]);
  });

  it('goes on with what the assistant has begun to say', async () => {
    await using bed = await TestBed.start();
    const messages = [...ask.messages, { role: 'assistant' as const, content: 'The answer is (' }];
    await clientOf(bed).messages.create({ ...ask, messages });
    expect(promptOf(bed)).toMatchObject({ continueFinal: true, messages });
  });

  it.each([
    [{ type: 'auto' }, { toolChoice: undefined, singleCall: false }],
    [
      { type: 'auto', disable_parallel_tool_use: true },
      { toolChoice: undefined, singleCall: true },
    ],
    [{ type: 'any' }, { toolChoice: { choice: { $case: 'required' } } }],
    [{ type: 'tool', name: 'get_weather' }, { toolChoice: { choice: { $case: 'name', value: 'get_weather' } } }],
    [{ type: 'none' }, { tools: [] }],
  ])('chooses tools as it was asked: %j', async (tool_choice, expected) => {
    await using bed = await TestBed.start();
    expect((await bed.post('/v1/messages', { ...ask, tools: [weather], tool_choice })).status).toBe(200);
    expect(promptOf(bed)).toMatchObject(expected);
  });

  it('samples as it was asked', async () => {
    await using bed = await TestBed.start();
    const ignored = { metadata: { user_id: 'u' }, service_tier: 'auto' };
    // Anthropic's newest models take none of them any more, and neither do the types of its client; other models do.
    await bed.post('/v1/messages', { ...ask, ...ignored, temperature: 0.5, top_p: 0.25, top_k: 4 });
    expect(bed.worker.started[0]?.sampling).toMatchObject({ temperature: 0.5, topP: 0.25, topK: 4 });
  });

  it('is carried on by the official client’s tool runner', async () => {
    const script = ({ prompt }: { prompt?: unknown }): Script =>
      JSON.stringify(prompt).includes('tool_call_id')
        ? { answer: ['Rome 30, ', 'Oslo 20.'] }
        : { answer: [...ROME, ...OSLO], reason: 'tool_calls' };
    for (const stream of [false, true]) {
      await using bed = await TestBed.start({}, [{ script }]);
      const asked: string[] = [];
      const tool = betaTool({
        name: 'get_weather',
        description: 'The weather.',
        inputSchema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
        run: ({ city }) => {
          asked.push(city);
          return city === 'Rome' ? '30' : '20';
        },
      });
      // It begins with a `thread`, is told that there are none, and goes on without.
      const message = await clientOf(bed)
        .beta.messages.toolRunner({ ...ask, tools: [tool], stream })
        .runUntilDone();
      expect(asked.sort()).toEqual(['Oslo', 'Rome']);
      expect(message).toMatchObject({ content: [{ type: 'text', text: 'Rome 30, Oslo 20.' }] });
      const results = promptOf(bed, 1).messages.filter(({ role }: { role: string }) => role === 'tool');
      expect(results.map(({ content }: { content: string }) => content)).toEqual(['30', '20']);
    }
  });

  it('answers in the form of a schema, which the official client parses', async () => {
    await using bed = await start({ answer: ['{"high":', '4}'] });
    const format = jsonSchemaOutputFormat({
      type: 'object',
      properties: { high: { type: 'number' } },
      required: ['high'],
      additionalProperties: false,
    });
    const { parsed_output } = await clientOf(bed).messages.parse({ ...ask, output_config: { format } });
    expect(parsed_output).toEqual({ high: 4 });
    const sent = bed.worker.started[0]?.format?.format;
    expect(sent?.$case === 'schemaJson' && JSON.parse(sent.value)).toMatchObject({ required: ['high'] });
  });
});

describe('POST /v1/messages/count_tokens', () => {
  it('counts what the model would read, and asks it nothing', async () => {
    await using bed = await TestBed.start();
    const { max_tokens: _, ...counted } = ask;
    const { input_tokens } = await clientOf(bed).messages.countTokens({
      ...counted,
      system: 'Be brief.',
      tools: [weather],
    });
    expect(input_tokens).toBeGreaterThan(0);
    expect(bed.worker.started).toEqual([]);
    expect(bed.records()).toMatchObject([{ endpoint: 'tokenize', outcome: 'served' }]);
  });
});

describe('the models, to a client of Anthropic’s', () => {
  const models = ['a', 'b', 'c'].map((id) => ({ id, aliases: [`also-${id}`] }));

  it('are listed page by page, and found by an alias', async () => {
    await using bed = await TestBed.start({}, [{ models }]);
    const client = clientOf(bed);
    const all = await collected(client.models.list({ limit: 2 }));
    expect(all.map(({ id }) => id)).toEqual(['a', 'b', 'c']);
    expect(all[0]).toEqual({
      type: 'model',
      id: 'a',
      display_name: 'a',
      created_at: '2023-11-14T22:13:20.000Z',
      max_input_tokens: 8192,
      max_tokens: 8192,
      capabilities: null,
      line: null,
      lifecycle: 'active',
      deprecated_at: null,
      retires_at: null,
    });
    const before = await client.models.list({ limit: 1, before_id: 'c' });
    expect(before).toMatchObject({ data: [{ id: 'b' }], has_more: true, first_id: 'b', last_id: 'b' });
    expect(await client.models.retrieve('also-b')).toMatchObject({ id: 'b', type: 'model' });
    await expect(client.models.retrieve('none')).rejects.toThrow(Anthropic.NotFoundError);
    await expect(client.models.list({ after_id: 'none' })).rejects.toThrow(Anthropic.BadRequestError);
  });

  it('stand in the OpenAPI document beside OpenAI’s', () => {
    const { paths, components } = openApiDocument() as {
      paths: Record<string, { get: { responses: Record<string, object> } }>;
      components: { responses: Record<string, object> };
    };
    // What several operations answer alike stands among the components.
    const { 401: refused } = paths['/v1/models']!.get.responses as Record<string, { $ref: string }>;
    const shared = components.responses[refused!.$ref.split('/').at(-1)!];
    const either = (ours: string, theirs: string) => ({
      content: {
        'application/json': {
          schema: { anyOf: [ours, theirs].map((name) => ({ $ref: `#/components/schemas/${name}` })) },
        },
      },
    });
    expect(paths['/v1/models']?.get).toMatchObject({
      parameters: ['limit', 'after_id', 'before_id', 'anthropic-version', 'x-millrace-deadline-ms'].map((name) => ({
        name,
        required: false,
      })),
      responses: { 200: either('ListModelsResponse', 'AnthropicModelList') },
    });
    expect(shared).toMatchObject(either('Error', 'AnthropicError'));
    expect(paths['/v1/models/{model}']?.get).toMatchObject({
      parameters: [{ name: 'model' }, { name: 'anthropic-version' }, { name: 'x-millrace-deadline-ms' }],
      responses: { 200: either('Model', 'AnthropicModel') },
    });
  });

  it('are OpenAI’s to everybody else', async () => {
    await using bed = await TestBed.start({}, [{ models }]);
    expect(await (await fetch(`${bed.url}/v1/models`)).json()).toMatchObject({ object: 'list' });
  });
});

describe('a failure, to a client of Anthropic’s', () => {
  const failing = (code: string, more: object = {}): Script => ({ failure: { code, message: 'scripted', ...more } });

  it.each([
    ['invalid_request', Anthropic.BadRequestError, 400, 'invalid_request_error'],
    ['model_not_ready', Anthropic.InternalServerError, 503, 'overloaded_error'],
    ['model_failed', Anthropic.InternalServerError, 503, 'api_error'],
    ['deadline_exceeded', Anthropic.InternalServerError, 504, 'timeout_error'],
    ['internal_error', Anthropic.InternalServerError, 500, 'api_error'],
    ['upstream_unauthorized', Anthropic.InternalServerError, 502, 'api_error'],
  ])('is of its class: %s', async (code, errorClass, status, type) => {
    await using bed = await start(failing(code));
    const error = await failureOf(clientOf(bed).messages.create(ask));
    expect(error).toBeInstanceOf(errorClass);
    expect(error).toMatchObject({ status, type, errorCode: code, requestID: expect.stringMatching(/^req_/) });
    expect(anthropicErrorSchema.parse(error.error)).toMatchObject({ request_id: error.requestID });
    const streamed = await failureOf(clientOf(bed).messages.stream(ask).finalMessage());
    expect(streamed).toMatchObject({ status, type });
  });

  it('is one of a full server where its waiting room is full', async () => {
    await using bed = await TestBed.start({ maxConcurrentRequests: 1, maxQueueDepth: 0 }, [
      { script: () => ({ silent: true }) },
    ]);
    const leaving = new AbortController();
    const first = clientOf(bed).messages.create(ask, { signal: leaving.signal });
    await expect.poll(() => bed.worker.started.length).toBe(1);
    const error = await failureOf(clientOf(bed).messages.create(ask));
    expect(error).toBeInstanceOf(Anthropic.RateLimitError);
    expect(error).toMatchObject({ status: 429, type: 'overloaded_error' });
    expect(error.headers?.get('x-millrace-limit')).toBe('queue');
    expect(error.headers?.get('retry-after')).toMatch(/^\d+$/);
    leaving.abort();
    await expect(first).rejects.toThrow(Anthropic.APIUserAbortError);
  });

  it('is one of the model’s name', async () => {
    await using bed = await TestBed.start();
    const error = await failureOf(clientOf(bed).messages.create({ ...ask, model: 'none' }));
    expect(error).toBeInstanceOf(Anthropic.NotFoundError);
    expect(error).toMatchObject({ type: 'not_found_error', errorCode: 'model_not_found' });
  });

  it('is an event where the stream has begun, and is recorded once', async () => {
    await using bed = await start(failing('worker_lost', { afterTokens: 2 }), { creditTokens: 1 });
    const stream = clientOf(bed).messages.stream(ask);
    const texts: string[] = [];
    stream.on('text', (text) => texts.push(text));
    const error = await failureOf(stream.finalMessage());
    expect(texts.join('')).toBe('one two ');
    expect(error).toMatchObject({ type: 'overloaded_error' });
    const response = await bed.post('/v1/messages', { ...ask, stream: true });
    const last = (await eventsOf(response)).at(-1)!;
    expect(last).toMatch(/^event: error\ndata: \{"type":"error","error":\{"type":"overloaded_error"/);
    expect(last).toContain(`"request_id":"${response.headers.get('request-id')}"`);
    expect(bed.records()).toHaveLength(2);
  });

  it.each([
    [
      'tools[0].function.parameters.properties.city',
      '`tools[0].function.parameters.properties.city` is odd.',
      '`tools[0].input_schema.properties.city` is odd.',
    ],
    [
      'response_format.json_schema.schema',
      '`response_format.json_schema.schema.x` is odd.',
      '`output_config.format.schema.x` is odd.',
    ],
    ['reasoning_effort', "`reasoning_effort` can't be honoured.", "`thinking` can't be honoured."],
    [
      'continue_final_message',
      "`continue_final_message` can't be honoured.",
      "A last message of the assistant’s, for the answer to go on with, can't be honoured.",
    ],
    ['messages', '`messages` can not be rendered.', '`messages` can not be rendered.'],
    ['tools[0].function.parameters', '`$ref` leads nowhere.', '`tools[0].input_schema`: `$ref` leads nowhere.'],
  ])('of a worker names Anthropic’s parameters, and is recorded once: %s', async (param, message, expected) => {
    await using bed = await start(failing('invalid_request', { message, param }));
    const format = { type: 'json_schema' as const, schema: { type: 'object' } };
    const asked = { ...ask, tools: [weather], output_config: { format } };
    expect((await failureOf(clientOf(bed).messages.create(asked))).apiMessage).toBe(expected);
    expect((await failureOf(clientOf(bed).messages.stream(asked).finalMessage())).apiMessage).toBe(expected);
    expect(bed.records()).toMatchObject([
      { endpoint: 'messages', code: 'invalid_request', stream: false },
      { endpoint: 'messages', code: 'invalid_request', stream: true },
    ]);
  });

  it('tells agents in the words that they look for that the conversation is too long', async () => {
    const message = 'The prompt has 9,214 tokens; this model accepts 8,192. Send fewer messages.';
    await using bed = await start(failing('context_length_exceeded', { message, param: 'messages' }));
    const { apiMessage, status } = await failureOf(clientOf(bed).messages.create(ask));
    expect([status, apiMessage]).toEqual([400, `prompt is too long: ${message}`]);
  });

  it('that is no request at all has the same shape, and so has every other path below', async () => {
    await using bed = await TestBed.start({ bodyBytesMax: 1_000 });
    const tried = [
      [400, bed.post('/v1/messages', '{')],
      [400, bed.post('/v1/messages', '[]')],
      [404, bed.post('/v1/messages/batches', {})],
      [405, fetch(`${bed.url}/v1/messages`)],
      [413, bed.post('/v1/messages', { ...ask, system: 'x'.repeat(2_000) })],
      [415, bed.post('/v1/messages', 'x', { headers: { 'content-type': 'text/plain' } })],
      [400, bed.post('/v1/messages', ask, { headers: { 'x-millrace-deadline-ms': 'soon' } })],
      [404, fetch(`${bed.url}/v1/models/none`, { headers: { 'anthropic-version': '2023-06-01' } })],
    ] as const;
    for (const [status, trying] of tried) {
      const response = await trying;
      expect(response.status).toBe(status);
      const { request_id } = anthropicErrorSchema.parse(await response.json());
      expect(response.headers.get('request-id')).toBe(request_id);
    }
  });

  it('is tried again by the official client where that may help', async () => {
    let tries = 0;
    const script = (): Script => (tries++ === 0 ? failing('shutting_down') : { answer: ['Here.'] });
    await using bed = await TestBed.start({ retryBudgetRatio: 0 } as object, [{ script }]);
    const { content } = await clientOf(bed, { maxRetries: 2 }).messages.create(ask);
    expect(content).toMatchObject([{ text: 'Here.' }]);
  });
});

describe('an answer that was kept', () => {
  it('is the same again, with the stop sequence that ended it, and costs nothing', async () => {
    const responseCache = new MemoryResponseCache({ bytesMax: 1_000_000, ageMsMax: 60_000 });
    const script = (): Script => ({ answer: ['a ', 'b'], stopText: 'END' });
    await using bed = await TestBed.start({}, [{ script }], true, '127.0.0.1', { responseCache });
    const repeatable = { ...ask, temperature: 0, stop_sequences: ['END'] };
    const told: unknown[] = [];
    for (const stream of [false, false, true]) {
      const client = clientOf(bed, { defaultHeaders: { 'x-millrace-cache': 'on' } });
      const { data, response } = stream
        ? await client.messages.stream(repeatable).withResponse()
        : await client.messages.create(repeatable).withResponse();
      const message = 'finalMessage' in data ? await data.finalMessage() : data;
      told.push([response.headers.get('x-millrace-cache'), message.stop_sequence, message.content]);
    }
    const content = [{ type: 'text', text: 'a b', citations: null }];
    expect(told).toEqual([
      ['miss', 'END', content],
      ['hit', 'END', content],
      ['hit', 'END', content],
    ]);
    expect(bed.worker.started).toHaveLength(1);
  });
});

describe('a client that leaves', () => {
  it('frees its place, before the first event and in mid-stream', async () => {
    await using bed = await start({ endless: 'on and ' });
    const stream = clientOf(bed).messages.stream({ ...ask, max_tokens: 1_000_000 });
    await stream.emitted('text');
    stream.abort();
    await expect(stream.finalMessage()).rejects.toThrow(Anthropic.APIUserAbortError);
    await expect.poll(() => bed.worker.running).toBe(0);
    const whole = clientOf(bed, { timeout: 100 }).messages.create({ ...ask, max_tokens: 1_000_000 });
    await expect(whole).rejects.toThrow(Anthropic.APIConnectionTimeoutError);
    await expect.poll(() => bed.worker.running).toBe(0);
    await expect.poll(() => bed.records().map(({ outcome }) => outcome)).toEqual(['cancelled', 'cancelled']);
  });
});

async function failureOf(promise: PromiseLike<unknown>): Promise<InstanceType<typeof Anthropic.APIError>> {
  try {
    await promise;
  } catch (error) {
    return error as InstanceType<typeof Anthropic.APIError>;
  }
  throw new Error('It did not fail.');
}
