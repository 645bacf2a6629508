import { InferenceError, type ResponseBody, type ResponseItem } from '@millrace/contracts';
import type { SqlDatabase } from '../stores/sql-database.js';
import { transactionUntil } from '../stores/transaction-until.js';
import { appendItems, type ConversationStore } from './conversation-store.js';
import {
  bytesOf,
  canBeId,
  type ItemPage,
  type ItemPageAsk,
  insertItems,
  itemsOf,
  named,
  notListed,
} from './kept-items.js';
import { withFound } from './kept-searches.js';
import { keyOf, type Owner } from './owner.js';
import { type HeldConversation, type KeptResponse, noPreviousResponse, type ResponseStore } from './response-store.js';

export interface ResponseLimits {
  /** Of one, with its items. */
  readonly responseBytesMax: number;
  /** Of the items of a chain, or of a conversation: nobody could have sent more. */
  readonly bodyBytesMax: number;
}

/** How many others a response goes on from, one from another: the database walks them all for each that is made. */
export const CHAIN_RESPONSES_MAX = 1_000;
/** Items that one request may name. */
const REFERENCES_MAX = 1_000;

interface ChainRow {
  readonly turns: number;
  readonly bytes: number;
  /** None of them is missing. */
  readonly whole: boolean;
  readonly status: ResponseBody['status'];
  readonly conversation_id: string | null;
  /** That conversation is there still. */
  readonly conversation_there: boolean;
  readonly item: string | null;
}

/**
 * The responses of each key; another's is as if it were not there.
 *
 * @throws InferenceError for what the caller did; DatabaseUnavailable.
 */
export class SqlResponseStore implements ResponseStore {
  constructor(
    private readonly database: SqlDatabase,
    private readonly conversations: Pick<ConversationStore, 'read' | 'hold'>,
    private readonly limits: ResponseLimits,
  ) {}

  async history(owner: Owner, responseId: string): Promise<readonly ResponseItem[]> {
    if (!canBeId(responseId)) throw noPreviousResponse();
    const rows = await this.database.query<ChainRow>(CHAIN, [
      responseId,
      keyOf(owner),
      CHAIN_RESPONSES_MAX,
      this.limits.bodyBytesMax,
    ]);
    this.#checkChain(responseId, rows[0]!);
    return itemsOf(rows.flatMap(({ item }) => (item === null ? [] : [{ item }])));
  }

  conversation(owner: Owner, conversationId: string): Promise<readonly ResponseItem[]> {
    return this.conversations.read(owner, conversationId);
  }

  hold(owner: Owner, conversationId: string, responseId: string): Promise<HeldConversation> {
    return this.conversations.hold(owner, conversationId, responseId);
  }

  async items(owner: Owner, ids: readonly string[]): Promise<readonly ResponseItem[]> {
    const wanted = [...new Set(ids)].filter(canBeId).slice(0, REFERENCES_MAX);
    if (wanted.length === 0) return [];
    // The same item stands in each response that it was sent to: the newest has it as it was sent last.
    const rows = await this.database.query<{ item: string }>(
      `select distinct on (i.id) i.item from response_items i
          left join responses r on r.id = i.holder_id left join conversations c on c.id = i.holder_id
        where i.key_id = $1 and i.id = any($2::text[]) order by i.id, coalesce(r.created_at, c.used_at) desc`,
      [keyOf(owner), wanted],
    );
    return itemsOf(rows);
  }

  async keep(
    owner: Owner,
    { response, input, found }: KeptResponse,
    signal: AbortSignal = new AbortController().signal,
  ): Promise<void> {
    const { output, status, ...body } = response;
    // An output that repeats an id of the input can not be told from it.
    const items = named([...input, ...withFound(output, found)]);
    const json = JSON.stringify(body);
    checkSize(items, json, this.limits);
    const holder = { id: response.id, owner };
    const conversationId = response.conversation?.id ?? null;
    await transactionUntil(this.database, signal, async (query) => {
      // Kept already, where nobody knew whether it was: then so was all the rest.
      const made = await query(INSERT_ENDED, [
        response.id,
        keyOf(owner),
        response.previous_response_id ?? null,
        conversationId,
        status,
        json,
        bytesOf(items),
      ]);
      if (made.length === 0) return;
      await insertItems(query, holder, items.slice(0, input.length));
      await insertItems(query, holder, items.slice(input.length), { from: input.length, output: true });
      if (conversationId !== null && hasAnswer(status))
        await appendItems(query, { id: conversationId, owner }, items, response.id);
    });
  }

