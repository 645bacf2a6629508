import { setTimeout as sleep } from 'node:timers/promises';
import { createLogger } from '@millrace/runtime';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { BatchFiles } from '../batch-jobs/batch-files.js';
import { BatchStore } from '../batch-jobs/batch-store.js';
import { LineGate } from '../batch-jobs/line-gate.js';
import { NO_USAGE } from '../batch-jobs/line-outcome.js';
import { SegmentStore } from '../batch-jobs/segments.js';
import { type BatchStores, chatLine, openBatchStores, PATIENCE } from '../batches.testing.js';
import { keysIn } from '../files/files.testing.js';
import { SqlJobQueue } from '../stores/adapters/sql-job-queue.js';
import type { AnswerBatchLine } from './answer-batch-line.js';
import { BATCH_PACE, type BatchPace, RunBatchJobs } from './run-batch-jobs.js';

const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });
const LIMITS = { batchLinesMax: 1_000, lineBytesMax: 100_000 };
const { signal } = new AbortController();

let stores: BatchStores;
beforeAll(async () => {
  stores = await openBatchStores();
  await stores.database.query('select 1');
}, 120_000);
afterEach(() => stores.database.query('delete from jobs; delete from batches'));
afterAll(() => stores[Symbol.asyncDispose]());

/** Batches that run by themselves on real stores; their files are texts by name. */
function open(answer: (name: string) => Promise<void>, pace: Partial<BatchPace> = {}) {
  const { database, objects } = stores;
  const inputs = new Map<string, string>();
  const store = new BatchStore(database);
  const queue = new SqlJobQueue(database, { queue: 'turns', leaseMs: 5_000, jobsMax: 1_000, pauseMsMax: 50 });
  const files: BatchFiles = {
    find: async () => undefined,
    open: async (id, _keyId, range) => {
      const all = Buffer.from(inputs.get(id)!);
      const content = range === undefined ? all : all.subarray(range.from, range.from + range.bytes);
      return {
        content: (async function* () {
          yield content;
        })(),
        [Symbol.asyncDispose]: async () => {},
      };
    },
    create: async ({ filename }, content, together) => {
      for await (const _ of content);
      await database.transaction((query) => together(query, `file-${filename}`));
    },
  };
  const answerLine = {
    run: async ({ body }: { body: { messages: readonly { content: string }[] } }) => {
      await answer(body.messages[0]!.content.replace('say ', ''));
      return { json: '{}', usage: NO_USAGE };
    },
  } as unknown as AnswerBatchLine;
  const gate = new LineGate({ batchConcurrency: 2, batchConcurrencyBeside: 2 }, () => ({ running: 0, waiting: 0 }));
  const segments = new SegmentStore(objects, store);
  const callers = { callerOfKey: async () => undefined };
  const jobs = new RunBatchJobs({ queue, store, files, segments, gate, answerLine, callers }, LIMITS, logger, {
    ...BATCH_PACE,
    sweepMs: 50,
    ...pace,
  });
  return {
    jobs,
    store,
    make: async (names: readonly string[]) => {
      const inputFileId = `file-${inputs.size}`;
      inputs.set(inputFileId, names.map((name) => `${chatLine(name)}\n`).join(''));
      const batch = await store.create(
        {
          keyId: null,
          endpoint: '/v1/chat/completions',
          inputFileId,
          completionWindow: '24h',
          windowSeconds: 86_400,
          metadata: null,
          outputExpiresAfter: null,
        },
        1_000,
      );
      return batch!.id;
    },
    whenOver: (id: string) => expect.poll(() => store.isOver(id), PATIENCE).toBe(true),
    [Symbol.asyncDispose]: async () => {
      await jobs.stop(0);
      await queue.close();
    },
  };
}

const names = (of: string, count: number) => Array.from({ length: count }, (_, index) => `${of}-${index}`);

describe('batches of slow lines', { timeout: 120_000 }, () => {
  it('let others have their turns, and lose nothing by that', async () => {
    const asked: string[] = [];
    const answer = async (name: string) => {
      asked.push(name);
      if (name.startsWith('slow')) await sleep(20);
    };
    await using bed = open(answer, { sliceTurnMs: 100 });
    const slow = [await bed.make(names('slow-a', 60)), await bed.make(names('slow-b', 60))];
    const quick = await bed.make(['quick']);
    bed.jobs.start();
    for (const id of [...slow, quick]) await bed.whenOver(id);
    for (const id of slow)
      expect(await bed.store.find(id)).toMatchObject({ status: 'completed', completed: 60, failed: 0 });
    expect(await bed.store.find(quick)).toMatchObject({ status: 'completed', completed: 1 });
    expect(new Set(asked).size).toBe(asked.length);
    expect(asked).toHaveLength(121);
    expect(asked.indexOf('quick')).toBeLessThan(100);
  });
});

describe('batches that stand in no queue', { timeout: 120_000 }, () => {
  it('are all found, however many are in front of them that do not go on', async () => {
    await using bed = open(async () => {}, { sweptBatchesMax: 2 });
    const stuck = [await bed.make(['a']), await bed.make(['b'])];
    // A live batch whose next step nobody can do.
    await stores.database.query("update batches set status = 'in_progress', ending = null where id = any($1)", [stuck]);
    await stores.database.query(
      'insert into batch_slices (batch_id, slice, first_line, byte_from, bytes) select id, 0, 1, 0, 1 from batches',
    );
    await stores.database.query(
      `insert into jobs (queue, id, payload, priority, due_at)
        select 'turns', id || '.slice-0', '{}', 0, now() + interval '1 day' from batches`,
    );
    const found = [await bed.make(['c']), await bed.make(['d']), await bed.make(['e'])];
    bed.jobs.start();
    for (const id of found) await bed.whenOver(id);
    // Round again, for those that came in front meanwhile.
    await stores.database.query('update jobs set due_at = now(), payload = $1', ['{"step":"check","batchId":"none"}']);
    for (const id of stuck) await bed.whenOver(id);
  });
});

describe('a batch whose answers are gone', { timeout: 120_000 }, () => {
  async function* content() {
    yield Buffer.from('x');
  }

  it.each(['finalizing', 'cancelling'] as const)('fails, and says so, while it is %s', async (status) => {
    await using bed = open(async () => {});
    const id = await bed.make(['a']);
    await stores.objects.put(`batches/${id}/left`, content(), signal);
    await stores.database.query(
      `insert into batch_slices (batch_id, slice, first_line, byte_from, bytes, output_key, closed_at)
        values ($1, 0, 1, 0, 1, $2, now())`,
      [id, `batches/${id}/0-gone.output`],
    );
    await stores.database.query('update batches set status = $2 where id = $1', [id, status]);
    bed.jobs.start();
    await bed.whenOver(id);
    const batch = await bed.store.find(id);
    expect(batch).toMatchObject({ status: 'failed', errors: [{ code: 'internal_error' }], output_file_id: null });
    expect(batch?.failed_at).toBeInstanceOf(Date);
    const left = async () => (await keysIn(stores.objects)).filter((key) => key.includes(id));
    await expect.poll(left, PATIENCE).toEqual([]);
  });
});
