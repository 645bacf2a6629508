import type { ObjectStore } from '@millrace/storage';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { WorkMessage, WorkScript } from './dispatch/fake-work.testing.js';
import { folderOfItsOwn } from './files/files.testing.js';
import { openEmbedded, UnreliableDatabase } from './request-log/database.testing.js';
import { MemoryVectors } from './stores/memory-vectors.testing.js';
import type { SqlDatabase } from './stores/sql-database.js';
import type { CollectionSpec, VectorCollection } from './stores/vector-store.js';
import { EntryTable } from './vector-stores/entry-table.js';
import {
  clientOf,
  inputsOf,
  remainsOf,
  type StoreBed,
  settled,
  upload,
  VECTORS,
  vectorStoreBed,
} from './vector-stores.testing.js';

type Turn = PromiseWithResolvers<void>;

let database: SqlDatabase;
let objects: ObjectStore;
let on: StoreBed & { readonly vectors: MemoryVectors };

beforeAll(async () => {
  database = await openEmbedded();
  objects = folderOfItsOwn();
  on = { database, objects, vectors: new MemoryVectors() };
});
afterAll(async () => {
  await objects.close();
  await database.close();
});

const LONG = Array.from({ length: 800 }, (_, at) => `Sentence number ${at} of the long one.`).join(' ');

/** Those of all, but what is written through it waits until it is told to go on. */
function frozenVectors() {
  const [frozen, thawed, written] = [0, 1, 2].map(() => Promise.withResolvers<void>()) as [Turn, Turn, Turn];
  const vectors = Object.assign(Object.create(on.vectors) as MemoryVectors, {
    collection: (spec: CollectionSpec): VectorCollection => {
      const collection = on.vectors.collection(spec);
      return {
        ...collection,
        upsert: async (points, signal) => {
          frozen.resolve();
          await thawed.promise;
          await collection.upsert(points, signal);
          written.resolve();
        },
      };
    },
  });
  return { vectors, frozen, thawed, written };
}

/** Makes vectors of the first so many texts, and then says nothing any more. */
function stopsAfter(texts: number): (message: WorkMessage) => WorkScript {
  let made = 0;
  return (message) => {
    made += inputsOf(message).length;
    return { silent: made > texts };
  };
}

