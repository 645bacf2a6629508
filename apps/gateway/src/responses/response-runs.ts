import { InferenceError, type ResponseBody, type ResponseEvent, type ResponseItem } from '@millrace/contracts';
import type { SqlDatabase, SqlQuery } from '../stores/sql-database.js';
import type { CacheAsk, DispatchAsk } from '../vocabulary.js';
import { appendItems } from './conversation-store.js';
import { eventLines, eventsInLines } from './event-json.js';
import { bytesOf, canBeId, insertItems, named } from './kept-items.js';
import { type FoundResults, withFound } from './kept-searches.js';
import { keyOf, type Owner } from './owner.js';
import {
  checkSize,
  hasAnswer,
  RESPONSE,
  type ResponseLimits,
  type ResponseRow,
  responseBody,
} from './sql-response-store.js';

/** What was asked for. */
export interface RunRequest {
  readonly body: object;
  readonly cacheAsk?: CacheAsk | undefined;
  readonly dispatchAsk?: DispatchAsk | undefined;
}

export interface NewRun {
  /** As it is shown until it has ended. */
  readonly response: ResponseBody;
  readonly input: readonly ResponseItem[];
  readonly request: RunRequest;
  /** The higher goes first. */
  readonly priority: number;
  /** Events that there are from the beginning; undefined: none are kept. */
  readonly events: readonly ResponseEvent[] | undefined;
  readonly timeoutMs: number;
}

export interface BegunRun {
  readonly id: string;
  readonly owner: Owner;
  readonly request: RunRequest;
  /** As it was made. */
  readonly response: ResponseBody;
  readonly streamed: boolean;
  /** How often it was begun, this time included. */
  readonly attempt: number;
  /** How often it was put back. */
  readonly putBack: number;
  /** Of the events that are kept. */
  readonly lastNumber: number;
  /** Less than zero: its time is over. */
  readonly remainingMs: number;
}

/** What is there of a response's events, behind those that are known. */
export interface EventPage {
  readonly events: readonly ResponseEvent[];
  /** There may be more by now, or are. */
  readonly more: boolean;
  readonly status: ResponseBody['status'];
}

export interface RunLimits extends ResponseLimits {
  readonly backgroundResponsesPerKeyMax: number;
}

/** Of the events of one response: an answer of a hundred thousand tokens has a fifth of it. */
export const EVENTS_BYTES_MAX = 128 * 1024 * 1024;
/** Batches of events that are read at a time: one may have a megabyte, where the database was slow. */
const PAGE_BATCHES = 8;
/** Whoever is at a response when its time is over has so long to tell of it. */
const OVERDUE_SECONDS = 10;
/** How soon to come back for a place that another response has. */
const RETRY_SECONDS = 10;

/**
 * Responses that are to be answered in the background: the one truth, of which the jobs in the queue are only reminders.
 *
 * Concurrency: any number of gateways. Who begins one has its number, and writes nothing once another has begun it; it ends once, with all
 * that comes with its end in one transaction.
 */
export class ResponseRuns {
  constructor(
    private readonly database: SqlDatabase,
    private readonly limits: RunLimits,
    readonly eventsBytesMax = EVENTS_BYTES_MAX,
  ) {}

  /** @throws InferenceError 429 where the key has as many under way as it may. */
  async queue(owner: Owner, run: NewRun): Promise<void> {
    const { response, request, priority, events, timeoutMs } = run;
    const input = named(run.input);
    const { backgroundResponsesPerKeyMax: max } = this.limits;
    const { output: _, status, ...body } = response;
    const json = JSON.stringify(body);
    checkSize(input, json, this.limits);
    const isQueued = await this.database.transaction(async (query) => {
      const made = await query(INSERT_QUEUED, [
        response.id,
        keyOf(owner),
        response.previous_response_id ?? null,
        response.conversation?.id ?? null,
        status,
        json,
        bytesOf(input),
        max,
      ]);
      if (made.length === 0) return false;
      await insertItems(query, { id: response.id, owner }, input);
      await query(
        `insert into response_runs (response_id, key_id, request, priority, streamed, expires_at)
          values ($1, $2, $3, $4, $5, clock_timestamp() + $6 * interval '1 millisecond')`,
        [response.id, keyOf(owner), JSON.stringify(request), priority, events !== undefined, timeoutMs],
      );
      await insertEvents(query, response.id, events ?? []);
      return true;
    });
    if (!isQueued) throw tooMany(max);
  }

