import { readFileSync } from 'node:fs';
import { createLogger } from '@millrace/runtime';
import { describe, expect, it, onTestFinished } from 'vitest';
import { MemoryVectors } from '../stores/memory-vectors.testing.js';
import type { ValidAnswerRequest, ValidRequest } from '../vocabulary.js';
import { aModel, aRequest } from './cache.testing.js';
import { pruneNotes } from './prune-notes.js';
import { aCall, aChat, PretendVectors } from './semantic.testing.js';
import { semanticCacheContract } from './semantic-cache.contract.js';
import { collectionSpec, SemanticCache, type SemanticCacheOptions } from './semantic-cache.js';

const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });
const { signal } = new AbortController();
const OPTIONS: SemanticCacheOptions = {
  thresholdOf: () => 0.95,
  timeoutMs: 1_000,
  entriesMax: 1_000,
  ageMsMax: 60_000,
};

function newCache(options: Partial<SemanticCacheOptions> = {}, store = new MemoryVectors(() => 1)) {
  const vectors = new PretendVectors();
  const clock = { nowMs: 1_000_000 };
  const cache = new SemanticCache(store, vectors, { ...OPTIONS, ...options }, logger, () => clock.nowMs);
  onTestFinished(() => cache.close());
  const find = (request: ValidAnswerRequest, keyId?: string) => cache.find(request, aCall(keyId), signal);
  const note = async (request: ValidAnswerRequest, key = 'answer', keyId?: string) => {
    cache.note(request, aCall(keyId), key);
    const { points } = collectionOf(store);
    const before = points();
    await expect.poll(() => points() !== before).toBe(true);
  };
  return { cache, store, vectors, clock, find, note };
}

/** How often something was put or taken out is told by the points themselves: they are copied. */
function collectionOf(store: MemoryVectors) {
  const points = () =>
    JSON.stringify(
      [...store.collections.values()].map(({ points }) => [...points.values()].map(({ attributes }) => attributes)),
    );
  return { points };
}

describe('with vectors that take all questions for the same', () => {
  const { different, same } = JSON.parse(
    readFileSync(new URL('semantic-pairs/held-out.json', import.meta.url), 'utf8'),
  ) as { different: Record<string, [string, string][]>; same: [string, string][] };

  it('no held-out pair of different questions has one answer', async () => {
    const { cache, store, find } = newCache();
    const pairs = Object.values(different).flat();
    for (const [index, [one, other]] of pairs.entries()) {
      // A tenant each, so that a pair is not saved by another's answer.
      cache.note(aChat(one), aCall(`${index}`), one);
      cache.note(aChat(other), aCall(`${index} turned`), other);
      if (index % 100 === 99) await expect.poll(() => size(store)).toBe((index + 1) * 2);
    }
    await expect.poll(() => size(store)).toBe(pairs.length * 2);
    const wrong: unknown[] = [];
    for (const [index, [one, other]] of pairs.entries()) {
      expect(await find(aChat(one), `${index}`)).toBe(one);
      wrong.push(await find(aChat(other), `${index}`), await find(aChat(one), `${index} turned`));
    }
    expect(wrong.filter((key) => key !== undefined)).toEqual([]);
  });

  it('a paraphrase has the answer that the guard lets through', async () => {
    const { cache, store, find } = newCache();
    for (const [index, [one]] of same.entries()) cache.note(aChat(one), aCall(`${index}`), one);
    await expect.poll(() => size(store)).toBe(same.length);
    let found = 0;
    for (const [index, [, other]] of same.entries())
      found += Number((await find(aChat(other), `${index}`)) !== undefined);
    expect(found).toBe(21);
  });
});

const size = (store: MemoryVectors) =>
  [...store.collections.values()].reduce((sum, { points }) => sum + points.size, 0);

