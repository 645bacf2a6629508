import type { Settings } from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import { RepeatedChore } from '../stores/repeated-chore.js';
import type { SqlDatabase } from '../stores/sql-database.js';

const SWEEP_MS = 3_600_000;
/** A little less, so that one of the gateways finds it due. */
const SWEEP_MINUTES = 55;
/** Removed at a time, so that no statement holds the database for long. */
const ROWS_MAX = 500;
const CHORE = 'responses';
/** Who read an answer's events as they came has long had the last of them; the answer itself is kept longer. */
const EVENTS_KEPT_HOURS = 24;

type SweepSettings = Pick<Settings, 'responsesKeptDays' | 'responsesPerKeyMax' | 'conversationsKeptDays'>;

/**
 * Forgets responses that ended `responsesKeptDays` ago, unless others go on from them: a chain goes from its end, when nobody went on from
 * it for so long. Of a key that has more than `responsesPerKeyMax`, the oldest go. And conversations that nobody used for
 * `conversationsKeptDays`.
 *
 * Concurrency: one gateway of all at a time, from its start and then every hour.
 */
export class ResponseSweep {
  readonly #chore: RepeatedChore;

  constructor(
    private readonly database: SqlDatabase,
    private readonly settings: SweepSettings,
    private readonly logger: Logger,
  ) {
    const pace = { name: CHORE, everyMs: SWEEP_MS, minutes: SWEEP_MINUTES };
    this.#chore = new RepeatedChore(database, pace, (signal) => this.sweep(signal), {
      logger,
      failed: 'responses that ended long ago could not be forgotten: it is tried again every hour',
    });
  }

  start(): void {
    this.#chore.start();
  }

  close(): Promise<void> {
    return this.#chore.close();
  }

  /** Once. @throws DatabaseUnavailable */
  async sweep(signal: AbortSignal): Promise<void> {
    const { responsesKeptDays, responsesPerKeyMax, conversationsKeptDays } = this.settings;
    const old = await this.#removed(OLD_RESPONSES, [responsesKeptDays], signal);
    let surplus = 0;
    for (const key of await this.#crowded(responsesPerKeyMax))
      surplus += await this.#removed(SURPLUS_RESPONSES, [key, responsesPerKeyMax], signal);
    const conversations = await this.#removed(OLD_CONVERSATIONS, [conversationsKeptDays], signal);
    await this.#removed(OLD_EVENTS, [EVENTS_KEPT_HOURS], signal);
    if (old + surplus + conversations === 0) return;
    this.logger.info(
      { old, surplus, conversations },
      'responses and conversations are forgotten (responsesKeptDays, responsesPerKeyMax, conversationsKeptDays)',
    );
  }

  async #crowded(max: number): Promise<readonly string[]> {
    const rows = await this.database.query<{ key_id: string }>(
      'select key_id from responses group by key_id having count(*) > $1',
      [max],
    );
    return rows.map(({ key_id }) => key_id);
  }

  /** @returns how many. */
  async #removed(sql: string, values: readonly unknown[], signal: AbortSignal): Promise<number> {
    let all = 0;
    for (let page = 1; page > 0 && !signal.aborted; all += page) {
      const [row] = await this.database.query<{ gone: number }>(sql, [...values, ROWS_MAX]);
      page = row!.gone;
    }
    return all;
  }
}

const OLD_RESPONSES = `
  with gone as (
    delete from responses where id in (
      select id from responses one where ended_at < now() - $1::int * interval '1 day'
        and not exists (select from responses next where next.previous_id = one.id) limit $2
    ) returning id
  ), items as (delete from response_items where holder_id in (select id from gone))
  select count(*) as gone from gone`;

const SURPLUS_RESPONSES = `
  with gone as (
    delete from responses where id in (
      select id from (
        select id, ended_at from responses where key_id = $1 order by created_at desc offset $2
      ) as surplus where ended_at is not null limit $3
    ) returning id
  ), items as (delete from response_items where holder_id in (select id from gone))
  select count(*) as gone from gone`;

const OLD_CONVERSATIONS = `
  with gone as (
    delete from conversations where id in (
      select id from conversations where used_at < now() - $1::int * interval '1 day'
        and (locked_until is null or locked_until < now()) limit $2
    ) returning id
  ), items as (delete from response_items where holder_id in (select id from gone))
  select count(*) as gone from gone`;

const OLD_EVENTS = `
  with gone as (
    delete from response_events where (response_id, first_number) in (
      select e.response_id, e.first_number from response_events e join responses r on r.id = e.response_id
        where r.ended_at < now() - $1::int * interval '1 hour' limit $2
    ) returning response_id
  )
  select count(*) as gone from gone`;
