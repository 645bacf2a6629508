import { createHash } from 'node:crypto';
import { ConfigurationError, tlsFailure } from '@millrace/runtime';
import { QdrantClient, type Schemas } from '@qdrant/js-client-rest';
import {
  checkFilter,
  checkIds,
  checkName,
  checkPoints,
  checkQuestion,
  checkSpec,
  withinTime,
} from '../vector-checks.js';
import {
  type Attributes,
  type CollectionSpec,
  type NearestQuestion,
  type NearPoint,
  type VectorCollection,
  type VectorFilter,
  type VectorPoint,
  VectorSizeConflict,
  type VectorStore,
  VectorStoreUnavailable,
} from '../vector-store.js';

export interface QdrantOptions {
  /** `http://host:6333`; a path before Qdrant's own is kept. */
  readonly url: string;
  readonly apiKey?: string | undefined;
  /** Of one question, however many requests it takes. */
  readonly timeoutMs: number;
  /** Goes with every request: an undici `dispatcher` that trusts an authority of one's own, for example. */
  readonly requestInit?: RequestInit | undefined;
}

/** Qdrant's own port; `https://` means no other. */
const PORT = 6333;
const CONNECTIONS_MAX = 16;
/** Questions that are under way or wait for a connection; the next is refused at once. */
const QUESTIONS_MAX = 256;
/** Qdrant takes 32 MiB; a number is written with up to 12 characters. */
const REQUEST_BYTES_MAX = 8_000_000;
const NUMBER_BYTES = 12;
const POINT_BYTES = 20_000;
/** Collections of which it is remembered that they are there, and as they should be. */
const KNOWN_MAX = 1_000;

const FIELD_KINDS = { text: 'keyword', number: 'float', boolean: 'bool' } as const satisfies Record<
  string,
  Schemas['PayloadSchemaType']
>;

/** What we keep with a point. Qdrant's ids are UUIDs or numbers, so ours lies here, and attributes below a name of their own. */
interface Payload {
  readonly id: string;
  readonly attributes: Attributes;
}

/**
 * Vectors in a Qdrant, through its REST API. Each collection of ours is one of Qdrant's, with a plain vector and the cosine as distance.
 *
 * Ownership: nobody else needs to keep off; what others put beside it is left alone, and a collection that isn't ours is never changed.
 * Concurrency: any number of processes may do the same; a collection is made once, by whoever comes first.
 */
export class QdrantVectorStore implements VectorStore {
  readonly #client: QdrantClient;
  readonly #name: string;
  readonly #options: QdrantOptions;
  readonly #closing = new AbortController();
  /** By name, the dimension that was found. */
  readonly #known = new Map<string, number>();
  #underWay = 0;
  #trouble: string | undefined;