describe('an answered question', () => {
  const system = { role: 'system', content: 'Be brief.' };
  const tool = { type: 'function', function: { name: 'f' } };
  const like = (changes: Partial<ValidRequest>) => aRequest({ prompts: aChat('What is it?').prompts, ...changes });

  it.each<[string, ValidAnswerRequest]>([
    ['another model', like({ model: aModel({ id: 'other' }) })],
    ['another engine', like({ model: aModel({ engine: 'fake 2' }) })],
    ['fallbacks', like({ fallbacks: [aModel({ id: 'other' })] })],
    ['a system prompt', aChat('What is it?', [system])],
    [
      'an earlier turn',
      aChat('What is it?', [
        { role: 'user', content: 'Hi.' },
        { role: 'assistant', content: 'Hello.' },
      ]),
    ],
    [
      'a name',
      aRequest({
        prompts: [
          {
            kind: 'chat',
            messages: [{ role: 'user', content: 'What is it?', name: 'Eve' }],
            tools: [],
            templateVariables: {},
          },
        ],
      }),
    ],
    ['tools', aChat('What is it?', [], { tools: [tool] })],
    ['a choice of tools', aChat('What is it?', [], { toolChoice: 'required' })],
    ['documents', aChat('What is it?', [], { documents: [{ text: 'It is a test.' }] })],
    ['variables of the template', aChat('What is it?', [], { templateVariables: { thinking: true } })],
    ['more thought', aChat('What is it?', [], { reasoningEffort: 'high' })],
    ['a format', like({ format: { kind: 'json' } })],
    ['a temperature', like({ sampling: { temperature: 0.5 } })],
    ['a seed', like({ sampling: { temperature: 0, seed: 1 } })],
    ['a bias', like({ sampling: { temperature: 0, logitBias: [{ token: 1, bias: 1 }] } })],
    ['a length', like({ maxTokens: 7 })],
    ['an end', like({ stop: ['x'] })],
  ])('is none for a question with %s', async (_what, request) => {
    const { find, note } = newCache();
    await note(aChat('What is it?'), 'plain');
    expect(await find(request)).toBeUndefined();
    expect(await find(aChat('what is it'))).toBe('plain');
    await note(request, 'other');
    expect(await find(request)).toBe('other');
    expect(await find(aChat('What is it?'))).toBe('plain');
  });

  it.each<[string, ValidAnswerRequest]>([
    ['several answers', like({ n: 2, bestOf: 2 })],
    ['the best of several', like({ bestOf: 2 })],
    ['log-probabilities', like({ logprobs: 0 })],
    ['texts that are judged as they stand', like({ exact: true })],
    ['a prompt that is no chat', aRequest({ prompts: [{ kind: 'text', text: 'What is it?' }] })],
    ['several prompts', like({ prompts: [...aChat('What is it?').prompts, ...aChat('What is it?').prompts] })],
    [
      'a tool that answers',
      aRequest({
        prompts: [
          {
            kind: 'chat',
            messages: [{ role: 'tool', content: 'What is it?', tool_call_id: 'a' }],
            tools: [],
            templateVariables: {},
          },
        ],
      }),
    ],
    ['an answer that goes on', aChat('What is it?', [], { continueFinal: true })],
    ['an image', aChat([{ type: 'image_url', image_url: { url: 'x' } }])],
    [
      'an image before',
      aChat('What is it?', [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }]),
    ],
    ['several lines', aChat('What is it?\nReally?')],
    ['nothing', aChat('')],
    ['no message', aRequest({ prompts: [{ kind: 'chat', messages: [], tools: [], templateVariables: {} }] })],
  ])('is not looked for, nor noted: %s', async (_what, request) => {
    const { cache, find, vectors, store } = newCache();
    cache.note(request, aCall(), 'answer');
    expect(await find(request)).toBeUndefined();
    expect(vectors.asked).toBe(0);
    expect(store.asked).toBe(0);
  });

  it('is found as near as the threshold of the model says, and no farther', async () => {
    const store = new MemoryVectors(() => 0.9);
    const { find, note } = newCache({ thresholdOf: (model) => (model === 'demo' ? 0.9 : 0.91) }, store);
    const other = aRequest({ prompts: aChat('What is it?').prompts, model: aModel({ id: 'strict' }) });
    await note(aChat('What is it?'));
    await note(other);
    expect(await find(aChat('What is it?'))).toBe('answer');
    expect(await find(other)).toBeUndefined();
  });

  it('is forgotten when answers are, also before it is taken out', async () => {
    const { find, note, clock } = newCache();
    await note(aChat('What is it?'));
    clock.nowMs += 59_999;
    expect(await find(aChat('What is it?'))).toBe('answer');
    clock.nowMs += 2;
    expect(await find(aChat('What is it?'))).toBeUndefined();
  });

  it('that is noted again has its newer answer', async () => {
    const { find, note, clock, store } = newCache();
    await note(aChat('What is it?'), 'older');
    clock.nowMs += 1;
    await note(aChat('What is it?'), 'newer');
    expect(await find(aChat('What is it?'))).toBe('newer');
    expect(size(store)).toBe(1);
  });

  it('leaves no text in the store', async () => {
    const { note, store } = newCache();
    await note(aChat('What is the secret?', [{ role: 'system', content: 'The secret is 42.' }]), 'key', 'tenant');
    const [{ points } = { points: new Map() }] = store.collections.values();
    const text = JSON.stringify([...points]);
    for (const word of ['secret', '42', 'tenant-a', 'What']) expect(text).not.toContain(word);
  });

  it('is not given when the store brings another than was asked for', async () => {
    const { find, note, store } = newCache();
    await note(aChat('What is it?'), 'mine', 'me');
    for (const { points } of store.collections.values()) {
      for (const point of points.values()) Object.assign(point.attributes, { tenant: 'somebody else' });
    }
    const collection = store.collection.bind(store);
    store.collection = (spec) => ({
      ...collection(spec),
      nearest: (question, end) => collection(spec).nearest({ ...question, filter: {} }, end),
    });
    expect(await find(aChat('What is it?'), 'me')).toBeUndefined();
  });
});

