import { setTimeout as sleep } from 'node:timers/promises';
import type { Settings } from '@millrace/contracts';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chatLine, makeBatch, startBatchGateway, whenOver } from './batches.testing.js';
import { MemoryResponseCache } from './cache/adapters/memory-response-cache.js';
import type { FakeWorkerOptions, Script } from './dispatch/fake-worker.testing.js';
import { folderOfItsOwn, silent } from './files/files.testing.js';
import { eventsOf, settingsWith, TestBed } from './gateway.testing.js';
import { EVERYBODY } from './keys/authenticator.js';
import type { Parts } from './open-parts.js';
import { openEmbedded, openPostgres, SlowDatabase, UnreliableDatabase } from './request-log/database.testing.js';
import { StoredChats } from './stored-chats/stored-chats.js';
import { StoredChatsSweep } from './stored-chats/stored-chats-sweep.js';
import type { SqlDatabase } from './stores/sql-database.js';
import { ANYONE } from './vocabulary.js';

const NEVER = new AbortController().signal;
const postgres = process.env.TEST_POSTGRES_URL;

/** Whoever calls is the key that they send. */
const byName = {
  ...EVERYBODY,
  authenticate: (presented = 'any') =>
    presented === 'any' ? ANYONE : { ...ANYONE, keyId: presented, keyName: presented },
};

const script = (): Script => ({});
const tool = { type: 'function', function: { name: 'weather', parameters: { type: 'object' } } } as const;
const calling: Script = {
  answer: [
    { calls: [{ index: 0, name: 'weather', arguments: '' }] },
    { calls: [{ index: 0, name: '', arguments: '{"city":' }] },
    { calls: [{ index: 0, name: '', arguments: '"Oslo"}' }] },
  ],
  reason: 'tool_calls',
};

function bedOn(
  database: SqlDatabase,
  settings: Partial<Settings> = {},
  worker: FakeWorkerOptions = {},
  parts: Partial<Parts> = {},
) {
  const all = settingsWith(settings);
  return TestBed.start(settings, [{ script, ...worker }], true, '127.0.0.1', {
    authenticator: byName,
    storedChats: new StoredChats(database, all, silent),
    ...parts,
  });
}

const of = ({ url }: TestBed, apiKey: string) => new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
const asking = (text: string) => [{ role: 'user', content: text }] as OpenAI.ChatCompletionMessageParam[];

