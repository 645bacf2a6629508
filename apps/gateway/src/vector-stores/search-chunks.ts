import { InferenceError } from '@millrace/contracts';
import { FILTER_TEXTS_MAX, NEAREST_MAX } from '../stores/vector-store.js';
import type { ChunkTable, FoundChunk } from './chunk-table.js';
import type { EntryTable } from './entry-table.js';
import type { FileFilter } from './file-filter.js';
import type { NearChunk, VectorPlaces } from './vector-places.js';

export interface ChunkSearch {
  readonly storeId: string;
  readonly vectors: readonly Float32Array[];
  readonly filter: FileFilter | undefined;
  readonly resultsMax: number;
  readonly scoreMin: number | undefined;
}

export interface ScoredChunk extends FoundChunk {
  readonly score: number;
}

/** Of entries that one question to the vectors may name; only where a filter lets more through, it is asked several times. */
const ENTRIES_PER_QUESTION = FILTER_TEXTS_MAX;
/** Of a whole search, however many questions to the vectors it takes; no less than one of these may take. */
const SEARCH_TIMEOUT_MS = 10_000;
/** How many more are asked for than are wanted, at first: some may be of files that are just being read, or going. */
const SPARE = 10;

/**
 * The chunks of a store that are nearest to any of some vectors.
 *
 * Attributes belong to files, and are compared where files are: a filter becomes the entries that it lets through, and those become part of
 * the question to the vectors. So nothing that is near is missed however few pass, and attributes can change without a vector being touched.
 * The nearest of several sets are the nearest of the sets' nearest, so that it holds for any number of entries.
 */
export class SearchChunks {
  constructor(
    private readonly entries: EntryTable,
    private readonly chunks: ChunkTable,
    private readonly places: VectorPlaces,
    private readonly limits: { readonly vectorStoreFilesMax: number; readonly vectorTimeoutMs: number },
    private readonly timeoutMs = Math.max(SEARCH_TIMEOUT_MS, limits.vectorTimeoutMs),
  ) {}

  /** @throws DatabaseUnavailable, VectorStoreUnavailable; InferenceError where it takes too long. */
  async search(search: ChunkSearch, signal: AbortSignal): Promise<readonly ScoredChunk[]> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(tooSlow(this.timeoutMs)), this.timeoutMs);
    try {
      return await this.#search(search, AbortSignal.any([signal, late.signal]));
    } finally {
      clearTimeout(timer);
    }
  }

  /** One question after another: several at a time would only keep others from theirs. */
  async #search(search: ChunkSearch, signal: AbortSignal): Promise<readonly ScoredChunk[]> {
    const sets = await this.#setsOf(search);
    const found = new Map<string, ScoredChunk>();
    for (const vector of search.vectors) {
      for (const entries of sets) {
        for (const chunk of await this.#nearest(search, vector, entries, signal)) {
          const key = `${chunk.entryId}.${chunk.number}`;
          if ((found.get(key)?.score ?? Number.NEGATIVE_INFINITY) < chunk.score) found.set(key, chunk);
        }
      }
    }
    return [...found.values()].sort(byScore).slice(0, search.resultsMax);
  }

  /** Undefined: all entries of the store. */
  async #setsOf({ storeId, filter }: ChunkSearch): Promise<readonly (readonly string[] | undefined)[]> {
    if (filter === undefined) return [undefined];
    const all = await this.entries.passing(storeId, filter, this.limits.vectorStoreFilesMax);
    const sets: (readonly string[])[] = [];
    for (let from = 0; from < all.length; from += ENTRIES_PER_QUESTION)
      sets.push(all.slice(from, from + ENTRIES_PER_QUESTION));
    return sets;
  }

  /** Asks for more until enough of them can be shown, or there are no more. */
  async #nearest(
    { storeId, resultsMax, scoreMin }: ChunkSearch,
    vector: Float32Array,
    entries: readonly string[] | undefined,
    signal: AbortSignal,
  ): Promise<readonly ScoredChunk[]> {
    for (let limit = resultsMax + SPARE; ; limit = Math.min(4 * limit, NEAREST_MAX)) {
      signal.throwIfAborted();
      const near = await this.places.nearest({ storeId, vector, limit, scoreMin }, entries, signal);
      const shown = await this.#withTexts(near);
      if (shown.length >= resultsMax || near.length < limit || limit === NEAREST_MAX) return shown.slice(0, resultsMax);
    }
  }

  async #withTexts(near: readonly NearChunk[]): Promise<ScoredChunk[]> {
    if (near.length === 0) return [];
    const scores = new Map(near.map(({ entryId, number, score }) => [`${entryId}.${number}`, score]));
    const chunks = await this.chunks.find(near);
    return chunks.map((chunk) => ({ ...chunk, score: scores.get(`${chunk.entryId}.${chunk.number}`)! })).sort(byScore);
  }
}

function byScore(one: ScoredChunk, other: ScoredChunk): number {
  return other.score - one.score || one.entryId.localeCompare(other.entryId) || one.number - other.number;
}

function tooSlow(timeoutMs: number): InferenceError {
  return new InferenceError(
    'deadline_exceeded',
    `The search was not done within ${timeoutMs.toLocaleString('en-US')} ms. Ask fewer queries at a time, with a filter that lets fewer files through; or give the gateway a Qdrant (qdrantUrl).`,
  );
}