describe('a file that is being read', { timeout: 60_000 }, () => {
  it('when its gateway is killed is gone on with by another, from where it was, and is there once', async () => {
    const dying = new UnreliableDatabase(database);
    await using first = await vectorStoreBed({ ...on, database: dying }, {}, [{ work: stopsAfter(40) }], 1_000);
    const store = await first.client.vectorStores.create({});
    const file = await upload(first.client, 'long.txt', LONG);
    await first.client.vectorStores.files.create(store.id, { file_id: file });
    await expect.poll(() => remainsOf(on, store.id), { timeout: 30_000 }).toMatchObject({ vectors: 32 });
    dying.fate = () => 'fails before'; // From now on nothing that it does reaches anybody.

    await using second = await vectorStoreBed(on);
    const { status, usage_bytes } = await settled(second.client, store.id, file);
    expect(status).toBe('completed');
    const remains = await remainsOf(on, store.id);
    expect(remains.chunks).toBeGreaterThan(64);
    expect(remains.vectors).toBe(remains.chunks);
    const asked = second.worker.work.asked.flatMap(inputsOf);
    expect(asked).toHaveLength(remains.chunks - 32);
    expect(new Set(asked).size).toBe(asked.length);
    const chunks = await database.query<{ bytes: number }>(
      `select octet_length(c.text) as bytes from vector_store_chunks c join vector_store_files f on f.id = c.entry_id where f.store_id = $1`,
      [store.id],
    );
    expect(usage_bytes).toBe(chunks.reduce((sum, { bytes }) => sum + bytes + 8 * 4, 0));
  });

  it('and is deleted while its gateway is frozen leaves nothing behind when that goes on', async () => {
    const { vectors, frozen, thawed, written } = frozenVectors();
    await using first = await vectorStoreBed({ ...on, vectors }, {}, [{}], 500);
    const store = await first.client.vectorStores.create({});
    const file = await upload(first.client, 'one.txt', 'one');
    await first.client.vectorStores.files.create(store.id, { file_id: file });
    await frozen.promise;
    await using second = await vectorStoreBed(on);
    await second.client.vectorStores.files.delete(file, { vector_store_id: store.id });
    await expect.poll(() => remainsOf(on, store.id), { timeout: 30_000 }).toEqual({ files: 0, chunks: 0, vectors: 0 });
    thawed.resolve();
    await written.promise;
    await expect.poll(() => remainsOf(on, store.id), { timeout: 10_000 }).toMatchObject({ vectors: 0 });
  });

  it('when its gateway stops is let go of at once', async () => {
    let store = '';
    let file = '';
    {
      await using first = await vectorStoreBed(on, {}, [{ work: () => ({ silent: true }) }]);
      store = (await first.client.vectorStores.create({})).id;
      file = await upload(first.client, 'one.txt', 'one');
      await first.client.vectorStores.files.create(store, { file_id: file });
      await expect.poll(() => first.worker.work.underWay, { timeout: 30_000 }).toBeGreaterThan(0);
    }
    await using second = await vectorStoreBed(on);
    expect(await settled(second.client, store, file)).toMatchObject({ status: 'completed' });
  });

  it('that ended its gateway too often is given up', async () => {
    await using bed = await vectorStoreBed(on, {}, [{ work: () => ({ silent: true }) }]);
    const store = await bed.client.vectorStores.create({});
    const file = await upload(bed.client, 'one.txt', 'one');
    await bed.client.vectorStores.files.create(store.id, { file_id: file });
    await expect.poll(() => bed.worker.work.underWay, { timeout: 30_000 }).toBeGreaterThan(0);
    await database.query(
      "update vector_store_files set taken_by = 'killed', taken_until = now() - interval '1 second', attempts = 5 where store_id = $1",
      [store.id],
    );
    await using another = await vectorStoreBed(on);
    expect(await settled(another.client, store.id, file)).toMatchObject({
      status: 'failed',
      last_error: { code: 'server_error', message: expect.stringContaining('ended 5 times') },
    });
  });

  it('waits for a store that is away, a worker that is busy, and a model that failed for now', async () => {
    let failures = 0;
    const work = (): WorkScript =>
      failures++ < 2 ? { failure: { code: ['rate_limit_exceeded', 'model_failed'][failures % 2]! } } : {};
    const vectors = new MemoryVectors();
    vectors.mishap = 'away';
    await using bed = await vectorStoreBed({ ...on, vectors }, {}, [{ work }]);
    const store = await bed.client.vectorStores.create({});
    const file = await upload(bed.client, 'one.txt', 'one');
    await bed.client.vectorStores.files.create(store.id, { file_id: file });
    await expect.poll(() => vectors.asked, { timeout: 30_000 }).toBeGreaterThan(0);
    vectors.mishap = undefined;
    expect(await settled(bed.client, store.id, file)).toMatchObject({ status: 'completed' });
  });

  it('has failed when that took too long, whatever is said of it', async () => {
    const work = (): WorkScript => ({ failure: { code: 'model_failed', message: 'It does not\0fit.' } });
    await using bed = await vectorStoreBed(on, { vectorFileTimeoutMs: 1_000 }, [{ work }]);
    const store = await bed.client.vectorStores.create({});
    const file = await upload(bed.client, 'one.txt', 'one');
    await bed.client.vectorStores.files.create(store.id, { file_id: file });
    expect(await settled(bed.client, store.id, file)).toMatchObject({
      status: 'failed',
      last_error: { code: 'server_error', message: expect.stringMatching(/within 1,000 ms .*It does not fit/) },
    });
  });

  it('whose key was revoked says so', async () => {
    await using bed = await vectorStoreBed(on);
    const client = clientOf(bed, 'revoked');
    const store = await client.vectorStores.create({});
    const file = await upload(client, 'a.txt', 'x');
    await client.vectorStores.files.create(store.id, { file_id: file });
    expect(await settled(client, store.id, file)).toMatchObject({
      status: 'failed',
      last_error: { code: 'server_error', message: expect.stringContaining('no longer valid') },
    });
  });

  it('that was deleted before it was read says so, and the others go on', async () => {
    await using bed = await vectorStoreBed(on);
    const store = await bed.client.vectorStores.create({});
    const files = await Promise.all(['gone', 'there'].map((text) => upload(bed.client, 'a.txt', text)));
    await database.query("update files set state = 'removing' where id = $1", [files[0]]);
    // Attached when it was still there.
    await database.query(
      `insert into vector_store_files (id, store_id, key_id, file_id, filename, status, attributes)
       values ($1, $2, '', $3, 'a.txt', 'in_progress', '{}')`,
      [`entry_${files[0]}`, store.id, files[0]],
    );
    await bed.client.vectorStores.files.create(store.id, { file_id: files[1]! });
    expect(await settled(bed.client, store.id, files[0]!)).toMatchObject({
      status: 'failed',
      last_error: { code: 'invalid_file', message: expect.stringContaining('was deleted') },
    });
    expect(await settled(bed.client, store.id, files[1]!)).toMatchObject({ status: 'completed' });
  });
});

