import { FairTurns } from '../fair-turns.js';
import { DatabaseUnavailable, type SqlDatabase } from '../sql-database.js';
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

export interface PgvectorOptions {
  readonly timeoutMs: number;
}

const NO_PGVECTOR =
  'Vectors can not be kept: the database has no pgvector. Install that extension (and let the user of postgresUrl create it, or create it yourself) and start again, or name a Qdrant with qdrantUrl.';
/** By one statement. */
const REMOVED_ROWS_MAX = 200;
/** Each compares up to a whole store of vectors: the embedded database does them one after another, and a server has other things to do. */
const QUESTIONS_AT_ONCE_MAX = 2;
const QUESTIONS_WAITING_MAX = 256;
/** Before a question is asked; its own time begins then. */
const WAIT_MS_MAX = 10_000;
/** Found missing, the extension is looked for again so much later: somebody may have installed it. */
const LOOK_AGAIN_MS = 60_000;
/** Postgres's codes for a table or a type that isn't there, and for what points at nothing. */
const MISSING = new Set(['42P01', '42704', '42883', '3F000']);
const FOREIGN_KEY = '23503';

/**
 * Vectors in the SQL database, by its extension pgvector; embedded or a server.
 *
 * Every point that the filter lets through is compared, so none that is near is missed; a filter that lets a hundred thousand through takes
 * its time. There is no index of vectors, since one for all collections could not be.
 *
 * Ownership: the database is lent; `close` leaves it open.
 * Concurrency: each question is one statement, so any number of processes may ask at once. Each of them asks for what is nearest a few at
 * a time, in order, so that a question's time is its own, and not that of those before it.
 */
