import { checkFilter, checkIds, checkName, checkPoints, checkQuestion, checkSpec } from './vector-checks.js';
import {
  type Attributes,
  type CollectionSpec,
  type VectorCollection,
  type VectorFilter,
  type VectorPoint,
  VectorSizeConflict,
  type VectorStore,
  VectorStoreUnavailable,
} from './vector-store.js';

/** Keeps the promises of a store, in memory; goes away, and says nothing, when it is told to. */
export class MemoryVectors implements VectorStore {
  readonly collections = new Map<string, { dimension: number; points: Map<string, VectorPoint> }>();
  trouble: string | undefined;
  /** How it fails just now. `silent`: not before the signal ends it. */
  mishap: 'away' | 'silent' | undefined;
  asked = 0;
  #isClosed = false;

  /** @param scoreOf in place of the cosine: a pretence that takes what it likes for equal. */
  constructor(private readonly scoreOf: (one: ArrayLike<number>, other: ArrayLike<number>) => number = cosine) {}

  collection(spec: CollectionSpec): VectorCollection {
    checkSpec(spec);
    const pointsPassing = (filter: VectorFilter) =>
      [...this.#pointsOf(spec).values()].filter((point) => passes(point.attributes, filter));
    return {
      upsert: async (points, signal) => {
        checkPoints(points, spec);
        await this.#turn(signal);
        this.#pointsOf(spec);
        if (points.length > 0 && !this.collections.has(spec.name)) {
          this.collections.set(spec.name, { dimension: spec.dimension, points: new Map() });
        }
        for (const point of points) this.#pointsOf(spec).set(point.id, structuredClone(point));
      },
      nearest: async (question, signal) => {
        checkQuestion(question, spec);
        await this.#turn(signal);
        return pointsPassing(question.filter ?? {})
          .map(({ id, vector, attributes }) => ({ id, score: this.scoreOf(question.vector, vector), attributes }))
          .filter(({ score }) => score >= (question.scoreMin ?? -1))
          .sort((one, other) => other.score - one.score)
          .slice(0, question.limit);
      },
      remove: async (which, signal) => {
        if ('ids' in which) checkIds(which.ids);
        else checkFilter(which.filter);
        await this.#turn(signal);
        const ids = 'ids' in which ? which.ids : pointsPassing(which.filter).map(({ id }) => id);
        for (const id of ids) this.#pointsOf(spec).delete(id);
      },
      count: async (filter, signal) => {
        checkFilter(filter);
        await this.#turn(signal);
        return pointsPassing(filter).length;
      },
    };
  }

  async drop(name: string, signal: AbortSignal): Promise<void> {
    checkName(name);
    await this.#turn(signal);
    this.collections.delete(name);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }

  async #turn(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.asked++;
    await new Promise<void>((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      if (this.mishap !== 'silent') setImmediate(resolve);
    });
    if (this.#isClosed || this.mishap === 'away') throw new VectorStoreUnavailable('The vectors are away.');
    this.trouble = undefined;
  }

  #pointsOf(spec: CollectionSpec): Map<string, VectorPoint> {
    const found = this.collections.get(spec.name);
    if (found === undefined || found.dimension === spec.dimension) return found?.points ?? new Map();
    const conflict = new VectorSizeConflict('memory', spec, found.dimension);
    this.trouble = conflict.message;
    throw conflict;
  }
}

function cosine(one: ArrayLike<number>, other: ArrayLike<number>): number {
  const product = (a: ArrayLike<number>, b: ArrayLike<number>) =>
    Array.from(a).reduce((sum, number, at) => sum + number * b[at]!, 0);
  return product(one, other) / Math.sqrt(product(one, one) * product(other, other));
}

function passes(attributes: Attributes, filter: VectorFilter): boolean {
  return Object.entries(filter).every(([name, wanted]) => {
    const value = attributes[name];
    if (typeof wanted === 'object' && 'in' in wanted) return wanted.in.some((one) => one === value);
    return typeof wanted === 'object' ? typeof value === 'number' && value < wanted.below : value === wanted;
  });
}
