import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecuredServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Schemas } from '@qdrant/js-client-rest';

type Check = (value: unknown) => boolean;
/** One for every field that Qdrant's own description of its API has, so that the compiler notices when one is added. */
type Checks<Type> = { readonly [Name in keyof Required<Type>]: Check };

const never: Check = () => false; // Qdrant takes it; what stands in for it can not, and says so rather than pass over it.
const absentOr =
  (check: Check): Check =>
  (value) =>
    value === undefined || value === null || check(value);
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isText: Check = (value) => typeof value === 'string';
const isTruth: Check = (value) => typeof value === 'boolean';
const isNumber: Check = (value) => typeof value === 'number' && Number.isFinite(value);
const isWhole: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const isVector: Check = (value) => Array.isArray(value) && value.length > 0 && value.every(isNumber);
const listOf =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check);
const oneOf =
  (...values: readonly unknown[]): Check =>
  (value) =>
    values.includes(value);
/** Nothing but the fields that are named, each as it should be. */
const shape =
  <Type>(checks: Checks<Type>): Check =>
  (value) =>
    isObject(value) &&
    Object.keys(value).every((name) => Object.hasOwn(checks, name)) &&
    Object.entries(checks).every(([name, check]) => (check as Check)(value[name]));

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const isPointId: Check = (value) => isWhole(value) || (typeof value === 'string' && UUID.test(value));
const isRange = shape<Schemas['Range']>({
  lt: absentOr(isNumber),
  gt: absentOr(isNumber),
  gte: absentOr(isNumber),
  lte: absentOr(isNumber),
});
/** Whole numbers only: a fraction is not matched but ranged. */
const isMatch = shape<Schemas['MatchValue']>({
  value: (value) => isText(value) || isTruth(value) || Number.isSafeInteger(value),
});
const isMatchAny = shape<Schemas['MatchAny']>({ any: listOf(isText) });
const isCondition = shape<Schemas['FieldCondition']>({
  key: isText,
  match: absentOr((value) => isMatch(value) || isMatchAny(value)),
  range: absentOr(isRange),
  geo_bounding_box: absentOr(never),
  geo_radius: absentOr(never),
  geo_polygon: absentOr(never),
  values_count: absentOr(never),
  is_empty: absentOr(never),
  is_null: absentOr(never),
});
const isFilter = shape<Schemas['Filter']>({
  must: absentOr(listOf(isCondition)),
  should: absentOr(never),
  min_should: absentOr(never),
  must_not: absentOr(never),
});
const isNewCollection = shape<Schemas['CreateCollection']>({
  vectors: shape<Schemas['VectorParams']>({
    size: (value) => isWhole(value) && (value as number) > 0 && (value as number) <= 65_536,
    distance: oneOf('Cosine', 'Euclid', 'Dot', 'Manhattan'),
    hnsw_config: absentOr(never),
    quantization_config: absentOr(never),
    on_disk: absentOr(isTruth),
    memory: absentOr(never),
    datatype: absentOr(never),
    multivector_config: absentOr(never),
  }),
  shard_number: absentOr(isWhole),
  sharding_method: absentOr(never),
  replication_factor: absentOr(isWhole),
  write_consistency_factor: absentOr(isWhole),
  on_disk_payload: absentOr(isTruth),
  payload: absentOr(never),
  hnsw_config: absentOr(never),
  wal_config: absentOr(never),
  optimizers_config: absentOr(never),
  quantization_config: absentOr(never),
  sparse_vectors: absentOr(never),
  strict_mode_config: absentOr(never),
  metadata: absentOr(never),
});
const isIndex = shape<Schemas['CreateFieldIndex']>({
  field_name: isText,
  field_schema: oneOf('keyword', 'integer', 'float', 'geo', 'text', 'bool', 'datetime', 'uuid'),
});
const isPoint = shape<Schemas['PointStruct']>({ id: isPointId, vector: isVector, payload: absentOr(isObject) });
const isPointsList = shape<Schemas['PointsList']>({
  points: listOf(isPoint),
  shard_key: absentOr(never),
  update_filter: absentOr(never),
  update_mode: absentOr(never),
});
const isPointIds = shape<Schemas['PointIdsList']>({ points: listOf(isPointId), shard_key: absentOr(never) });
const isFilterSelector = shape<Schemas['FilterSelector']>({ filter: isFilter, shard_key: absentOr(never) });
const isCount = shape<Schemas['CountRequest']>({
  shard_key: absentOr(never),
  filter: absentOr(isFilter),
  exact: absentOr(isTruth),
});
const isQuery = shape<Schemas['QueryRequest']>({
  query: isVector,
  filter: absentOr(isFilter),
  limit: absentOr((value) => isWhole(value) && (value as number) > 0),
  offset: absentOr(isWhole),
  score_threshold: absentOr(isNumber),
  with_payload: absentOr(isTruth),
  with_vector: absentOr(isTruth),
  shard_key: absentOr(never),
  prefetch: absentOr(never),
  using: absentOr(never),
  params: absentOr(never),
  lookup_from: absentOr(never),
});