describe('a batch of files', { timeout: 60_000 }, () => {
  it('that is cancelled is read no further, and leaves nothing behind but what was done', async () => {
    // The first file is read; the second is being read, and others wait.
    const work = (message: WorkMessage): WorkScript => ({ silent: inputsOf(message).includes('stuck') });
    await using bed = await vectorStoreBed(on, { vectorFilesAtOnceMax: 1 }, [{ work }]);
    const { vectorStores } = bed.client;
    const store = await vectorStores.create({});
    const at = { vector_store_id: store.id };
    const files = [];
    for (const text of ['done', 'stuck', 'waiting']) files.push(await upload(bed.client, 'a.txt', text));
    await vectorStores.files.create(store.id, { file_id: files[0]! });
    await settled(bed.client, store.id, files[0]!);
    const batch = await vectorStores.fileBatches.create(store.id, { file_ids: files });
    await expect.poll(() => bed.worker.work.underWay, { timeout: 30_000 }).toBeGreaterThan(0);
    const cancelled = await vectorStores.fileBatches.cancel(batch.id, at);
    expect(cancelled).toMatchObject({
      status: 'cancelled',
      file_counts: { in_progress: 0, completed: 1, cancelled: 2, failed: 0, total: 3 },
    });
    expect(await vectorStores.fileBatches.cancel(batch.id, at)).toEqual(cancelled);
    expect(await vectorStores.files.retrieve(files[1]!, at)).toMatchObject({ status: 'cancelled', last_error: null });
    await expect.poll(() => bed.worker.work.underWay, { timeout: 30_000 }).toBe(0);
    await expect.poll(() => remainsOf(on, store.id), { timeout: 30_000 }).toEqual({ files: 3, chunks: 1, vectors: 1 });
    const another = await upload(bed.client, 'b.txt', 'another');
    await vectorStores.files.create(store.id, { file_id: another });
    expect(await settled(bed.client, store.id, another)).toMatchObject({ status: 'completed' });
    // What was cancelled can be attached again.
    await vectorStores.files.create(store.id, { file_id: files[2]! });
    expect(await settled(bed.client, store.id, files[2]!)).toMatchObject({ status: 'completed' });
  });

  it('is shared by all gateways, and none of it is read twice', async () => {
    await using first = await vectorStoreBed(on);
    await using second = await vectorStoreBed(on);
    const files: string[] = [];
    for (let at = 0; at < 30; at++) files.push(await upload(first.client, 'a.txt', `shared ${at}`));
    const store = await first.client.vectorStores.create({});
    // Half of them by each, so that both have heard of it.
    const halves = [files.slice(0, 15), files.slice(15)];
    await Promise.all(
      [first, second].map(({ client }, at) =>
        client.vectorStores.fileBatches.createAndPoll(store.id, { file_ids: halves[at]! }, { pollIntervalMs: 100 }),
      ),
    );
    const asked = [first, second].map(({ worker }) => worker.work.asked.flatMap(inputsOf));
    expect(asked.flat().sort()).toEqual(files.map((_, at) => `shared ${at}`).sort());
    expect(asked.every(({ length }) => length > 0)).toBe(true);
    expect(await remainsOf(on, store.id)).toEqual({ files: 30, chunks: 30, vectors: 30 });
  });

  it("of one key does not keep another's file from being read", async () => {
    const slow: string[] = [];
    const work = (message: WorkMessage): WorkScript => {
      slow.push(...inputsOf(message));
      return {};
    };
    await using bed = await vectorStoreBed(on, { vectorFilesAtOnceMax: 1 }, [{ work }]);
    const [many, few] = [clientOf(bed, 'many'), clientOf(bed, 'few')];
    const prepare = async (client: typeof many, count: number, text: string) => {
      const files: string[] = [];
      for (let at = 0; at < count; at++) files.push(await upload(client, 'a.txt', `${text} ${at}`));
      return { store: (await client.vectorStores.create({})).id, files };
    };
    const crowd = await prepare(many, 40, 'crowd');
    const one = await prepare(few, 1, 'alone');
    await many.vectorStores.fileBatches.create(crowd.store, { file_ids: crowd.files });
    await few.vectorStores.files.create(one.store, { file_id: one.files[0]! });
    await settled(few, one.store, one.files[0]!);
    expect(slow.length).toBeLessThan(20);
    expect(slow).toContain('alone 0');
  });
});

