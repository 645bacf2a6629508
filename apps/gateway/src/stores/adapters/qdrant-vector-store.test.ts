import { ConfigurationError } from '@millrace/runtime';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { semanticCacheContract } from '../../cache/semantic-cache.contract.js';
import { vectorStoreContract } from '../vector-store.contract.js';
import { VectorSizeConflict, VectorStoreUnavailable } from '../vector-store.js';
import { type Mishap, QdrantServer } from './qdrant-server.testing.js';
import { QdrantVectorStore } from './qdrant-vector-store.js';

const real = process.env.TEST_QDRANT_URL;
const apiKey = process.env.TEST_QDRANT_API_KEY;

describe.skipIf(real === undefined)(real ? 'a real Qdrant' : 'a real Qdrant (TEST_QDRANT_URL is not set)', () => {
  const open = async () => new QdrantVectorStore({ url: real!, apiKey, timeoutMs: 10_000 });
  vectorStoreContract(open);
  semanticCacheContract(open);
});

describe('what stands in for a Qdrant', () => {
  let server: QdrantServer;
  beforeAll(async () => {
    server = await QdrantServer.start('secret');
  });
  afterAll(() => server.end());
  const open = async () => new QdrantVectorStore({ url: server.url, apiKey: 'secret', timeoutMs: 10_000 });
  vectorStoreContract(open);
  semanticCacheContract(open);

  it.each<[string, string, unknown]>([
    ['PUT', '/collections/x', { vectors: { size: 3, distance: 'cosine' } }],
    ['PUT', '/collections/x', { vectors: { size: 3, distance: 'Cosine' }, name: 'x' }],
    ['PUT', '/collections/x', { vectors: { size: 0, distance: 'Cosine' } }],
    ['PUT', '/collections/x/points', { points: [{ id: 'not-a-uuid', vector: [1] }] }],
    ['PUT', '/collections/x/points', { points: [{ id: 1, vector: [null] }] }],
    ['POST', '/collections/x/points/query', { query: [1], filter: { must: [{ key: 'a', match: { value: 0.5 } }] } }],
    ['POST', '/collections/x/points/query', { query: [1], top: 3 }],
    ['POST', '/collections/x/points/count', { filter: [] }],
  ])('refuses what the API does not describe: %s %s %j', async (method, path, body) => {
    const headers = { 'api-key': 'secret', 'content-type': 'application/json' };
    const response = await fetch(server.url + path, { method, headers, body: JSON.stringify(body) });
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({
      status: { error: expect.stringContaining('Format error in JSON body') },
      time: expect.any(Number),
    });
  });
});

