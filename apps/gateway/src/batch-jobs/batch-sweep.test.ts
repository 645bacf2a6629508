import { Readable } from 'node:stream';
import { createLogger } from '@millrace/runtime';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { folderOfItsOwn } from '../files/files.testing.js';
import { openEmbedded, openPostgres } from '../request-log/database.testing.js';
import type { SqlDatabase } from '../stores/sql-database.js';
import { BatchStore, type NewBatch } from './batch-store.js';
import { BatchSweep } from './batch-sweep.js';
import { SegmentStore } from './segments.js';

const postgresUrl = process.env.TEST_POSTGRES_URL;
const NEVER = new AbortController().signal;
const silent = createLogger({ name: 'test', level: 'silent', format: 'json' });
const A_BATCH: NewBatch = {
  keyId: null,
  endpoint: '/v1/chat/completions',
  inputFileId: 'file-1',
  completionWindow: '24h',
  windowSeconds: 86_400,
  metadata: null,
  outputExpiresAfter: null,
};

function batchSweepContract(open: () => Promise<SqlDatabase>): void {
  let database: SqlDatabase;
  let batches: BatchStore;
  const objects = folderOfItsOwn();
  const segments = new SegmentStore(objects, { lines: async function* () {} });
  beforeAll(async () => {
    database = await open();
    batches = new BatchStore(database);
  }, 120_000);
  beforeEach(() => database.query('delete from batches; delete from record_chores'));
  afterAll(async () => {
    await database.close();
    await objects.close();
  });

  const made = async () => (await batches.create(A_BATCH, 10_000))!.id;
  const left = async () => (await batches.list(null, undefined, 10_000))!.map(({ id }) => id).reverse();
  const aged = (days: number) =>
    database.query(
      `update batches set created_at = created_at - $1::int * interval '1 day',
        completed_at = completed_at - $1::int * interval '1 day', failed_at = failed_at - $1::int * interval '1 day',
        expired_at = expired_at - $1::int * interval '1 day', cancelled_at = cancelled_at - $1::int * interval '1 day'`,
      [days],
    );
  const swept = (batchKeptDays: number) => new BatchSweep(database, segments, { batchKeptDays }, silent).sweep(NEVER);

  async function ended(ending: 'completed' | 'failed' | 'expired' | 'cancelled'): Promise<string> {
    const id = await made();
    await batches.checked(id, { kind: 'valid', slices: [], lines: 0, model: null });
    if (ending === 'completed') await batches.openWork({ id });
    else await batches.end(id, ending);
    await batches.finish(id);
    expect(await batches.find(id)).toMatchObject({ status: ending });
    return id;
  }

  it('forgets batches that ended longer ago than they are kept, however they ended, and no others', async () => {
    for (const ending of ['completed', 'failed', 'expired', 'cancelled'] as const) await ended(ending);
    const goesOn = await made();
    await aged(30);
    const young = await ended('cancelled');
    await swept(31);
    expect(await left()).toHaveLength(6);
    await swept(29);
    expect(await left()).toEqual([goesOn, young]);
  });

  it('forgets what a gateway that was killed has left of them, and of no others', async () => {
    const [old, young] = [await ended('completed'), await ended('completed')];
    await database.query("update batches set completed_at = now() - interval '2 days' where id = $1", [old]);
    for (const id of [old, young])
      await objects.put(`batches/${id}/0-x.output`, Readable.from([Buffer.from('{}')]), NEVER);
    await swept(1);
    expect(await left()).toEqual([young]);
    const kept = await objects.list('batches/', { limit: 10 }, NEVER);
    expect(kept.map(({ key }) => key)).toEqual([`batches/${young}/0-x.output`]);
  });

  it('forgets all of them where there are more than go at a time', async () => {
    await database.query(
      `insert into batches (id, endpoint, input_file_id, completion_window, expires_at, status, failed_at)
        select 'batch_' || number, '/v1/embeddings', 'file-1', '24h', now(), 'failed', now() - interval '2 days'
        from generate_series(1, 1200) as number`,
    );
    await swept(1);
    expect(await left()).toEqual([]);
  });

  it('falls to one gateway of several', async () => {
    let sweeps = 0;
    const counted: SqlDatabase = Object.assign(Object.create(database), {
      query: (...asked: Parameters<SqlDatabase['query']>) => {
        if (asked[0].startsWith('select id from batches')) sweeps++;
        return database.query(...asked);
      },
    });
    const all = Array.from({ length: 5 }, () => new BatchSweep(counted, segments, { batchKeptDays: 1 }, silent));
    for (const one of all) one.start();
    await expect.poll(() => sweeps).toBe(1);
    for (const one of all) await one.close();
    expect(sweeps).toBe(1);
  });
}

describe('batches in the embedded database', () => {
  batchSweepContract(openEmbedded);
});

describe.skipIf(postgresUrl === undefined)('batches in a real Postgres (TEST_POSTGRES_URL)', () => {
  batchSweepContract(() => openPostgres(postgresUrl!));
});
