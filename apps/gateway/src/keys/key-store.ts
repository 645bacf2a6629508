import { type ChangeKeyBody, type CreateKeyBody, InferenceError, type KeyLimitsBody } from '@millrace/contracts';
import type { SqlDatabase, SqlQuery } from '../stores/sql-database.js';
import { digestOf, makeApiKey } from './api-key.js';
import { KEY_COLUMNS, type KeyRow } from './key-rows.js';
import { SECRET_CHECK, secretCheckOf } from './secret-check.js';

export interface KeyPage {
  readonly rows: readonly KeyRow[];
  readonly hasMore: boolean;
}

export interface KeyListing {
  /** A key's id: the page begins behind it. */
  readonly after: string | undefined;
  readonly limit: number;
  /** What names hold, in whatever case; undefined: any. */
  readonly name: string | undefined;
}

/** A key as it is made: the only time that its text is known. */
export interface MadeKey {
  readonly row: KeyRow;
  readonly text: string;
}

const VALID = 'revoked_at is null and (expires_at is null or expires_at > now())';

/**
 * What is done to keys. What changes one holds a lock on the table for as long, so that several gateways together keep to `keysMax`
 * and to one secret; whoever only reads does not wait for it.
 *
 * @throws InferenceError when the key is not there, or can not become what is asked; DatabaseUnavailable.
 */
export class KeyStore {
  readonly #check: string;

  constructor(
    private readonly database: SqlDatabase,
    private readonly keySecret: string,
    private readonly limits: { readonly keysMax: number },
  ) {
    this.#check = secretCheckOf(keySecret);
  }