describe('a look', () => {
  it('that takes too long is a miss, and the next requests do not wait for one', async () => {
    const { find, vectors, clock } = newCache({ timeoutMs: 20 });
    vectors.mishap = 'silent';
    expect(await find(aChat('What is it?'))).toBeUndefined();
    expect(await find(aChat('What is it?'))).toBeUndefined();
    expect(vectors.asked).toBe(1);
    vectors.mishap = undefined;
    clock.nowMs += 5_001;
    expect(await find(aChat('What is it?'))).toBeUndefined();
    expect(vectors.asked).toBe(2);
    expect(await find(aChat('What is it?'))).toBeUndefined();
    expect(vectors.asked).toBe(3);
  });

  it.each(['broken', 'none'] as const)('is a miss where the vector is %s', async (mishap) => {
    const { find, vectors, store } = newCache();
    vectors.mishap = mishap;
    expect(await find(aChat('What is it?'))).toBeUndefined();
    expect(store.asked).toBe(0);
  });

  it.each(['away', 'silent'] as const)(
    'is a miss where the store is %s, and one again after it is back',
    async (mishap) => {
      const { find, note, store, clock } = newCache({ timeoutMs: 20 });
      await note(aChat('What is it?'));
      store.mishap = mishap;
      expect(await find(aChat('What is it?'))).toBeUndefined();
      const { asked } = store;
      expect(await find(aChat('What is it?'))).toBeUndefined();
      expect(store.asked).toBe(asked);
      store.mishap = undefined;
      clock.nowMs += 5_001;
      expect(await find(aChat('What is it?'))).toBe('answer');
    },
  );

  it('after a failure is tried by one, while the others go on', async () => {
    const { find, vectors, clock } = newCache({ timeoutMs: 50 });
    vectors.mishap = 'broken';
    await find(aChat('What is it?'));
    vectors.mishap = 'silent';
    clock.nowMs += 5_001;
    await Promise.all(Array.from({ length: 20 }, () => find(aChat('What is it?'))));
    expect(vectors.asked).toBe(2);
  });

  it('ends with the request, and with its reason', async () => {
    const { cache, vectors } = newCache();
    vectors.mishap = 'silent';
    const leaving = new AbortController();
    const reason = new Error('left');
    const asked = cache.find(aChat('What is it?'), aCall(), leaving.signal);
    leaving.abort(reason);
    await expect(asked).rejects.toBe(reason);
    await expect(cache.find(aChat('What is it?'), aCall(), AbortSignal.abort(reason))).rejects.toBe(reason);
    // Whoever leaves says nothing of the store.
    vectors.mishap = undefined;
    expect(await cache.find(aChat('What is it?'), aCall(), signal)).toBeUndefined();
    expect(vectors.asked).toBe(2);
  });

  it('is not made while too many are under way', async () => {
    const { cache, vectors } = newCache({ timeoutMs: 100 });
    vectors.mishap = 'silent';
    await Promise.all(Array.from({ length: 100 }, () => cache.find(aChat('What is it?'), aCall(), signal)));
    expect(vectors.most).toBe(32);
  });
});

