import { createLogger } from '@millrace/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { VectorStore } from '../stores/vector-store.js';
import { aCall, aChat, PretendVectors } from './semantic.testing.js';
import { collectionSpec, SemanticCache } from './semantic-cache.js';

const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });

/** What must hold on every store of vectors: whose an answer is, what it was an answer to, and that it ends. */
export function semanticCacheContract(open: () => Promise<VectorStore>): void {
  describe('the semantic cache on it', () => {
    const { signal } = new AbortController();
    const vectors = new PretendVectors();
    vectors.model = `test ${crypto.randomUUID()}`;
    let store: VectorStore;
    let cache: SemanticCache;
    beforeAll(async () => {
      store = await open();
      const options = { thresholdOf: () => 0.95, timeoutMs: 10_000, entriesMax: 20, ageMsMax: 3_600_000 };
      cache = new SemanticCache(store, vectors, options, logger);
    });
    afterAll(async () => {
      await cache.close();
      await store.drop(collectionSpec(vectors.model, 2).name, signal);
      await store.close();
    });
    const find = (question: string, keyId?: string, earlier: readonly object[] = []) =>
      cache.find(aChat(question, earlier), aCall(keyId), signal);

    it('finds a question that means the same, and never one of another tenant', async () => {
      cache.note(aChat('How do I reset it?'), aCall('key-a'), 'answer-of-a');
      await expect.poll(() => find('how can I reset it', 'key-a'), { timeout: 10_000 }).toBe('answer-of-a');
      for (const other of ['key-b', 'key', 'key-a ', 'KEY-A', '', undefined])
        expect(await find('How do I reset it?', other)).toBeUndefined();
      cache.note(aChat('How do I reset it?'), aCall('key-b'), 'answer-of-b');
      await expect.poll(() => find('How do I reset it?', 'key-b'), { timeout: 10_000 }).toBe('answer-of-b');
      expect(await find('How do I reset it?', 'key-a')).toBe('answer-of-a');
      expect(await find('How do I not reset it?', 'key-a')).toBeUndefined();
      expect(await find('How do I reset it?', 'key-a', [{ role: 'system', content: 'Be brief.' }])).toBeUndefined();
    });

    it('holds no more than it may', async () => {
      for (let at = 0; at < 40; at++) cache.note(aChat(`What is number ${at}?`), aCall('key-a'), `answer-${at}`);
      await expect.poll(() => find('What is number 39?', 'key-a'), { timeout: 30_000 }).toBe('answer-39');
      const collection = store.collection(collectionSpec(vectors.model, 2));
      await expect.poll(() => collection.count({}, signal), { timeout: 10_000 }).toBeLessThanOrEqual(21);
    });
  });
}
