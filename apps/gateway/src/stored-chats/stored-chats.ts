import { type ChatCompletion, InferenceError, type Settings } from '@millrace/contracts';
import { counter, type Logger } from '@millrace/runtime';
import { MEASURED } from '../metrics/declarations.js';
import type { SqlDatabase, SqlQuery } from '../stores/sql-database.js';
import { isTimedId, timedId } from '../stores/timed-ids.js';
import { transactionUntil } from '../stores/transaction-until.js';
import type { Keepsake } from '../vocabulary.js';

export type StoredChatLimits = Pick<Settings, 'storedChatDays' | 'storedChatsPerKeyMax' | 'storedChatBytesMax'>;

/** A key's id; undefined where there are no keys. */
type Owner = string | undefined;

export interface StoredChat {
  readonly completion: ChatCompletion;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface StoredChatsAsk {
  readonly limit: number;
  readonly order: 'asc' | 'desc';
  readonly after?: string | undefined;
  /** That has answered. */
  readonly model?: string | undefined;
  /** Only those with all of these. */
  readonly metadata: Readonly<Record<string, string>>;
}

interface Row {
  readonly answer: string;
  readonly metadata: StoredChat['metadata'];
}

const PREFIX = 'chatcmpl-';
/** An answer does not wait longer for its being kept. */
const KEEP_WAIT_MS = 5_000;
/** Of the limit. */
const MORE_FOR_A_WHILE = 0.01;
/** Of the answers on a page together, unless the first alone is longer. */
const PAGE_BYTES_MAX = 16 * 1024 * 1024;

/** Those of a key that may still be seen: the sweep comes only now and then. */
const MINE = `key_id = $1 and created_at > now() - $2::int * interval '1 day'`;

/**
 * Chat completions that are kept: each key's own, which to any other are as if they were not there.
 *
 * @throws DatabaseUnavailable, but for `keep`; InferenceError for what the caller did.
 */
export class StoredChats {
  readonly #kept = counter(MEASURED.storedChats);
  /** By key: how many since the oldest were last forgotten. There are no more than keys. */
  readonly #keptSince = new Map<string, number>();
  /** Whether the last one could not be kept, and that was told of. */
  #told = false;

  constructor(
    private readonly database: SqlDatabase,
    private readonly limits: StoredChatLimits,
    private readonly logger: Logger,
    private readonly keepWaitMs = KEEP_WAIT_MS,
  ) {}

  /** Of one that is to be kept: lists go by it. */
  newId(): string {
    return timedId(PREFIX);
  }

  /** Whoever collects an answer need not go on beyond that. */
  get bytesMax(): number {
    return this.limits.storedChatBytesMax;
  }

  /**
   * Never throws: an answer that is there goes out, whether it can be kept or not. Whoever then asks for it gets a 404.
   *
   * It is awaited before the end of an answer is sent, so that whoever has seen that finds what it has asked to be kept. What takes too long
   * is given up, and is not there later.
   */
  async keep(owner: Owner, { messages, metadata }: Keepsake, completion: ChatCompletion): Promise<void> {
    const [asked, answer] = [JSON.stringify(messages), JSON.stringify(completion)];
    if (Buffer.byteLength(asked) + Buffer.byteLength(answer) > this.bytesMax) return this.outgrown(completion.id);
    const { id, model } = completion;
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new Error(`not kept within ${this.keepWaitMs} ms`)), this.keepWaitMs);
    try {
      await transactionUntil(this.database, late.signal, async (query) => {
        await query(
          'insert into chat_completions (id, key_id, model, metadata, messages, answer) values ($1, $2, $3, $4::jsonb, $5, $6)',
          [id, keyOf(owner), model, JSON.stringify(metadata), asked, answer],
        );
        await this.#forgetNowAndThen(query, keyOf(owner));
      });
      this.#kept.add(1, { outcome: 'kept' });
      this.#told = false;
    } catch (error) {
      this.#kept.add(1, { outcome: 'lost' });
      this.logger[this.#told ? 'debug' : 'warn']({ id, error }, 'a chat completion was answered and could not be kept');
      this.#told = true;
    } finally {
      clearTimeout(timer);
    }
  }

  /** It is longer than what is kept. */
  outgrown(id: string): void {
    this.#kept.add(1, { outcome: 'too_large' });
    this.logger.info({ id, storedChatBytesMax: this.bytesMax }, 'a chat completion is too long to be kept');
  }