describe('what is to be noted', () => {
  it('has the vector that was made for the look', async () => {
    const { find, note, vectors } = newCache();
    await find(aChat('What is it?'));
    await note(aChat('What is it?'));
    expect(vectors.asked).toBe(1);
  });

  it('is bounded, and what is too much is dropped', async () => {
    const { cache, store, vectors } = newCache();
    vectors.mishap = 'silent';
    for (let at = 0; at < 1_000; at++) cache.note(aChat(`What is ${at}?`), aCall(), 'answer');
    await cache.close();
    expect(size(store)).toBe(0);
    cache.note(aChat('What is it?'), aCall(), 'answer');
    expect(vectors.asked).toBe(1);
  });

  it('does not try a store that is away again and again', async () => {
    const { cache, store, vectors } = newCache();
    store.mishap = 'away';
    for (let at = 0; at < 100; at++) cache.note(aChat(`What is ${at}?`), aCall(), 'answer');
    await expect.poll(() => vectors.asked).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(vectors.asked).toBe(1);
  });
});

describe('what is noted', () => {
  const spec = collectionSpec('any', 2);
  const fill = async (ages: readonly number[]) => {
    const collection = new MemoryVectors().collection(spec);
    const points = ages.map((age, at) => ({ id: `${at}`, vector: [1, 0], attributes: { at: 1_000_000 - age } }));
    for (let from = 0; from < points.length; from += 500)
      await collection.upsert(points.slice(from, from + 500), signal);
    return collection;
  };
  const limits = { entriesMax: 100, ageMsMax: 60_000, nowMs: 1_000_000 };

  it('goes when it is too old', async () => {
    const collection = await fill([0, 59_999, 60_000, 60_001, 999_999]);
    await pruneNotes(collection, limits, signal);
    expect(await collection.count({}, signal)).toBe(3);
  });

  it('goes, the oldest first, when it is too much, to a twentieth less than may be', async () => {
    const collection = await fill(Array.from({ length: 1_000 }, (_, at) => at * 59));
    await pruneNotes(collection, limits, signal);
    const left = await collection.count({}, signal);
    expect(left).toBeLessThanOrEqual(95);
    expect(left).toBeGreaterThan(90);
    expect(await collection.count({ at: { below: 1_000_000 - 100 * 59 } }, signal)).toBe(0);
  });

  it('stays when it is as much as may be', async () => {
    const collection = await fill(Array.from({ length: 100 }, (_, at) => at));
    await pruneNotes(collection, limits, signal);
    expect(await collection.count({}, signal)).toBe(100);
  });

  it('goes all together when it is of one moment and too much', async () => {
    const collection = await fill(Array.from({ length: 200 }, () => 7));
    await pruneNotes(collection, limits, signal);
    expect(await collection.count({}, signal)).toBe(0);
  });
});

describe('vectors in memory', () => {
  semanticCacheContract(async () => new MemoryVectors());
});