function storedChatsContract(open: () => Promise<SqlDatabase>): void {
  let database: SqlDatabase;
  let bed: TestBed;
  let scripted: Script = {};
  beforeAll(async () => {
    database = await open();
    await database.query('select 1');
    bed = await bedOn(database, { storedChatBytesMax: 4_096, storedChatsPerKeyMax: 5 }, { script: () => scripted });
  }, 120_000);
  afterAll(async () => {
    await bed?.[Symbol.asyncDispose]();
    await database?.close();
  });

  it('is found again by its id, as it was answered, with its metadata', async () => {
    const { completions } = of(bed, 'finder').chat;
    const answer = await completions.create({
      model: 'demo',
      messages: asking('one two three'),
      store: true,
      metadata: { of: 'tests' },
    });
    expect(answer.id).toMatch(/^chatcmpl-[0-9a-f]{32}$/);
    expect(await completions.retrieve(answer.id)).toEqual({ ...answer, metadata: { of: 'tests' } });
  });

  it('is not kept unless it is asked for', async () => {
    const { completions } = of(bed, 'careless').chat;
    for (const store of [null, false]) {
      const { id } = await completions.create({ model: 'demo', messages: asking('one'), store, metadata: { a: 'b' } });
      await expect(completions.retrieve(id)).rejects.toMatchObject({ status: 404, code: 'chat_completion_not_found' });
    }
    expect((await completions.list()).data).toEqual([]);
  });

  it('of a stream is what its chunks were, whole, once its end has come', async () => {
    const { completions } = of(bed, 'streamer').chat;
    scripted = { answer: [{ reasoning: 'hm' }, 'a ', 'b ', 'c'], logprob: -0.5 };
    const stream = completions.stream({
      model: 'demo',
      messages: asking('go'),
      store: true,
      metadata: { streamed: 'yes' },
      logprobs: true,
      stream_options: { include_usage: true },
    });
    const final = await stream.finalChatCompletion();
    const kept = await completions.retrieve(final.id);
    expect(kept).toMatchObject({
      object: 'chat.completion',
      created: final.created,
      model: 'demo',
      metadata: { streamed: 'yes' },
      usage: final.usage,
      system_fingerprint: final.system_fingerprint,
    });
    expect(kept.choices).toMatchObject([
      { index: 0, finish_reason: 'stop', message: { role: 'assistant', content: 'a b c', reasoning_content: 'hm' } },
    ]);
    expect(kept.choices[0]!.logprobs!.content).toHaveLength(final.choices[0]!.logprobs!.content!.length);
    scripted = {};
  });

  it('of a stream has the very ids of calls that the client saw', async () => {
    const { completions } = of(bed, 'caller').chat;
    scripted = calling;
    const stream = completions.stream({ model: 'demo', messages: asking('go'), store: true, tools: [tool] });
    const final = await stream.finalChatCompletion();
    const { message, finish_reason } = (await completions.retrieve(final.id)).choices[0]!;
    const [seen] = final.choices[0]!.message.tool_calls!;
    expect(finish_reason).toBe('tool_calls');
    expect(message).toMatchObject({
      content: null,
      tool_calls: [{ id: seen!.id, type: 'function', function: { name: 'weather', arguments: '{"city":"Oslo"}' } }],
    });
    scripted = {};
  });

  it('is one with all of its answers where there are several', async () => {
    const { completions } = of(bed, 'several').chat;
    const whole = await completions.create({ model: 'demo', messages: asking('one two'), store: true, n: 3 });
    expect((await completions.retrieve(whole.id)).choices).toEqual(whole.choices);
    const streamed = completions.stream({ model: 'demo', messages: asking('one two'), store: true, n: 2 });
    const { id, choices } = await streamed.finalChatCompletion();
    const kept = (await completions.retrieve(id)).choices;
    expect(kept.map(({ message }) => message.content)).toEqual(choices.map(({ message }) => message.content));
    expect((await completions.list()).data).toHaveLength(2);
  });

  it('is kept each time, under an id of its own, where the cache answers', async () => {
    const responseCache = new MemoryResponseCache({ bytesMax: 1_000_000, ageMsMax: 60_000 });
    await using cached = await bedOn(database, {}, {}, { responseCache });
    const { completions } = of(cached, 'again').chat;
    const asked = { model: 'demo', messages: asking('one two'), temperature: 0, store: true };
    const [first, second] = [await completions.create(asked), await completions.create(asked)];
    const third = await completions.stream(asked).finalChatCompletion();
    expect(cached.worker.started).toHaveLength(1);
    const ids = [first.id, second.id, third.id];
    expect(new Set(ids).size).toBe(3);
    const kept = (await completions.list()).data;
    expect(kept.map(({ id }) => id)).toEqual(ids);
    expect(kept.map(({ choices }) => choices[0]!.message.content)).toEqual(['one two', 'one two', 'one two']);
  });

  it('of a line of a batch is kept for the key that made the batch', async () => {
    const objects = folderOfItsOwn();
    const storedChats = new StoredChats(database, settingsWith({}), silent);
    await using batches = await startBatchGateway({ database, objects }, {}, [{}], { storedChats });
    const client = of(batches, 'batcher');
    const body = { messages: asking('one two'), store: true, metadata: { of: 'a batch' } };
    const { id } = await makeBatch(client, [chatLine('a', { body }), chatLine('b')]);
    expect((await whenOver(client, id)).request_counts).toMatchObject({ completed: 2 });
    const kept = (await client.chat.completions.list()).data;
    expect(kept).toMatchObject([{ metadata: { of: 'a batch' }, choices: [{ message: { content: 'one two' } }] }]);
    await objects.close();
  });

  it('of a client that left is not kept', async () => {
    const client = of(bed, 'leaver');
    scripted = { answer: ['a'], endless: ' b' };
    const stream = await client.chat.completions.create({
      model: 'demo',
      messages: asking('go'),
      store: true,
      stream: true,
    });
    for await (const _ of stream) break;
    await expect.poll(() => bed.worker.running).toBe(0);
    expect((await client.chat.completions.list()).data).toEqual([]);
    scripted = {};
  });

  describe('lists', () => {
    it('go on behind an id, either way, and tell whether there are more', async () => {
      const { completions } = of(bed, 'lister').chat;
      const ids: string[] = [];
      for (const text of ['one', 'two', 'three'])
        ids.push((await completions.create({ model: 'demo', messages: asking(text), store: true })).id);
      const all: string[] = [];
      for await (const { id } of completions.list({ limit: 2 })) all.push(id);
      expect(all).toEqual(ids);
      const newest = await completions.list({ order: 'desc', limit: 1 });
      expect([newest.data[0]!.id, newest.has_more]).toEqual([ids[2], true]);
      const rest = await completions.list({ order: 'desc', after: ids[2]! });
      expect([rest.data.map(({ id }) => id), rest.has_more]).toEqual([[ids[1], ids[0]], false]);
    });

    it('can be of one model, and of some metadata, all of which must be there', async () => {
      const { completions } = of(bed, 'filter').chat;
      const make = (metadata: Record<string, string>) =>
        completions.create({ model: 'demo', messages: asking('x'), store: true, metadata });
      const both = await make({ of: 'tests', by: 'me' });
      const one = await make({ of: 'tests' });
      await make({ of: 'others' });
      const found = async (query: OpenAI.ChatCompletionListParams) =>
        (await completions.list(query)).data.map(({ id }) => id);
      expect(await found({ metadata: { of: 'tests' } })).toEqual([both.id, one.id]);
      expect(await found({ metadata: { of: 'tests', by: 'me' } })).toEqual([both.id]);
      expect(await found({ metadata: { of: 'nobody' } })).toEqual([]);
      expect(await found({ model: 'demo' })).toHaveLength(3);
      expect(await found({ model: 'other' })).toEqual([]);
    });

    it('refuse what is no page', async () => {
      const client = of(bed, 'wrong');
      const tries: Record<string, string> = {
        'limit=0': 'limit',
        'limit=101': 'limit',
        'limit=x': 'limit',
        'order=up': 'order',
        'metadata=x': 'metadata',
        'metadata[a]=1&metadata[a]=2': 'metadata.a',
        'metadata[a]=1&metadata=x': 'metadata',
        'metadata[__proto__]=x': 'metadata',
        [`metadata[${'k'.repeat(65)}]=x`]: `metadata.${'k'.repeat(65)}`,
        'model=a%00b': 'model',
        'after=a%00b': 'after',
        'before=x': 'before',
        [`metadata[a]=${'v'.repeat(513)}`]: 'metadata.a',
      };
      for (const [query, param] of Object.entries(tries)) {
        const response = await fetch(`${bed.url}/v1/chat/completions?${query}`, {
          headers: { authorization: `Bearer ${client.apiKey}` },
        });
        const { error } = (await response.json()) as { error: { param: string } };
        expect([response.status, error.param], query).toEqual([400, param]);
      }
    });
  });

  it('has the messages that were sent, a page at a time', async () => {
    const { completions } = of(bed, 'messages').chat;
    const { id } = await completions.create({
      model: 'demo',
      store: true,
      messages: [
        { role: 'system', content: 'Be brief.' },
        {
          role: 'user',
          name: 'ada',
          content: [
            { type: 'text', text: 'one' },
            { type: 'text', text: 'two\0' },
          ],
        },
        { role: 'assistant', tool_calls: [{ id: 'c1', type: 'function', function: { name: 'f', arguments: '{}' } }] },
        { role: 'tool', tool_call_id: 'c1', content: 'done' },
      ],
    });
    const page = await completions.messages.list(id);
    expect(page.data).toEqual([
      { id: `${id}-0`, role: 'system', content: 'Be brief.', content_parts: null, refusal: null, name: null },
      {
        id: `${id}-1`,
        role: 'user',
        content: 'one\ntwo\0',
        content_parts: [
          { type: 'text', text: 'one' },
          { type: 'text', text: 'two\0' },
        ],
        refusal: null,
        name: 'ada',
      },
      {
        id: `${id}-2`,
        role: 'assistant',
        content: null,
        content_parts: null,
        refusal: null,
        name: null,
        tool_calls: [{ id: 'c1', type: 'function', function: { name: 'f', arguments: '{}' } }],
      },
      {
        id: `${id}-3`,
        role: 'tool',
        content: 'done',
        content_parts: null,
        refusal: null,
        name: null,
        tool_call_id: 'c1',
      },
    ]);
    const all: string[] = [];
    for await (const message of completions.messages.list(id, { limit: 3 })) all.push(message.id);
    expect(all).toEqual([0, 1, 2, 3].map((index) => `${id}-${index}`));
    const last = await completions.messages.list(id, { order: 'desc', limit: 1 });
    expect([last.data[0]!.id, last.has_more]).toEqual([`${id}-3`, true]);
    await expect(completions.messages.list(id, { after: `${id}-4` })).rejects.toMatchObject({
      status: 400,
      param: 'after',
    });
  });

  it('gets other metadata in place of its own, or none', async () => {
    const { completions } = of(bed, 'changer').chat;
    const { id } = await completions.create({
      model: 'demo',
      messages: asking('x'),
      store: true,
      metadata: { a: 'b' },
    });
    expect((await completions.update(id, { metadata: { c: 'd' } })).metadata).toEqual({ c: 'd' });
    expect((await completions.list({ metadata: { a: 'b' } })).data).toEqual([]);
    expect((await completions.update(id, { metadata: null })).metadata).toEqual({});
    const wrong = [{}, { metadata: { a: 1 } }, { metadata: 'x' }, { metadata: {}, model: 'other' }, [], undefined];
    for (const body of wrong)
      await expect(client400(completions.update(id, body as never)), JSON.stringify(body)).resolves.toBe(400);
  });

  it('is forgotten when it is deleted', async () => {
    const { completions } = of(bed, 'deleter').chat;
    const { id } = await completions.create({ model: 'demo', messages: asking('x'), store: true });
    expect(await completions.delete(id)).toEqual({ id, object: 'chat.completion.deleted', deleted: true });
    const { messages } = completions;
    for (const again of [() => completions.delete(id), () => completions.retrieve(id), () => messages.list(id)])
      await expect(again()).rejects.toMatchObject({ status: 404 });
  });

  it('of another key is not there, nor is one with an id that none has', async () => {
    const mine = await of(bed, 'owner').chat.completions.create({ model: 'demo', messages: asking('x'), store: true });
    for (const id of [mine.id, 'chatcmpl-1', 'x'.repeat(300), `chatcmpl-${'0'.repeat(32)}`, 'a\0b', '%']) {
      const { completions } = of(bed, 'stranger').chat;
      const tries = [
        () => completions.retrieve(id),
        () => completions.update(id, { metadata: {} }),
        () => completions.delete(id),
        () => completions.messages.list(id),
      ];
      for (const one of tries)
        await expect(one(), id).rejects.toMatchObject({ status: 404, code: 'chat_completion_not_found' });
    }
    expect((await of(bed, 'stranger').chat.completions.list()).data).toEqual([]);
    expect((await of(bed, 'owner').chat.completions.retrieve(mine.id)).id).toBe(mine.id);
  });

  it('is the oldest of too many of a key that goes', async () => {
    const { completions } = of(bed, 'many').chat;
    const ids: string[] = [];
    for (let made = 0; made < 7; made++)
      ids.push((await completions.create({ model: 'demo', messages: asking('x'), store: true })).id);
    expect((await completions.list()).data.map(({ id }) => id)).toEqual(ids.slice(2));
  });

  it('that is longer than is kept is answered all the same, and not kept', async () => {
    const { completions } = of(bed, 'long').chat;
    scripted = { answer: Array.from({ length: 20 }, () => 'x'.repeat(300)) };
    const whole = await completions.create({ model: 'demo', messages: asking('x'), store: true });
    expect(whole.choices[0]!.message.content).toHaveLength(6_000);
    const streamed = completions.stream({ model: 'demo', messages: asking('x'), store: true });
    expect((await streamed.finalChatCompletion()).choices[0]!.message.content).toHaveLength(6_000);
    scripted = {};
    const question = await completions.create({ model: 'demo', messages: asking('y'.repeat(5_000)), store: true });
    expect(question.choices[0]!.message.content).not.toBe('');
    expect((await completions.list()).data).toEqual([]);
  });

  it('is forgotten when its days are over, by the sweep and before it', async () => {
    const { completions } = of(bed, 'old').chat;
    const [old, young] = await Promise.all(
      ['old', 'young'].map(async (text) => completions.create({ model: 'demo', messages: asking(text), store: true })),
    );
    const aged = `update chat_completions set created_at = created_at - interval '31 days' where id = $1`;
    await database.query(aged, [old!.id]);
    await expect(completions.retrieve(old!.id)).rejects.toMatchObject({ status: 404 });
    await expect(completions.delete(old!.id)).rejects.toMatchObject({ status: 404 });
    expect((await completions.list()).data.map(({ id }) => id)).toEqual([young!.id]);
    await new StoredChatsSweep(database, settingsWith({}), silent).sweep(NEVER);
    const left = await database.query(`select id from chat_completions where key_id = 'old'`);
    expect(left).toEqual([{ id: young!.id }]);
  });
}

