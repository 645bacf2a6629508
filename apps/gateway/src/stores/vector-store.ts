/**
 * Vectors, and which of them are nearest to another: ids, scores and a few attributes. What a vector was made of stays elsewhere.
 *
 * What is away, or slower than its deadline, is a `VectorStoreUnavailable`; whatever was being written then may be there or not. A
 * collection of vectors of another size is a `VectorSizeConflict`: it is never made anew by itself. What the caller did wrong is a
 * `RangeError`. Aborting `signal` rejects with its reason; what was being written then may be there or not.
 */
export interface VectorStore {
  /** Opens nothing and asks nobody: a collection is made when the first point comes. */
  collection(spec: CollectionSpec): VectorCollection;
  /** Whether it was there or not. */
  drop(name: string, signal: AbortSignal): Promise<void>;
  /** What is wrong with it just now, as a sentence; undefined: nothing, as far as the last attempts tell, if there were any. */
  readonly trouble: string | undefined;
  /** Ends what is running. Afterwards everything is `VectorStoreUnavailable`. */
  close(): Promise<void>;
}

export interface CollectionSpec {
  /** Letters, digits, `_` and `-`, at most 100 of them. */
  readonly name: string;
  /** Of all of its vectors; 1 to VECTOR_DIMENSION_MAX. */
  readonly dimension: number;
  /** Attributes that are filtered by, with what they are; a store may need to know it beforehand to be fast. Absent: none. */
  readonly filteredBy?: Readonly<Record<string, 'text' | 'number' | 'boolean'>> | undefined;
}

/** Vectors of one size, compared by the cosine of their angle. One that is not there yet is empty. */
export interface VectorCollection {
  /** Adds points, or puts them in the place of those with their ids; at most UPSERT_POINTS_MAX at a time. All of them can be found from now on. */
  upsert(points: readonly VectorPoint[], signal: AbortSignal): Promise<void>;
  /** The nearest first. Where it is large, a store may miss some that are near. */
  nearest(question: NearestQuestion, signal: AbortSignal): Promise<readonly NearPoint[]>;
  /**
   * Those with these ids, at most REMOVED_IDS_MAX at a time, or all that the filter lets through. An empty filter lets all through.
   * Many go some at a time, each with the deadline of a question: where that fails, some are gone.
   */
  remove(
    which: { readonly ids: readonly string[] } | { readonly filter: VectorFilter },
    signal: AbortSignal,
  ): Promise<void>;
  /** How many the filter lets through, exactly. */
  count(filter: VectorFilter, signal: AbortSignal): Promise<number>;
}

/** Numbers are finite; strings hold no NUL and are at most ATTRIBUTE_CHARACTERS_MAX long. */
export type Attribute = string | number | boolean;

/** At most ATTRIBUTES_MAX, with names of letters, digits and `_`. */
export type Attributes = Readonly<Record<string, Attribute>>;

/** All that is said must be so. `below`: a number less than this one. `in`: one of these texts, of which there are at most FILTER_TEXTS_MAX. */
export type VectorFilter = Readonly<
  Record<string, Attribute | { readonly below: number } | { readonly in: readonly string[] }>
>;

export interface VectorPoint {
  /** At most POINT_ID_CHARACTERS_MAX characters, none of them NUL. */
  readonly id: string;
  /** Finite, and not all of it 0: that points nowhere. */
  readonly vector: ArrayLike<number>;
  readonly attributes: Attributes;
}

export interface NearestQuestion {
  readonly vector: ArrayLike<number>;
  /** 1 to NEAREST_MAX. */
  readonly limit: number;
  readonly filter?: VectorFilter | undefined;
  /** The least cosine that is worth telling, -1 to 1. Absent: all are. */
  readonly scoreMin?: number | undefined;
}

export interface NearPoint {
  readonly id: string;
  /** The cosine, -1 to 1, of 32-bit floats. */
  readonly score: number;
  readonly attributes: Attributes;
}

/** What pgvector's type holds; Qdrant would take more. */
export const VECTOR_DIMENSION_MAX = 16_000;
export const UPSERT_POINTS_MAX = 500;
export const REMOVED_IDS_MAX = 1_000;
export const NEAREST_MAX = 1_000;
/** As many as a vector store has files by default, since each question compares everything anew. A Qdrant keeps them as a set, too. */
export const FILTER_TEXTS_MAX = 10_000;
export const ATTRIBUTES_MAX = 32;
export const ATTRIBUTE_CHARACTERS_MAX = 512;
export const POINT_ID_CHARACTERS_MAX = 256;

/** Vectors can not be had just now; whoever needs them can ask again. */
export class VectorStoreUnavailable extends Error {
  override readonly name = 'VectorStoreUnavailable';
}

/** A collection is there, and holds vectors of another size. Nothing but a person mends it. */
export class VectorSizeConflict extends Error {
  override readonly name = 'VectorSizeConflict';

  constructor(where: string, { name, dimension }: CollectionSpec, there: number | undefined) {
    super(
      there === undefined
        ? `The collection ${name} in ${where} holds no plain vectors compared by cosine, which ${dimension} numbers each are wanted of. Delete it, so that it is made anew, or name another store.`
        : `The collection ${name} in ${where} holds vectors of ${there} numbers; those to be compared have ${dimension}. Use the embedding model that it was made with, or delete it, so that it is made anew.`,
    );
  }
}