interface Collection {
  readonly size: number;
  readonly distance: Schemas['Distance'];
  readonly points: Map<string, { readonly vector: Float32Array; readonly payload: Record<string, unknown> }>;
  readonly indexes: Map<string, unknown>;
}

class Refusal extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** What a request meets instead of an answer: a status with a text, garbage, silence, or the end of the connection. */
export type Mishap = { readonly status: number; readonly text: string } | 'garbage' | 'silence' | 'hangup' | 'nonsense';

/**
 * Stands in for a Qdrant where there is none: speaks as much of its REST API as its collections need that Millrace makes, over real HTTP,
 * and refuses everything else in Qdrant's words. Stricter than Qdrant, which passes over fields that it doesn't know.
 */
export class QdrantServer {
  readonly collections = new Map<string, Collection>();
  /** Of every request, its method and path. */
  readonly asked: string[] = [];
  mishap: Mishap | undefined;
  /** Called when a request came in and before it is answered. */
  beforeAnswer: (() => Promise<void>) | undefined;
  readonly #server: Server;

  private constructor(
    private readonly apiKey: string | undefined,
    private readonly tls: { readonly cert: string; readonly key: string } | undefined,
  ) {
    const serve = (request: IncomingMessage, response: ServerResponse) => void this.#serve(request, response);
    this.#server = tls === undefined ? createServer(serve) : createSecuredServer(tls, serve);
  }

  /** @param tls what it shows; absent: it speaks plain HTTP */
  static async start(apiKey?: string, tls?: { readonly cert: string; readonly key: string }): Promise<QdrantServer> {
    const started = new QdrantServer(apiKey, tls);
    started.#server.listen(0, '127.0.0.1');
    await once(started.#server, 'listening');
    return started;
  }

  get url(): string {
    return `${this.tls === undefined ? 'http' : 'https'}://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async end(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    this.asked.push(`${request.method} ${request.url}`);
    await this.beforeAnswer?.();
    if (this.mishap !== undefined) return meet(this.mishap, response);
    if (this.apiKey !== undefined && request.headers['api-key'] !== this.apiKey) {
      response.writeHead(401, { 'content-type': 'text/plain' });
      response.end(
        request.headers['api-key'] === undefined
          ? 'Must provide an API key or an Authorization bearer token'
          : 'Invalid API key or JWT',
      );
      return;
    }
    const answer = (status: number, body: object) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ ...body, time: 0.0001 }));
    };
    try {
      answer(200, { result: this.#answer(request, Buffer.concat(chunks).toString()), status: 'ok' });
    } catch (error) {
      const { status, message } =
        error instanceof Refusal ? error : new Refusal(500, `Service internal error: ${String(error)}`);
      answer(status, { status: { error: message } } satisfies Schemas['ErrorResponse']);
    }
  }

  #answer({ method, url = '' }: IncomingMessage, text: string): unknown {
    const { pathname, searchParams } = new URL(url, this.url);
    const [, root, name = '', ...rest] = pathname.split('/').map(decodeURIComponent);
    if (root !== 'collections' || name === '') throw new Refusal(404, '');
    for (const [parameter, value] of searchParams) {
      if (parameter !== 'wait' || !/^(true|false)$/.test(value))
        throw new Refusal(400, `Bad request: unknown parameter ${parameter}`);
    }
    const body = () => parsed(text);
    switch (`${method} ${rest.join('/')}`) {
      case 'GET ':
        return infoOf(this.#collection(name));
      case 'PUT ':
        return this.#create(name, checked<Schemas['CreateCollection']>(isNewCollection, body()));
      case 'DELETE ':
        return this.collections.delete(name);
      case 'PUT index':
        return this.#index(name, checked<Schemas['CreateFieldIndex']>(isIndex, body()));
      case 'PUT points':
        return this.#upsert(name, checked<Schemas['PointsList']>(isPointsList, body()));
      case 'POST points/delete':
        return this.#remove(
          name,
          checked<Schemas['PointsSelector']>((value) => isPointIds(value) || isFilterSelector(value), body()),
        );
      case 'POST points/count':
        return this.#count(name, checked<Schemas['CountRequest']>(isCount, body()));
      case 'POST points/query':
        return this.#query(name, checked<Schemas['QueryRequest']>(isQuery, body()));
      default:
        throw new Refusal(404, '');
    }
  }

  #collection(name: string): Collection {
    const found = this.collections.get(name);
    if (found === undefined) throw new Refusal(404, `Not found: Collection \`${name}\` doesn't exist!`);
    return found;
  }

