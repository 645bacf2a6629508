import type OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from './stack.js';

const EMBED = 'millrace-demo-embed';
const TRIPLE = ['The train did not arrive on time.', 'The train was late.', 'Anna bought a red bicycle.'] as const;

describe('vectors, scores and tokens of the built-in models', () => {
  let stack: Stack;
  let client: OpenAI;
  beforeAll(async () => {
    stack = await startStack();
    client = stack.client();
  });
  afterAll(() => stack.stop());

  const post = async (path: string, body: object) => {
    const response = await fetch(`${stack.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };

  it('lists both models on the first run, and what each can do', async () => {
    const { data } = await client.models.list();
    const capabilities = Object.fromEntries(
      data.map((model) => [model.id, (model as unknown as { capabilities: string[] }).capabilities]),
    );
    expect(capabilities).toEqual({ 'millrace-demo': ['chat', 'completion'], [EMBED]: ['embedding', 'rerank'] });
  });

  it('judges nothing without a model that judges, and says so where one is named that does not', async () => {
    const none = await post('/v1/moderations', { input: 'Good morning.' });
    expect(none).toMatchObject({ status: 400, body: { error: { code: 'moderation_not_supported', param: 'model' } } });
    const [one, several] = await Promise.all(
      ['Good morning.', ['Good morning.', 'Good night.']].map((input) =>
        post('/v1/moderations', { model: 'millrace-demo', input }),
      ),
    );
    for (const refused of [one, several]) {
      expect(refused).toMatchObject({ status: 400, body: { error: { code: 'moderation_not_supported' } } });
      expect(JSON.stringify(refused!.body)).toContain('The model millrace-demo said neither');
    }
  });

  it('puts a paraphrase nearer than another statement', async () => {
    const { data, usage } = await client.embeddings.create({ model: EMBED, input: [...TRIPLE] });
    const [anchor, paraphrase, other] = data.map(({ embedding }) => embedding);
    expect(dot(anchor!, anchor!)).toBeCloseTo(1, 4);
    expect(dot(anchor!, paraphrase!)).toBeGreaterThan(dot(anchor!, other!));
    expect(usage.total_tokens).toBe(usage.prompt_tokens);
  });

  it('gives the same vector as floats, in base64, from tokens, alone and among many', async () => {
    const [text] = TRIPLE;
    const base64 = await client.embeddings.create({ model: EMBED, input: text });
    const floats = await client.embeddings.create({ model: EMBED, input: text, encoding_format: 'float' });
    const { body } = await post('/tokenize', { model: EMBED, content: text, add_special: true });
    const tokens = await client.embeddings.create({ model: EMBED, input: body.tokens as number[] });
    const many = await client.embeddings.create({
      model: EMBED,
      input: Array.from({ length: 200 }, (_, index) => (index === 150 ? text : `${TRIPLE[index % 3]} ${index}`)),
    });
    const expected = base64.data[0]!.embedding;
    for (const answer of [floats.data[0], tokens.data[0], many.data[150]]) {
      expect(answer!.embedding.length).toBe(expected.length);
      for (const [index, value] of answer!.embedding.entries()) expect(value).toBeCloseTo(expected[index]!, 3);
    }
    expect(many.data.map(({ index }) => index)).toEqual([...Array(200).keys()]);
  });

  it('shortens a vector, and makes it of length 1 again', async () => {
    const { data } = await client.embeddings.create({ model: EMBED, input: TRIPLE[0], dimensions: 32 });
    expect(data[0]!.embedding).toHaveLength(32);
    expect(dot(data[0]!.embedding, data[0]!.embedding)).toBeCloseTo(1, 4);
  });

  it('ranks documents by how near they are', async () => {
    const { status, body } = await post('/v1/rerank', { model: EMBED, query: TRIPLE[0], documents: TRIPLE.slice(1) });
    expect(status).toBe(200);
    expect((body.results as { index: number }[]).map(({ index }) => index)).toEqual([0, 1]);
  });

  it('turns text into tokens and back, and shows what the template makes of a chat', async () => {
    const content = 'The mill stands beside the river. 東京 🦙';
    const { tokens } = (await post('/tokenize', { content })).body;
    expect((await post('/detokenize', { tokens })).body).toEqual({ content });
    const messages = [{ role: 'user', content: 'Hello!' }];
    const { prompt } = (await post('/apply-template', { messages })).body;
    expect(prompt).toContain('<|im_start|>user\nHello!<|im_end|>');
    const chat = (await post('/tokenize', { messages })).body;
    expect(chat.tokens).toEqual((await post('/tokenize', { content: prompt, add_special: true })).body.tokens);
  });

  it.each([
    [
      'vectors of a chat model',
      '/v1/embeddings',
      { model: 'millrace-demo', input: 'a' },
      'embeddings_not_supported',
      'model',
    ],
    [
      'ranks of a chat model',
      '/v1/rerank',
      { model: 'millrace-demo', query: 'a', documents: ['b'] },
      'rerank_not_supported',
      'model',
    ],
    [
      'a chat with an embedding model',
      '/v1/chat/completions',
      { model: EMBED, messages: [{ role: 'user', content: 'a' }] },
      'generation_not_supported',
      'model',
    ],
    ['an empty text', '/v1/embeddings', { model: EMBED, input: '' }, 'invalid_request', 'input'],
    ['an empty token array', '/v1/embeddings', { model: EMBED, input: [] }, 'invalid_request', 'input'],
    [
      'a token that is none',
      '/v1/embeddings',
      { model: EMBED, input: [[5], [9_999_999]] },
      'invalid_request',
      'input[1]',
    ],
    [
      'a text that is too long',
      '/v1/embeddings',
      { model: EMBED, input: ['a', 'word '.repeat(5_000)] },
      'context_length_exceeded',
      'input[1]',
    ],
    [
      'more dimensions than there are',
      '/v1/embeddings',
      { model: EMBED, input: 'a', dimensions: 100_000 },
      'invalid_request',
      'dimensions',
    ],
    ['half a surrogate pair', '/v1/embeddings', { model: EMBED, input: '\ud800' }, 'invalid_request', 'input'],
    ['tokens that are none', '/detokenize', { tokens: [-1] }, 'invalid_request', 'tokens[0]'],
  ])('refuses %s', async (_what, path, body, code, param) => {
    const refused = await post(path, body);
    expect({ status: refused.status, ...(refused.body.error as object) }).toMatchObject({ status: 400, code, param });
  });
});

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, index) => sum + value * b[index]!, 0);
}
