import {
  INPUT_TOKENS_PARAMETERS,
  inputTokensRequestSchema,
  type ModelDescription,
  type Parameter,
  RESPONSE_PARAMETERS,
  responseRequestSchema,
} from '@millrace/contracts';
import fc from 'fast-check';
import type OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { ModelCatalog } from './model-catalog.js';
import { checkInputTokensRequest, checkResponseRequest, validResponse } from './parse-response-request.js';
import { completeItems } from './response-items.js';

const demo: ModelDescription = {
  id: 'demo',
  aliases: [],
  contextLength: 1_000,
  capabilities: ['chat'],
  engine: 'fake',
  created: 0,
  samplingDefaults: {},
  isDefault: true,
};
const models = new ModelCatalog(
  () => [demo],
  () => ({ models: [], aliases: [] }) as never,
);

const parse = (body: unknown) => {
  const asked = checkResponseRequest(body);
  return validResponse(asked, completeItems(asked.input, new Map()), models);
};
const promptOf = (changes: object) => parse({ input: 'Hi', ...changes }).prompts[0];

const tool = (name: string) => ({ type: 'function', name });
const user = { role: 'user', content: 'Hi' };
const call = (id: string) => ({ type: 'function_call', call_id: id, name: 'f', arguments: '{}' });
const schema = { type: 'object', properties: {} };

