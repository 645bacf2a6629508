import { anthropicErrorSchema } from '@millrace/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestBed } from './gateway.testing.js';

const user = (content: unknown) => ({ role: 'user', content });
const assistant = (content: unknown) => ({ role: 'assistant', content });
const use = (id: string, more = {}) => ({ type: 'tool_use', id, name: 'f', input: {}, ...more });
const result = (tool_use_id: string, more = {}) => ({ type: 'tool_result', tool_use_id, content: 'x', ...more });
const text = { type: 'text', text: 'Hi' };
const tool = { name: 'f', input_schema: { type: 'object' } };
const hi = [user('Hi')];
const nested = (levels: number): unknown => (levels === 0 ? 1 : { a: nested(levels - 1) });

/** What is sent in place of what a valid request has, and what its answer says of it. */
const CASES: readonly (readonly [string, Record<string, unknown>, RegExp])[] = [
  ['no max_tokens', { max_tokens: undefined }, /`max_tokens` is required; it must be a (whole )?number/],
  ['max_tokens of 0', { max_tokens: 0 }, /`max_tokens` is 0; it must be at least 1/],
  ['max_tokens as a text', { max_tokens: '9' }, /`max_tokens` is "9"/],
  ['max_tokens beyond all numbers', { max_tokens: 1e300 }, /`max_tokens`/],
  ['no messages', { messages: undefined }, /`messages` is required/],
  ['messages that are none', { messages: [] }, /`messages` has 0 items/],
  ['messages as a text', { messages: 'Hi' }, /`messages` is "Hi"/],
  ['a message that is none', { messages: [null] }, /`messages\[0\]` is null/],
  ['a message without a role', { messages: [{ content: 'Hi' }] }, /`messages\[0\]\.role` is required/],
  ['a role of OpenAI’s', { messages: [{ role: 'tool', content: 'Hi' }] }, /`messages\[0\]\.role` is "tool"/],
  ['a message without content', { messages: [{ role: 'user' }] }, /`messages\[0\]\.content` is required/],
  ['content of no blocks', { messages: [user([])] }, /`messages\[0\]\.content` has 0 items/],
  ['content that is a number', { messages: [user(7)] }, /`messages\[0\]\.content` is 7/],
  ['a block that is none', { messages: [user([null])] }, /`messages\[0\]\.content\[0\]` is null/],
  ['a block without a type', { messages: [user([{ text: 'Hi' }])] }, /`messages\[0\]\.content\[0\]\.type` is required/],
  [
    'a block of no known type',
    { messages: [user([{ type: 'video' }])] },
    /`messages\[0\]\.content\[0\]\.type` is "video"/,
  ],
  [
    'a text block without text',
    { messages: [user([{ type: 'text' }])] },
    /`messages\[0\]\.content\[0\]\.text` is required/,
  ],
  [
    'an image, behind a text',
    { messages: [user([text, { type: 'image', source: { type: 'base64', media_type: 'image/png', data: '' } }])] },
    /`messages\[0\]\.content\[1\]` is of type image; only text/,
  ],
  [
    'a document',
    { messages: [user([{ type: 'document', source: {} }])] },
    /`messages\[0\]\.content\[0\]` is of type document/,
  ],
  [
    'a search of Anthropic’s',
    { messages: [...hi, assistant([{ type: 'server_tool_use', id: 'a', name: 'web_search', input: {} }])] },
    /`messages\[1\]\.content\[0\]` is of type server_tool_use/,
  ],
  [
    'an image as a result',
    { messages: [...hi, assistant([use('a')]), user([result('a', { content: [text, { type: 'image' }] })])] },
    /`messages\[2\]\.content\[0\]\.content\[1\]` is of type image/,
  ],
  [
    'a call by the user',
    { messages: [user([use('a')])] },
    /`messages\[0\]\.content\[0\]` is of type tool_use, in a message of the role user/,
  ],
  [
    'a thought of the user’s',
    { messages: [user([{ type: 'thinking', thinking: 'x' }])] },
    /of type thinking, in a message of the role user/,
  ],
  [
    'a result by the assistant',
    { messages: [...hi, assistant([result('a')])] },
    /of type tool_result, in a message of the role assistant/,
  ],
  [
    'a call that is not answered',
    { messages: [...hi, assistant([use('a'), use('b')]), user([result('a')])] },
    /`tool_use` ids were found without `tool_result` blocks immediately after: b\./,
  ],
  [
    'a call that is the last',
    { messages: [...hi, assistant([use('a')])] },
    /ids were found without .*: a\. .*there is no message behind it/,
  ],
  [
    'a result of no call',
    { messages: [user([result('a')])] },
    /`messages\[0\]\.content\[0\]\.tool_use_id` is "a", and the turn before has no tool_use/,
  ],
  [
    'a result of another call',
    { messages: [...hi, assistant([use('a')]), user([result('z')])] },
    /`messages\[2\]\.content\[0\]\.tool_use_id` is "z"/,
  ],
  [
    'two results of one call',
    { messages: [...hi, assistant([use('a')]), user([result('a'), result('a')])] },
    /`messages\[2\]\.content\[1\]\.tool_use_id` is "a", and that call was answered before/,
  ],
  [
    'two calls of one id',
    { messages: [...hi, assistant([use('a'), use('a')]), user([result('a')])] },
    /`messages\[1\]\.content\[1\]\.id` is "a", as another call’s is|as another call's is/,
  ],
  ...(
    [
      ['nothing', undefined, /`messages\[1\]\.content\[0\]\.input` is required; it must be an object/],
      ['a list', [1], /`messages\[1\]\.content\[0\]\.input` is a list; it must be an object/],
      ['JSON in a text', '{}', /`messages\[1\]\.content\[0\]\.input` is "\{\}"; it must be an object/],
    ] as const
  ).map(
    ([what, input, sentence]) =>
      [
        `a call whose input is ${what}`,
        { messages: [...hi, assistant([use('a', { input })]), user([result('a')])] },
        sentence,
      ] as const,
  ),
  [
    'a call without an id',
    { messages: [...hi, assistant([use('', {})]), user([result('a')])] },
    /`messages\[1\]\.content\[0\]\.id` has 0 characters/,
  ],
  [
    'an answer to go on with that has no text',
    { messages: [...hi, assistant([{ type: 'thinking', thinking: 'x' }])] },
    /`messages\[1\]` is the last message .* no text to go on from/,
  ],
  ['a system prompt that is a number', { system: 7 }, /`system` is 7/],
  ['a system prompt with an image', { system: [{ type: 'image' }] }, /`system\[0\]\.type` is "image"/],
  ['a tool without a schema', { tools: [{ name: 'f' }] }, /`tools\[0\]\.input_schema` is required/],
  [
    'a tool that says what it is, without a schema',
    { tools: [{ type: 'custom', name: 'f' }] },
    /`tools\[0\]\.input_schema` is required/,
  ],
  [
    'a tool with a name nobody can write',
    { tools: [{ ...tool, name: 'f g' }] },
    /`tools\[0\]\.name` is "f g"; it must be 1 to 128/,
  ],
  ['two tools of one name', { tools: [tool, tool] }, /`tools\[1\]\.name` is "f", as `tools\[0\]\.name` is/],
  [
    'a tool that Anthropic runs',
    { tools: [tool, { type: 'web_search_20250305', name: 'web_search' }] },
    /`tools\[1\]` is of type "web_search_20250305"; only tools of the caller's own/,
  ],
  [
    'a tool whose form only Anthropic’s models know',
    { tools: [{ type: 'bash_20250124', name: 'bash' }] },
    /`tools\[0\]` is of type "bash_20250124"/,
  ],
  [
    'a tool in OpenAI’s words',
    { tools: [{ type: 'function', function: { name: 'f' } }] },
    /`tools\[0\]` is of type "function"/,
  ],
  [
    '1,025 tools',
    { tools: Array.from({ length: 1_025 }, (_, at) => ({ ...tool, name: `f${at}` })) },
    /`tools` has 1,?025 items/,
  ],
  [
    'a choice of a tool that is not there',
    { tools: [tool], tool_choice: { type: 'tool', name: 'g' } },
    /`tool_choice\.name` is "g"; none of the 1 `tools` has that name/,
  ],
  [
    'a choice of tools that are not there',
    { tool_choice: { type: 'any' } },
    /`tool_choice` is of type any, but there are no `tools`/,
  ],
  ['a choice in OpenAI’s words', { tools: [tool], tool_choice: 'auto' }, /`tool_choice` is "auto"/],
  ['a choice of no known type', { tools: [tool], tool_choice: { type: 'some' } }, /`tool_choice\.type` is "some"/],
  ['a temperature of OpenAI’s', { temperature: 1.5 }, /`temperature` is 1\.5; it must be at most 1/],
  ['top_p above 1', { top_p: 1.1 }, /`top_p` is 1\.1/],
  ['top_k below 0', { top_k: -1 }, /`top_k` is -1/],
  ['half a top_k', { top_k: 0.5 }, /`top_k` is 0\.5/],
  ['stop sequences as a text', { stop_sequences: 'END' }, /`stop_sequences` is "END"/],
  ['an empty stop sequence', { stop_sequences: [''] }, /`stop_sequences\[0\]` has 0 characters/],
  [
    '65 stop sequences',
    { stop_sequences: Array.from({ length: 65 }, (_, at) => `${at}`) },
    /`stop_sequences` has 65 items; it must have at most 64/,
  ],
  ['a thought of no known kind', { thinking: { type: 'hard' } }, /`thinking\.type` is "hard"/],
  ['a thought without a budget', { thinking: { type: 'enabled' } }, /`thinking\.budget_tokens` is required/],
  [
    'a thought with a small budget',
    { thinking: { type: 'enabled', budget_tokens: 10 } },
    /`thinking\.budget_tokens` is 10; it must be at least 1024/,
  ],
  [
    'a thought that leaves no room',
    { thinking: { type: 'enabled', budget_tokens: 1024 } },
    /`thinking\.budget_tokens` is 1024 and `max_tokens` 100/,
  ],
  ['an effort that is none', { output_config: { effort: 'none' } }, /`output_config\.effort` is "none"/],
  [
    'a format of no known type',
    { output_config: { format: { type: 'xml' } } },
    /`output_config\.format\.type` is "xml"/,
  ],
  [
    'a format without a schema',
    { output_config: { format: { type: 'json_schema' } } },
    /`output_config\.format\.schema` is required/,
  ],
  ['a tier of OpenAI’s', { service_tier: 'flex' }, /`service_tier` is "flex"/],
  ['stream as a text', { stream: 'yes' }, /`stream` is "yes"/],
  ['metadata as a text', { metadata: 'me' }, /`metadata` is "me"/],
  ['a model that is a number', { model: 7 }, /`model` is 7/],
  [
    'a parameter of OpenAI’s',
    { max_completion_tokens: 7 },
    /Unrecognized request argument supplied: max_completion_tokens/,
  ],
  [
    'a name that every object has',
    JSON.parse('{"__proto__": {"polluted": true}}'),
    /Unrecognized request argument supplied: __proto__/,
  ],
  [
    'servers of tools',
    { mcp_servers: [{ type: 'url', url: 'http://x', name: 'x' }] },
    /`mcp_servers` is a list, which is not supported here/,
  ],
  ['a container', { container: 'c' }, /`container` is "c", which is not supported here/],
  ['half of a surrogate pair', { system: '\ud800' }, /`system` holds half of a surrogate pair/],
  ['a schema 1,000 levels deep', { tools: [{ ...tool, input_schema: nested(1_000) }] }, /nested deeper than 64 levels/],
];