describe('a large file', { timeout: 60_000 }, () => {
  it("of one key gives way to another's, and is gone on with from where it was", async () => {
    // What tests before left waiting is of other keys, too.
    await database.query("update vector_store_files set status = 'cancelled' where status = 'in_progress'");
    const { vectors, frozen, thawed } = frozenVectors();
    await using bed = await vectorStoreBed({ ...on, vectors }, { vectorFilesAtOnceMax: 1 });
    const [large, small] = [clientOf(bed, 'large'), clientOf(bed, 'small')];
    const sizes = { max_chunk_size_tokens: 100, chunk_overlap_tokens: 0 };
    const text = Array.from({ length: 900 }, (_, at) => `Sentence number ${at} of the large one.`).join(' ');
    const [ofLarge, ofSmall] = [await large.vectorStores.create({}), await small.vectorStores.create({})];
    const [first, second] = [await upload(large, 'a.txt', text), await upload(small, 'b.txt', 'small')];
    await large.vectorStores.files.create(ofLarge.id, {
      file_id: first,
      chunking_strategy: { type: 'static', static: sizes },
    });
    await frozen.promise; // It has the only place.
    await small.vectorStores.files.create(ofSmall.id, { file_id: second });
    thawed.resolve();
    expect(await settled(small, ofSmall.id, second)).toMatchObject({ status: 'completed' });
    expect(await settled(large, ofLarge.id, first)).toMatchObject({ status: 'completed' });
    const asked = bed.worker.work.asked.flatMap(inputsOf);
    expect(asked.indexOf('small')).toBe(8 * 32);
    const { chunks, vectors: points } = await remainsOf(on, ofLarge.id);
    expect(chunks).toBeGreaterThan(8 * 32);
    expect(asked).toHaveLength(chunks + 1);
    expect(points).toBe(chunks);
  });
});

