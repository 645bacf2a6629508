import { InferenceError, type ResponseItem } from '@millrace/contracts';
import { randomHex } from '@millrace/runtime';
import type { SqlDatabase, SqlQuery } from '../stores/sql-database.js';
import { keyOf, type Owner } from './owner.js';

/** What items are in: a response, or a conversation. */
export interface ItemHolder {
  readonly id: string;
  readonly owner: Owner;
}

export interface ItemPageAsk {
  readonly limit: number;
  readonly order: 'asc' | 'desc';
  /** An id: the page begins behind it. */
  readonly after?: string | undefined;
}

export interface ItemPage {
  readonly items: readonly ResponseItem[];
  readonly hasMore: boolean;
}

/** Of a conversation, so many are known by their place after they were removed: ten pages of the longest. */
export const REMOVED_ITEMS_MAX = 1_000;

type Rows = readonly { readonly item: string }[];

/** What can be the id of nothing; the database would refuse to be asked for it. */
export function canBeId(text: string): boolean {
  return text.length > 0 && text.length <= 512 && text.isWellFormed() && !text.includes('\0');
}

export function bytesOf(items: readonly ResponseItem[]): number {
  return items.reduce((sum, item) => sum + Buffer.byteLength(JSON.stringify(item)), 0);
}

/**
 * The same items, each of which is the only one of its id: what is listed by ids would otherwise go round in a circle.
 *
 * @param taken ids that others have already.
 */
export function named<Item extends ResponseItem>(
  items: readonly Item[],
  taken: ReadonlySet<string> = new Set(),
): Item[] {
  const known = new Set(taken);
  return items.map((item) => {
    const id = canBeId(item.id) && !known.has(item.id) ? item.id : newItemId(item);
    known.add(id);
    return id === item.id ? item : { ...item, id };
  });
}

const BEGINNINGS: Readonly<Record<ResponseItem['type'], string>> = {
  message: 'msg',
  function_call: 'fc',
  function_call_output: 'fco',
  reasoning: 'rs',
  file_search_call: 'fs',
};

function newItemId({ type }: ResponseItem): string {
  return `${BEGINNINGS[type]}_${randomHex(16)}`;
}

/** @param from the place of the first. */
export async function insertItems(
  query: SqlQuery,
  holder: ItemHolder,
  items: readonly ResponseItem[],
  { from = 0, output = false }: { readonly from?: number; readonly output?: boolean } = {},
): Promise<void> {
  if (items.length === 0) return;
  await query(
    `insert into response_items (holder_id, place, id, key_id, output, item)
      select $1, $2::integer + (t.number - 1), t.id, $3, $4, t.item from unnest($5::text[], $6::text[]) with ordinality as t(id, item, number)`,
    [
      holder.id,
      from,
      keyOf(holder.owner),
      output,
      items.map(({ id }) => id),
      items.map((item) => JSON.stringify(item)),
    ],
  );
}

/** Those of some ids that are there already. */
export async function takenIds(
  query: SqlQuery,
  { id }: ItemHolder,
  items: readonly ResponseItem[],
): Promise<ReadonlySet<string>> {
  const ids = items.map((item) => item.id).filter(canBeId);
  const rows = await query<{ id: string }>(
    'select id from response_items where holder_id = $1 and id = any($2::text[])',
    [id, ids],
  );
  return new Set(rows.map((row) => row.id));
}

/**
 * A page of what is in a conversation, which is there and the caller's own.
 *
 * @throws InferenceError where there is no item `after` which to go on.
 */
export async function itemPage(
  database: Pick<SqlDatabase, 'query'>,
  conversationId: string,
  { limit, order, after }: ItemPageAsk,
): Promise<ItemPage> {
  const beyond = order === 'asc' ? '>' : '<';
  const from = after === undefined ? null : await placeOf(database, conversationId, after);
  const rows = await database.query<{ item: string }>(
    `select item from response_items where holder_id = $1 and ($2::integer is null or place ${beyond} $2)
      order by place ${order} limit $3`,
    [conversationId, from, limit + 1],
  );
  return { items: itemsOf(rows.slice(0, limit)), hasMore: rows.length > limit };
}

/** Also of an item that was removed: whoever goes through a list may remove what it has. */
async function placeOf(database: Pick<SqlDatabase, 'query'>, conversationId: string, id: string): Promise<number> {
  const rows = canBeId(id)
    ? await database.query<{ place: number }>(
        `select place, null as number from response_items where holder_id = $1 and id = $2
          union all select place, number from removed_items where conversation_id = $1 and id = $2
          order by number desc nulls first limit 1`,
        [conversationId, id],
      )
    : [];
  if (rows[0] === undefined) throw notListed(id);
  return rows[0].place;
}

/** What is added comes behind the last of them, be it still there or not. */
export async function nextPlace(query: SqlQuery, conversationId: string): Promise<number> {
  const [last] = await query<{ place: number }>(
    `select greatest((select max(place) from response_items where holder_id = $1),
        (select max(place) from removed_items where conversation_id = $1), -1) as place`,
    [conversationId],
  );
  return last!.place + 1;
}

export async function removeItem(query: SqlQuery, conversationId: string, id: string): Promise<void> {
  await query(
    `with gone as (delete from response_items where holder_id = $1 and id = $2 returning id, place)
      insert into removed_items (conversation_id, id, place) select $1, id, place from gone`,
    [conversationId, id],
  );
  await query(
    `delete from removed_items where conversation_id = $1 and number <=
      (select number from removed_items where conversation_id = $1 order by number desc offset $2 limit 1)`,
    [conversationId, REMOVED_ITEMS_MAX],
  );
}

export function notListed(id: string): InferenceError {
  return new InferenceError(
    'invalid_request',
    `There is no item ${JSON.stringify(id.slice(0, 60))} to go on behind. Begin the list anew, without \`after\`.`,
    { param: 'after' },
  );
}

export async function oneItem(
  database: Pick<SqlDatabase, 'query'>,
  holderId: string,
  id: string,
): Promise<ResponseItem | undefined> {
  if (!canBeId(id)) return undefined;
  const rows = await database.query<{ item: string }>(
    'select item from response_items where holder_id = $1 and id = $2',
    [holderId, id],
  );
  return itemsOf(rows)[0];
}

/** JSON that was kept is what was kept: its shape is not looked at again. */
export function itemsOf(rows: Rows): ResponseItem[] {
  return rows.map(({ item }) => JSON.parse(item) as ResponseItem);
}
