import type { SqlDatabase } from '../stores/sql-database.js';
import { KEY_COLUMNS, type KeyRow } from './key-rows.js';
import { SECRET_CHECK, secretCheckOf } from './secret-check.js';

/** How the table of keys stood at a look. */
export interface KeyTable {
  /** What the next `changesSince` is given. */
  readonly seen: string;
  /** Keys are made with another secret than this gateway's: it can not tell which are valid. */
  readonly otherSecret: boolean;
}

/** Where the ring reads keys. Everything may throw: the database is away. */
export interface KeySource {
  /** Hands every key that is valid to `add`. */
  load(add: (row: KeyRow) => void): Promise<KeyTable & { /** Valid or not. */ readonly anyKey: boolean }>;
  /**
   * The keys that have changed since, some of them perhaps known already; undefined: ask for all of them, for it can not be told or
   * they are too many.
   */
  changesSince(seen: string): Promise<(KeyTable & { readonly rows: readonly KeyRow[] }) | undefined>;
}

/** Rows of one answer: a thousand are read in a few milliseconds, in which no request is served. */
const PAGE_ROWS = 1_000;

/**
 * The table of keys.
 *
 * What has changed is told by transactions, not by clocks: each look notes the oldest transaction that was not over, and the next
 * asks for rows of that one and all later ones. Whatever commits late is then seen late, but seen. Transactions yet to come have changed
 * nothing: such numbers stand in rows that were restored from a database that had counted further.
 */
export class SqlKeySource implements KeySource {
  readonly #check: string;

  constructor(
    private readonly database: Pick<SqlDatabase, 'query'>,
    keySecret: string,
  ) {
    this.#check = secretCheckOf(keySecret);
  }

  async load(add: (row: KeyRow) => void) {
    // Noted before the first page is read, so that what changes meanwhile is told again afterwards.
    const [table] = await this.database.query<{ seen: string; check: string | null; anyKey: boolean }>(
      `select pg_snapshot_xmin(pg_current_snapshot())::text as seen,
        (select value from installation where name = $1) as check,
        exists (select from keys) as "anyKey"`,
      [SECRET_CHECK],
    );
    let rows: readonly KeyRow[];
    let after = '';
    do {
      rows = await this.#page(after);
      for (const row of rows) add(row);
      after = rows.at(-1)?.id ?? '';
    } while (rows.length === PAGE_ROWS);
    return { seen: table!.seen, anyKey: table!.anyKey, otherSecret: this.#isOther(table!.check) };
  }

  async changesSince(seen: string) {
    const rows = await this.database.query<KeyRow & { seen: string; check: string | null }>(
      `select looked.*, keys.* from
        (select pg_snapshot_xmin(pg_current_snapshot())::text as seen,
          (select value from installation where name = $2) as check) as looked
        left join (select ${KEY_COLUMNS} from keys
          where changed_in >= $1::xid8 and changed_in < pg_snapshot_xmax(pg_current_snapshot())
          limit ${PAGE_ROWS}) as keys on true`,
      [seen, SECRET_CHECK],
    );
    const [first] = rows;
    // Transactions are counted upwards: a lower number is another database, put in place of the former.
    if (first === undefined || rows.length === PAGE_ROWS || BigInt(first.seen) < BigInt(seen)) return undefined;
    const changed = rows.filter(({ id }) => id !== null);
    return { seen: first.seen, otherSecret: this.#isOther(first.check), rows: changed };
  }

  #page(after: string): Promise<readonly KeyRow[]> {
    return this.database.query<KeyRow>(
      `select ${KEY_COLUMNS} from keys
        where id > $1 and revoked_at is null and (expires_at is null or expires_at > now()) order by id limit ${PAGE_ROWS}`,
      [after],
    );
  }

  #isOther(check: string | null): boolean {
    return check !== null && check !== this.#check;
  }
}