describe('a batch of a store', { timeout: 60_000 }, () => {
  it('that names one file many times looks for it once', async () => {
    let statements = 0;
    const counting = new UnreliableDatabase(database);
    counting.fate = () => {
      statements++;
      return 'works';
    };
    await using bed = await vectorStoreBed({ ...on, database: counting });
    const store = await bed.client.vectorStores.create({});
    const file = await upload(bed.client, 'a.txt', 'x');
    const before = statements;
    const batch = await bed.client.vectorStores.fileBatches.create(store.id, { file_ids: new Array(1_000).fill(file) });
    expect(batch.file_counts.total).toBe(1);
    expect(statements - before).toBeLessThan(100);
  });

  it('is one too many at some time, which is said with both numbers', async () => {
    await using bed = await vectorStoreBed(on, {}, []);
    const store = await bed.client.vectorStores.create({});
    const entries = new EntryTable(database, { vectorStoreFilesMax: 10 }, 1);
    await entries.attachBatch(undefined, store.id, []);
    await expect(entries.attachBatch(undefined, store.id, [])).rejects.toMatchObject({
      code: 'invalid_request',
      message: expect.stringMatching(/has 1 file batches; it may have 1\./),
    });
  });
});

describe('a model', { timeout: 60_000 }, () => {
  it('that finds chunks too long gets smaller ones, unless their size was asked for', async () => {
    const message = 'The input has more tokens than 512.';
    const work = (asked: WorkMessage): WorkScript =>
      inputsOf(asked).some((text) => text.length > 200)
        ? { failure: { code: 'context_length_exceeded', message } }
        : {};
    await using bed = await vectorStoreBed(on, {}, [{ work }]);
    const store = await bed.client.vectorStores.create({});
    const [fits, asked] = await Promise.all([upload(bed.client, 'a.txt', LONG), upload(bed.client, 'b.txt', LONG)]);
    const sizes = { max_chunk_size_tokens: 400, chunk_overlap_tokens: 100 };
    await bed.client.vectorStores.files.create(store.id, { file_id: fits! });
    await bed.client.vectorStores.files.create(store.id, {
      file_id: asked!,
      chunking_strategy: { type: 'static', static: sizes },
    });
    expect(await settled(bed.client, store.id, fits!)).toMatchObject({
      status: 'completed',
      chunking_strategy: { static: { max_chunk_size_tokens: expect.toSatisfy((tokens: number) => tokens < 230) } },
    });
    expect(await settled(bed.client, store.id, asked!)).toMatchObject({
      status: 'failed',
      last_error: { code: 'invalid_file', message: expect.stringContaining(message) },
    });
    const at = { vector_store_id: store.id };
    const { data } = await bed.client.vectorStores.files.content(fits!, at);
    expect(data.map(({ text }) => text).join('')).toBe(LONG);
  });

  it('that takes less than a chunk that was asked for is told with both numbers', async () => {
    await using bed = await vectorStoreBed(on);
    const store = await bed.client.vectorStores.create({});
    const file = await upload(bed.client, 'a.txt', LONG);
    const sizes = { max_chunk_size_tokens: 800, chunk_overlap_tokens: 400 };
    await bed.client.vectorStores.files.create(store.id, {
      file_id: file,
      chunking_strategy: { type: 'static', static: sizes },
    });
    expect(await settled(bed.client, store.id, file)).toMatchObject({
      status: 'failed',
      last_error: { code: 'invalid_file', message: expect.stringMatching(/up to 800 tokens.*takes 512/) },
    });
  });

  it('of another length than the store began with is refused, for files and for searches', async () => {
    await using bed = await vectorStoreBed(on);
    const store = await bed.client.vectorStores.create({ embedding_model: 'vectors' } as object);
    const attach = async (text: string) => {
      const file = await upload(bed.client, 'a.txt', text);
      await bed.client.vectorStores.files.create(store.id, { file_id: file });
      return settled(bed.client, store.id, file);
    };
    expect(await attach('first')).toMatchObject({ status: 'completed' });
    await database.query('update vector_stores set dimension = 16 where id = $1', [store.id]);
    const both = /have 16 numbers; .*vectors makes now have 8/;
    expect(await attach('second')).toMatchObject({
      status: 'failed',
      last_error: { code: 'server_error', message: expect.stringMatching(both) },
    });
    await expect(bed.client.vectorStores.search(store.id, { query: 'x' })).rejects.toMatchObject({
      status: 400,
      message: expect.stringMatching(both),
    });
  });

  it('is the one that the setting names, the one that the store names, or the only one', async () => {
    const models = [VECTORS, { ...VECTORS, id: 'others', aliases: ['short'] }];
    const modelOf = async (setting: string | undefined, named: string | undefined) => {
      await using bed = await vectorStoreBed(on, { vectorStoreModel: setting }, [{ models }]);
      const store = await bed.client.vectorStores.create(
        (named === undefined ? {} : { embedding_model: named }) as object,
      );
      const file = await upload(bed.client, 'a.txt', 'x');
      await bed.client.vectorStores.files.create(store.id, { file_id: file });
      const { last_error } = await settled(bed.client, store.id, file);
      const { embedding_model } = (await bed.client.vectorStores.retrieve(store.id)) as { embedding_model?: string };
      return embedding_model ?? last_error?.message;
    };
    expect(await modelOf('others', undefined)).toBe('others');
    expect(await modelOf('others', 'vectors')).toBe('vectors');
    expect(await modelOf(undefined, 'short')).toBe('others');
    expect(await modelOf(undefined, undefined)).toMatch(/model/);
  });

  it('that was never loaded is the only one that may make vectors, and so is asked', async () => {
    const idle = { id: 'vectors', capabilities: [], contextLength: 0, state: 'idle' };
    const chat = { id: 'demo', isDefault: true, capabilities: ['chat'] };
    await using bed = await vectorStoreBed(on, {}, [{ models: [chat, idle] }]);
    const store = await bed.client.vectorStores.create({});
    const file = await upload(bed.client, 'a.txt', 'x');
    await bed.client.vectorStores.files.create(store.id, { file_id: file });
    expect(await settled(bed.client, store.id, file)).toMatchObject({ status: 'completed' });
    expect(await bed.client.vectorStores.retrieve(store.id)).toMatchObject({ embedding_model: 'vectors' });
  });
});