  create({ name, models, limits, priority, expires_at, log_messages }: CreateKeyBody): Promise<MadeKey> {
    return this.#exclusively(async (query, validKeys) => {
      this.#refuseBeyondMax(validKeys);
      const { id, text } = makeApiKey();
      const [row] = await query<KeyRow>(
        `insert into keys (id, name, digest, models, limits, priority, expires_at, log_messages)
          values ($1, $2, $3, $4, $5, $6, to_timestamp($7::double precision), $8) returning ${KEY_COLUMNS}`,
        [id, name, digestOf(text, this.keySecret), models, limitsText(limits), priority, expires_at, log_messages],
      );
      return { row: row!, text };
    }, 'making');
  }

  /** Newest first. */
  async list({ after, limit, name }: KeyListing): Promise<KeyPage> {
    if (after !== undefined) await this.find(after);
    const rows = await this.database.query<KeyRow>(
      `select ${KEY_COLUMNS} from keys
        where ($1::text is null or (created_at, id) < (select created_at, id from keys where id = $1))
          and ($2::text is null or strpos(lower(name), lower($2)) > 0)
        order by created_at desc, id desc limit $3::integer`,
      [after, name, limit + 1],
    );
    return { rows: rows.slice(0, limit), hasMore: rows.length > limit };
  }

  async find(id: string): Promise<KeyRow> {
    const [row] = await this.database.query<KeyRow>(`select ${KEY_COLUMNS} from keys where id = $1`, [id]);
    return row ?? notFound(id);
  }

  /** What is absent stays; null takes a limit away. */
  change(id: string, changes: ChangeKeyBody): Promise<KeyRow> {
    return this.#exclusively(async (query, validKeys) => {
      const { row, valid } = await unrevoked(query, id);
      const revives = !valid && changes.expires_at !== undefined && isAhead(changes.expires_at);
      if (revives) this.#refuseBeyondMax(validKeys);
      const { name, models, priority, expires_at, log_messages } = { ...asBody(row), ...withoutUndefined(changes) };
      const [changed] = await query<KeyRow>(
        `update keys set name = $2, models = $3, limits = $4, priority = $5,
          expires_at = to_timestamp($6::double precision), log_messages = $7 where id = $1 returning ${KEY_COLUMNS}`,
        [id, name, models, limitsText({ ...row.limits, ...changes.limits }), priority, expires_at, log_messages],
      );
      return changed!;
    });
  }

  /** Once and for all. Again, it changes nothing. */
  async revoke(id: string): Promise<KeyRow> {
    const [row] = await this.database.query<KeyRow>(
      `update keys set revoked_at = coalesce(revoked_at, clock_timestamp()) where id = $1 returning ${KEY_COLUMNS}`,
      [id],
    );
    return row ?? notFound(id);
  }

  /** A new secret for the same id. The key before stays valid for `graceSeconds`; one before that no longer is. */
  rotate(id: string, graceSeconds: number): Promise<MadeKey> {
    return this.#exclusively(async (query) => {
      const { row, valid } = await unrevoked(query, id);
      if (!valid) throw expired(row);
      const { text } = makeApiKey(id);
      const [rotated] = await query<KeyRow>(
        `update keys set digest = $2, digest_former = case when $3 > 0 then digest end,
          former_expires_at = case when $3 > 0 then clock_timestamp() + make_interval(secs => $3) end
          where id = $1 returning ${KEY_COLUMNS}`,
        [id, digestOf(text, this.keySecret), graceSeconds],
      );
      return { row: rotated!, text };
    });
  }

  #exclusively<T>(work: (query: SqlQuery, validKeys: number) => Promise<T>, how?: 'making'): Promise<T> {
    return this.database.transaction(async (query) => {
      await query('lock table keys in share row exclusive mode');
      const [table] = await query<{ check: string | null; valid: number }>(
        `select (select value from installation where name = $1) as check, (select count(*) from keys where ${VALID}) as valid`,
        [SECRET_CHECK],
      );
      const valid = Number(table!.valid);
      await this.#insistOnSecret(query, table!.check, how === 'making' && valid === 0);
      return work(query, valid);
    });
  }

  /** The secret of whoever makes the first key is the one to have. Once no key is valid any more, that of the next may take its place. */
  async #insistOnSecret(query: SqlQuery, check: string | null, mayTakeItsPlace: boolean): Promise<void> {
    if (check === this.#check) return;
    if (check !== null && !mayTakeItsPlace) {
      throw new InferenceError(
        'store_unavailable',
        'This gateway has another keySecret than the one that the keys were made with. Give it theirs.',
      );
    }
    await query(
      'insert into installation (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value',
      [SECRET_CHECK, this.#check],
    );
  }

  #refuseBeyondMax(validKeys: number): void {
    const { keysMax } = this.limits;
    if (validKeys < keysMax) return;
    throw new InferenceError(
      'invalid_request',
      `There are ${validKeys.toLocaleString('en')} valid keys; keysMax is ${keysMax.toLocaleString('en')}. Revoke one, or raise keysMax.`,
    );
  }
}

async function unrevoked(query: SqlQuery, id: string): Promise<{ row: KeyRow; valid: boolean }> {
  const [row] = await query<KeyRow & { valid: boolean }>(
    `select ${KEY_COLUMNS}, (${VALID}) as valid from keys where id = $1`,
    [id],
  );
  if (row === undefined) return notFound(id);
  if (row.revoked_at === null) return { row, valid: row.valid };
  throw new InferenceError(
    'invalid_request',
    `The key ${id} was revoked on ${row.revoked_at.toISOString()}, and stays so. Create another.`,
  );
}

function expired({ id, expires_at }: KeyRow): InferenceError {
  return new InferenceError(
    'invalid_request',
    `The key ${id} expired on ${expires_at?.toISOString()}. Change its expires_at first, or create another.`,
  );
}

function notFound(id: string): never {
  throw new InferenceError('key_not_found', `There is no key ${id}. GET /admin/keys lists those that there are.`);
}

function isAhead(expiresAt: number | null): boolean {
  return expiresAt === null || expiresAt * 1_000 > Date.now();
}

function asBody({ name, models, priority, expires_at, log_messages }: KeyRow) {
  return { name, models, priority, expires_at: expires_at && expires_at.getTime() / 1_000, log_messages };
}

function withoutUndefined<T extends object>(changes: T): Partial<T> {
  return Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined)) as Partial<T>;
}

/** Limits that are not set are left out. */
function limitsText(limits: KeyLimitsBody): string {
  return JSON.stringify(Object.fromEntries(Object.entries(limits).filter(([, value]) => value != null)));
}