describe('POST /v1/messages refuses, naming Anthropic’s parameter,', () => {
  let bed: TestBed;
  beforeAll(async () => {
    bed = await TestBed.start();
  });
  afterAll(() => bed[Symbol.asyncDispose]());

  it.each(CASES)('%s', async (_what, changes, sentence) => {
    const body = { model: 'demo', max_tokens: 100, messages: hi, ...changes };
    for (const stream of 'stream' in changes ? [undefined] : [false, true]) {
      const response = await bed.post('/v1/messages', { ...body, ...(stream !== undefined && { stream }) });
      const { error } = anthropicErrorSchema.parse(await response.json());
      expect([response.status, error.type]).toEqual([400, 'invalid_request_error']);
      expect(error.message).toMatch(sentence);
    }
    expect(bed.worker.started).toEqual([]);
  });

  it('and takes what asks for nothing', async () => {
    const nothing = {
      ...{ system: null, tools: null, tool_choice: null, thinking: null, output_config: null, output_format: null },
      ...{ stream: null, stop_sequences: null, temperature: null, top_p: null, top_k: null, metadata: null },
      ...{ service_tier: null, container: null, mcp_servers: [], cache_control: { type: 'ephemeral' } },
      ...{ context_management: { edits: [] }, speed: 'fast', diagnostics: null, thread: null },
    };
    const response = await bed.post('/v1/messages?beta=true', { ...nothing, max_tokens: 100, messages: hi });
    expect(response.status).toBe(200);
  });
});

describe('POST /v1/messages/count_tokens', () => {
  it('refuses as the messages do, and what only an answer has', async () => {
    await using bed = await TestBed.start();
    const tried = [
      [{ messages: hi, max_tokens: 7 }, /Unrecognized request argument supplied: max_tokens/],
      [{ messages: [user([{ type: 'image' }])] }, /`messages\[0\]\.content\[0\]` is of type image/],
      [{ messages: hi, tools: [tool, tool] }, /`tools\[1\]\.name`/],
    ] as const;
    for (const [body, sentence] of tried) {
      const response = await bed.post('/v1/messages/count_tokens', body);
      expect(response.status).toBe(400);
      expect(anthropicErrorSchema.parse(await response.json()).error.message).toMatch(sentence);
    }
  });
});