describe('while a store is away', { timeout: 60_000 }, () => {
  it('a search is a 503 that says so', async () => {
    const vectors = new MemoryVectors();
    await using bed = await vectorStoreBed({ ...on, vectors });
    const store = await bed.client.vectorStores.create({});
    const file = await upload(bed.client, 'a.txt', 'x');
    await bed.client.vectorStores.files.create(store.id, { file_id: file });
    await settled(bed.client, store.id, file);
    vectors.mishap = 'away';
    await expect(bed.client.vectorStores.search(store.id, { query: 'x' })).rejects.toMatchObject({
      status: 503,
      code: 'store_unavailable',
    });
  });

  it('removing goes on when it is back', async () => {
    const vectors = new MemoryVectors();
    await using bed = await vectorStoreBed({ ...on, vectors });
    const store = await bed.client.vectorStores.create({});
    const file = await upload(bed.client, 'a.txt', 'x');
    await bed.client.vectorStores.files.create(store.id, { file_id: file });
    await settled(bed.client, store.id, file);
    vectors.mishap = 'away';
    const before = vectors.asked;
    await bed.client.vectorStores.delete(store.id);
    await expect.poll(() => vectors.asked, { timeout: 30_000 }).toBeGreaterThan(before);
    expect(await remainsOf({ ...on, vectors: new MemoryVectors() }, store.id)).toMatchObject({ files: 1, chunks: 1 });
    vectors.mishap = undefined;
    await expect
      .poll(() => remainsOf({ ...on, vectors }, store.id), { timeout: 30_000 })
      .toEqual({ files: 0, chunks: 0, vectors: 0 });
  });
});