describe('a body of /v1/responses', () => {
  it.each<[string, unknown, string | undefined, RegExp]>([
    [
      'annotations that are none',
      { input: [{ role: 'assistant', content: [{ type: 'output_text', text: 'Hi', annotations: 'zz' }] }] },
      'input[0].content[0].annotations',
      /it must be a list/,
    ],
    [
      'an annotation of no kind',
      { input: [{ role: 'assistant', content: [{ type: 'output_text', text: 'Hi', annotations: [{ type: 'zz' }] }] }] },
      'input[0].content[0].annotations[0].type',
      /"zz"/,
    ],
    [
      'a citation of no file',
      {
        input: [
          {
            role: 'assistant',
            content: [{ type: 'output_text', text: 'Hi', annotations: [{ type: 'file_citation', index: 0 }] }],
          },
        ],
      },
      'input[0].content[0].annotations[0].file_id',
      /is required/,
    ],
    [
      'log-probabilities that are none',
      { input: [{ role: 'assistant', content: [{ type: 'output_text', text: 'Hi', logprobs: [{ token: 'Hi' }] }] }] },
      'input[0].content[0].logprobs[0].logprob',
      /is required/,
    ],
    ['a phase that is none', { input: [{ role: 'assistant', phase: 'zz', content: 'Hi' }] }, 'input[0].phase', /"zz"/],
    ['nothing', undefined, undefined, /^The body is missing/],
    ['a list', [], undefined, /must be a JSON object/],
    ['no input', {}, 'input', /^`input` is required/],
    ['an empty list as input', { input: [] }, 'input', /^`input` is empty/],
    ['a number as input', { input: 7 }, 'input', /^`input` is 7; it must be a string or a list/],
    [
      'messages in place of input',
      { messages: [user] },
      'messages',
      /^Unrecognized request argument supplied: messages/,
    ],
    ['an item that is no object', { input: [user, 7] }, 'input[1]', /must be an object/],
    [
      'an item of a kind that is not here',
      { input: [user, { type: 'computer_call' }] },
      'input[1].type',
      /^`input\[1\]\.type` is "computer_call"; it must be "message", "function_call", /,
    ],
    [
      'an item that says nothing of itself',
      { input: [{ content: 'x' }] },
      'input[0].role',
      /is required; it must be "user"/,
    ],
    [
      'a role that is none',
      { input: [{ role: 'tool', content: 'x' }] },
      'input[0].role',
      /^`input\[0\]\.role` is "tool"/,
    ],
    ['a message without content', { input: [{ role: 'user' }] }, 'input[0].content', /is required/],
    [
      'a part of a kind that is not here',
      { input: [{ role: 'user', content: [{ type: 'text', text: 'x' }] }] },
      'input[0].content[0].type',
      /is "text"; it must be "input_text"/,
    ],
    [
      'a part without text',
      { input: [user, { role: 'user', content: [{ type: 'input_text' }] }] },
      'input[1].content[0].text',
      /is required; it must be a string/,
    ],
    [
      'an image',
      {
        input: [
          {
            role: 'user',
            content: [
              { type: 'input_text', text: '' },
              { type: 'input_image', image_url: 'x' },
            ],
          },
        ],
      },
      'input[0].content[1]',
      /of type input_image; only text is read here/,
    ],
    ['a reference to an item without id', { input: [{ type: 'item_reference' }] }, 'input[0].id', /is required/],
    ['a reference to what is not kept', { input: [user, { id: 'msg_1' }] }, 'input[1].id', /is "msg_1", and no item/],
    [
      'a call without arguments',
      { input: [{ ...call('a'), arguments: undefined }] },
      'input[0].arguments',
      /is required/,
    ],
    ['a call without output', { input: [user, call('a')] }, 'input', /^No tool output found for function call a\./],
    [
      'an output without call',
      { input: [user, { type: 'function_call_output', call_id: 'a', output: '' }] },
      'input[1].call_id',
      /^No tool call found for function call output with call_id a/,
    ],
    ['half a character', { input: '\ud800' }, 'input', /half of a surrogate pair/],
    ['instructions of the wrong type', { instructions: 3 }, 'instructions', /must be a string/],
    [
      'a tool that is not here',
      { tools: [{ type: 'web_search' }] },
      'tools[0].type',
      /it must be "function" or "file_search"/,
    ],
    ['a custom tool', { tools: [tool('f'), { type: 'custom', name: 'x' }] }, 'tools[1].type', /is "custom"/],
    ['a tool without name', { tools: [{ type: 'function' }] }, 'tools[0].name', /is required/],
    [
      'a tool as chats have it',
      { tools: [{ type: 'function', function: { name: 'f' } }] },
      'tools[0].name',
      /is required/,
    ],
    ['a name with a blank', { tools: [tool('a b')] }, 'tools[0].name', /1 to 64 letters/],
    ['two tools of one name', { tools: [tool('f'), tool('f')] }, 'tools[1].name', /as `tools\[0\]\.name` is/],
    ['too many tools', { tools: Array.from({ length: 129 }, (_, i) => tool(`f${i}`)) }, 'tools', /at most 128/],
    ['a choice without tools', { tool_choice: 'required' }, 'tool_choice', /there are no `tools` to choose from/],
    [
      'a choice of none that there is',
      { tools: [tool('f')], tool_choice: tool('g') },
      'tool_choice.name',
      /is "g"; none of/,
    ],
    [
      'a choice among tools that are not there',
      { tools: [tool('f')], tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [tool('f'), tool('g')] } },
      'tool_choice.tools[1].name',
      /is "g"/,
    ],
    [
      'a choice of a tool that is not here',
      { tools: [tool('f')], tool_choice: { type: 'mcp' } },
      'tool_choice.type',
      /is "mcp"/,
    ],
    ['no tokens', { max_output_tokens: 0 }, 'max_output_tokens', /at least 1/],
    ['too hot', { temperature: 3 }, 'temperature', /at most 2/],
    ['no probability', { top_p: 0 }, 'top_p', /above 0/],
    ['too many probabilities', { top_logprobs: 21 }, 'top_logprobs', /at most 20/],
    ['something to include that is none', { include: ['everything'] }, 'include[0]', /is "everything"/],
    ['a format that is none', { text: { format: { type: 'xml' } } }, 'text.format.type', /is "xml"/],
    ['a schema without name', { text: { format: { type: 'json_schema', schema } } }, 'text.format.name', /is required/],
    ['a format as chats have it', { response_format: { type: 'json_object' } }, 'response_format', /^Unrecognized/],
    ['an effort that is none', { reasoning: { effort: 'heroic' } }, 'reasoning.effort', /is "heroic"/],
    ['truncation', { truncation: 'auto' }, 'truncation', /is "auto", which is not supported here/],
    ['a prompt that is kept elsewhere', { prompt: { id: 'pmpt_1' } }, 'prompt', /not supported here/],
    ['compaction', { context_management: [{ type: 'compaction' }] }, 'context_management', /not supported here/],
    ['metadata of the wrong type', { metadata: { a: 1 } }, 'metadata.a', /must be a string/],
    ['a tier that is none', { service_tier: 'gold' }, 'service_tier', /is "gold"/],
    ['no tool calls', { max_tool_calls: 0 }, 'max_tool_calls', /at least 1/],
    [
      'two things to go on from',
      { previous_response_id: 'a', conversation: 'b' },
      'previous_response_id',
      /one of them/,
    ],
    ['a conversation without id', { conversation: {} }, 'conversation.id', /is required/],
    ['a background that is not kept', { background: true, store: false }, 'background', /has to be kept/],
    ['a model that there is not', { model: 'none' }, 'model', /none/],
    ['what nobody knows', { best_of: 2 }, 'best_of', /^Unrecognized/],
    ['a stream that is no flag', { stream: 'yes' }, 'stream', /true or false/],
  ])('is refused with %s', (what, body, param, message) => {
    const whole =
      what === 'nothing' || Array.isArray(body) || what === 'no input' ? body : { input: 'Hi', ...(body as object) };
    let thrown: { details?: { param?: string }; message?: string } = {};
    try {
      parse(whole);
    } catch (error) {
      thrown = error as object;
    }
    expect(thrown).toMatchObject({ name: 'InferenceError', message: expect.stringMatching(message) });
    expect(thrown.details?.param).toBe(param);
    expect(thrown.message).not.toMatch(/`(messages|response_format|max_completion_tokens|[^`]*\.function\.)/);
  });

  it('is valid or refused by name, whatever JSON it is made of', () => {
    const json = fc.jsonValue({ maxDepth: 3 });
    const text = fc.string({ maxLength: 5 });
    const id = fc.constantFrom('a', 'b');
    const part = fc.oneof(
      json,
      fc.record({
        type: fc.constantFrom('input_text', 'output_text', 'refusal', 'input_image', 'x'),
        text,
        refusal: text,
      }),
    );
    const item = fc.oneof(
      json,
      fc.record({
        role: fc.constantFrom('user', 'assistant', 'system', 'x'),
        content: fc.oneof(text, fc.array(part), json),
      }),
      fc.record({ type: fc.constant('function_call'), call_id: id, name: text, arguments: text }),
      fc.record({ type: fc.constant('function_call_output'), call_id: id, output: fc.oneof(text, fc.array(part)) }),
      fc.record({ type: fc.constant('reasoning'), summary: json, content: json }, { requiredKeys: ['type'] }),
      fc.record(
        { type: fc.constant('file_search_call'), queries: fc.array(text), results: json },
        { requiredKeys: ['type'] },
      ),
      fc.record({ id, type: fc.constantFrom('item_reference', null, undefined) }),
    );
    const tools = fc.array(
      fc.oneof(
        json,
        fc.record({
          type: fc.constantFrom('function', 'file_search', 'mcp'),
          name: id,
          vector_store_ids: fc.array(id),
          filters: json,
        }),
      ),
      { maxLength: 3 },
    );
    const choice = fc.oneof(
      json,
      fc.record({
        type: fc.constantFrom('function', 'file_search', 'allowed_tools'),
        name: id,
        mode: fc.constantFrom('auto', 'required'),
        tools,
      }),
    );
    const others = Object.fromEntries(Object.keys(RESPONSE_PARAMETERS).map((name) => [name, json]));
    const body = fc
      .record(
        { ...others, input: fc.oneof(text, fc.array(item, { maxLength: 5 }), json), tools, tool_choice: choice },
        { requiredKeys: [] },
      )
      .chain((all) =>
        fc.subarray(Object.keys(all), { maxLength: 4 }).map((names) => ({
          input: 'Hi',
          ...Object.fromEntries(names.map((name) => [name, all[name as keyof typeof all]])),
        })),
      );
    let valid = 0;
    fc.assert(
      fc.property(body, (given) => {
        try {
          parse(JSON.parse(JSON.stringify(given)));
          valid++;
        } catch (error) {
          expect(error).toMatchObject({ name: 'InferenceError', details: { param: expect.any(String) } });
          expect((error as Error).message).not.toContain('`messages');
        }
      }),
      { numRuns: 500 },
    );
    expect(valid).toBeGreaterThan(0);
  });

  it('may have null wherever something may be left out, as clients send it', () => {
    const names = [
      'background conversation include instructions max_output_tokens max_tool_calls metadata model parallel_tool_calls',
      'previous_response_id prompt prompt_cache_key reasoning safety_identifier service_tier store stream stream_options',
      'temperature text tool_choice tools top_logprobs top_p truncation user',
    ];
    const nulls = Object.fromEntries(
      names
        .join(' ')
        .split(' ')
        .map((name) => [name, null]),
    );
    expect(parse({ ...nulls, input: 'Hi' })).toMatchObject({ stream: false, n: 1 });
  });

  it('becomes what a chat of the same would be', () => {
    const valid = parse({
      input: [user],
      instructions: 'Be brief.',
      temperature: 0.5,
      top_p: 0.9,
      max_output_tokens: 7,
      parallel_tool_calls: false,
      reasoning: { effort: 'low', summary: 'auto' },
      tools: [{ ...tool('f'), description: 'd', parameters: schema, strict: true }, tool('g')],
      tool_choice: { type: 'allowed_tools', mode: 'required', tools: [tool('g')] },
      text: { format: { type: 'json_schema', name: 's', schema }, verbosity: 'low' },
      include: ['message.output_text.logprobs', 'reasoning.encrypted_content'],
      top_logprobs: 2,
      service_tier: 'flex',
      truncation: 'disabled',
      stream: true,
    });
    expect(valid).toMatchObject({
      maxTokens: 7,
      sampling: { temperature: 0.5, topP: 0.9 },
      format: { kind: 'schema', schema },
      schemaParam: 'text.format.schema',
      logprobs: 2,
      serviceTier: 'flex',
      stream: true,
      toolPlaces: [1],
      prompts: [
        {
          messages: [{ role: 'system', content: 'Be brief.' }, user],
          tools: [{ type: 'function', function: { name: 'g' } }],
          toolChoice: 'required',
          parallelCalls: false,
          reasoningEffort: 'low',
        },
      ],
    });
  });

  it('takes an empty text for a message without words', () => {
    const empty = { role: 'user', content: '' };
    for (const input of ['', [empty]]) expect(parse({ input })).toMatchObject({ prompts: [{ messages: [empty] }] });
  });

  it.each([
    ['none', 'none'],
    ['xhigh', 'xhigh'],
    ['max', 'xhigh'],
  ])('asks for an effort of %s as %s', (effort, told) => {
    expect(parse({ input: 'Hi', reasoning: { effort } })).toMatchObject({ prompts: [{ reasoningEffort: told }] });
  });

  it.each([
    ['a function', tool('f'), { name: 'f' }],
    ['any', 'required', 'required'],
    ['what it likes', 'auto', undefined],
  ])('lets the model call %s', (_what, tool_choice, toolChoice) => {
    expect(promptOf({ tools: [tool('f')], tool_choice })).toMatchObject({ toolChoice, tools: [{}] });
  });

  it('shows the model no tools that it may not call', () => {
    expect(promptOf({ tools: [tool('f')], tool_choice: 'none' })).toMatchObject({ tools: [] });
  });

  it.each([
    [{}, undefined],
    [{ include: ['message.output_text.logprobs'] }, 0],
    [{ top_logprobs: 3 }, 3],
    [{ top_logprobs: 0 }, undefined],
  ])('asks for log-probabilities by either parameter: %o', (changes, logprobs) => {
    expect(parse({ input: 'Hi', ...changes }).logprobs).toBe(logprobs);
  });
});

