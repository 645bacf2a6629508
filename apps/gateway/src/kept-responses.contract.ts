import { conversationSchema, responseItemSchema, responseSchema } from '@millrace/contracts';
import type OpenAI from 'openai';
import { ConflictError, NotFoundError } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ScriptedToken } from './dispatch/fake-worker.testing.js';
import { collected, type TestBed } from './gateway.testing.js';
import { clientOf, PATIENCE, startKeeping } from './kept-responses.testing.js';
import { messagesOf } from './responses.testing.js';
import type { SqlDatabase } from './stores/sql-database.js';

const TEXT = { model: 'demo', input: 'How high is the tide?' } as const;

/** What of responses and conversations is kept for whoever comes back, on whatever it is kept. */
export function keptResponsesContract(open: () => Promise<SqlDatabase>): void {
  let database: SqlDatabase;
  let bed: TestBed;
  let client: OpenAI;
  let answered: readonly ScriptedToken[] = ['Four ', 'metres.'];
  let steps = 0;
  let held = false;
  beforeAll(async () => {
    database = await open();
    // An answer does not wait for tables that are still being made.
    await database.query('select 1');
    const script = () => ({ answer: answered, stepsBeforeFirst: steps, ...(held && { heldAfterTokens: 0 }) });
    bed = await startKeeping(database, [{ script }]);
    client = bed.client;
  });
  afterAll(async () => {
    await bed?.[Symbol.asyncDispose]();
    await database?.close();
  });

  /** What the model was given last, as role and text. */
  function asked(): string[] {
    return messagesOf(bed, bed.worker.started.length - 1).map(({ role, content }) => `${role}: ${content}`);
  }

  describe('a response that is kept', () => {
    it('is retrieved as it was answered, whole or streamed', async () => {
      const whole = await client.responses.create(TEXT);
      expect(await client.responses.retrieve(whole.id)).toEqual(whole);
      const events = await collected(await client.responses.create({ ...TEXT, stream: true }));
      const last = events.at(-1) as OpenAI.Responses.ResponseCompletedEvent;
      expect(last.type).toBe('response.completed');
      const { output_text, ...streamed } = await client.responses.retrieve(last.response.id);
      expect(output_text).toBe('Four metres.');
      expect(streamed).toEqual(last.response);
      expect(() => responseSchema.parse(streamed)).not.toThrow();
    });

    it('lists what it was asked, in pages, newest first', async () => {
      const { id } = await client.responses.create({
        ...TEXT,
        input: ['a', 'b', 'c'].map((content) => ({ role: 'user' as const, content })),
      });
      const texts = (page: readonly OpenAI.Responses.ResponseItem[]) =>
        page.map((item) =>
          item.type === 'message' && item.content[0]?.type === 'input_text' ? item.content[0].text : '',
        );
      expect(texts(await collected(client.responses.inputItems.list(id, { limit: 2 })))).toEqual(['c', 'b', 'a']);
      expect(texts(await collected(client.responses.inputItems.list(id, { limit: 1, order: 'asc' })))).toEqual([
        'a',
        'b',
        'c',
      ]);
      const page = await client.responses.inputItems.list(id, { limit: 2, include: ['message.output_text.logprobs'] });
      expect(page.has_more).toBe(true);
      for (const item of page.data) expect(responseItemSchema.parse(item)).toEqual(item);
      const raw = await fetch(`${bed.url}/v1/responses/${id}/input_items?limit=2`);
      expect(await raw.json()).toMatchObject({
        object: 'list',
        first_id: page.data[0]!.id,
        last_id: page.data[1]!.id,
        has_more: true,
      });
    });

    it('is gone on from, and what was said before is what the model is given', async () => {
      const one = await client.responses.create({ ...TEXT, instructions: 'Be brief.' });
      const two = await client.responses.create({ ...TEXT, input: 'And now?', previous_response_id: one.id });
      await client.responses.create({
        ...TEXT,
        input: 'Sure?',
        previous_response_id: two.id,
        instructions: 'Be kind.',
      });
      expect(asked()).toEqual([
        'system: Be kind.',
        'user: How high is the tide?',
        'assistant: Four metres.',
        'user: And now?',
        'assistant: Four metres.',
        'user: Sure?',
      ]);
    });

    it('is gone on from without a further message, where an empty list is no reason to refuse it', async () => {
      const one = await client.responses.create(TEXT);
      await client.responses.create({ ...TEXT, input: [], previous_response_id: one.id });
      expect(asked()).toEqual(['user: How high is the tide?', 'assistant: Four metres.']);
    });

    it('keeps of the items that it was sent all that OpenAI’s have', async () => {
      const annotations = [{ type: 'file_citation', file_id: 'file-1', filename: 'a.txt', index: 3 }];
      const logprobs = [{ token: 'Yes', logprob: -0.5, bytes: [89, 101, 115], top_logprobs: [] }];
      const answer = { type: 'output_text', text: 'Yes.', annotations, logprobs };
      const items = [
        {
          type: 'reasoning',
          id: 'rs_sent',
          summary: [{ type: 'summary_text', text: 'Hm.' }],
          encrypted_content: 'gAAAA',
        },
        { type: 'message', id: 'msg_sent', role: 'assistant', phase: 'commentary', content: [answer] },
      ] as OpenAI.Responses.ResponseInputItem[];
      const { id } = await client.responses.create({ ...TEXT, input: [...items, { role: 'user', content: 'So?' }] });
      const sent = await client.responses.inputItems.list(id, { order: 'asc' });
      expect(sent.data.slice(0, 2)).toMatchObject(items);
      for (const item of sent.data) expect(responseItemSchema.parse(item)).toEqual(item);
      const conversation = (await client.conversations.create({ items })).id;
      const said = await client.conversations.items.list(conversation, { order: 'asc' });
      expect(said.data).toMatchObject(items);
    });

    it('tells thoughts in the form in which they can be sent back, where that is asked for later', async () => {
      answered = [{ reasoning: 'Tides turn.' }, 'Four.'];
      const { id, output } = await client.responses.create(TEXT);
      answered = ['Four ', 'metres.'];
      expect((await client.responses.retrieve(id)).output).toEqual(output);
      const include = ['reasoning.encrypted_content' as const];
      const [thought] = (await client.responses.retrieve(id, { include })).output;
      expect(thought).toEqual({ ...output[0], encrypted_content: expect.any(String) });
      const { encrypted_content } = thought as OpenAI.Responses.ResponseReasoningItem;
      const sent = { type: 'reasoning', summary: [], encrypted_content } as never;
      await client.responses.create({ ...TEXT, input: [sent, { role: 'user', content: 'Sure?' }] });
      expect(messagesOf(bed, bed.worker.started.length - 1)[0]).toMatchObject({ reasoning_content: 'Tides turn.' });
    });

    it('takes an item by its id', async () => {
      const { output } = await client.responses.create(TEXT);
      await client.responses.create({
        ...TEXT,
        input: [
          { type: 'item_reference', id: output[0]!.id! },
          { role: 'user', content: 'Really?' },
        ],
      });
      expect(asked()).toEqual(['assistant: Four metres.', 'user: Really?']);
    });

    it('is deleted, and then neither found nor gone on from', async () => {
      const { id } = await client.responses.create(TEXT);
      await client.responses.delete(id);
      const gone = { status: 404, code: 'response_not_found' };
      await expect(client.responses.retrieve(id)).rejects.toMatchObject(gone);
      await expect(client.responses.delete(id)).rejects.toMatchObject(gone);
      await expect(client.responses.cancel(id)).rejects.toMatchObject(gone);
      await expect(client.responses.inputItems.list(id)).rejects.toMatchObject(gone);
      await expect(client.responses.create({ ...TEXT, previous_response_id: id })).rejects.toMatchObject({
        status: 400,
        code: 'previous_response_not_found',
        param: 'previous_response_id',
      });
    });

    it('is not there where `store` is false', async () => {
      const { id } = await client.responses.create({ ...TEXT, store: false });
      await expect(client.responses.retrieve(id)).rejects.toBeInstanceOf(NotFoundError);
      const rows = await database.query('select from response_items where holder_id = $1', [id]);
      expect(rows).toHaveLength(0);
    });

    it('is not there for another key', async () => {
      const [ann, bob] = [clientOf(bed, 'ann'), clientOf(bed, 'bob')];
      const { id, output } = await ann.responses.create(TEXT);
      expect((await ann.responses.retrieve(id)).id).toBe(id);
      for (const other of [bob, client]) {
        await expect(other.responses.retrieve(id)).rejects.toBeInstanceOf(NotFoundError);
        await expect(other.responses.delete(id)).rejects.toBeInstanceOf(NotFoundError);
        await expect(other.responses.cancel(id)).rejects.toBeInstanceOf(NotFoundError);
        await expect(other.responses.inputItems.list(id)).rejects.toBeInstanceOf(NotFoundError);
        await expect(other.responses.create({ ...TEXT, previous_response_id: id })).rejects.toMatchObject({
          status: 400,
        });
        const input = [{ type: 'item_reference' as const, id: output[0]!.id! }];
        await expect(other.responses.create({ ...TEXT, input })).rejects.toMatchObject({ param: 'input[0].id' });
      }
    });

    it('keeps every text that JSON can say', async () => {
      const odd = 'nul \0, half \ud800, line \u2028, 😀';
      answered = [odd.toWellFormed()];
      const { id } = await client.responses.create({ ...TEXT, input: 'nul \0, 😀', metadata: { a: 'b' } });
      answered = ['Four ', 'metres.'];
      expect((await client.responses.retrieve(id)).output_text).toBe(odd.toWellFormed());
      const { data } = await client.responses.inputItems.list(id);
      expect(data).toMatchObject([{ content: [{ text: 'nul \0, 😀' }] }]);
    });

    it('is neither cancelled nor streamed again where it was not answered in the background', async () => {
      const { id } = await client.responses.create(TEXT);
      await expect(client.responses.cancel(id)).rejects.toMatchObject({ status: 400, code: 'invalid_request' });
      await expect(client.responses.retrieve(id, { stream: true })).rejects.toMatchObject({
        status: 400,
        param: 'stream',
      });
    });

    it.each([
      ['limit=0', 'limit'],
      ['limit=x', 'limit'],
      ['order=up', 'order'],
      ['after=msg_none', 'after'],
      ['include=everything', 'include'],
      ['before=x', 'before'],
    ])('refuses a list with %s', async (query, param) => {
      const { id } = await client.responses.create(TEXT);
      const response = await fetch(`${bed.url}/v1/responses/${id}/input_items?${query}`);
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ error: { param } });
    });

    it.each([
      ['starting_after=3', 'starting_after'],
      ['stream=true&starting_after=-1', 'starting_after'],
      ['stream=yes', 'stream'],
      ['fields=id', 'fields'],
    ])('is not told with %s', async (query, param) => {
      const { id } = await client.responses.create(TEXT);
      const response = await fetch(`${bed.url}/v1/responses/${id}?${query}`);
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ error: { param } });
    });
  });

  describe('a conversation', () => {
    it('is made, told, changed and deleted', async () => {
      const made = await client.conversations.create({ metadata: { topic: 'tides' } });
      expect(conversationSchema.parse(made)).toEqual(made);
      expect(await client.conversations.retrieve(made.id)).toEqual(made);
      const changed = await client.conversations.update(made.id, { metadata: { topic: 'waves' } });
      expect(changed).toEqual({ ...made, metadata: { topic: 'waves' } });
      expect(await client.conversations.delete(made.id)).toEqual({
        id: made.id,
        object: 'conversation.deleted',
        deleted: true,
      });
      await expect(client.conversations.retrieve(made.id)).rejects.toMatchObject({
        status: 404,
        code: 'conversation_not_found',
      });
      await expect(client.responses.create({ ...TEXT, conversation: made.id })).rejects.toMatchObject({ status: 404 });
    });

    it('is made of nothing as well', async () => {
      const made = await client.conversations.create();
      expect(made.metadata).toEqual({});
      expect(await client.conversations.items.list(made.id)).toMatchObject({ data: [], has_more: false });
      const again = await bed.post('/v1/conversations', '');
      expect([again.status, await again.json()]).toMatchObject([200, { object: 'conversation', metadata: {} }]);
    });

    it('is gone through by the official client while its items are deleted', async () => {
      const items = ['a', 'b', 'c', 'd', 'e'].map((content) => ({ role: 'user', content }) as const);
      const { id } = await client.conversations.create({ items });
      let count = 0;
      for await (const item of client.conversations.items.list(id, { limit: 2, order: 'asc' })) {
        await client.conversations.items.delete(item.id!, { conversation_id: id });
        count++;
      }
      expect(count).toBe(5);
      expect((await client.conversations.items.list(id)).data).toEqual([]);
    });

    it('has items, that are made, listed, told and deleted one by one', async () => {
      const { items } = client.conversations;
      const { id } = await client.conversations.create({ items: [{ role: 'user', content: 'a' }] });
      const made = await items.create(id, {
        items: [
          { type: 'message', role: 'assistant', content: 'b' },
          { type: 'function_call', call_id: 'call_1', name: 'f', arguments: '{}' },
          { type: 'function_call_output', call_id: 'call_1', output: '1' },
        ],
        include: ['message.output_text.logprobs'],
      });
      expect(made).toMatchObject({ object: 'list', has_more: false, first_id: made.data[0]!.id });
      for (const item of made.data) expect(responseItemSchema.parse(item)).toEqual(item);
      const all = await collected(items.list(id, { limit: 3, order: 'asc' }));
      expect(all.map(({ type }) => type)).toEqual(['message', 'message', 'function_call', 'function_call_output']);
      const [first] = all as [OpenAI.Conversations.Message];
      expect(await items.retrieve(first.id, { conversation_id: id })).toEqual(first);
      expect(await items.delete(first.id, { conversation_id: id })).toMatchObject({ id, object: 'conversation' });
      await expect(items.retrieve(first.id, { conversation_id: id })).rejects.toBeInstanceOf(NotFoundError);
      expect(await collected(items.list(id))).toHaveLength(3);
    });

    it('is answered on, and takes what was asked and answered', async () => {
      const { id } = await client.conversations.create({ items: [{ role: 'system', content: 'Be brief.' }] });
      const one = await client.responses.create({ ...TEXT, conversation: id });
      expect(one.conversation).toEqual({ id });
      const two = await client.responses.create({ ...TEXT, input: 'And now?', conversation: { id }, stream: true });
      await collected(two);
      await client.responses.create({ ...TEXT, input: 'Sure?', conversation: id });
      expect(asked()).toEqual([
        'system: Be brief.',
        'user: How high is the tide?',
        'assistant: Four metres.',
        'user: And now?',
        'assistant: Four metres.',
        'user: Sure?',
      ]);
      expect(await collected(client.conversations.items.list(id))).toHaveLength(7);
      // Its own part of it, and no more.
      expect((await client.responses.inputItems.list(one.id)).data).toHaveLength(1);
      await expect(client.responses.create({ ...TEXT, previous_response_id: one.id })).rejects.toMatchObject({
        param: 'previous_response_id',
      });
    });

    it('is answered on by one at a time: the other is told so, and comes after it', async () => {
      const { id } = await client.conversations.create();
      held = true;
      const before = bed.worker.started.length;
      const first = client.responses.create({ ...TEXT, input: '1', conversation: id });
      await expect.poll(() => bed.worker.started.length, PATIENCE).toBe(before + 1);
      await expect(client.responses.create({ ...TEXT, input: '2', conversation: id })).rejects.toMatchObject({
        status: 409,
        code: 'conversation_locked',
      });
      await expect(
        client.conversations.items.create(id, { items: [{ role: 'user', content: 'x' }] }),
      ).rejects.toBeInstanceOf(ConflictError);
      // Looking at it is for everybody.
      expect((await client.conversations.items.list(id)).data).toEqual([]);
      held = false;
      bed.worker.release();
      await first;
      await client.responses.create({ ...TEXT, input: '2', conversation: id });
      expect(asked()).toEqual(['user: 1', 'assistant: Four metres.', 'user: 2']);
    });

    it('is free again when its client leaves, and when the answer fails', async () => {
      const { id } = await client.conversations.create();
      steps = 3_000;
      const before = bed.worker.started.length;
      const leaving = new AbortController();
      const left = client.responses.create({ ...TEXT, conversation: id }, { signal: leaving.signal });
      await expect.poll(() => bed.worker.started.length, PATIENCE).toBe(before + 1);
      leaving.abort();
      await expect(left).rejects.toThrow();
      steps = 0;
      await expect
        .poll(
          () =>
            client.responses.create({ ...TEXT, conversation: id }).then(
              () => 'answered',
              () => 'locked',
            ),
          PATIENCE,
        )
        .toBe('answered');
      await expect(client.responses.create({ model: 'none', input: 'x', conversation: id })).rejects.toMatchObject({
        status: 404,
      });
      await client.responses.create({ ...TEXT, conversation: id });
      expect(await collected(client.conversations.items.list(id))).toHaveLength(4);
    });

    it('is not there for another key', async () => {
      const [ann, bob] = [clientOf(bed, 'ann'), clientOf(bed, 'bob')];
      const { id } = await ann.conversations.create({ items: [{ role: 'user', content: 'a' }] });
      const [item] = (await ann.conversations.items.list(id)).data as [OpenAI.Conversations.Message];
      for (const other of [bob, client]) {
        const tries = [
          () => other.conversations.retrieve(id),
          () => other.conversations.update(id, { metadata: {} }),
          () => other.conversations.delete(id),
          () => other.conversations.items.list(id),
          () => other.conversations.items.create(id, { items: [] }),
          () => other.conversations.items.retrieve(item.id, { conversation_id: id }),
          () => other.conversations.items.delete(item.id, { conversation_id: id }),
          () => other.responses.create({ ...TEXT, conversation: id }),
        ];
        for (const one of tries)
          await expect(one()).rejects.toMatchObject({ status: 404, code: 'conversation_not_found' });
      }
      expect((await ann.conversations.items.list(id)).data).toHaveLength(1);
    });

    it.each([
      [{ items: Array.from({ length: 21 }, () => ({ role: 'user', content: 'x' })) }, 'items'],
      [{ items: [{ role: 'user', content: [{ type: 'input_image', image_url: 'x' }] }] }, 'items[0].content[0]'],
      [{ items: [{ type: 'item_reference', id: 'msg_none' }] }, 'items[0].id'],
      [{ items: [{ type: 'message', role: 'user' }] }, 'items[0].content'],
      [{ items: 'x' }, 'items'],
      [{ metadata: { a: 1 } }, 'metadata.a'],
      [{ metadata: 'x' }, 'metadata'],
      [{ name: 'x' }, 'name'],
    ])('is not made of %j', async (body, param) => {
      const response = await bed.post('/v1/conversations', body);
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ error: { param } });
    });
  });
}
