import type { ResponseEvent } from '@millrace/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SlowDatabase } from '../request-log/database.testing.js';
import type { SqlDatabase } from '../stores/sql-database.js';
import { timedId } from '../stores/timed-ids.js';
import { REMOVED_ITEMS_MAX } from './kept-items.js';
import { EVENTS_BYTES_MAX, type NewRun } from './response-runs.js';
import { answer, question, responseOf, responsesOn, textsOf } from './responses.testing.js';
import { CHAIN_RESPONSES_MAX } from './sql-response-store.js';
import type { StoredResponses } from './stored-responses.js';

const WHOLE_LIST = { limit: 100, order: 'asc' } as const;
/** A day that no test takes. */
const DAY_MS = 86_400_000;
const LEASE_MS = 60_000;

/** What is promised of responses and conversations, on whatever they are kept. */
export function storedResponsesContract(open: () => Promise<SqlDatabase>): void {
  let database: SqlDatabase;
  let stored: StoredResponses;
  beforeAll(async () => {
    database = await open();
    stored = responsesOn(database);
  });
  afterAll(() => database?.close());

  /** @returns its id. */
  async function kept(asked: string, answered: string, changes: Parameters<typeof responseOf>[0] = {}, owner = 'ann') {
    const response = responseOf({ output: [answer(answered)], ...changes });
    await stored.responses.keep(owner, { response, input: [question(asked)] });
    return response.id;
  }

  function runOf(changes: Partial<NewRun> = {}): NewRun {
    const response = responseOf({ status: 'queued', background: true, completed_at: null });
    const request = { body: { input: 'hi', background: true } };
    return {
      response,
      input: [question('hi')],
      request,
      priority: 0,
      events: undefined,
      timeoutMs: DAY_MS,
      ...changes,
    };
  }

  const deltaOf = (sequence_number: number): ResponseEvent => ({
    type: 'response.output_text.delta',
    sequence_number,
    item_id: 'msg_1',
    output_index: 0,
    content_index: 0,
    delta: `${sequence_number} `,
    logprobs: [],
  });

  describe('a response', () => {
    it('is given back as it was kept, to its key alone', async () => {
      const response = responseOf({
        output: [answer('hello'), answer('again')],
        metadata: { a: 'b' },
        instructions: 'Be brief.',
      });
      await stored.responses.keep('ann', { response, input: [question('hi')] });
      expect(await stored.responses.find('ann', response.id)).toEqual(response);
      expect(await stored.responses.find('bob', response.id)).toBeUndefined();
      expect(await stored.responses.find(undefined, response.id)).toBeUndefined();
      await expect(stored.responses.history('bob', response.id)).rejects.toMatchObject({
        code: 'previous_response_not_found',
        details: { param: 'previous_response_id' },
      });
    });

    it('is kept once, however often it is said to', async () => {
      const kept = { response: responseOf({ output: [answer('hello')] }), input: [question('hi')] };
      await stored.responses.keep('ann', kept);
      await stored.responses.keep('ann', kept);
      expect(textsOf(await stored.responses.history('ann', kept.response.id))).toEqual(['hi', 'hello']);
    });

    it('keeps texts with NUL, halves of surrogate pairs and everything else that JSON can say', async () => {
      const texts = ['a\0b', '\ud800 half', 'half \udc00', '"\\\u2028', '😀'];
      const response = responseOf({ output: texts.map((text) => answer(text)), instructions: 'a\0\ud800' });
      const input = texts.map((text) => question(text));
      await stored.responses.keep('ann', { response, input });
      expect(await stored.responses.find('ann', response.id)).toEqual(response);
      expect(textsOf(await stored.responses.history('ann', response.id))).toEqual([...texts, ...texts]);
    });

    it.each(['', 'resp_\0', 'resp_\ud800', "resp_'; drop table responses", 'x'.repeat(10_000)])(
      'is not there by the id %j',
      async (id) => {
        expect(await stored.responses.find('ann', id)).toBeUndefined();
        expect(await stored.responses.remove('ann', id)).toBe(false);
        expect(await stored.runs.cancel('ann', id)).toBeUndefined();
        expect(await stored.runs.events('ann', id, -1)).toBeUndefined();
        await expect(stored.responses.history('ann', id)).rejects.toMatchObject({
          code: 'previous_response_not_found',
        });
      },
    );

    it('is refused where it is larger than may be kept of one', async () => {
      const { responses } = responsesOn(database, { responseBytesMax: 2_000 });
      const keep = (length: number) =>
        responses.keep('ann', { response: responseOf(), input: [question('x'.repeat(length))] });
      await keep(500);
      await expect(keep(2_000)).rejects.toMatchObject({ code: 'response_too_large' });
      const wordy = responseOf({ instructions: 'x'.repeat(2_000) });
      await expect(responses.keep('ann', { response: wordy, input: [] })).rejects.toMatchObject({
        code: 'response_too_large',
      });
    });

    describe('for which nobody waits any more', () => {
      /** Kept by a database that stops before this statement until it is let go on. */
      async function keptLate(stopAt: RegExp) {
        const slow = new SlowDatabase(database);
        const [stopped, goOn, gaveUp] = [Promise.withResolvers(), Promise.withResolvers(), new AbortController()];
        const conversation = await stored.conversations.create('ann', {}, []);
        const response = responseOf({ output: [answer('late')], conversation: { id: conversation.id } });
        slow.before = async (sql) => {
          if (!stopAt.test(sql)) return;
          stopped.resolve(undefined);
          await goOn.promise;
        };
        const keeping = responsesOn(slow).responses.keep('ann', { response, input: [] }, gaveUp.signal);
        await stopped.promise;
        const is = async () => ({
          found: (await stored.responses.find('ann', response.id)) !== undefined,
          appended: (await stored.conversations.read('ann', conversation.id)).length,
        });
        return { keeping, giveUp: () => gaveUp.abort(new Error('too late')), goOn: () => goOn.resolve(undefined), is };
      }

      it.each([/insert into responses/, /insert into response_items/, /update conversations/])(
        'is not there, however far it had come: %s',
        async (stopAt) => {
          const { keeping, giveUp, goOn, is } = await keptLate(stopAt);
          giveUp();
          await expect(keeping).rejects.toThrow('too late');
          goOn();
          expect(await is()).toEqual({ found: false, appended: 0 });
        },
      );

      it('is there where it was as good as kept', async () => {
        const { keeping, giveUp, goOn, is } = await keptLate(/^commit$/);
        giveUp();
        goOn();
        await keeping;
        expect(await is()).toEqual({ found: true, appended: 1 });
      });
    });

    it('is gone when it is deleted, with its items', async () => {
      const id = await kept('hi', 'hello');
      expect(await stored.responses.remove('bob', id)).toBe(false);
      expect(await stored.responses.remove('ann', id)).toBe(true);
      expect(await stored.responses.find('ann', id)).toBeUndefined();
      expect(await database.query('select from response_items where holder_id = $1', [id])).toHaveLength(0);
    });
  });

  describe('what goes on from it', () => {
    it('has everything that was said before, oldest first', async () => {
      const one = await kept('1?', '1!');
      const two = await kept('2?', '2!', { previous_response_id: one });
      const three = await kept('3?', '3!', { previous_response_id: two });
      const aside = await kept('2b?', '2b!', { previous_response_id: one });
      expect(textsOf(await stored.responses.history('ann', three))).toEqual(['1?', '1!', '2?', '2!', '3?', '3!']);
      expect(textsOf(await stored.responses.history('ann', aside))).toEqual(['1?', '1!', '2b?', '2b!']);
    });

    it('is refused where one on the way was deleted', async () => {
      const one = await kept('1?', '1!');
      const two = await kept('2?', '2!', { previous_response_id: one });
      await stored.responses.remove('ann', one);
      await expect(stored.responses.history('ann', two)).rejects.toMatchObject({
        code: 'previous_response_not_found',
        message: expect.stringContaining('deleted'),
      });
    });

    it.each(['failed', 'cancelled', 'queued', 'in_progress'] as const)(
      'is refused of one that is %s',
      async (status) => {
        const id = await kept('hi', 'hello', { status });
        await expect(stored.responses.history('ann', id)).rejects.toMatchObject({
          code: 'invalid_request',
          message: expect.stringContaining(status),
        });
      },
    );

    it('is refused of one in a conversation, whose beginning it would not have', async () => {
      const { id: conversation } = await stored.conversations.create('ann', {}, []);
      const id = await kept('hi', 'hello', { conversation: { id: conversation } });
      await expect(stored.responses.history('ann', id)).rejects.toMatchObject({
        message: expect.stringContaining(conversation),
      });
      await expect(stored.responses.history('ann', id)).rejects.toThrow(/Send `conversation` in place/);
      await stored.conversations.remove('ann', conversation);
      await expect(stored.responses.history('ann', id)).rejects.toThrow(
        /was deleted.* send what matters of it as `input`/,
      );
    });

    it('is refused once it would have more bytes than a body may', async () => {
      const one = await kept('x'.repeat(700), 'y');
      const two = await kept('z'.repeat(700), 'y', { previous_response_id: one });
      const { responses } = responsesOn(database, { bodyBytesMax: 1_500 });
      expect(await responses.history('ann', one)).toHaveLength(2);
      await expect(responses.history('ann', two)).rejects.toMatchObject({ code: 'invalid_request' });
    });

    it('is refused behind as many as one may go on from', async () => {
      const first = await kept('0?', '0!');
      const ids = Array.from({ length: CHAIN_RESPONSES_MAX }, (_, at) => `resp_chain${at}`);
      await database.query(
        `insert into responses (id, key_id, previous_id, status, body, bytes, background, ended_at)
          select 'resp_chain' || n, 'ann', case when n = 0 then $1 else 'resp_chain' || (n - 1) end, 'completed', '{}', 0, false, now()
            from generate_series(0, $2::int - 1) as n`,
        [first, CHAIN_RESPONSES_MAX],
      );
      expect(await stored.responses.history('ann', ids[CHAIN_RESPONSES_MAX - 3]!)).toHaveLength(2);
      await expect(stored.responses.history('ann', ids[CHAIN_RESPONSES_MAX - 1]!)).rejects.toMatchObject({
        code: 'invalid_request',
        message: expect.stringContaining('999'),
      });
    });
  });

  describe('items', () => {
    it('are listed in pages, of the input alone', async () => {
      const response = responseOf({ output: [answer('answer')] });
      const input = ['a', 'b', 'c', 'd', 'e'].map((text) => question(text));
      await stored.responses.keep('ann', { response, input });
      const page = async (order: 'asc' | 'desc', after?: string) => {
        const { items, hasMore } = await stored.responses.inputItems(response.id, { limit: 2, order, after });
        return [...textsOf(items), hasMore];
      };
      expect(await page('asc')).toEqual(['a', 'b', true]);
      expect(await page('asc', input[1]!.id)).toEqual(['c', 'd', true]);
      expect(await page('asc', input[3]!.id)).toEqual(['e', false]);
      expect(await page('desc')).toEqual(['e', 'd', true]);
      expect(await page('desc', input[1]!.id)).toEqual(['a', false]);
      await expect(page('asc', 'msg_none')).rejects.toMatchObject({ details: { param: 'after' } });
      await expect(page('asc', 'msg\0')).rejects.toMatchObject({ details: { param: 'after' } });
    });

    it('are listed with those of all that the response went on from, and one that was sent again where it was sent last', async () => {
      const again = question('2a?');
      const one = await kept('1?', '1!');
      const two = responseOf({ output: [answer('2!')], previous_response_id: one });
      await stored.responses.keep('ann', { response: two, input: [again, question('2b?')] });
      const three = responseOf({ output: [answer('3!')], previous_response_id: two.id });
      await stored.responses.keep('ann', { response: three, input: [question('3?'), again] });
      const listed = async (order: 'asc' | 'desc', limit: number) => {
        const all: string[] = [];
        let after: string | undefined;
        for (let more = true; more; ) {
          const { items, hasMore } = await stored.responses.inputItems(three.id, { limit, order, after });
          all.push(...textsOf(items));
          after = items.at(-1)?.id;
          more = hasMore;
        }
        return all;
      };
      const texts = ['1?', '1!', '2b?', '2!', '3?', '2a?'];
      for (const limit of [1, 2, 6, 100]) {
        expect(await listed('asc', limit)).toEqual(texts);
        expect(await listed('desc', limit)).toEqual([...texts].reverse());
      }
      await stored.responses.remove('ann', one);
      expect(await listed('asc', 100)).toEqual(texts.slice(2));
    });

    it('have ids of their own, even where somebody sends one twice or sends what can be none', async () => {
      const response = responseOf({ output: [answer('x', 'same')] });
      const input = [question('a', 'same'), question('b', 'same'), question('c', 'nul\0')];
      await stored.responses.keep('ann', { response, input });
      const { items } = await stored.responses.inputItems(response.id, WHOLE_LIST);
      expect(textsOf(items)).toEqual(['a', 'b', 'c']);
      expect(items[0]!.id).toBe('same');
      expect(new Set(items.map(({ id }) => id)).size).toBe(3);
      const found = await stored.responses.find('ann', response.id);
      expect(found!.output[0]!.id).not.toBe('same');
    });

    it('are found by their ids, those of the key alone', async () => {
      const item = question('find me');
      const response = responseOf({ output: [answer('found')] });
      await stored.responses.keep('ann', { response, input: [item] });
      const output = response.output[0]!;
      const ids = [item.id, output.id, 'msg_none', '\0'];
      expect(new Set(await stored.responses.items('ann', ids))).toEqual(new Set([item, output]));
      expect(await stored.responses.items('bob', ids)).toEqual([]);
    });
  });

  describe('a conversation', () => {
    it('is made, changed and deleted, by its key alone', async () => {
      const { conversations } = stored;
      const made = await conversations.create('ann', { topic: 'x\0' }, [question('hi')]);
      expect(made).toEqual({
        id: expect.stringMatching(/^conv_/),
        created_at: expect.any(Date),
        metadata: { topic: 'x\0' },
      });
      expect(await conversations.find('ann', made.id)).toEqual(made);
      await expect(conversations.find('bob', made.id)).rejects.toMatchObject({ code: 'conversation_not_found' });
      await expect(conversations.change('bob', made.id, {})).rejects.toMatchObject({ code: 'conversation_not_found' });
      await expect(conversations.remove('bob', made.id)).rejects.toMatchObject({ code: 'conversation_not_found' });
      await expect(conversations.items('bob', made.id, WHOLE_LIST)).rejects.toMatchObject({
        code: 'conversation_not_found',
      });
      await expect(conversations.append('bob', made.id, [])).rejects.toMatchObject({ code: 'conversation_not_found' });
      expect(await conversations.change('ann', made.id, {})).toEqual({ ...made, metadata: {} });
      await conversations.remove('ann', made.id);
      await expect(conversations.find('ann', made.id)).rejects.toMatchObject({ code: 'conversation_not_found' });
      expect(await database.query('select from response_items where holder_id = $1', [made.id])).toHaveLength(0);
    });

    it.each(['asc', 'desc'] as const)(
      'is gone through %s while its items are removed, one after the other',
      async (order) => {
        const { conversations } = stored;
        const texts = ['a', 'b', 'c', 'd', 'e'];
        const { id } = await conversations.create(
          'ann',
          {},
          texts.map((text) => question(text)),
        );
        const seen: string[] = [];
        let after: string | undefined;
        for (let more = true; more; ) {
          const { items, hasMore } = await conversations.items('ann', id, { limit: 2, order, after });
          seen.push(...textsOf(items));
          for (const item of items) await conversations.removeItem('ann', id, item.id);
          after = items.at(-1)?.id;
          more = hasMore;
        }
        expect(seen).toEqual(order === 'asc' ? texts : [...texts].reverse());
        // What comes behind the last that was removed is listed behind it.
        await conversations.append('ann', id, [question('f')]);
        expect(textsOf((await conversations.items('ann', id, { limit: 2, order: 'asc', after })).items)).toEqual(['f']);
      },
    );

    it('knows where an item stands that was removed and came again', async () => {
      const { conversations } = stored;
      const [a, b, c] = [question('a'), question('b'), question('c')];
      const { id } = await conversations.create('ann', {}, [a, b]);
      await conversations.removeItem('ann', id, a.id);
      await conversations.append('ann', id, [a, c]);
      const behind = { limit: 9, order: 'asc', after: a.id } as const;
      expect(textsOf((await conversations.items('ann', id, behind)).items)).toEqual(['c']);
    });

    it('forgets where items stood, once there are many of them', async () => {
      const { conversations } = stored;
      const [first, second, last] = [question('1'), question('2'), question('3')];
      const { id } = await conversations.create('ann', {}, [first, second, last]);
      await conversations.removeItem('ann', id, first.id);
      await conversations.removeItem('ann', id, second.id);
      const behind = (after: string) => conversations.items('ann', id, { limit: 9, order: 'asc', after });
      await database.query(
        "insert into removed_items (conversation_id, id, place) select $1, 'x' || n, 7 from generate_series(1, $2::integer) n",
        [id, REMOVED_ITEMS_MAX - 2],
      );
      await conversations.removeItem('ann', id, last.id);
      expect(textsOf((await behind(second.id)).items)).toEqual([]);
      await expect(behind(first.id)).rejects.toMatchObject({ details: { param: 'after' } });
      await conversations.remove('ann', id);
      expect(await database.query('select from removed_items where conversation_id = $1', [id])).toHaveLength(0);
    });

    it('has items that are appended, listed and removed one by one', async () => {
      const { conversations } = stored;
      const { id } = await conversations.create('ann', {}, [question('a')]);
      const [b, c] = [question('b'), question('c')];
      expect(await conversations.append('ann', id, [b, c])).toEqual([b, c]);
      expect(textsOf((await conversations.items('ann', id, WHOLE_LIST)).items)).toEqual(['a', 'b', 'c']);
      expect(await conversations.item('ann', id, b.id)).toEqual(b);
      await conversations.removeItem('ann', id, b.id);
      await expect(conversations.item('ann', id, b.id)).rejects.toMatchObject({ code: 'conversation_not_found' });
      await expect(conversations.removeItem('ann', id, b.id)).rejects.toMatchObject({ code: 'conversation_not_found' });
      await conversations.append('ann', id, [question('d')]);
      expect(textsOf((await conversations.items('ann', id, WHOLE_LIST)).items)).toEqual(['a', 'c', 'd']);
    });

    it('takes what was asked and answered on it, and lets go of its response', async () => {
      const { conversations, responses } = stored;
      const { id } = await conversations.create('ann', {}, [question('a', 'twice')]);
      const response = responseOf({ conversation: { id }, output: [answer('c')] });
      await using held = await conversations.hold('ann', id, response.id);
      expect(textsOf(held.items)).toEqual(['a']);
      await responses.keep('ann', { response, input: [question('b', 'twice')] });
      const { items } = await conversations.items('ann', id, WHOLE_LIST);
      expect(textsOf(items)).toEqual(['a', 'b', 'c']);
      expect(new Set(items.map((item) => item.id)).size).toBe(3);
      await using _next = await conversations.hold('ann', id, 'resp_next');
    });

    it('takes nothing of one that failed, however much of it was told', async () => {
      const { conversations, responses } = stored;
      const { id } = await conversations.create('ann', {}, [question('a')]);
      const response = responseOf({ conversation: { id }, status: 'failed', output: [answer('half')] });
      {
        await using _held = await conversations.hold('ann', id, response.id);
        await responses.keep('ann', { response, input: [question('b')] });
      }
      expect(await responses.find('ann', response.id)).toMatchObject({
        status: 'failed',
        output: [{ type: 'message' }],
      });
      await using next = await conversations.hold('ann', id, 'resp_next');
      expect(textsOf(next.items)).toEqual(['a']);
    });

    it('has one response at a time, and is nobody else’s meanwhile', async () => {
      const { conversations } = stored;
      const { id } = await conversations.create('ann', {}, [question('a')]);
      const held = await conversations.hold('ann', id, 'resp_1');
      const locked = { code: 'conversation_locked', details: { retryAfterSeconds: 1 } };
      await expect(conversations.hold('ann', id, 'resp_2')).rejects.toMatchObject(locked);
      await expect(conversations.append('ann', id, [question('b')])).rejects.toMatchObject(locked);
      const [item] = held.items;
      await expect(conversations.removeItem('ann', id, item!.id)).rejects.toMatchObject(locked);
      await expect(conversations.hold('bob', id, 'resp_3')).rejects.toMatchObject({ code: 'conversation_not_found' });
      await held[Symbol.asyncDispose]();
      await using again = await conversations.hold('ann', id, 'resp_2');
      expect(again.items).toHaveLength(1);
    });

    it('is free again some time after its gateway was killed, and not while that lives', async () => {
      const { conversations } = responsesOn(database, {}, 400);
      const { id } = await conversations.create('ann', {}, []);
      const living = await conversations.hold('ann', id, 'resp_1');
      const { locked_until } = await lockOf(id);
      await expect.poll(async () => (await lockOf(id)).locked_until > locked_until).toBe(true);
      await living[Symbol.asyncDispose]();
      // As a gateway leaves it that is killed.
      await database.query(
        "update conversations set locked_by = 'resp_killed', locked_until = clock_timestamp() + interval '300 milliseconds' where id = $1",
        [id],
      );
      await expect(conversations.hold('ann', id, 'resp_2')).rejects.toMatchObject({ code: 'conversation_locked' });
      await expect
        .poll(() => conversations.hold('ann', id, 'resp_2').then((held) => held[Symbol.asyncDispose]()))
        .toBeUndefined();
    });

    it('stays with the attempt that began a response anew, when the one before finds that out', async () => {
      const { conversations } = stored;
      const { id } = await conversations.create('ann', {}, []);
      const response = responseOf({ conversation: { id } });
      const stalled = await conversations.hold('ann', id, response.id);
      await using _anew = await conversations.hold('ann', id, response.id);
      await stalled[Symbol.asyncDispose]();
      await expect(conversations.hold('ann', id, 'resp_2')).rejects.toMatchObject({ code: 'conversation_locked' });
      await stored.responses.keep('ann', { response, input: [] });
      await using _next = await conversations.hold('ann', id, 'resp_2');
    });

    const lockOf = async (id: string) =>
      (await database.query<{ locked_until: Date }>('select locked_until from conversations where id = $1', [id]))[0]!;

    it('is refused where the key has as many as it may', async () => {
      const { conversations } = responsesOn(database, { conversationsPerKeyMax: 2 });
      await conversations.create('few', {}, []);
      await conversations.create('few', {}, []);
      await expect(conversations.create('few', {}, [])).rejects.toMatchObject({ code: 'invalid_request' });
    });

    it('is not answered on, nor appended to, beyond the bytes that a body may have', async () => {
      const { conversations } = responsesOn(database, { bodyBytesMax: 1_000 });
      const { id } = await conversations.create('ann', {}, [question('x'.repeat(600))]);
      await expect(conversations.append('ann', id, [question('y'.repeat(600))])).rejects.toMatchObject({
        code: 'invalid_request',
      });
      await stored.conversations.append('ann', id, [question('y'.repeat(600))]);
      await expect(conversations.hold('ann', id, 'resp_1')).rejects.toMatchObject({ code: 'invalid_request' });
      // And is free all the same.
      await using _held = await stored.conversations.hold('ann', id, 'resp_2');
    });
  });

  describe('a response in the background', () => {
    it('is queued, in progress and then what it became, and is given back so', async () => {
      const { runs, responses } = stored;
      const run = runOf({ priority: 7, request: { body: { input: 'a\0\ud800' }, cacheAsk: 'off' } });
      const { id } = run.response;
      await runs.queue('ann', run);
      expect(await responses.find('ann', id)).toEqual(run.response);
      const begun = await runs.begin(id, LEASE_MS);
      expect(begun).toMatchObject({
        id,
        owner: 'ann',
        request: run.request,
        streamed: false,
        attempt: 1,
        lastNumber: -1,
      });
      expect(begun!.remainingMs).toBeGreaterThan(0);
      expect(await responses.find('ann', id)).toEqual({ ...run.response, status: 'in_progress' });
      const ended = { ...run.response, status: 'completed' as const, completed_at: 5, output: [answer('hello')] };
      expect(await runs.end(begun!, ended, [])).toBe(true);
      expect(await responses.find('ann', id)).toEqual(ended);
      expect(textsOf(await responses.history('ann', id))).toEqual(['hi', 'hello']);
      expect(textsOf((await responses.inputItems(id, WHOLE_LIST)).items)).toEqual(['hi']);
      expect(await runs.begin(id, LEASE_MS)).toBeUndefined();
    });

    it('ends once, by whoever began it last', async () => {
      const { runs, responses } = stored;
      const run = runOf({ events: [] });
      await runs.queue('ann', run);
      const first = (await runs.begin(run.response.id, 0))!;
      const second = (await runs.begin(run.response.id, LEASE_MS))!;
      expect(second.attempt).toBe(2);
      const endOf = (text: string) => ({ ...run.response, status: 'completed' as const, output: [answer(text)] });
      expect(await runs.hold(first, LEASE_MS)).toBe(false);
      expect(await runs.keepEvents(first, [deltaOf(3)])).toBe(false);
      expect(await runs.end(first, endOf('first'), [])).toBe(false);
      expect(await runs.end(second, endOf('second'), [])).toBe(true);
      expect(await runs.end(second, endOf('again'), [])).toBe(false);
      expect(textsOf((await responses.find('ann', run.response.id))!.output)).toEqual(['second']);
    });

    it('is nobody else’s while somebody holds it, and then the next one’s', async () => {
      const { runs } = stored;
      const run = runOf();
      const { id } = run.response;
      await runs.queue('ann', run);
      const begun = (await runs.begin(id, 300))!;
      expect(await runs.begin(id, LEASE_MS)).toBeUndefined();
      expect(await runs.hold(begun, 600)).toBe(true);
      expect(await runs.isLive(id)).toBe(true);
      await expect.poll(async () => (await runs.begin(id, LEASE_MS))?.attempt).toBe(2);
      expect(await runs.hold(begun, LEASE_MS)).toBe(false);
      await runs.cancel('ann', id);
      expect(await runs.isLive(id)).toBe(false);
    });

    it('tells how often it was put back by who had begun it', async () => {
      const { runs, responses } = stored;
      const run = runOf();
      await runs.queue('ann', run);
      await runs.putBack((await runs.begin(run.response.id, LEASE_MS))!);
      expect(await responses.find('ann', run.response.id)).toMatchObject({ status: 'queued' });
      expect(await runs.begin(run.response.id, LEASE_MS)).toMatchObject({ attempt: 2, putBack: 1 });
    });

    it('is cancelled whatever it is at, and stays so', async () => {
      const { runs, responses } = stored;
      const run = runOf({ events: [deltaOf(0)] });
      await runs.queue('ann', run);
      const begun = (await runs.begin(run.response.id, LEASE_MS))!;
      expect(await runs.cancel('bob', run.response.id)).toBeUndefined();
      expect(await runs.cancel('ann', run.response.id)).toMatchObject({ status: 'cancelled' });
      expect(await runs.cancel('ann', run.response.id)).toMatchObject({ status: 'cancelled' });
      expect(await runs.end(begun, { ...run.response, status: 'completed' }, [])).toBe(false);
      expect(await responses.find('ann', run.response.id)).toMatchObject({ status: 'cancelled' });
      expect(await runs.events('ann', run.response.id, 0)).toEqual({ events: [], more: false, status: 'cancelled' });
    });

    it('stays deleted while somebody is at it', async () => {
      const { runs, responses } = stored;
      const run = runOf({ events: [] });
      await runs.queue('ann', run);
      const begun = (await runs.begin(run.response.id, LEASE_MS))!;
      expect(await responses.remove('ann', run.response.id)).toBe(true);
      expect(await runs.keepEvents(begun, [deltaOf(1)])).toBe(false);
      expect(await runs.end(begun, { ...run.response, status: 'completed' }, [])).toBe(false);
      expect(await responses.find('ann', run.response.id)).toBeUndefined();
    });

    it('has its events read from anywhere, its end among the last of them', async () => {
      const { runs } = stored;
      const run = runOf({ events: [deltaOf(0), deltaOf(1)] });
      const { id } = run.response;
      await runs.queue('ann', run);
      const begun = (await runs.begin(id, LEASE_MS))!;
      expect(begun).toMatchObject({ streamed: true, lastNumber: 1 });
      await runs.keepEvents(begun, [deltaOf(2), deltaOf(3), deltaOf(4)]);
      // Once more, where nobody knew whether they were kept.
      await runs.keepEvents(begun, [deltaOf(2), deltaOf(3), deltaOf(4)]);
      const after = async (number: number) => {
        const { events, ...rest } = (await runs.events('ann', id, number))!;
        return [events.map(({ sequence_number }) => sequence_number), rest];
      };
      expect(await after(-1)).toEqual([[0, 1, 2, 3, 4], { more: true, status: 'in_progress' }]);
      expect(await after(2)).toEqual([[3, 4], { more: true, status: 'in_progress' }]);
      expect(await after(4)).toEqual([[], { more: true, status: 'in_progress' }]);
      await runs.end(begun, { ...run.response, status: 'completed' }, [deltaOf(5)]);
      expect(await after(3)).toEqual([[4, 5], { more: false, status: 'completed' }]);
      expect(await after(99)).toEqual([[], { more: false, status: 'completed' }]);
      expect(await runs.events('bob', id, -1)).toBeUndefined();
      expect(EVENTS_BYTES_MAX).toBeGreaterThan(1_000_000);
    });

    it('is refused where the key has as many under way as it may, until one has ended', async () => {
      const { runs } = responsesOn(database, { backgroundResponsesPerKeyMax: 1 });
      const first = runOf();
      await runs.queue('busy', first);
      await expect(runs.queue('busy', runOf())).rejects.toMatchObject({
        code: 'rate_limit_exceeded',
        details: { limit: 'background_responses' },
      });
      await runs.queue('idle', runOf());
      await runs.cancel('busy', first.response.id);
      await runs.queue('busy', runOf());
    });

    it('is listed for as long as it has not ended, in pages', async () => {
      const { runs } = stored;
      const mine = await Promise.all(
        [0, 1, 2].map(async () => {
          const run = runOf();
          await runs.queue('lister', run);
          return run.response.id;
        }),
      );
      const found: string[] = [];
      for (let after = ''; ; ) {
        const page = await runs.live(after, 2);
        found.push(...page.map(({ id }) => id));
        if (page.length < 2) break;
        after = page.at(-1)!.id;
      }
      expect(found).toEqual(expect.arrayContaining(mine));
      await runs.cancel('lister', mine[0]!);
      expect((await runs.live('', 1_000)).map(({ id }) => id)).not.toContain(mine[0]);
    });

    it('appends to its conversation when it is answered, and not when it failed', async () => {
      const { runs, conversations } = stored;
      const { id } = await conversations.create('ann', {}, []);
      for (const status of ['failed', 'completed'] as const) {
        const run = runOf({
          response: responseOf({ id: timedId('resp_'), status: 'queued', background: true, conversation: { id } }),
        });
        await runs.queue('ann', run);
        const begun = (await runs.begin(run.response.id, LEASE_MS))!;
        await runs.end(begun, { ...run.response, status, output: [answer(status)] }, []);
      }
      expect(textsOf((await conversations.items('ann', id, WHOLE_LIST)).items)).toEqual(['hi', 'completed']);
    });
  });

  describe('the sweep', () => {
    const never = new AbortController().signal;
    const aged = (id: string, days: number) =>
      database.query("update responses set ended_at = ended_at - $2::int * interval '1 day' where id = $1", [id, days]);

    it('forgets what ended long ago, and keeps what others go on from', async () => {
      const old = await kept('old?', 'old!', {}, 'cleo');
      const root = await kept('root?', 'root!', {}, 'cleo');
      const leaf = await kept('leaf?', 'leaf!', { previous_response_id: root }, 'cleo');
      await aged(old, 31);
      await aged(root, 31);
      await aged(leaf, 29);
      await stored.sweep.sweep(never);
      expect(await stored.responses.find('cleo', old)).toBeUndefined();
      expect(await database.query('select from response_items where holder_id = $1', [old])).toHaveLength(0);
      expect(textsOf(await stored.responses.history('cleo', leaf))).toEqual(['root?', 'root!', 'leaf?', 'leaf!']);
      await aged(leaf, 2);
      await stored.sweep.sweep(never);
      expect(await stored.responses.find('cleo', root)).toBeUndefined();
      expect(await stored.responses.find('cleo', leaf)).toBeUndefined();
    });

    it('forgets the oldest of a key that has too many', async () => {
      const { sweep } = responsesOn(database, { responsesPerKeyMax: 2 });
      const ids = [await kept('1', '1', {}, 'dan'), await kept('2', '2', {}, 'dan'), await kept('3', '3', {}, 'dan')];
      await sweep.sweep(never);
      const left = await Promise.all(ids.map((id) => stored.responses.find('dan', id)));
      expect(left.map((one) => one?.id)).toEqual([undefined, ids[1], ids[2]]);
    });

    it('forgets conversations that nobody used for long, and events that nobody waits for', async () => {
      const { conversations, runs, sweep } = stored;
      const [old, young] = [
        await conversations.create('ann', {}, [question('a')]),
        await conversations.create('ann', {}, []),
      ];
      await database.query("update conversations set used_at = now() - interval '366 days' where id = $1", [old.id]);
      const run = runOf({ events: [deltaOf(0)] });
      await runs.queue('ann', run);
      await runs.end((await runs.begin(run.response.id, LEASE_MS))!, { ...run.response, status: 'completed' }, [
        deltaOf(1),
      ]);
      await sweep.sweep(never);
      expect(await runs.isStreamed(run.response.id)).toBe(true);
      await aged(run.response.id, 2);
      await sweep.sweep(never);
      await expect(conversations.find('ann', old.id)).rejects.toMatchObject({ code: 'conversation_not_found' });
      expect(await database.query('select from response_items where holder_id = $1', [old.id])).toHaveLength(0);
      await conversations.find('ann', young.id);
      expect(await runs.isStreamed(run.response.id)).toBe(false);
      expect(await stored.responses.find('ann', run.response.id)).toMatchObject({ status: 'completed' });
    });
  });
}