  /** Opens nothing yet. @throws ConfigurationError when the URL is none. */
  constructor(options: QdrantOptions) {
    const { origin, port, prefix, name } = placeOf(options.url);
    this.#name = `The Qdrant at ${name}`;
    this.#options = options;
    this.#client = new QdrantClient({
      url: origin,
      port,
      ...(prefix !== '' && { prefix }),
      // Given as `apiKey` it is complained of on the console wherever there is no TLS.
      headers: { 'api-key': options.apiKey },
      // Ours ends the whole question, and tells which setting it is; theirs would take the place of our signal.
      timeout: Number.POSITIVE_INFINITY,
      maxConnections: CONNECTIONS_MAX,
      checkCompatibility: false,
    });
  }

  get trouble(): string | undefined {
    return this.#trouble;
  }

  collection(spec: CollectionSpec): VectorCollection {
    checkSpec(spec);
    return {
      upsert: async (points, signal) => {
        checkPoints(points, spec);
        if (points.length > 0) await this.#within(spec, signal, (init) => this.#upsert(spec, points, init));
      },
      nearest: async (question, signal) => {
        checkQuestion(question, spec);
        return this.#within(spec, signal, (init) => this.#nearest(spec, question, init));
      },
      remove: async (which, signal) => {
        if ('ids' in which) checkIds(which.ids);
        else checkFilter(which.filter);
        await this.#within(spec, signal, (init) => this.#remove(spec, which, init));
      },
      count: async (filter, signal) => {
        checkFilter(filter);
        return this.#within(spec, signal, (init) => this.#count(spec, filter, init));
      },
    };
  }

  async drop(name: string, signal: AbortSignal): Promise<void> {
    checkName(name);
    await this.#within({ name, dimension: 0 }, signal, async (init) => {
      this.#known.delete(name);
      await this.#client.api().deleteCollection({ collection_name: name }, init).catch(ignoreMissing);
    });
  }

  async close(): Promise<void> {
    this.#closing.abort(new VectorStoreUnavailable(`${this.#name} is closed: this process is ending.`));
  }

  async #upsert(spec: CollectionSpec, points: readonly VectorPoint[], init: RequestInit): Promise<void> {
    await this.#make(spec, init);
    const last = [...new Map(points.map((point) => [point.id, point])).values()];
    const size = Math.max(1, Math.floor(REQUEST_BYTES_MAX / (spec.dimension * NUMBER_BYTES + POINT_BYTES)));
    for (let from = 0; from < last.length; from += size) {
      const body: Schemas['PointsList'] = { points: last.slice(from, from + size).map(pointOf) };
      await this.#client.api().upsertPoints({ collection_name: spec.name, wait: true, ...body }, init);
    }
  }

  async #nearest(spec: CollectionSpec, question: NearestQuestion, init: RequestInit): Promise<readonly NearPoint[]> {
    if (!(await this.#isThere(spec, init))) return [];
    const { vector, limit, filter = {}, scoreMin = -1 } = question;
    const { data } = await this.#client.api().queryPoints(
      {
        collection_name: spec.name,
        query: numbersOf(vector),
        filter: filterOf(filter),
        limit,
        with_payload: true,
      },
      init,
    );
    // Not Qdrant's `score_threshold`, which may or may not let through what is exactly as near.
    return nearPointsOf(data.result).filter(({ score }) => score >= scoreMin);
  }

  async #remove(
    spec: CollectionSpec,
    which: Parameters<VectorCollection['remove']>[0],
    init: RequestInit,
  ): Promise<void> {
    if (!(await this.#isThere(spec, init))) return;
    const body: Schemas['PointsSelector'] =
      'ids' in which ? { points: which.ids.map(uuidOf) } : { filter: filterOf(which.filter) };
    await this.#client
      .api()
      .deletePoints({ collection_name: spec.name, wait: true, ...body }, init)
      .catch(ignoreMissing);
  }

  async #count(spec: CollectionSpec, filter: VectorFilter, init: RequestInit): Promise<number> {
    if (!(await this.#isThere(spec, init))) return 0;
    const body: Schemas['CountRequest'] = { filter: filterOf(filter), exact: true };
    const { data } = await this.#client.api().countPoints({ collection_name: spec.name, ...body }, init);
    const count: unknown = data.result?.count;
    if (Number.isSafeInteger(count)) return count as number;
    throw new NoAnswerOfQdrant('it told no count');
  }

  /** @throws VectorSizeConflict when it is there, and is another. */
  async #isThere({ name, dimension }: CollectionSpec, init: RequestInit): Promise<boolean> {
    if (this.#known.get(name) === dimension) return true;
    const info = await this.#client.api().getCollection({ collection_name: name }, init).catch(ignoreMissing);
    if (info === undefined) return false;
    this.#check({ name, dimension }, info.data.result);
    if (this.#known.size >= KNOWN_MAX) this.#known.clear();
    this.#known.set(name, dimension);
    return true;
  }

  #check(spec: CollectionSpec, info: Schemas['CollectionInfo'] | undefined): void {
    const vectors: unknown = info?.config?.params?.vectors;
    if (info?.config?.params === undefined) throw new NoAnswerOfQdrant('it told nothing of a collection');
    const { size, distance } = (vectors ?? {}) as Partial<Schemas['VectorParams']>;
    if (typeof size !== 'number' || distance !== 'Cosine') throw new VectorSizeConflict(this.#place, spec, undefined);
    if (size !== spec.dimension) throw new VectorSizeConflict(this.#place, spec, size);
  }

  async #make(spec: CollectionSpec, init: RequestInit): Promise<void> {
    if (await this.#isThere(spec, init)) return;
    const { name, dimension, filteredBy = {} } = spec;
    const body: Schemas['CreateCollection'] = { vectors: { size: dimension, distance: 'Cosine' } };
    try {
      await this.#client.api().createCollection({ collection_name: name, ...body }, init);
      for (const [attribute, kind] of Object.entries(filteredBy)) {
        const index: Schemas['CreateFieldIndex'] = { field_name: keyOf(attribute), field_schema: FIELD_KINDS[kind] };
        await this.#client.api().createFieldIndex({ collection_name: name, wait: true, ...index }, init);
      }
    } catch (error) {
      // Somebody else was quicker: what they made is looked at below.
      if (statusOf(error) !== 409) throw error;
    }
    if (!(await this.#isThere(spec, init)))
      throw new NoAnswerOfQdrant(`it made the collection ${name}, and does not have it`);
  }

  async #within<T>(spec: CollectionSpec, signal: AbortSignal, work: (init: RequestInit) => Promise<T>): Promise<T> {
    if (this.#underWay >= QUESTIONS_MAX) {
      throw new VectorStoreUnavailable(
        `${this.#name} has ${this.#underWay} questions to answer already; no more may wait.`,
      );
    }
    this.#underWay++;
    const either = AbortSignal.any([signal, this.#closing.signal]);
    try {
      const result = await withinTime(this.#name, this.#options.timeoutMs, either, (ours) =>
        this.#twice(spec, () => work({ ...this.#options.requestInit, signal: ours })),
      );
      this.#trouble = undefined;
      return result;
    } catch (error) {
      if (either.aborted) throw either.reason;
      if (error instanceof Error && this.#isTrouble(error)) this.#trouble = error.message;
      throw error;
    } finally {
      this.#underWay--;
    }
  }

  /** A collection that was known and is gone was dropped by somebody: then everything is looked at anew, once. */
  async #twice<T>(spec: CollectionSpec, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!isMissing(error)) throw this.#told(spec, error);
      this.#known.clear();
    }
    try {
      return await work();
    } catch (error) {
      throw this.#told(spec, error);
    }
  }

  #isTrouble(error: Error): boolean {
    return error instanceof VectorStoreUnavailable || error instanceof VectorSizeConflict;
  }

  get #place(): string {
    return this.#name.replace('The', 'the');
  }

  #told(spec: CollectionSpec, error: unknown): unknown {
    if (error instanceof VectorSizeConflict || error instanceof VectorStoreUnavailable) return error;
    const there = /expected dim: (\d+)/.exec(complaintOf(error) ?? '')?.[1];
    if (there !== undefined) {
      this.#known.delete(spec.name); // It was made anew by somebody, of another size.
      return new VectorSizeConflict(this.#place, spec, Number(there));
    }
    return new VectorStoreUnavailable(`${this.#name} can not be asked: ${whyAway(error)}.`, { cause: error });
  }
}

/** It answered, but not as Qdrant does. */
class NoAnswerOfQdrant extends Error {}

function placeOf(url: string) {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  const isPlain = parsed !== undefined && /^https?:$/.test(parsed.protocol) && parsed.hostname !== '';
  if (!isPlain || parsed.username !== '' || parsed.password !== '' || parsed.search !== '' || parsed.hash !== '') {
    // The URL is not told: what is wrong with it may be a key in it.
    throw new ConfigurationError([
      'qdrantUrl is no URL of a Qdrant. Write http://host:6333 or https://host:6333; a key goes into qdrantApiKey.',
    ]);
  }
  // `URL` leaves out the port that belongs to the protocol, and the client would then take its own.
  const stated = /^https?:\/\/[^/]*:(\d+)(?:\/|$)/i.exec(url)?.[1];
  const port = stated === undefined ? PORT : Number(stated);
  const prefix = parsed.pathname.replace(/\/+$/, '');
  return {
    origin: `${parsed.protocol}//${parsed.hostname}`,
    port,
    prefix,
    name: `${parsed.hostname}:${port}${prefix}`,
  };
}

function pointOf({ id, vector, attributes }: VectorPoint): Schemas['PointStruct'] {
  const payload: Payload = { id, attributes };
  return { id: uuidOf(id), vector: numbersOf(vector), payload: { ...payload } };
}

/** Qdrant has room for UUIDs and numbers only. Version 8 is for those that are made in a way of one's own. */
function uuidOf(id: string): string {
  const bytes = createHash('sha256').update(id).digest().subarray(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

function numbersOf(vector: ArrayLike<number>): number[] {
  return Array.from(vector, Math.fround);
}

function keyOf(attribute: string): string {
  return `attributes.${attribute}`;
}

function filterOf(filter: VectorFilter): Schemas['Filter'] {
  return {
    must: Object.entries(filter).map(([attribute, value]) => ({ key: keyOf(attribute), ...conditionOf(value) })),
  };
}

/** A number is a range of one: Qdrant matches whole ones only. */
function conditionOf(value: VectorFilter[string]): Omit<Schemas['FieldCondition'], 'key'> {
  if (typeof value === 'object')
    return 'in' in value ? { match: { any: [...value.in] } } : { range: { lt: value.below } };
  return typeof value === 'number' ? { range: { gte: value, lte: value } } : { match: { value } };
}

function nearPointsOf(result: Schemas['QueryResponse'] | undefined): NearPoint[] {
  const points: unknown = result?.points;
  if (!Array.isArray(points)) throw new NoAnswerOfQdrant('it told no points');
  return points.map((point: Partial<Schemas['ScoredPoint']>) => {
    const { id, attributes } = (point.payload ?? {}) as Partial<Payload>;
    if (
      typeof point.score !== 'number' ||
      typeof id !== 'string' ||
      typeof attributes !== 'object' ||
      attributes === null
    ) {
      throw new NoAnswerOfQdrant('it told a point that Millrace did not put there');
    }
    return { id, score: Math.max(-1, Math.min(1, point.score)), attributes };
  });
}

function statusOf(error: unknown): number | undefined {
  const status: unknown = (error as { status?: unknown }).status;
  return typeof status === 'number' ? status : undefined;
}

/** What Qdrant says of a request that it refuses. */
function complaintOf(error: unknown): string | undefined {
  const data: unknown = (error as { data?: unknown }).data;
  if (typeof data === 'string') return data.slice(0, 200);
  const complaint: unknown = (data as Schemas['ErrorResponse'] | undefined)?.status?.error;
  return typeof complaint === 'string' ? complaint.slice(0, 500) : undefined;
}

/** Anything may answer 404; only Qdrant says that it has no such collection. */
function isMissing(error: unknown): boolean {
  return statusOf(error) === 404 && /collection/i.test(complaintOf(error) ?? '');
}

function ignoreMissing(error: unknown): undefined {
  if (!isMissing(error)) throw error;
}

/** As the end of a sentence. */
function whyAway(error: unknown): string {
  if (error instanceof NoAnswerOfQdrant) return `${error.message}, so it is none, or of a version that is not known`;
  if (error instanceof SyntaxError) return 'what it answered is no JSON';
  const status = statusOf(error);
  if (status === undefined) return brokenBy(error);
  const complaint = complaintOf(error)?.trim().replace(/[.!]$/, '') ?? '';
  const said = complaint === '' ? `${status}` : `${status}, “${complaint}”`;
  if (status === 401 || status === 403) return `it refuses the key (${said}). Set qdrantApiKey to one that may write`;
  return status === 429 || status >= 500 ? `it is not well (${said})` : `it refuses what it is asked (${said})`;
}

const SYSTEM_FAILURES: ReadonlyMap<string, string> = new Map([
  ['ECONNREFUSED', 'nothing listens there'],
  ['ENOTFOUND', 'its name is not known'],
  ['EAI_AGAIN', 'its name could not be looked up'],
  ['ECONNRESET', 'the connection broke'],
  ['EPIPE', 'the connection broke'],
  ['UND_ERR_SOCKET', 'the connection broke'],
  ['ETIMEDOUT', 'the connection timed out'],
  ['UND_ERR_CONNECT_TIMEOUT', 'the connection timed out'],
  ['EHOSTUNREACH', 'its host can not be reached'],
  ['ENETUNREACH', 'its network can not be reached'],
  ['EMFILE', 'this process has too many files and connections open'],
]);

/** `fetch` says "fetch failed", and why in its cause. */
function brokenBy(error: unknown): string {
  const { message, cause } = error as Error;
  const code: unknown = (cause as { code?: unknown } | undefined)?.code;
  const known = typeof code === 'string' ? SYSTEM_FAILURES.get(code) : undefined;
  if (known !== undefined) return `${known} (${String(code)})`;
  const why = cause instanceof Error ? cause.message : message;
  return tlsFailure(why ?? '', 'qdrantTls') ?? (why ?? String(error)).replace(/\.$/, '');
}
