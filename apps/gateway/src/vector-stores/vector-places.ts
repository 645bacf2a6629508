import {
  NEAREST_MAX,
  type NearPoint,
  type VectorCollection,
  type VectorFilter,
  type VectorPoint,
  type VectorStore,
  VectorStoreUnavailable,
} from '../stores/vector-store.js';

/** A chunk's vector: whose, and which. */
export interface ChunkVector {
  readonly number: number;
  readonly vector: Float32Array;
}

export interface NearChunk {
  readonly entryId: string;
  readonly number: number;
  /** The cosine. */
  readonly score: number;
}

/**
 * Where the vectors of vector stores are: one collection for all stores whose vectors have one length, in which each point says whose it is.
 *
 * Not a collection for each store: a Qdrant takes some megabytes of memory for each and is slow to start with thousands, while with an index
 * of who owns what it searches one owner's points as exactly as if they were alone. pgvector compares all of one owner's either way.
 */
export class VectorPlaces {
  /** @param vectors undefined: there are none, and everything is `VectorStoreUnavailable`. */
  constructor(private readonly vectors: VectorStore | undefined) {}

  async put(
    { id, storeId, dimension }: { readonly id: string; readonly storeId: string; readonly dimension: number },
    chunks: readonly ChunkVector[],
    signal: AbortSignal,
  ): Promise<void> {
    const points = chunks.map(
      ({ number, vector }): VectorPoint => ({
        id: `${id}.${number}`, // The same each time, so that what is put twice is there once.
        vector,
        attributes: { store: storeId, entry: id, number },
      }),
    );
    await this.#collection(dimension).upsert(points, signal);
  }

  /** All of an entry's. */
  async remove(
    entry: { readonly id: string; readonly storeId: string; readonly dimension: number },
    signal: AbortSignal,
  ): Promise<void> {
    await this.#collection(entry.dimension).remove({ filter: { store: entry.storeId, entry: entry.id } }, signal);
  }

  /** @param entries only theirs; undefined: all of the store's. */
  async nearest(
    {
      storeId,
      vector,
      limit,
      scoreMin,
    }: {
      readonly storeId: string;
      readonly vector: Float32Array;
      readonly limit: number;
      readonly scoreMin?: number | undefined;
    },
    entries: readonly string[] | undefined,
    signal: AbortSignal,
  ): Promise<readonly NearChunk[]> {
    const filter: VectorFilter = { store: storeId, ...(entries !== undefined && { entry: { in: entries } }) };
    const question = { vector, limit: Math.min(limit, NEAREST_MAX), filter, scoreMin };
    return (await this.#collection(vector.length).nearest(question, signal)).map(chunkOf);
  }

  #collection(dimension: number): VectorCollection {
    if (this.vectors === undefined) throw new VectorStoreUnavailable('This gateway has no store of vectors.');
    const filteredBy = { store: 'text', entry: 'text' } as const;
    return this.vectors.collection({ name: `vector_stores_${dimension}`, dimension, filteredBy });
  }
}

function chunkOf({ score, attributes: { entry, number } }: NearPoint): NearChunk {
  return { entryId: String(entry), number: Number(number), score };
}
