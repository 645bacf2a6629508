import { InferenceError, type ResponseItem } from '@millrace/contracts';
import { randomHex } from '@millrace/runtime';
import type { SqlDatabase, SqlQuery } from '../stores/sql-database.js';
import { isTimedId, timedId } from '../stores/timed-ids.js';
import {
  bytesOf,
  type ItemHolder,
  type ItemPage,
  type ItemPageAsk,
  insertItems,
  itemPage,
  itemsOf,
  named,
  nextPlace,
  oneItem,
  removeItem,
  takenIds,
} from './kept-items.js';
import { keyOf, type Owner } from './owner.js';
import { type HeldConversation, noConversation } from './response-store.js';

export type Metadata = Readonly<Record<string, string>>;

export interface ConversationRow {
  readonly id: string;
  readonly created_at: Date;
  readonly metadata: Metadata;
}

export interface ConversationLimits {
  readonly conversationsPerKeyMax: number;
  /** Of the items of one: nobody could have sent more. */
  readonly bodyBytesMax: number;
}

/** How long one is a response's whose gateway may have been killed. */
export const LOCK_MS = 30_000;
/** Of that time, after which it is said again that it is. Twice that may fail. */
const EXTEND_AFTER = 1 / 3;
/** How soon to come back for one that is locked: an answer takes seconds. */
const RETRY_SECONDS = 1;

interface RawRow extends Omit<ConversationRow, 'metadata'> {
  readonly metadata: string;
}

/**
 * The conversations of each key; another's is as if it were not there.
 *
 * A response has its conversation for itself from its beginning to its end, as at OpenAI: what two at once appended would be a conversation
 * that nobody had. The lock is a lease by the database's clock, so that a gateway that is killed locks none for ever.
 *
 * @throws InferenceError for what the caller did; DatabaseUnavailable.
 */
export class ConversationStore {
  constructor(
    private readonly database: SqlDatabase,
    private readonly limits: ConversationLimits,
    private readonly lockMs = LOCK_MS,
  ) {}

  async create(owner: Owner, metadata: Metadata, items: readonly ResponseItem[]): Promise<ConversationRow> {
    const { conversationsPerKeyMax: max } = this.limits;
    const id = timedId('conv_');
    const row = await this.database.transaction(async (query) => {
      // Several at the same moment may go beyond the limit together, by as many as they are.
      const [made] = await query<RawRow>(
        `insert into conversations (id, key_id, metadata) select $1, $2, $3
          where (select count(*) from conversations where key_id = $2) < $4 returning id, created_at, metadata`,
        [id, keyOf(owner), JSON.stringify(metadata), max],
      );
      if (made !== undefined) await insertItems(query, { id, owner }, named(items));
      return made;
    });
    if (row !== undefined) return conversationOf(row);
    throw new InferenceError(
      'invalid_request',
      `There are ${max.toLocaleString('en')} conversations already, which is the most (conversationsPerKeyMax). Delete one, or have that setting raised.`,
    );
  }

  async find(owner: Owner, id: string): Promise<ConversationRow> {
    const [row] = isTimedId('conv_', id)
      ? await this.database.query<RawRow>(
          'select id, created_at, metadata from conversations where id = $1 and key_id = $2',
          [id, keyOf(owner)],
        )
      : [];
    return known(row);
  }

  async change(owner: Owner, id: string, metadata: Metadata): Promise<ConversationRow> {
    const [row] = isTimedId('conv_', id)
      ? await this.database.query<RawRow>(
          `update conversations set metadata = $3, used_at = clock_timestamp() where id = $1 and key_id = $2
            returning id, created_at, metadata`,
          [id, keyOf(owner), JSON.stringify(metadata)],
        )
      : [];
    return known(row);
  }

  /** With its items. A response that is being answered on it is kept by itself. */
  async remove(owner: Owner, id: string): Promise<void> {
    const gone = isTimedId('conv_', id)
      ? await this.database.query(
          `with gone as (delete from conversations where id = $1 and key_id = $2 returning id),
            items as (delete from response_items where holder_id in (select id from gone))
            select id from gone`,
          [id, keyOf(owner)],
        )
      : [];
    if (gone.length === 0) throw noConversation();
  }

  /** @returns them as they are kept: one whose id another has got a new one. */
  async append(owner: Owner, id: string, items: readonly ResponseItem[]): Promise<readonly ResponseItem[]> {
    return this.database.transaction(async (query) => {
      await this.#unlocked(query, owner, id);
      await this.#checkRoom(query, id, items);
      const kept = await appendItems(query, { id, owner }, items);
      if (kept === undefined) throw noConversation();
      return kept;
    });
  }

  async items(owner: Owner, id: string, ask: ItemPageAsk): Promise<ItemPage> {
    await this.find(owner, id);
    return itemPage(this.database, id, ask);
  }

  async item(owner: Owner, id: string, itemId: string): Promise<ResponseItem> {
    await this.find(owner, id);
    return (await oneItem(this.database, id, itemId)) ?? noItem(id, itemId);
  }

  async removeItem(owner: Owner, id: string, itemId: string): Promise<ConversationRow> {
    const conversation = await this.find(owner, id);
    if ((await oneItem(this.database, id, itemId)) === undefined) noItem(id, itemId);
    await this.database.transaction(async (query) => {
      await this.#unlocked(query, owner, id);
      await removeItem(query, id, itemId);
    });
    return conversation;
  }