async function client400(asked: PromiseLike<unknown>): Promise<number | undefined> {
  return asked.then(
    () => undefined,
    (error: { status: number }) => error.status,
  );
}

describe('a chat completion that is kept, in the embedded database', { timeout: 60_000 }, () => {
  storedChatsContract(openEmbedded);
});

describe.skipIf(postgres === undefined)(
  'a chat completion that is kept, in a real Postgres (TEST_POSTGRES_URL is not set)',
  { timeout: 60_000 },
  () => {
    storedChatsContract(() => openPostgres(postgres!));
  },
);

describe('while the database is away', { timeout: 60_000 }, () => {
  it('a chat completion is answered, whole and streamed, and lost to whoever asks for it', async () => {
    const embedded = await openEmbedded();
    const database = new UnreliableDatabase(embedded);
    await using bed = await bedOn(database);
    database.fate = () => 'fails before';
    const { id } = await bed.client.chat.completions.create({ model: 'demo', messages: asking('one'), store: true });
    const events = await eventsOf(await bed.chat({ store: true, stream: true }));
    expect(events.at(-1)).toBe('data: [DONE]');
    await expect(bed.client.chat.completions.retrieve(id)).rejects.toMatchObject({
      status: 503,
      code: 'store_unavailable',
    });
    database.fate = () => 'works';
    await expect(bed.client.chat.completions.retrieve(id)).rejects.toMatchObject({ status: 404 });
    await embedded.close();
  });
});

describe('while the database is slow', { timeout: 60_000 }, () => {
  it('a chat completion is not waited for without end, and is not there later', async () => {
    const embedded = await openEmbedded();
    await using _closing = { [Symbol.asyncDispose]: () => embedded.close() };
    const database = new SlowDatabase(embedded);
    const storedChats = new StoredChats(database, settingsWith({}), silent, 500);
    await using bed = await bedOn(database, {}, {}, { storedChats });
    await database.query('select 1');
    const answered = new AbortController();
    database.before = async (sql) => {
      if (!sql.startsWith('insert into chat_completions')) return;
      await sleep(3_000, undefined, { signal: answered.signal }).catch(() => {});
    };
    const { id } = await bed.client.chat.completions.create({ model: 'demo', messages: asking('one'), store: true });
    answered.abort();
    await expect(bed.client.chat.completions.retrieve(id)).rejects.toMatchObject({ status: 404 });
  });
});
