import { digestOf, makeApiKey } from './api-key.js';
import type { KeyRow } from './key-rows.js';
import type { KeySource } from './key-source.js';

export const KEY_SECRET = 'a secret of at least 32 characters';

/** A table of keys in memory, which can be away, slow, or made with another secret. */
export class FakeKeyTable implements KeySource {
  readonly #rows = new Map<string, { row: KeyRow; changedIn: number }>();
  #transaction = 1;
  #anyKey = false;
  away = false;
  otherSecret = false;
  /** Every look waits for this; undefined: none does. */
  held: Promise<void> | undefined;
  /** How often it was asked. */
  looks = 0;

  create(changes: Partial<KeyRow> = {}): string {
    const { id, text } = makeApiKey(changes.id);
    this.put({ ...rowOf(id, text), ...changes });
    return text;
  }

  put(row: KeyRow): void {
    this.#rows.set(row.id, { row, changedIn: this.#transaction++ });
    this.#anyKey = true;
  }

  change(id: string, changes: Partial<KeyRow>): void {
    this.put({ ...this.#rows.get(id)!.row, ...changes });
  }

  /** By hand, so that no row tells of it. */
  delete(id: string): void {
    this.#rows.delete(id);
    this.#anyKey = this.#rows.size > 0;
  }

  async load(add: (row: KeyRow) => void) {
    const [rows, anyKey] = [[...this.#rows.values()], this.#anyKey];
    const seen = await this.#look();
    for (const { row } of rows) if (row.revoked_at === null) add(row);
    return { seen, otherSecret: this.otherSecret, anyKey };
  }

  async changesSince(since: string) {
    const changed = [...this.#rows.values()].filter(({ changedIn }) => changedIn >= Number(since));
    const seen = await this.#look();
    return { seen, otherSecret: this.otherSecret, rows: changed.map(({ row }) => row) };
  }

  async #look(): Promise<string> {
    this.looks++;
    // As a database does: what it tells is how things stood when it was asked.
    const seen = String(this.#transaction);
    await this.held;
    if (this.away) throw new Error('The database can not be asked: nothing listens there.');
    return seen;
  }
}

function rowOf(id: string, text: string): KeyRow {
  return {
    id,
    name: 'a name',
    digest: digestOf(text, KEY_SECRET),
    digest_former: null,
    former_expires_at: null,
    models: null,
    limits: {},
    priority: 0,
    created_at: new Date(),
    expires_at: null,
    revoked_at: null,
    log_messages: null,
  };
}
