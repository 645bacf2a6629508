import { describe, expect, it } from 'vitest';
import { MemoryVectors } from '../stores/memory-vectors.testing.js';
import type { ChunkTable } from './chunk-table.js';
import type { EntryTable } from './entry-table.js';
import { SearchChunks } from './search-chunks.js';
import { VectorPlaces } from './vector-places.js';

const { signal } = new AbortController();
const LIMITS = { vectorStoreFilesMax: 10_000, vectorTimeoutMs: 1_000 };
const ids = Array.from({ length: 10_000 }, (_, at) => `entry_${at}`);
/** As far as a search asks them. */
const entries = { passing: async () => ids } as Partial<EntryTable> as EntryTable;
const chunks = { find: async () => [] } as Partial<ChunkTable> as ChunkTable;
const search = {
  storeId: 'vs_1',
  vectors: [Float32Array.of(1, 0), Float32Array.of(0, 1)],
  filter: { type: 'and', filters: [] },
  resultsMax: 10,
  scoreMin: undefined,
} as const;

describe('a search', () => {
  it('asks the vectors once for each query, however many files a filter lets through', async () => {
    const vectors = new MemoryVectors();
    await new SearchChunks(entries, chunks, new VectorPlaces(vectors), LIMITS).search(search, signal);
    expect(vectors.asked).toBe(2);
  });

  it('that takes too long in all says so, with what to do', async () => {
    const vectors = new MemoryVectors();
    vectors.mishap = 'silent';
    const slow = new SearchChunks(entries, chunks, new VectorPlaces(vectors), LIMITS, 20);
    await expect(slow.search(search, signal)).rejects.toMatchObject({
      code: 'deadline_exceeded',
      message: expect.stringMatching(/within 20 ms.*fewer queries/),
    });
  });

  it('ends when whoever asked leaves', async () => {
    const leaving = new AbortController();
    const vectors = new MemoryVectors();
    vectors.mishap = 'silent';
    const searching = new SearchChunks(entries, chunks, new VectorPlaces(vectors), LIMITS).search(
      search,
      leaving.signal,
    );
    leaving.abort(new Error('gone'));
    await expect(searching).rejects.toThrow('gone');
  });
});
