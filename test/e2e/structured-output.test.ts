import { Ajv2020 } from 'ajv/dist/2020.js';
import type OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { type Stack, startStack } from './stack.js';

const model = 'millrace-demo';
const ajv = new Ajv2020({ strict: false });

/** What OpenAI's subset has: optional properties, anyOf, references and recursion, enum, pattern, smallest and largest. */
const ORDER = {
  type: 'object',
  properties: {
    id: { type: 'string', pattern: '^[A-Z]{2}-[0-9]{3}$' },
    state: { enum: ['open', 'shipped', null] },
    total: { type: 'number', minimum: 0, maximum: 99.5 },
    lines: { type: 'array', items: { $ref: '#/$defs/line' }, minItems: 1, maxItems: 2 },
    note: { anyOf: [{ type: 'string', maxLength: 8 }, { type: 'null' }] },
  },
  required: ['id', 'state', 'total', 'lines'],
  additionalProperties: false,
  $defs: {
    line: {
      type: 'object',
      properties: {
        count: { type: 'integer', exclusiveMinimum: 0, maximum: 12 },
        parts: { type: 'array', items: { $ref: '#/$defs/line' }, maxItems: 1 },
      },
      required: ['count'],
      additionalProperties: false,
    },
  },
} as const;

const format = (schema: object): OpenAI.ResponseFormatJSONSchema => ({
  type: 'json_schema',
  json_schema: { name: 'order', strict: true, schema: schema as Record<string, unknown> },
});

describe('structured output of the real engine', () => {
  let stack: Stack;
  let client: OpenAI;
  beforeAll(async () => {
    stack = await startStack();
    client = stack.client();
  });
  afterAll(() => stack.stop());

  const messages = [{ role: 'user' as const, content: 'Describe an order in JSON.' }];

  it("is parsed by the official client's own helper, whole", async () => {
    const shape = z.object({ colour: z.enum(['red', 'green']), count: z.int().min(1).max(9), name: z.string().max(6) });
    const answer = await client.chat.completions.parse({
      model,
      messages,
      temperature: 1,
      seed: 4,
      response_format: zodResponseFormat(shape, 'thing'),
    });
    expect(answer.choices[0]?.finish_reason).toBe('stop');
    expect(shape.parse(answer.choices[0]?.message.parsed)).toBeDefined();
  });

  it('validates for eight answers at the highest temperature, streamed, with log-probabilities', async () => {
    const stream = client.chat.completions.stream({
      model,
      messages,
      n: 8,
      seed: 1,
      temperature: 2,
      max_tokens: 400,
      logprobs: true,
      top_logprobs: 1,
      response_format: format(ORDER),
    });
    // Not `finalChatCompletion`, which throws when one of them is cut by max_tokens.
    const texts = new Map<number, string>();
    const reasons = new Map<number, string>();
    let told = 0;
    for await (const { choices } of stream) {
      for (const { index, delta, finish_reason, logprobs } of choices) {
        texts.set(index, (texts.get(index) ?? '') + (delta.content ?? ''));
        if (finish_reason) reasons.set(index, finish_reason);
        told += logprobs?.content?.length ?? 0;
      }
    }
    expect(told).toBeGreaterThan(8 * 10);
    let stopped = 0;
    for (const [index, text] of texts) {
      if (reasons.get(index) !== 'stop') continue;
      stopped++;
      expect(ajv.validate(ORDER, JSON.parse(text)), `${text}: ${ajv.errorsText()}`).toBe(true);
    }
    expect(stopped).toBeGreaterThan(0);
  });

  it('is some JSON object with json_object', async () => {
    const { choices } = await client.chat.completions.create({
      model,
      messages: [{ role: 'user', content: 'Give me a JSON object.' }],
      temperature: 0,
      max_tokens: 300,
      response_format: { type: 'json_object' },
    });
    expect(choices[0]?.finish_reason).toBe('stop');
    expect(JSON.parse(choices[0]?.message.content ?? '')).toBeTypeOf('object');
  });

  it('obeys a grammar of the caller, also against a bias on what it would have said', async () => {
    const asked = {
      model,
      messages,
      grammar: 'root ::= ("yes" | "no") "."',
    } as OpenAI.ChatCompletionCreateParamsNonStreaming;
    const first = await client.chat.completions.create(asked);
    const said = first.choices[0]?.message.content ?? '';
    expect(said).toMatch(/^(yes|no)\.$/);
    expect(first.choices[0]?.finish_reason).toBe('stop');

    const { tokens } = await tokenize(stack, said.slice(0, -1));
    const logit_bias = Object.fromEntries(tokens.map((token) => [token, -100]));
    const other = await client.chat.completions.create({ ...asked, logit_bias });
    expect(other.choices[0]?.message.content).toMatch(/^(yes|no)\.$/);
  });

  it.each([
    ['a reference that points nowhere', { $ref: '#/$defs/nothing' }, /\$ref.*nothing/],
    ['a keyword that can not be expressed', { type: 'object', patternProperties: { a: {} } }, /patternProperties/],
    ['10,000 properties', wide(10_000), /10000.*5000/],
    ['a pattern that explodes', { type: 'string', pattern: '(a{1,1000}){1,1000}' }, /pattern/],
    [
      'a pattern that never ends its search',
      { type: 'string', pattern: '^(([a-z])+.)+[A-Z]([a-z])+$(?=x)' },
      /pattern/,
    ],
    ['a schema that nothing obeys', { type: 'integer', minimum: 5, maximum: 4 }, /no value/],
  ])('refuses %s, and answers the next request', async (_what, schema, sentence) => {
    const refused = client.chat.completions.create({ model, messages, response_format: format(schema) });
    await expect(refused).rejects.toMatchObject({
      status: 400,
      param: expect.stringMatching(/^response_format\.json_schema\.schema/),
      message: expect.stringMatching(sentence),
    });
    const { choices } = await client.chat.completions.create({ model, messages, max_tokens: 2 });
    expect(choices[0]?.finish_reason).toBe('length');
  });

  it.each([
    ['60,000 nested parentheses', `root ::= ${'('.repeat(29_000)}"a"${')'.repeat(29_000)}`, /deep/],
    ['100 KB', `root ::= "${'a'.repeat(100_000)}"`, /65,536/],
    ['a rule that is not there', 'root ::= other', /other/],
    ['a rule that begins with itself', 'root ::= root "a" | "b"', /root/],
    ['one that doubles with every character', 'root ::= e\ne ::= "x" e "a" | "x" e "b" | "x"', /ambig|ways/],
  ])('refuses a grammar of %s', async (_what, grammar, sentence) => {
    const asked = { model, messages, grammar } as OpenAI.ChatCompletionCreateParamsNonStreaming;
    await expect(client.chat.completions.create(asked)).rejects.toMatchObject({
      status: 400,
      param: 'grammar',
      message: expect.stringMatching(sentence),
    });
  });
});

function wide(count: number): object {
  const names = Array.from({ length: count }, (_, index) => `p${index}`);
  return { type: 'object', properties: Object.fromEntries(names.map((name) => [name, { type: 'null' }])) };
}

async function tokenize(stack: Stack, content: string): Promise<{ tokens: number[] }> {
  const response = await fetch(`${stack.url}/tokenize`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ content }),
  });
  return (await response.json()) as { tokens: number[] };
}
