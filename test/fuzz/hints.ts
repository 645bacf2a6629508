import fc from 'fast-check';
import { GUARD } from '../e2e/scripted-guard.ts';
import { collectionAt, idOf } from './known-ids.ts';
import type { Hints } from './schema-values.ts';

const CHAT = 'millrace-demo';
const EMBED = 'millrace-demo-embed';
const shortTexts = fc.constantFrom('Hello!', 'What is 2 + 2?', 'The mill stands beside the river.', 'zq xv', '東京 🦙');
const textOrTexts = fc.oneof(shortTexts, fc.array(shortTexts, { minLength: 1, maxLength: 3 }));
const fewTokens = fc.integer({ min: 1, max: 4 });

const aSchema = fc.constantFrom<object>(
  { type: 'object', properties: { a: { type: 'boolean' } }, required: ['a'], additionalProperties: false },
  { type: 'object', properties: { n: { type: 'integer', minimum: 0, maximum: 9 } }, required: ['n'] },
  { enum: ['ok', 'no'] },
  { type: 'array', items: { type: 'boolean' }, minItems: 1, maxItems: 2 },
  { anyOf: [{ type: 'null' }, { const: 1 }] },
  { $ref: '#/$defs/a', $defs: { a: { type: 'boolean' } } },
  { $ref: '#/$defs/a', $defs: { a: { type: 'array', items: { $ref: '#/$defs/a' } } } },
  { type: 'string', pattern: '^(a+)+$' },
  { type: 'array', uniqueItems: true, items: {} },
  { type: 'nonsense' },
  {},
);

const text = (role: string) => fc.record({ role: fc.constant(role), content: shortTexts });
const conversations = fc.oneof(
  fc.tuple(text('user')),
  fc.tuple(text('system'), text('user')),
  fc.tuple(text('user'), text('assistant'), text('user')),
  fc.constant([
    { role: 'user', content: 'What is the weather in Oslo?' },
    {
      role: 'assistant',
      content: null,
      tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'get_weather', arguments: '{"city":"Oslo"}' } }],
    },
    { role: 'tool', tool_call_id: 'call_1', content: '21' },
  ]),
);

const everywhere: Hints = {
  max_tokens: fewTokens,
  max_completion_tokens: fewTokens,
  max_output_tokens: fc.integer({ min: 1, max: 20 }),
  n: fc.integer({ min: 1, max: 2 }),
  best_of: fc.integer({ min: 1, max: 3 }),
  top_n: fc.integer({ min: 1, max: 3 }),
  // Or every second vector has dimensions that its model lacks.
  dimensions: fc.constantFrom(8, 32),
  parameters: aSchema,
  schema: aSchema,
  input_schema: aSchema,
  grammar: fc.constantFrom(
    'root ::= "a" | "b"',
    'root ::= [a-z]+',
    'root ::= root',
    'nonsense',
    'root ::= "a"{1,1000}',
  ),
  logit_bias: fc.dictionary(fc.constantFrom('1', '17', '300', '999999999'), fc.constantFrom(-100, 0, 5, 100)),
  prompt: fc.oneof(shortTexts, fc.array(shortTexts, { minLength: 1, maxLength: 2 }), fc.constant([5, 6, 7])),
  suffix: fc.constant(null),
  arguments: fc.constantFrom('{}', '{"city":"Oslo"}', '[', ''),
  completion_window: fc.constant('24h'),
  endpoint: fc.constantFrom('/v1/chat/completions', '/v1/chat/completions', '/v1/embeddings', '/v1/moderations'),
  file_id: idOf('files'),
  file_ids: fc.array(idOf('files'), { minLength: 1, maxLength: 2 }),
  input_file_id: idOf('files'),
  part_ids: fc.array(idOf('uploads/parts'), { minLength: 1, maxLength: 2 }),
  vector_store_ids: fc.array(idOf('vector_stores'), { minLength: 1, maxLength: 2 }),
  previous_response_id: idOf('responses'),
  conversation: idOf('conversations'),
  embedding_model: fc.constantFrom(EMBED, null),
  bytes: fc.constantFrom(3, 3, 6, 1_000),
  md5: fc.constant(null),
  purpose: fc.constantFrom('batch', 'batch', 'assistants', 'user_data', 'vision'),
  key: idOf('keys'),
  // Of a model to fetch: never an address outside this machine, and nobody listens at this one.
  source: fc.constantFrom('http://127.0.0.1:9/none.gguf', 'file:///etc/passwd', 'nonsense', '../models/registry.json'),
};

/** What the document cannot say of a value: which models there are, which files, and what would take an hour. */
export function hintsFor(path: string): Hints {
  const served = /embeddings|rerank/.test(path) ? EMBED : path.endsWith('/moderations') ? GUARD : CHAT;
  const model = fc.oneof(
    { weight: 8, arbitrary: fc.constant(served) },
    { weight: 1, arbitrary: fc.constantFrom(served === CHAT ? EMBED : CHAT, 'gpt-9', '') },
  );
  const isChat = /\/(chat|tokenize|apply-template|messages|count_tokens)/.test(path);
  const after = idOf(collectionAt(path));
  const input = /embeddings|moderations/.test(path) ? textOrTexts : shortTexts;
  return { ...everywhere, model, after, before: after, ...(isChat && { messages: conversations }), input };
}

interface Added {
  readonly path: RegExp;
  readonly field: string;
  readonly value: unknown;
  /** Or one of these. */
  readonly unless: readonly string[];
}

/** What a body has to have besides what its schema requires: an end of the answer, or all say a thousand tokens; a text. */
const ADDED: readonly Added[] = [
  { path: /\/(completions|messages)$/, field: 'max_tokens', value: 3, unless: ['max_completion_tokens'] },
  {
    path: /\/chat\/completions$/,
    field: 'store',
    value: true,
    unless: ['stream', 'temperature', 'seed', 'tools', 'stop'],
  },
  { path: /^\/chat$/, field: 'params', value: { max_tokens: 3 }, unless: [] },
  { path: /\/file_batches$/, field: 'file_ids', value: ['{{files:0}}'], unless: ['files'] },
  { path: /\/responses$/, field: 'max_output_tokens', value: 16, unless: [] },
  {
    path: /\/responses(\/input_tokens)?$/,
    field: 'input',
    value: 'Hello!',
    unless: ['conversation', 'previous_response_id'],
  },
  { path: /\/tokenize$/, field: 'content', value: 'The mill', unless: ['prompt', 'messages'] },
];

/** The body with that. */
export function completed(path: string, body: unknown): unknown {
  if (typeof body !== 'object' || body === null) return body;
  const added = ADDED.filter((one) => one.path.test(path) && ![one.field, ...one.unless].some((name) => name in body));
  return Object.assign({}, ...added.map(({ field, value }) => ({ [field]: value })), body) as object;
}