  /** Undefined: there is none. */
  async find(owner: Owner, id: string): Promise<ResponseBody | undefined> {
    if (!canBeId(id)) return undefined;
    const [row] = await this.database.query<ResponseRow>(`${RESPONSE} where id = $1 and key_id = $2`, [
      id,
      keyOf(owner),
    ]);
    return row && responseBody(row);
  }

  /** With its items and its events; whoever is at it ends. @returns whether it was there. */
  async remove(owner: Owner, id: string): Promise<boolean> {
    if (!canBeId(id)) return false;
    return this.database.transaction(async (query) => {
      // The run before its response, as whoever writes its events locks them: neither waits for the other then.
      await query('select from response_runs where response_id = $1 and key_id = $2 for update', [id, keyOf(owner)]);
      const gone = await query('delete from responses where id = $1 and key_id = $2 returning id', [id, keyOf(owner)]);
      if (gone.length > 0) await query('delete from response_items where holder_id = $1', [id]);
      return gone.length > 0;
    });
  }

  /**
   * What it was asked, behind what it went on from, as far as that is there. The response must be there.
   *
   * @throws InferenceError where there is no item `after` which to go on.
   */
  async inputItems(id: string, { limit, order, after }: ItemPageAsk): Promise<ItemPage> {
    if (after !== undefined && !(await this.#isListed(id, after))) throw notListed(after);
    const beyond = order === 'asc' ? '>' : '<';
    const rows = await this.database.query<{ item: string }>(
      `${LISTED} select i.item from listed join response_items i on i.holder_id = listed.holder_id and i.place = listed.place
        where $3::text is null or (listed.turn, listed.place) ${beyond} (select turn, place from listed where id = $3)
        order by listed.turn ${order}, listed.place ${order} limit $4`,
      [id, CHAIN_RESPONSES_MAX, after, limit + 1],
    );
    return { items: itemsOf(rows.slice(0, limit)), hasMore: rows.length > limit };
  }

  async #isListed(id: string, itemId: string): Promise<boolean> {
    if (!canBeId(itemId)) return false;
    const found = await this.database.query(`${LISTED} select from listed where id = $3`, [
      id,
      CHAIN_RESPONSES_MAX,
      itemId,
    ]);
    return found.length > 0;
  }

  #checkChain(responseId: string, row: ChainRow): void {
    const { turns, bytes, whole, status, conversation_id } = row;
    if (turns === 0) throw noPreviousResponse();
    if (!hasAnswer(status)) throw notToGoOnFrom(responseId, status);
    if (conversation_id !== null) throw ofConversation(responseId, conversation_id, row.conversation_there);
    if (turns >= CHAIN_RESPONSES_MAX) throw tooLong(responseId, turns);
    if (!whole) throw brokenChain(responseId);
    if (bytes > this.limits.bodyBytesMax) throw tooLargeToGoOn(responseId, bytes, this.limits.bodyBytesMax);
  }
}

/** Others can go on from it: by its id, or in the conversation that takes it. */
export function hasAnswer(status: ResponseBody['status']): boolean {
  return status === 'completed' || status === 'incomplete';
}

/** A row of `responses` with its output. */
export interface ResponseRow {
  readonly status: ResponseBody['status'];
  readonly body: string;
  readonly output: readonly string[];
}

export const RESPONSE = `
  select status, body, coalesce((
      select array_agg(item order by place) from response_items i where i.holder_id = responses.id and i.output
    ), '{}') as output
  from responses`;

export function responseBody({ status, body, output }: ResponseRow): ResponseBody {
  return { ...JSON.parse(body), status, output: output.map((item) => JSON.parse(item)) } as ResponseBody;
}

/** @param body all of the response but its items. @throws InferenceError */
export function checkSize(
  items: readonly ResponseItem[],
  body: string,
  { responseBytesMax }: Pick<ResponseLimits, 'responseBytesMax'>,
): void {
  const bytes = bytesOf(items) + Buffer.byteLength(body);
  if (bytes <= responseBytesMax) return;
  throw new InferenceError(
    'response_too_large',
    `The response has, with its input, ${bytes.toLocaleString('en')} bytes; up to ${responseBytesMax.toLocaleString('en')} are kept of one (responseBytesMax). Send less, or send it with \`store: false\`.`,
    { param: 'input' },
  );
}