  /** Whoever had it before has it no more. Undefined: somebody has it, or it has ended or was deleted. */
  async begin(id: string, leaseMs: number): Promise<BegunRun | undefined> {
    const [row] = await this.database.query<RunRow>(BEGIN, [id, leaseMs]);
    return row && begunRun(row);
  }

  /** Whether it has not ended. */
  async isLive(id: string): Promise<boolean> {
    return (await this.database.query('select from response_runs where response_id = $1', [id])).length > 0;
  }

  /** Its lease begins anew. @returns false: it is not this attempt's any more. */
  async hold({ id, attempt }: BegunRun, leaseMs: number): Promise<boolean> {
    const rows = await this.database.query(
      `update response_runs set held_until = clock_timestamp() + $3 * interval '1 millisecond'
        where response_id = $1 and attempt = $2 returning response_id`,
      [id, attempt, leaseMs],
    );
    return rows.length > 0;
  }

  /** @returns as `hold`; then nothing was kept. */
  async keepEvents({ id, attempt }: BegunRun, events: readonly ResponseEvent[]): Promise<boolean> {
    return this.database.transaction(async (query) => {
      if (!(await isHeldBy(query, id, attempt))) return false;
      await insertEvents(query, id, events);
      return true;
    });
  }

  /** It waits again, for somebody to begin it. */
  async putBack({ id, attempt }: BegunRun): Promise<void> {
    await this.database.query(
      `with put as (
          update response_runs set put_back = put_back + 1, held_until = null where response_id = $1 and attempt = $2 returning response_id
        )
        update responses set status = 'queued' where id in (select response_id from put)`,
      [id, attempt],
    );
  }

  /** What came of it, all at once: its last events, its output, and in its conversation both. @returns as `hold`. */
  async end(
    run: BegunRun,
    ended: ResponseBody,
    lastEvents: readonly ResponseEvent[],
    found?: FoundResults,
  ): Promise<boolean> {
    const { output, status, ...body } = ended;
    return this.database.transaction(async (query) => {
      if (!(await isHeldBy(query, run.id, run.attempt))) return false;
      const input = await inputOf(query, run.id);
      const items = named([...input, ...withFound(output, found)]);
      const made = items.slice(input.length);
      if (run.streamed) await insertEvents(query, run.id, lastEvents);
      await query('delete from response_runs where response_id = $1', [run.id]);
      await query(
        `update responses set status = $2, body = $3, bytes = $4, ended_at = clock_timestamp() where id = $1`,
        [run.id, status, JSON.stringify(body), bytesOf(items)],
      );
      const holder = { id: run.id, owner: run.owner };
      await insertItems(query, holder, made, { from: input.length, output: true });
      const conversationId = ended.conversation?.id;
      if (conversationId !== undefined && hasAnswer(status))
        await appendItems(query, { id: conversationId, owner: run.owner }, items, run.id);
      return true;
    });
  }

  /** It ends here, whoever is at it; what has ended stays as it is. @returns as it stands then; undefined: there is none. */
  async cancel(owner: Owner, id: string): Promise<ResponseBody | undefined> {
    if (!canBeId(id)) return undefined;
    return this.database.transaction(async (query) => {
      const ended = await query(
        'delete from response_runs where response_id = $1 and key_id = $2 returning response_id',
        [id, keyOf(owner)],
      );
      if (ended.length > 0)
        await query("update responses set status = 'cancelled', ended_at = clock_timestamp() where id = $1", [id]);
      const [row] = await query<ResponseRow>(`${RESPONSE} where id = $1 and key_id = $2`, [id, keyOf(owner)]);
      return row && responseBody(row);
    });
  }

  /** Those that are queued or in progress and stand behind this one, by their ids. */
  async live(after: string, max: number): Promise<readonly { readonly id: string; readonly priority: number }[]> {
    return this.database.query(
      'select response_id as id, priority from response_runs where response_id > $1 order by response_id limit $2',
      [after, max],
    );
  }

  /** Those that should have ended some time ago. */
  async overdue(max: number): Promise<readonly string[]> {
    const rows = await this.database.query<{ id: string }>(
      `select response_id as id from response_runs where expires_at < clock_timestamp() - ${OVERDUE_SECONDS} * interval '1 second' limit $1`,
      [max],
    );
    return rows.map(({ id }) => id);
  }