/** The compiler holds the tables to what the official client knows: what is new there does not compile here until it has its place. */
const KNOWN_TO_CLIENTS: readonly [
  Readonly<Record<keyof OpenAI.Responses.ResponseCreateParamsNonStreaming, Parameter>>,
  Readonly<Record<keyof OpenAI.Responses.InputTokenCountParams, Parameter>>,
] = [RESPONSE_PARAMETERS, INPUT_TOKENS_PARAMETERS];

describe('the tables of parameters', () => {
  it('say something of each parameter that is ignored or refused', () => {
    for (const [name, { status, note }] of KNOWN_TO_CLIENTS.flatMap((table) => Object.entries<Parameter>(table)))
      if (status !== 'supported') expect([name, note]).toEqual([name, expect.any(String)]);
  });

  it.each([
    ['responses', RESPONSE_PARAMETERS, responseRequestSchema],
    ['input tokens', INPUT_TOKENS_PARAMETERS, inputTokensRequestSchema],
  ] as const)('say of %s what their schemas do', (_what, table, { shape }) => {
    expect(Object.keys(shape).filter((name) => !Object.hasOwn(table, name))).toEqual([]);
    const supported = Object.entries(table).filter(([, { status }]) => status === 'supported');
    expect(supported.map(([name]) => name).filter((name) => !Object.hasOwn(shape, name))).toEqual([]);
  });
});

describe('a body of /v1/responses/input_tokens', () => {
  it('has what makes the prompt, and nothing of the answer', () => {
    expect(checkInputTokensRequest({ input: 'Hi', tools: [tool('f')] })).toMatchObject({ input: 'Hi' });
    for (const name of ['temperature', 'stream', 'store', 'max_output_tokens'])
      expect(() => checkInputTokensRequest({ input: 'Hi', [name]: 1 })).toThrow(
        `Unrecognized request argument supplied: ${name}`,
      );
  });
});