  /**
   * Of a key that has too many, the oldest. To count ten thousand takes the embedded database 25 ms, in which it does nothing else, so this is
   * done once for each hundredth of the limit: there may be so many more for a while.
   */
  async #forgetNowAndThen(query: SqlQuery, key: string): Promise<void> {
    const { storedChatsPerKeyMax: max } = this.limits;
    const since = (this.#keptSince.get(key) ?? 0) + 1;
    this.#keptSince.set(key, since);
    if (since < max * MORE_FOR_A_WHILE) return;
    this.#keptSince.delete(key);
    await query(
      `delete from chat_completions where key_id = $1 and id <=
        (select id from chat_completions where key_id = $1 order by id desc offset $2 limit 1)`,
      [key, max],
    );
  }

  async find(owner: Owner, id: string): Promise<StoredChat> {
    return storedChat(await this.#row<Row>(owner, id, 'answer, metadata'));
  }

  /** What it is an answer to, as it was sent. */
  async messages(owner: Owner, id: string): Promise<Keepsake['messages']> {
    const { messages } = await this.#row<{ messages: string }>(owner, id, 'messages');
    return JSON.parse(messages);
  }

  async list(owner: Owner, ask: StoredChatsAsk): Promise<{ chats: readonly StoredChat[]; hasMore: boolean }> {
    const { limit, order, after, model, metadata } = ask;
    // First how long they are: a hundred of the longest would be more than one answer should be.
    const found = await this.database.query<{ id: string; bytes: number }>(
      `select id, octet_length(answer) as bytes from chat_completions where ${MINE}
        and ($3::text is null or id ${order === 'asc' ? '>' : '<'} $3) and ($4::text is null or model = $4)
        and metadata @> $5::jsonb order by id ${order} limit $6`,
      [keyOf(owner), this.limits.storedChatDays, after, model, JSON.stringify(metadata), limit + 1],
    );
    const ids = fitting(found.slice(0, limit));
    const rows = await this.database.query<Row>(
      `select answer, metadata from chat_completions where id = any($1::text[]) order by id ${order}`,
      [ids],
    );
    return { chats: rows.map(storedChat), hasMore: found.length > ids.length };
  }

  async change(owner: Owner, id: string, metadata: StoredChat['metadata']): Promise<StoredChat> {
    const [row] = this.#isId(id)
      ? await this.database.query<Row>(
          `update chat_completions set metadata = $4::jsonb where ${MINE} and id = $3 returning answer, metadata`,
          [keyOf(owner), this.limits.storedChatDays, id, JSON.stringify(metadata)],
        )
      : [];
    return storedChat(row ?? notKept(id));
  }

  async remove(owner: Owner, id: string): Promise<void> {
    const gone = this.#isId(id)
      ? await this.database.query(`delete from chat_completions where ${MINE} and id = $3 returning id`, [
          keyOf(owner),
          this.limits.storedChatDays,
          id,
        ])
      : [];
    if (gone.length === 0) notKept(id);
  }

  async #row<T>(owner: Owner, id: string, columns: string): Promise<T> {
    const [row] = this.#isId(id)
      ? await this.database.query<T>(`select ${columns} from chat_completions where ${MINE} and id = $3`, [
          keyOf(owner),
          this.limits.storedChatDays,
          id,
        ])
      : [];
    return row ?? notKept(id);
  }

  #isId(id: string): boolean {
    return isTimedId(PREFIX, id);
  }
}

/** The first of them that go onto one page. */
function fitting(found: readonly { readonly id: string; readonly bytes: number }[]): string[] {
  const ids: string[] = [];
  let bytesLeft = PAGE_BYTES_MAX;
  for (const { id, bytes } of found) {
    bytesLeft -= bytes;
    if (bytesLeft < 0 && ids.length > 0) break;
    ids.push(id);
  }
  return ids;
}

function storedChat({ answer, metadata }: Row): StoredChat {
  return { completion: JSON.parse(answer), metadata };
}

/** As the tables have it. */
function keyOf(owner: Owner): string {
  return owner ?? '';
}

function notKept(id: string): never {
  throw new InferenceError(
    'chat_completion_not_found',
    `No chat completion ${JSON.stringify(id.slice(0, 100))} is kept for this key. GET /v1/chat/completions lists those that are; only what is asked for with \`store\`: true is kept.`,
  );
}