  #create(name: string, { vectors }: Schemas['CreateCollection']): boolean {
    if (this.collections.has(name)) throw new Refusal(409, `Wrong input: Collection \`${name}\` already exists!`);
    const { size, distance } = vectors as Schemas['VectorParams'];
    this.collections.set(name, { size, distance, points: new Map(), indexes: new Map() });
    return true;
  }

  #index(name: string, { field_name, field_schema }: Schemas['CreateFieldIndex']): Schemas['UpdateResult'] {
    this.#collection(name).indexes.set(field_name, field_schema);
    return { operation_id: 1, status: 'completed' };
  }

  #upsert(name: string, { points }: Schemas['PointsList']): Schemas['UpdateResult'] {
    const collection = this.#collection(name);
    for (const { vector } of points) checkSize(collection, vector as number[]);
    for (const { id, vector, payload } of points) {
      // Its own copy, as whoever sent it keeps theirs.
      collection.points.set(String(id), {
        vector: normalised(vector as number[]),
        payload: structuredClone(payload ?? {}) as Record<string, unknown>,
      });
    }
    return { operation_id: 2, status: 'completed' };
  }

  #remove(name: string, selector: Schemas['PointsSelector']): Schemas['UpdateResult'] {
    const { points } = this.#collection(name);
    const ids =
      'points' in selector
        ? selector.points.map(String)
        : [...points.keys()].filter((id) => passes(selector.filter, points.get(id)!.payload));
    for (const id of ids) points.delete(id);
    return { operation_id: 3, status: 'completed' };
  }

  #count(name: string, { filter }: Schemas['CountRequest']): Schemas['CountResult'] {
    const all = [...this.#collection(name).points.values()];
    return { count: all.filter(({ payload }) => passes(filter as Schemas['Filter'] | null, payload)).length };
  }

  #query(name: string, request: Schemas['QueryRequest']): Schemas['QueryResponse'] {
    const collection = this.#collection(name);
    const query = request.query as number[];
    checkSize(collection, query);
    const direction = normalised(query);
    const scored = [...collection.points]
      .filter(([, { payload }]) => passes(request.filter as Schemas['Filter'] | null, payload))
      .map(([id, { vector, payload }]): Schemas['ScoredPoint'] => ({
        id,
        version: 1,
        score: Math.fround(vector.reduce((sum, number, at) => sum + number * direction[at]!, 0)),
        ...(request.with_payload === true && { payload }),
      }))
      .filter(({ score }) => score >= (request.score_threshold ?? Number.NEGATIVE_INFINITY));
    return { points: scored.sort((one, other) => other.score - one.score).slice(0, request.limit ?? 10) };
  }
}

function meet(mishap: Mishap, response: ServerResponse): void {
  if (mishap === 'silence') return;
  if (mishap === 'hangup') {
    response.socket?.destroy();
    return;
  }
  const { status, text } =
    mishap === 'garbage'
      ? { status: 200, text: '{"result": {"points": [' }
      : mishap === 'nonsense'
        ? { status: 200, text: '{"hello":"world"}' }
        : mishap;
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(text);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Refusal(400, `Format error in JSON body: ${(error as Error).message}`);
  }
}

function checked<Type>(check: Check, body: unknown): Type {
  if (!check(body))
    throw new Refusal(
      400,
      `Format error in JSON body: ${JSON.stringify(body).slice(0, 300)} is not what the API describes`,
    );
  return body as Type;
}

function checkSize({ size }: Collection, vector: readonly number[]): void {
  if (vector.length !== size)
    throw new Refusal(400, `Wrong input: Vector dimension error: expected dim: ${size}, got ${vector.length}`);
}

/** As Qdrant does where the distance is the cosine. */
function normalised(vector: readonly number[]): Float32Array {
  const length = Math.hypot(...vector);
  return Float32Array.from(vector, (number) => (length === 0 ? 0 : number / length));
}

function infoOf({ size, distance, points, indexes }: Collection): Partial<Schemas['CollectionInfo']> {
  const config = { params: { vectors: { size, distance } satisfies Schemas['VectorParams'] } };
  return {
    status: 'green',
    optimizer_status: 'ok',
    points_count: points.size,
    segments_count: 1,
    config: config as unknown as Schemas['CollectionConfig'],
    payload_schema: Object.fromEntries(
      [...indexes].map(([name, data_type]) => [name, { data_type, points: 0 } as Schemas['PayloadIndexInfo']]),
    ),
  };
}

function passes(filter: Schemas['Filter'] | null | undefined, payload: Record<string, unknown>): boolean {
  const conditions = (filter?.must ?? []) as readonly Schemas['FieldCondition'][];
  return conditions.every(({ key, match, range }) => {
    const value = key.split('.').reduce<unknown>((inner, name) => (isObject(inner) ? inner[name] : undefined), payload);
    if (match !== undefined && match !== null && !matches(match, value)) return false;
    if (range === undefined || range === null) return true;
    const { lt, lte, gt, gte } = range as Schemas['Range'];
    if (typeof value !== 'number') return false;
    return (
      value < (lt ?? Infinity) && value <= (lte ?? Infinity) && value > (gt ?? -Infinity) && value >= (gte ?? -Infinity)
    );
  });
}

function matches(match: object, value: unknown): boolean {
  return 'any' in match
    ? (match.any as readonly unknown[]).includes(value)
    : (match as Schemas['MatchValue']).value === value;
}