  /** Undefined: there is no such response. @param number of the last event that is known. */
  async events(owner: Owner, id: string, number: number): Promise<EventPage | undefined> {
    if (!canBeId(id)) return undefined;
    const rows = await this.database.query<{ status: ResponseBody['status']; live: boolean; events: string | null }>(
      EVENTS,
      [id, keyOf(owner), number, PAGE_BATCHES],
    );
    const [first] = rows;
    if (first === undefined) return undefined;
    const events = rows.flatMap((row) => (row.events === null ? [] : eventsInLines(row.events)));
    return {
      events: events.filter(({ sequence_number }) => sequence_number > number),
      more: first.live || rows.length === PAGE_BATCHES,
      status: first.status,
    };
  }

  /** Whether events of it are kept, or were. */
  async isStreamed(id: string): Promise<boolean> {
    const rows = await this.database.query('select from response_events where response_id = $1 limit 1', [id]);
    return rows.length > 0;
  }
}

interface RunRow extends Omit<ResponseRow, 'output'> {
  readonly id: string;
  readonly key_id: string;
  readonly request: string;
  readonly streamed: boolean;
  readonly attempt: number;
  readonly put_back: number;
  readonly last_number: number;
  readonly remaining_ms: number;
}

function begunRun(row: RunRow): BegunRun {
  return {
    id: row.id,
    owner: row.key_id === '' ? undefined : row.key_id,
    request: JSON.parse(row.request) as RunRequest,
    response: responseBody({ ...row, output: [] }),
    streamed: row.streamed,
    attempt: row.attempt,
    putBack: row.put_back,
    lastNumber: row.last_number,
    remainingMs: row.remaining_ms,
  };
}

/** And nobody takes it, cancels it or deletes it before this transaction is over. */
async function isHeldBy(query: SqlQuery, id: string, attempt: number): Promise<boolean> {
  const rows = await query('select from response_runs where response_id = $1 and attempt = $2 for update', [
    id,
    attempt,
  ]);
  return rows.length > 0;
}

async function insertEvents(query: SqlQuery, id: string, events: readonly ResponseEvent[]): Promise<void> {
  if (events.length === 0) return;
  // There already, where nobody knew whether they were.
  await query(
    `insert into response_events (response_id, first_number, last_number, events) values ($1, $2, $3, $4)
      on conflict do nothing`,
    [id, events[0]!.sequence_number, events.at(-1)!.sequence_number, eventLines(events)],
  );
}

async function inputOf(query: SqlQuery, id: string): Promise<ResponseItem[]> {
  const rows = await query<{ item: string }>(
    'select item from response_items where holder_id = $1 and not output order by place',
    [id],
  );
  return rows.map(({ item }) => JSON.parse(item) as ResponseItem);
}

/** Several at the same moment may go beyond the limit together, by as many as they are. */
const INSERT_QUEUED = `
  insert into responses (id, key_id, previous_id, conversation_id, status, body, bytes, background)
    select $1, $2, $3, $4, $5, $6, $7, true
      where (select count(*) from response_runs where key_id = $2) < $8::integer
    returning id`;

const BEGIN = `
  with begun as (
    update response_runs set attempt = attempt + 1, held_until = clock_timestamp() + $2 * interval '1 millisecond'
      where response_id = $1 and (held_until is null or held_until <= clock_timestamp())
      returning key_id, request, streamed, attempt, put_back, (extract(epoch from expires_at - clock_timestamp()) * 1000)::bigint as remaining_ms
  ), told as (
    update responses set status = 'in_progress' from begun where id = $1 returning id, status, body
  )
  select told.*, begun.*, coalesce((select max(last_number) from response_events where response_id = $1), -1) as last_number
    from told, begun`;

const EVENTS = `
  select r.status, r.ended_at is null as live, kept.events from responses r left join lateral (
      select first_number, events from response_events where response_id = r.id and last_number > $3::integer
        order by first_number limit $4::integer
    ) as kept on true
    where r.id = $1 and r.key_id = $2 order by kept.first_number`;

function tooMany(max: number): InferenceError {
  return new InferenceError(
    'rate_limit_exceeded',
    `${max} responses of this key are under way in the background, which is as many as may be. Send this one when one of them has ended, or raise backgroundResponsesPerKeyMax.`,
    { limit: 'background_responses', retryAfterSeconds: RETRY_SECONDS },
  );
}
