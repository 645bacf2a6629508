import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FakeWorkerOptions } from './dispatch/fake-worker.testing.js';
import { TestBed } from './gateway.testing.js';

const RANKS = { id: 'ranks', capabilities: ['rerank'] };
const models = [{ id: 'demo', isDefault: true }, RANKS];
const start = (...workers: FakeWorkerOptions[]) =>
  TestBed.start(
    {},
    workers.map((one) => ({ models, ...one })),
  );
const query = 'the red house';
const documents = ['a blue car', 'the red house here', 'the house'];

describe('POST /v1/rerank', () => {
  it('answers with the documents, best first, in the shape that Jina and Cohere have', async () => {
    await using bed = await start({});
    const response = await bed.post('/v1/rerank', { model: 'ranks', query, documents });
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({
      id: expect.stringMatching(/^rerank-[0-9a-f]{24}$/),
      model: 'ranks',
      object: 'list',
      // A third of a float is not a third of a double, and is written as short as it is.
      results: [
        { index: 1, relevance_score: 0.42857143 },
        { index: 2, relevance_score: 0.2857143 },
        { index: 0, relevance_score: 0 },
      ],
      usage: { prompt_tokens: 12, total_tokens: 12 },
      meta: { api_version: { version: '2' }, billed_units: { search_units: 1 }, tokens: { input_tokens: 12 } },
    });
    expect(bed.records()).toMatchObject([{ endpoint: 'rerank', model: 'ranks', outcome: 'served', promptTokens: 12 }]);
  });

  it('answers at /rerank as well, and with the only model that ranks when none is named', async () => {
    await using bed = await start({});
    const response = await bed.post('/rerank', { query, documents });
    expect(await response.json()).toMatchObject({ model: 'ranks', results: { length: 3 } });
  });

  it.each<[string, string, object]>([
    ['Cohere’s of today', '/v2/rerank', { top_n: 3, max_tokens_per_doc: 4_096, priority: 1 }],
    [
      'Cohere’s of before',
      '/v1/rerank',
      {
        documents: documents.map((text) => ({ text })),
        rank_fields: ['text'],
        max_chunks_per_doc: 10,
        return_documents: true,
      },
    ],
    ['Jina’s', '/v1/rerank', { top_n: 3, return_documents: false, truncation: false, return_embeddings: false }],
    ['LiteLLM’s', '/rerank', { top_n: null, rank_fields: null, max_chunks_per_doc: null, return_documents: true }],
    ['vLLM’s', '/rerank', { truncate_prompt_tokens: null, user: 'me', priority: 0 }],
  ])('takes what clients of %s send', async (_whose, path, changes) => {
    await using bed = await start({});
    const response = await bed.post(path, { model: 'ranks', query, documents, ...changes });
    expect(await response.json()).toMatchObject({
      results: [{ index: 1 }, { index: 2 }, { index: 0 }],
      usage: { total_tokens: 12 },
      meta: { billed_units: { search_units: 1 } },
    });
  });

  it('counts a search unit for every hundred documents', async () => {
    await using bed = await start({});
    const response = await bed.post('/v1/rerank', { query, documents: Array.from({ length: 101 }, () => 'a') });
    expect(await response.json()).toMatchObject({ meta: { billed_units: { search_units: 2 } } });
  });

  it('sends as many as were asked for, and their texts when asked', async () => {
    await using bed = await start({});
    const ask = async (changes: object) =>
      ((await (await bed.post('/v1/rerank', { query, documents, ...changes })).json()) as { results: object[] })
        .results;
    expect(await ask({ top_n: 1 })).toEqual([{ index: 1, relevance_score: 0.42857143 }]);
    expect(await ask({ top_n: 99 })).toHaveLength(3);
    expect(await ask({ top_n: 1, return_documents: true })).toMatchObject([{ document: { text: documents[1] } }]);
  });

  it('takes documents that are objects, and keeps the order of equals', async () => {
    await using bed = await start({});
    const response = await bed.post('/v1/rerank', {
      query: 'x',
      documents: [{ text: 'a', title: 'ignored' }, 'b', { text: 'x' }, { text: 'c' }],
    });
    const { results } = (await response.json()) as { results: { index: number }[] };
    expect(results.map(({ index }) => index)).toEqual([2, 0, 1, 3]);
    expect(bed.worker.work.asked).toMatchObject([{ documents: ['a', 'b', 'x', 'c'] }]);
  });

  it('comes from another worker when one dies over it', async () => {
    await using bed = await start({ work: () => ({ die: true }) }, {});
    expect((await bed.post('/v1/rerank', { query, documents })).status).toBe(200);
    expect(bed.records()).toMatchObject([{ outcome: 'served', attempts: 2 }]);
  });

  it('is cancelled on the worker when the client leaves', async () => {
    await using bed = await start({ work: () => ({ silent: true }) });
    const leaving = new AbortController();
    const answer = bed.post('/v1/rerank', { query, documents }, { signal: leaving.signal });
    await expect.poll(() => bed.worker.work.asked.length).toBe(1);
    leaving.abort();
    await expect(answer).rejects.toThrow();
    await expect.poll(() => bed.worker.work.cancelled).toBe(1);
  });

  it('shows nothing of a reply that makes no sense', async () => {
    await using bed = await start({ work: () => ({ tooFew: true }) });
    expect((await bed.post('/v1/rerank', { query, documents })).status).toBe(500);
    expect(JSON.stringify(bed.log)).toContain('2 scores for 3 documents');
  });
});