describe('a Qdrant', () => {
  const { signal } = new AbortController();
  const spec = { name: 'test', dimension: 3 };
  const vector = [1, 0, 0];
  let server: QdrantServer;
  let store: QdrantVectorStore;
  beforeEach(async () => {
    server = await QdrantServer.start();
    store = new QdrantVectorStore({ url: server.url, timeoutMs: 2_000 });
  });
  afterEach(async () => {
    await store.close();
    await server.end();
  });
  const ask = () => store.collection(spec).nearest({ vector, limit: 1 }, signal);

  it('is not asked anything before there is something to ask', () => {
    store.collection(spec);
    expect(server.asked).toEqual([]);
  });

  it.each<[Mishap, RegExp]>([
    ['garbage', /is no JSON/],
    ['nonsense', /told nothing of a collection, so it is none/],
    ['hangup', /the connection broke/],
    [
      { status: 401, text: '"Invalid API key or JWT"' },
      /refuses the key \(401, “Invalid API key or JWT”\)\. Set qdrantApiKey/,
    ],
    [
      { status: 403, text: '{"status":{"error":"Forbidden: write access is required"}}' },
      /refuses the key \(403.*write access/,
    ],
    [
      { status: 500, text: '{"status":{"error":"Service internal error: disk full"}}' },
      /is not well \(500, “Service internal error: disk full”\)/,
    ],
    [{ status: 503, text: '' }, /is no JSON|is not well/],
    [{ status: 429, text: '{"status":{"error":"Rate limit exceeded"}}' }, /is not well \(429/],
    [{ status: 404, text: '"<html>no such page</html>"' }, /refuses what it is asked \(404/],
    [{ status: 302, text: '""' }, /302/],
  ])('that answers %j is away, and says why', async (mishap, why) => {
    server.mishap = mishap;
    const failure = await ask().catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(VectorStoreUnavailable);
    expect((failure as Error).message).toMatch(why);
    expect((failure as Error).message).toContain(new URL(server.url).host);
    expect(store.trouble).toBe((failure as Error).message);
    server.mishap = undefined;
    expect(await ask()).toEqual([]);
    expect(store.trouble).toBeUndefined();
  });

  it('that tells points as no Qdrant would is away', async () => {
    await store.collection(spec).upsert([{ id: 'a', vector, attributes: {} }], signal);
    for (const text of [
      '{"result":{}}',
      '{"result":{"points":[{"id":1,"version":1}]}}',
      '{"result":{"points":[{"id":1,"score":1,"payload":{"id":7}}]}}',
    ]) {
      server.mishap = { status: 200, text };
      await expect(ask()).rejects.toThrow(VectorStoreUnavailable);
      await expect(store.collection(spec).count({}, signal)).rejects.toThrow(/told no count/);
    }
  });

  it('that says nothing is given up in time', async () => {
    server.mishap = 'silence';
    const patient = new QdrantVectorStore({ url: server.url, timeoutMs: 30 });
    await expect(patient.collection(spec).count({}, signal)).rejects.toThrow(/within 30 ms \(vectorTimeoutMs\)/);
    expect(patient.trouble).toMatch(/vectorTimeoutMs/);
  });

  it('that says nothing is left when the caller has enough, or this process ends', async () => {
    server.mishap = 'silence';
    const leaving = new AbortController();
    const reason = new Error('left');
    const asked = store.collection(spec).count({}, leaving.signal);
    const other = store.collection(spec).count({}, signal);
    const ended = expect(other).rejects.toThrow(/is closed: this process is ending/);
    await expect.poll(() => server.asked.length).toBe(2);
    leaving.abort(reason);
    await expect(asked).rejects.toBe(reason);
    await store.close();
    await ended;
  });

  it('that is not there is said to be so', async () => {
    const gone = await QdrantServer.start();
    const { url } = gone;
    await gone.end();
    const nobody = new QdrantVectorStore({ url, timeoutMs: 2_000 });
    await expect(nobody.collection(spec).count({}, signal)).rejects.toThrow(/nothing listens there \(ECONNREFUSED\)/);
  });

  it('with more questions than it can have is asked no more', async () => {
    server.mishap = 'silence';
    const many = Array.from({ length: 256 }, () =>
      store
        .collection(spec)
        .count({}, signal)
        .catch(() => 'ended'),
    );
    await expect(store.collection(spec).count({}, signal)).rejects.toThrow(/256 questions to answer already/);
    await store.close();
    expect(new Set(await Promise.all(many))).toEqual(new Set(['ended']));
  });

  it('has a collection of somebody else left as it is', async () => {
    const init = { method: 'PUT', headers: { 'content-type': 'application/json' } };
    const dot = { vectors: { size: 3, distance: 'Dot' } };
    await fetch(`${server.url}/collections/test`, { ...init, body: JSON.stringify(dot) });
    const put = store.collection(spec).upsert([{ id: 'a', vector, attributes: {} }], signal);
    await expect(put).rejects.toThrow(VectorSizeConflict);
    await expect(ask()).rejects.toThrow(/holds no plain vectors compared by cosine/);
    expect(server.collections.get('test')).toMatchObject({ distance: 'Dot', points: new Map() });
  });

  it('whose collection was dropped behind our back gets it anew; made anew of another size, it is left alone', async () => {
    const collection = store.collection(spec);
    await collection.upsert([{ id: 'a', vector, attributes: {} }], signal);
    server.collections.clear();
    expect(await ask()).toEqual([]);
    await collection.upsert([{ id: 'b', vector, attributes: {} }], signal);
    expect(await collection.count({}, signal)).toBe(1);
    const another = new QdrantVectorStore({ url: server.url, timeoutMs: 2_000 });
    await another.drop('test', signal);
    await another
      .collection({ name: 'test', dimension: 5 })
      .upsert([{ id: 'c', vector: [1, 2, 3, 4, 5], attributes: {} }], signal);
    await expect(ask()).rejects.toThrow(/collection test .* 5 numbers.* have 3/);
    await expect(collection.upsert([{ id: 'd', vector, attributes: {} }], signal)).rejects.toThrow(VectorSizeConflict);
    expect(server.collections.get('test')?.points.size).toBe(1);
  });

  it('is told which attributes are filtered by when a collection is made', async () => {
    const filteredBy = { who: 'text', at: 'number', new: 'boolean' } as const;
    await store.collection({ ...spec, filteredBy }).upsert([{ id: 'a', vector, attributes: {} }], signal);
    expect([...server.collections.get('test')!.indexes]).toEqual([
      ['attributes.who', 'keyword'],
      ['attributes.at', 'float'],
      ['attributes.new', 'bool'],
    ]);
  });

  it('gets large vectors in several requests, none of which it would refuse', async () => {
    const wide = { name: 'wide', dimension: 16_000 };
    const points = Array.from({ length: 90 }, (_, at) => ({
      id: `${at}`,
      vector: new Float32Array(16_000).fill(at + 1),
      attributes: {},
    }));
    const patient = new QdrantVectorStore({ url: server.url, timeoutMs: 20_000 });
    await patient.collection(wide).upsert(points, signal);
    expect(server.asked.filter((asked) => asked.startsWith('PUT /collections/wide/points')).length).toBe(3);
    expect(await patient.collection(wide).count({}, signal)).toBe(90);
  });
});

describe('qdrantUrl', () => {
  it.each([
    '',
    'localhost:6333',
    'ftp://host',
    'http://',
    'http://me:secret@host:6333',
    'http://host:6333/?key=secret',
  ])('is refused without telling it when it is none: %j', (url) => {
    const open = () => new QdrantVectorStore({ url, timeoutMs: 1 });
    expect(open).toThrow(ConfigurationError);
    expect(open).toThrow(/qdrantUrl is no URL of a Qdrant/);
    expect(open).not.toThrow(/secret/);
  });

  it.each([
    ['http://127.0.0.1', '127.0.0.1:6333'],
    ['http://127.0.0.1:1/', '127.0.0.1:1'],
    ['https://127.0.0.1:443', '127.0.0.1:443'],
    ['http://[::1]:2/a/b/', '[::1]:2/a/b'],
  ])('%s is understood as %s', async (url, place) => {
    const store = new QdrantVectorStore({ url, timeoutMs: 2_000, requestInit: { redirect: 'error' } });
    const asked = store.collection({ name: 'a', dimension: 1 }).count({}, AbortSignal.timeout(2_000));
    await expect(asked).rejects.toThrow(`The Qdrant at ${place} can not be asked`);
  });
});