const INSERT_ENDED = `
  insert into responses (id, key_id, previous_id, conversation_id, status, body, bytes, background, ended_at)
    values ($1, $2, $3, $4, $5, $6, $7, false, clock_timestamp()) on conflict (id) do nothing returning id`;

/** One statement, in which nothing that it walks over can be deleted. */
const CHAIN = `
  with recursive chain as (
    select id, previous_id, conversation_id, status, bytes, 1 as turn from responses where id = $1 and key_id = $2
    union all
    select one.id, one.previous_id, one.conversation_id, one.status, one.bytes, chain.turn + 1
      from chain join responses one on one.id = chain.previous_id and one.key_id = $2 where chain.turn < $3::integer
  ), measured as (
    select count(*) as turns, coalesce(sum(bytes), 0)::bigint as bytes, coalesce(bool_or(previous_id is null), false) as whole
      from chain
  ), wanted as (
    select chain.turn, i.place, i.item from chain join response_items i on i.holder_id = chain.id
  )
  select measured.turns, measured.bytes, measured.whole, newest.status, newest.conversation_id, wanted.item,
      exists(select from conversations c where c.id = newest.conversation_id) as conversation_there
    from measured left join chain as newest on newest.turn = 1
      left join wanted on measured.whole and measured.bytes <= $4::bigint
    order by wanted.turn desc, wanted.place`;

/** What went into a response, oldest first. An item that was sent again stands where it was sent last, since lists go on behind ids. */
const LISTED = `
  with recursive chain as (
    select id, key_id, previous_id, 0 as turn from responses where id = $1
    union all
    select one.id, one.key_id, one.previous_id, chain.turn - 1
      from chain join responses one on one.id = chain.previous_id and one.key_id = chain.key_id where chain.turn > -$2::integer
  ), listed as (
    select distinct on (i.id) i.id, i.holder_id, i.place, chain.turn from chain join response_items i on i.holder_id = chain.id
      where chain.turn < 0 or not i.output order by i.id, chain.turn desc
  )`;

function brokenChain(id: string): InferenceError {
  return new InferenceError(
    'previous_response_not_found',
    `The response ${id} goes on from one that was deleted, and can not be gone on from without it. Send the whole conversation as \`input\`.`,
    { param: 'previous_response_id' },
  );
}

function notToGoOnFrom(id: string, status: ResponseBody['status']): InferenceError {
  const remedy =
    status === 'queued' || status === 'in_progress'
      ? 'Wait until it has ended, as GET /v1/responses/{id} tells.'
      : 'Go on from the one before it.';
  return new InferenceError('invalid_request', `The response ${id} is ${status}: it has no answer. ${remedy}`, {
    param: 'previous_response_id',
  });
}

function ofConversation(id: string, conversationId: string, isThere: boolean): InferenceError {
  const remedy = isThere
    ? 'Send `conversation` in place of `previous_response_id`.'
    : 'That was deleted, or has expired: send what matters of it as `input`, without `previous_response_id`.';
  return new InferenceError(
    'invalid_request',
    `The response ${id} is part of the conversation ${conversationId}, without which it would be gone on from as if nothing had been said before. ${remedy}`,
    { param: 'previous_response_id' },
  );
}

function tooLong(id: string, turns: number): InferenceError {
  return new InferenceError(
    'invalid_request',
    `The response ${id} goes on from ${(turns - 1).toLocaleString('en')} others, and at most ${(CHAIN_RESPONSES_MAX - 1).toLocaleString('en')} can be gone on from. Send the conversation as \`input\`, without \`previous_response_id\`.`,
    { param: 'previous_response_id' },
  );
}

function tooLargeToGoOn(id: string, bytes: number, bytesMax: number): InferenceError {
  return new InferenceError(
    'invalid_request',
    `The response ${id} and those that it goes on from have ${bytes.toLocaleString('en')} bytes; up to ${bytesMax.toLocaleString('en')} can be gone on from (bodyBytesMax). Send what matters of it as \`input\`, without \`previous_response_id\`.`,
    { param: 'previous_response_id' },
  );
}