describe('a rerank request that is wrong', () => {
  let bed: TestBed;
  beforeAll(async () => {
    bed = await start({});
  });
  afterAll(async () => {
    await bed[Symbol.asyncDispose]();
  });

  it.each([
    ['no query', { query: undefined }, 'query', '`query` is required; it must be a string.'],
    ['an empty query', { query: '' }, 'query', '`query` has 0 characters; it must have at least 1.'],
    ['no documents', { documents: undefined }, 'documents', '`documents` is required; it must be a list.'],
    ['an empty list', { documents: [] }, 'documents', '`documents` has 0 items; it must have at least 1.'],
    [
      'an empty document',
      { documents: ['a', ''] },
      'documents[1]',
      '`documents[1]` has 0 characters; it must have at least 1.',
    ],
    ['a number', { documents: [3] }, 'documents[0]', '`documents[0]` is 3; it must be a string or an object.'],
    [
      'an object without text',
      { documents: [{}] },
      'documents[0].text',
      '`documents[0].text` is required; it must be a string.',
    ],
    [
      '1,001 documents',
      { documents: new Array(1_001).fill('a') },
      'documents',
      '`documents` has 1001 items; it must have at most 1000.',
    ],
    ['none wanted', { top_n: 0 }, 'top_n', '`top_n` is 0; it must be at least 1.'],
    [
      'a word for yes',
      { return_documents: 'yes' },
      'return_documents',
      '`return_documents` is "yes"; it must be true or false.',
    ],
  ])('is a 400 that says where: %s', async (_what, changes, param, message) => {
    const response = await bed.post('/v1/rerank', { query, documents, ...changes });
    expect({ status: response.status, ...((await response.json()) as object) }).toEqual({
      status: 400,
      error: { message, type: 'invalid_request_error', param, code: 'invalid_request' },
    });
  });

  it('is a 400 when the model does not rank, or documents were to be cut', async () => {
    const refused = async (changes: object) => {
      const response = await bed.post('/v1/rerank', { query, documents, ...changes });
      const { error } = (await response.json()) as { error: { code: string; param: string } };
      return [response.status, error.code, error.param];
    };
    expect(await refused({ model: 'demo' })).toEqual([400, 'rerank_not_supported', 'model']);
    expect(await refused({ max_tokens_per_doc: 5 })).toEqual([400, 'unsupported_parameter', 'max_tokens_per_doc']);
    for (const [param, value] of Object.entries({
      ...{ truncation: true, truncate: true, truncate_prompt_tokens: 512, rank_fields: ['title', 'text'] },
      ...{ return_embeddings: true, texts: documents },
    }))
      expect(await refused({ [param]: value }), param).toEqual([400, 'unsupported_parameter', param]);
    expect(bed.worker.work.asked).toEqual([]);
  });
});
