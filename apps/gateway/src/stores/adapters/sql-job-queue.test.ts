import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openEmbedded, openPostgres, UnreliableDatabase } from '../../request-log/database.testing.js';
import { CONTRACT_JOBS_MAX, CONTRACT_LEASE_MS, jobQueueContract } from '../job-queue.contract.js';
import { JobQueueUnavailable } from '../job-queue.js';
import type { SqlDatabase } from '../sql-database.js';
import { SqlJobQueue } from './sql-job-queue.js';

const url = process.env.TEST_POSTGRES_URL;
const LIMITS = { leaseMs: CONTRACT_LEASE_MS, jobsMax: CONTRACT_JOBS_MAX };
let queues = 0;

function contractOn(open: () => Promise<SqlDatabase>): void {
  let database: SqlDatabase;
  beforeAll(async () => {
    database = await open();
    await database.query('select 1');
  }, 120_000);
  afterAll(() => database.close());
  jobQueueContract(async () => {
    const queue = `q${queues++}`;
    return () => new SqlJobQueue(database, { queue, ...LIMITS });
  });
}

describe('a queue in the embedded database', { timeout: 60_000 }, () => {
  contractOn(openEmbedded);
});

describe.skipIf(url === undefined)(
  'a queue in a real Postgres (TEST_POSTGRES_URL is not set: `make test-services`)',
  () => {
    contractOn(() => openPostgres(url!));
  },
);

describe('a queue whose database goes away', { timeout: 120_000 }, () => {
  it('says so, and hands out what was added once it is back', async () => {
    await using stack = new AsyncDisposableStack();
    const real = stack.adopt(await openEmbedded(), (database) => database.close());
    const database = new UnreliableDatabase(real);
    const queue = stack.adopt(new SqlJobQueue(database, { queue: 'away', ...LIMITS }), (one) => one.close());
    await queue.add({ id: 'one', payload: '', priority: 0 });
    database.fate = () => 'fails before';
    await expect(queue.add({ id: 'two', payload: '', priority: 0 })).rejects.toBeInstanceOf(JobQueueUnavailable);
    const waiting = queue.take(new AbortController().signal);
    await expect.poll(() => queue.trouble).toContain('is away');
    database.fate = () => 'works';
    expect(await waiting).toMatchObject({ id: 'one' });
    expect(queue.trouble).toBeUndefined();
  });

  it('hands out a job again whose taking nobody heard of', async () => {
    await using stack = new AsyncDisposableStack();
    const real = stack.adopt(await openEmbedded(), (database) => database.close());
    const database = new UnreliableDatabase(real);
    const queue = stack.adopt(new SqlJobQueue(database, { queue: 'lost', ...LIMITS }), (one) => one.close());
    await queue.add({ id: 'one', payload: '', priority: 0 });
    let asked = 0;
    database.fate = () => (asked++ === 0 ? 'fails after' : 'works');
    expect(await queue.take(new AbortController().signal)).toMatchObject({ id: 'one', attempt: 2 });
  });
});