  /** All of it, oldest first. */
  async read(owner: Owner, id: string): Promise<readonly ResponseItem[]> {
    await this.find(owner, id);
    await this.#checkRoom(this.database.query.bind(this.database), id, []);
    const rows = await this.database.query<{ item: string }>(
      'select item from response_items where holder_id = $1 order by place',
      [id],
    );
    return itemsOf(rows);
  }

  /**
   * For a response alone, until it is kept or lets go. Another attempt at it takes the conversation over, since who had the first may be
   * gone: each has a lock of its own, and lets go of that alone.
   */
  async hold(owner: Owner, id: string, responseId: string): Promise<HeldConversation> {
    const lock = `${responseId}${ATTEMPT}${randomHex(8)}`;
    await this.#lock(owner, id, responseId, lock);
    const timer = setInterval(() => {
      // The store is away, which it tells itself. The lock ends, or does not, without us.
      this.#extend(id, lock).catch(() => {});
    }, this.lockMs * EXTEND_AFTER);
    const release = async () => {
      clearInterval(timer);
      await this.database.query(`${RELEASE} and locked_by = $2`, [id, lock]).catch(() => {});
    };
    try {
      return { items: await this.read(owner, id), [Symbol.asyncDispose]: release };
    } catch (error) {
      await release();
      throw error;
    }
  }

  async #lock(owner: Owner, id: string, responseId: string, lock: string): Promise<void> {
    const locked = isTimedId('conv_', id)
      ? await this.database.query(
          `update conversations set locked_by = $3, locked_until = clock_timestamp() + $4 * interval '1 millisecond', used_at = clock_timestamp()
            where id = $1 and key_id = $2 and (${FREE} or ${LOCKED_FOR} = $5) returning id`,
          [id, keyOf(owner), lock, this.lockMs, responseId],
        )
      : [];
    if (locked.length > 0) return;
    await this.find(owner, id);
    throw conversationLocked(id);
  }

  async #extend(id: string, lock: string): Promise<void> {
    await this.database.query(
      `update conversations set locked_until = clock_timestamp() + $3 * interval '1 millisecond'
        where id = $1 and locked_by = $2`,
      [id, lock, this.lockMs],
    );
  }

  /** Nobody locks it, or appends to it, before this transaction is over. */
  async #unlocked(query: SqlQuery, owner: Owner, id: string): Promise<void> {
    const [row] = isTimedId('conv_', id)
      ? await query<{ free: boolean }>(
          `select ${FREE} as free from conversations where id = $1 and key_id = $2 for update`,
          [id, keyOf(owner)],
        )
      : [];
    if (row === undefined) throw noConversation();
    if (!row.free) throw conversationLocked(id);
  }

  /** @param more what is to be added. */
  async #checkRoom(query: SqlQuery, id: string, more: readonly ResponseItem[]): Promise<void> {
    const [row] = await query<{ bytes: number }>(
      'select coalesce(sum(octet_length(item)), 0)::bigint as bytes from response_items where holder_id = $1',
      [id],
    );
    const bytes = row!.bytes + bytesOf(more);
    const { bodyBytesMax } = this.limits;
    if (bytes <= bodyBytesMax) return;
    throw new InferenceError(
      'invalid_request',
      `The conversation ${id} has ${bytes.toLocaleString('en')} bytes; up to ${bodyBytesMax.toLocaleString('en')} are read (bodyBytesMax). Delete items of it, or begin another.`,
      { param: 'conversation' },
    );
  }
}

const FREE = '(locked_until is null or locked_until <= clock_timestamp())';
/** Between the response and what tells its attempts apart. */
const ATTEMPT = '#';
const LOCKED_FOR = `split_part(locked_by, '${ATTEMPT}', 1)`;
const RELEASE = 'update conversations set locked_by = null, locked_until = null where id = $1';

/**
 * By the transaction that keeps them elsewhere as well. What is appended stands behind what is there.
 *
 * @param letGoBy the response that has it for itself, and now lets go of it.
 * @returns undefined: it is gone.
 */
export async function appendItems(
  query: SqlQuery,
  holder: ItemHolder,
  items: readonly ResponseItem[],
  letGoBy?: string,
): Promise<readonly ResponseItem[] | undefined> {
  const found = await query(
    `update conversations set used_at = clock_timestamp() where id = $1 and key_id = $2 returning id`,
    [holder.id, keyOf(holder.owner)],
  );
  if (found.length === 0) return undefined;
  const kept = named(items, await takenIds(query, holder, items));
  await insertItems(query, holder, kept, { from: await nextPlace(query, holder.id) });
  if (letGoBy !== undefined) await query(`${RELEASE} and ${LOCKED_FOR} = $2`, [holder.id, letGoBy]);
  return kept;
}

function known(row: RawRow | undefined): ConversationRow {
  if (row === undefined) throw noConversation();
  return conversationOf(row);
}

function conversationOf({ metadata, ...row }: RawRow): ConversationRow {
  return { ...row, metadata: JSON.parse(metadata) as Metadata };
}

function noItem(id: string, itemId: string): never {
  throw new InferenceError(
    'conversation_not_found',
    `The conversation ${id} has no item ${JSON.stringify(itemId.slice(0, 60))}. GET /v1/conversations/${id}/items lists those that there are.`,
  );
}

function conversationLocked(id: string): InferenceError {
  return new InferenceError(
    'conversation_locked',
    `Another response is being answered on the conversation ${id}. Send the request again when that has ended.`,
    { param: 'conversation', retryAfterSeconds: RETRY_SECONDS },
  );
}