export class PgvectorStore implements VectorStore {
  readonly #database: SqlDatabase;
  readonly #timeoutMs: number;
  readonly #nowMs: () => number;
  #schema: Promise<string> | undefined;
  #schemaMissingUntilMs = 0;
  #trouble: string | undefined;
  readonly #closing = new AbortController();
  readonly #turns = new FairTurns(
    QUESTIONS_AT_ONCE_MAX,
    QUESTIONS_WAITING_MAX,
    (waiting) => new VectorStoreUnavailable(`${waiting} questions wait for the vectors in the database; no more may.`),
  );

  constructor(database: SqlDatabase, { timeoutMs }: PgvectorOptions, nowMs: () => number = () => performance.now()) {
    this.#database = database;
    this.#timeoutMs = timeoutMs;
    this.#nowMs = nowMs;
  }

  get trouble(): string | undefined {
    return this.#trouble;
  }

  collection(spec: CollectionSpec): VectorCollection {
    checkSpec(spec);
    return {
      upsert: async (points, signal) => {
        checkPoints(points, spec);
        if (points.length > 0) await this.#within(signal, (schema) => this.#upsert(schema, spec, points));
      },
      nearest: async (question, signal) => {
        checkQuestion(question, spec);
        return this.#inTurn(signal, (schema) => this.#nearest(schema, spec, question));
      },
      remove: async (which, signal) => {
        if ('filter' in which) await this.#removeAll(spec.name, which.filter, signal);
        else {
          checkIds(which.ids);
          await this.#within(signal, () => this.#remove(spec, which.ids));
        }
      },
      count: async (filter, signal) => {
        checkFilter(filter);
        return this.#within(signal, () => this.#count(spec, filter));
      },
    };
  }

  async drop(name: string, signal: AbortSignal): Promise<void> {
    checkName(name);
    await this.#removeAll(name, {}, signal);
    await this.#within(signal, () => this.#database.query('delete from vector_collections where name = $1', [name]));
  }

  async close(): Promise<void> {
    this.#closing.abort(new VectorStoreUnavailable('The store of vectors is closed: this process is ending.'));
  }

  async #upsert(schema: string, spec: CollectionSpec, points: readonly VectorPoint[]): Promise<void> {
    try {
      await this.#write(schema, spec, points);
    } catch (error) {
      if ((error as { code?: unknown }).code !== FOREIGN_KEY) throw error;
      // Dropped by somebody between the two parts of the statement's look at it.
      await this.#write(schema, spec, points);
    }
  }

  /** Of two points with one id the last counts, as if they had come one after another. */
  async #write(schema: string, spec: CollectionSpec, points: readonly VectorPoint[]): Promise<void> {
    const last = [...new Map(points.map((point) => [point.id, point])).values()];
    await this.#database.transaction(async (query) => {
      await query('insert into vector_collections (name, dimension) values ($1, $2) on conflict do nothing', [
        spec.name,
        spec.dimension,
      ]);
      const [found] = await query<{ dimension: number }>('select dimension from vector_collections where name = $1', [
        spec.name,
      ]);
      if (found !== undefined && found.dimension !== spec.dimension) throw this.#conflict(spec, found.dimension);
      await query(
        `insert into vector_points (collection, id, vector, attributes)
         select $1, p.id, p.vector::${schema}.vector, p.attributes::jsonb
         from unnest($2::text[], $3::text[], $4::text[]) as p (id, vector, attributes)
         on conflict (collection, id) do update set vector = excluded.vector, attributes = excluded.attributes`,
        [
          spec.name,
          last.map(({ id }) => id),
          last.map(({ vector }) => textOf(vector)),
          last.map(({ attributes }) => JSON.stringify(attributes)),
        ],
      );
    });
  }

  async #nearest(schema: string, spec: CollectionSpec, question: NearestQuestion): Promise<readonly NearPoint[]> {
    const { vector, limit, filter = {}, scoreMin = -1 } = question;
    const where = conditions(spec.name, filter);
    const place = (value: unknown) => `$${where.values.push(value)}`;
    const rows = await this.#database.query<{ dimension: number; near: NearPoint[] }>(
      `select dimension, (
         select coalesce(json_agg(n order by n.score desc, n.id), '[]') from (
           select id, score, attributes from (
             select id, attributes, 1 - (vector operator(${schema}.<=>) ${place(textOf(vector))}::${schema}.vector) as score
             from vector_points where ${where.sql} and ${schema}.vector_dims(vector) = ${place(spec.dimension)}
           ) as compared
           where score >= ${place(scoreMin)} order by score desc, id limit ${place(limit)}
         ) as n
       ) as near
       from vector_collections where name = $1`,
      where.values,
    );
    return this.#checked(spec, rows)?.near ?? [];
  }

  async #remove({ name }: CollectionSpec, ids: readonly string[]): Promise<void> {
    const sql = 'delete from vector_points where collection = $1 and id = any($2::text[])';
    await this.#database.query(sql, [name, ids]);
  }

  /** Some at a time, each with its own deadline: the embedded database needs a millisecond for each, and serves nobody meanwhile. */
  async #removeAll(name: string, filter: VectorFilter, signal: AbortSignal): Promise<void> {
    checkFilter(filter);
    const where = conditions(name, filter);
    const sql = `
      with few as (select id from vector_points where ${where.sql} limit ${REMOVED_ROWS_MAX}),
      gone as (delete from vector_points where collection = $1 and id in (select id from few) returning id)
      select count(*) as number from gone`;
    let removed: number;
    do {
      const [row] = await this.#within(signal, () => this.#database.query<{ number: number }>(sql, where.values));
      removed = row?.number ?? 0;
    } while (removed === REMOVED_ROWS_MAX);
  }

  async #count(spec: CollectionSpec, filter: VectorFilter): Promise<number> {
    const where = conditions(spec.name, filter);
    const rows = await this.#database.query<{ dimension: number; number: number }>(
      `select dimension, (select count(*) from vector_points where ${where.sql}) as number from vector_collections where name = $1`,
      where.values,
    );
    return this.#checked(spec, rows)?.number ?? 0;
  }

  #checked<Row extends { dimension: number }>(spec: CollectionSpec, [row]: readonly Row[]): Row | undefined {
    if (row !== undefined && row.dimension !== spec.dimension) throw this.#conflict(spec, row.dimension);
    return row;
  }

  #conflict(spec: CollectionSpec, there: number): VectorSizeConflict {
    return new VectorSizeConflict('the database', spec, there);
  }

  /** A turn is over when its statement is, though nobody may wait for that any more: else those would pile up in the database. */
  async #inTurn<T>(signal: AbortSignal, work: (schema: string) => Promise<T>): Promise<T> {
    const giveBack = await this.#turn(signal);
    let isAsked = false;
    try {
      return await this.#within(signal, (schema) => {
        isAsked = true;
        return work(schema).finally(giveBack);
      });
    } finally {
      if (!isAsked) giveBack();
    }
  }

  async #turn(signal: AbortSignal): Promise<() => void> {
    const late = new AbortController();
    const end = () =>
      late.abort(
        new VectorStoreUnavailable(
          `The database had other questions about vectors to answer for ${WAIT_MS_MAX.toLocaleString('en-US')} ms.`,
        ),
      );
    const timer = setTimeout(end, WAIT_MS_MAX);
    try {
      return await this.#turns.take(AbortSignal.any([signal, this.#closing.signal, late.signal]));
    } finally {
      clearTimeout(timer);
    }
  }

  async #within<T>(signal: AbortSignal, work: (schema: string) => Promise<T>): Promise<T> {
    const either = AbortSignal.any([signal, this.#closing.signal]);
    try {
      const result = await withinTime('The database', this.#timeoutMs, either, async () =>
        work(await this.#extensionSchema()),
      );
      this.#trouble = undefined;
      return result;
    } catch (error) {
      if (either.aborted) throw either.reason;
      throw this.#told(error);
    }
  }

  #told(error: unknown): unknown {
    if (
      error instanceof VectorSizeConflict ||
      error instanceof VectorStoreUnavailable ||
      error instanceof DatabaseUnavailable
    ) {
      this.#trouble = error.message;
    }
    if (error instanceof DatabaseUnavailable) return new VectorStoreUnavailable(error.message, { cause: error });
    if (!MISSING.has(String((error as { code?: unknown }).code))) return error;
    this.#schema = undefined; // Another database came back in the place of ours.
    this.#trouble = NO_PGVECTOR;
    return new VectorStoreUnavailable(NO_PGVECTOR, { cause: error });
  }

  /** Quoted. The extension may lie outside the search path, as some hosts of Postgres have it. */
  async #extensionSchema(): Promise<string> {
    if (this.#nowMs() < this.#schemaMissingUntilMs) throw new VectorStoreUnavailable(NO_PGVECTOR);
    this.#schema ??= this.#findExtension();
    try {
      return await this.#schema;
    } catch (error) {
      this.#schema = undefined;
      throw error;
    }
  }

  async #findExtension(): Promise<string> {
    const [found] = await this.#database.query<{ schema: string | null; there: boolean }>(
      `select (select quote_ident(n.nspname) from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector') as schema,
              to_regclass('vector_points') is not null as there`,
    );
    if (typeof found?.schema === 'string' && found.there) return found.schema;
    this.#schemaMissingUntilMs = this.#nowMs() + LOOK_AGAIN_MS;
    throw new VectorStoreUnavailable(NO_PGVECTOR);
  }
}

function textOf(vector: ArrayLike<number>): string {
  return `[${Array.from(vector, Math.fround).join(',')}]`;
}

/** The first value is the collection's name. */
function conditions(name: string, filter: VectorFilter): { sql: string; values: unknown[] } {
  const equal: Record<string, Attributes[string]> = {};
  const parts = ['collection = $1'];
  const values: unknown[] = [name];
  for (const [attribute, value] of Object.entries(filter)) {
    if (typeof value !== 'object') equal[attribute] = value;
    else if ('in' in value) {
      values.push(attribute, value.in);
      const it = `attributes -> $${values.length - 1}::text`;
      parts.push(`(jsonb_typeof(${it}) = 'string' and ${it} #>> '{}' = any($${values.length}::text[]))`);
    } else {
      values.push(attribute, value.below);
      const it = `attributes -> $${values.length - 1}::text`;
      // A case, since a cast may otherwise be tried on what is no number.
      parts.push(
        `case when jsonb_typeof(${it}) = 'number' then (${it})::double precision < $${values.length}::double precision else false end`,
      );
    }
  }
  if (Object.keys(equal).length > 0) parts.push(`attributes @> $${values.push(JSON.stringify(equal))}::jsonb`);
  return { sql: parts.join(' and '), values };
}
