import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { type JobQueue, JobQueueFull, PAYLOAD_BYTES_MAX, type TakenJob } from './job-queue.js';

export const CONTRACT_LEASE_MS = 1_000;
export const CONTRACT_JOBS_MAX = 20;

/** A loaded machine takes its time, and a lease that runs out is noticed a while later. */
const PATIENCE = { timeout: 30_000, interval: 50 };

/**
 * What every JobQueue promises.
 *
 * @param open another on the same queue, as another gateway would have it; each call of `fresh` begins an empty one. Leases last
 * CONTRACT_LEASE_MS, and CONTRACT_JOBS_MAX jobs are allowed.
 */
export function jobQueueContract(fresh: () => Promise<() => JobQueue>): void {
  const opened: JobQueue[] = [];
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((queue) => queue.close()));
  });

  async function openTwo(): Promise<readonly [JobQueue, JobQueue]> {
    const open = await fresh();
    const two = [open(), open()] as const;
    opened.push(...two);
    return two;
  }

  async function openOne(): Promise<JobQueue> {
    return (await openTwo())[0];
  }

  const aJob = (id: string, priority = 0) => ({ id, payload: `{"of":"${id}"}`, priority });
  const { signal } = new AbortController();
  const taken = async (queue: JobQueue) => (await queue.take(signal))!;

  /** What is taken within so long; undefined: nothing was. */
  async function takenWithin(queue: JobQueue, ms: number): Promise<TakenJob | undefined> {
    return queue.take(AbortSignal.timeout(ms)).catch(() => undefined);
  }

  describe('a job', () => {
    it('is taken as it was added', async () => {
      const queue = await openOne();
      await queue.add(aJob('one'));
      expect(await taken(queue)).toMatchObject({ id: 'one', payload: '{"of":"one"}', attempt: 1 });
    });

    it('is waited for', async () => {
      const [queue, other] = await openTwo();
      const waiting = queue.take(signal);
      await other.add(aJob('one'));
      expect(await waiting).toMatchObject({ id: 'one' });
    });

    it('is taken by one of many who wait', async () => {
      const [queue, other] = await openTwo();
      const leaving = new AbortController();
      const takers = [queue, other, queue, other, queue].map((one) => one.take(leaving.signal).catch(() => undefined));
      await queue.add(aJob('one'));
      await Promise.race(takers);
      leaving.abort();
      expect((await Promise.all(takers)).filter((job) => job !== undefined)).toHaveLength(1);
    });

    it('is never had by two at a time, however many take at once', async () => {
      const two = await openTwo();
      for (let number = 0; number < CONTRACT_JOBS_MAX; number++) await two[0].add(aJob(`j${number}`));
      const takings = Array.from({ length: CONTRACT_JOBS_MAX }, (_, index) => taken(two[index % 2]!));
      const ids = (await Promise.all(takings)).map(({ id }) => id);
      expect(new Set(ids).size).toBe(CONTRACT_JOBS_MAX);
      expect(await two[0].counts()).toEqual({ waiting: 0, taken: CONTRACT_JOBS_MAX });
    });

    it('is there once, however often it is added', async () => {
      const queue = await openOne();
      await queue.add(aJob('one'));
      await queue.add({ ...aJob('one'), payload: 'another' });
      expect(await queue.counts()).toEqual({ waiting: 1, taken: 0 });
      const job = await taken(queue);
      expect(job.payload).toBe('{"of":"one"}');
      await queue.add(aJob('one'));
      expect(await queue.counts()).toEqual({ waiting: 0, taken: 1 });
    });

    it('can be added again once it was done', async () => {
      const queue = await openOne();
      await queue.add(aJob('one'));
      expect(await queue.done(await taken(queue))).toBe(true);
      await queue.add(aJob('one'));
      expect(await taken(queue)).toMatchObject({ id: 'one', attempt: 1 });
    });

    it('is gone when it is done', async () => {
      const queue = await openOne();
      await queue.add(aJob('one'));
      const job = await taken(queue);
      expect(await queue.done(job)).toBe(true);
      expect(await queue.counts()).toEqual({ waiting: 0, taken: 0 });
      expect(await queue.done(job)).toBe(false);
    });

    it('carries what it may, and not more', async () => {
      const queue = await openOne();
      const payload = 'x'.repeat(PAYLOAD_BYTES_MAX);
      await queue.add({ ...aJob('large'), payload });
      expect((await taken(queue)).payload).toBe(payload);
      await expect(queue.add({ ...aJob('larger'), payload: `${payload}x` })).rejects.toThrow(RangeError);
      await expect(queue.add(aJob('no:id'))).rejects.toThrow(RangeError);
      await expect(queue.add(aJob('x', 0.5))).rejects.toThrow(RangeError);
    });
  });

  describe('the order', () => {
    it('is by priority, then by age', async () => {
      const queue = await openOne();
      for (const [id, priority] of [
        ['low', -1_000],
        ['first', 0],
        ['second', 0],
        ['high', 5],
        ['lower', -1_001],
      ] as const)
        await queue.add(aJob(id, priority));
      const ids: string[] = [];
      for (let number = 0; number < 5; number++) ids.push((await taken(queue)).id);
      expect(ids).toEqual(['high', 'first', 'second', 'low', 'lower']);
    });
  });

  describe('a lease', () => {
    it('that runs out gives the job to somebody else, and refuses whoever had it', async () => {
      const [queue, other] = await openTwo();
      await queue.add(aJob('one'));
      const dead = await taken(queue);
      const next = await taken(other);
      expect(next).toMatchObject({ id: 'one', payload: dead.payload });
      expect(next.attempt).toBeGreaterThan(dead.attempt);
      expect(await queue.extend(dead)).toBe(false);
      expect(await queue.retryLater(dead, 0)).toBe(false);
      expect(await queue.done(dead)).toBe(false);
      expect(await other.counts()).toEqual({ waiting: 0, taken: 1 });
      expect(await other.done(next)).toBe(true);
    }, 30_000);

    it('that is extended keeps the job', async () => {
      const [queue, other] = await openTwo();
      await queue.add(aJob('one'));
      const job = await taken(queue);
      const extending = setInterval(() => void queue.extend(job), CONTRACT_LEASE_MS / 10);
      onTestFinished(() => clearInterval(extending));
      expect(await takenWithin(other, CONTRACT_LEASE_MS * 3)).toBeUndefined();
      clearInterval(extending);
      expect(await queue.done(job)).toBe(true);
    }, 30_000);
  });

  describe('a job that is given back', () => {
    it('can be taken at once', async () => {
      const [queue, other] = await openTwo();
      await queue.add(aJob('one'));
      expect(await queue.retryLater(await taken(queue), 0)).toBe(true);
      expect(await taken(other)).toMatchObject({ id: 'one' });
    });

    it('goes behind its equals, and stays before what is lower', async () => {
      const queue = await openOne();
      for (const id of ['one', 'two']) await queue.add(aJob(id, 1));
      await queue.add(aJob('low'));
      const ids: string[] = [];
      for (let turn = 0; turn < 4; turn++) {
        const job = await taken(queue);
        ids.push(job.id);
        await queue.retryLater(job, 0);
        await expect.poll(() => queue.counts(), PATIENCE).toEqual({ waiting: 3, taken: 0 });
      }
      expect(ids).toEqual(['one', 'two', 'one', 'two']);
    });

    it('waits for its delay', async () => {
      const [queue, other] = await openTwo();
      await queue.add(aJob('one'));
      const job = await taken(queue);
      const sinceMs = performance.now();
      expect(await queue.retryLater(job, 700)).toBe(true);
      expect(await queue.counts()).toEqual({ waiting: 1, taken: 0 });
      expect((await taken(other)).attempt).toBeGreaterThan(job.attempt);
      expect(performance.now() - sinceMs).toBeGreaterThan(600);
    });

    it('does not keep others back', async () => {
      const queue = await openOne();
      await queue.add(aJob('one', 9));
      await queue.retryLater(await taken(queue), 60_000);
      await queue.add(aJob('two'));
      expect(await taken(queue)).toMatchObject({ id: 'two' });
    });

    it('can not be put off for ever', async () => {
      const queue = await openOne();
      await queue.add(aJob('one'));
      await expect(queue.retryLater(await taken(queue), Number.POSITIVE_INFINITY)).rejects.toThrow(RangeError);
    });
  });

  describe('the limit', () => {
    it('refuses one job more, with both numbers, until one is done', async () => {
      const queue = await openOne();
      for (let number = 0; number < CONTRACT_JOBS_MAX; number++) await queue.add(aJob(`j${number}`));
      const refused = queue.add(aJob('more'));
      await expect(refused).rejects.toMatchObject({ jobs: CONTRACT_JOBS_MAX, jobsMax: CONTRACT_JOBS_MAX });
      await expect(refused).rejects.toBeInstanceOf(JobQueueFull);
      await queue.add(aJob('j3')); // Is there.
      await queue.done(await taken(queue));
      await queue.add(aJob('more'));
    });
  });

  describe('whoever waits', () => {
    it('leaves by its signal, and takes nothing with it', async () => {
      const queue = await openOne();
      const leaving = new AbortController();
      const waiting = queue.take(leaving.signal);
      leaving.abort(new Error('enough'));
      await expect(waiting).rejects.toThrow('enough');
      await expect(queue.take(leaving.signal)).rejects.toThrow('enough');
      await queue.add(aJob('one'));
      expect(await taken(queue)).toMatchObject({ id: 'one' });
    });

    it('is told when the queue is closed', async () => {
      const [queue, other] = await openTwo();
      const waiting = [queue.take(signal), queue.take(signal)];
      await queue.close();
      expect(await Promise.all(waiting)).toEqual([undefined, undefined]);
      expect(await queue.take(signal)).toBeUndefined();
      await other.add(aJob('one'));
      expect(await taken(other)).toMatchObject({ id: 'one' });
    });
  });

  describe('a gateway that ends', () => {
    it('leaves its jobs to the others', async () => {
      const [queue, other] = await openTwo();
      await queue.add(aJob('had'));
      await queue.add(aJob('added'));
      await taken(queue);
      await queue.close();
      await expect
        .poll(async () => {
          const job = await takenWithin(other, 2_000);
          if (job !== undefined) await other.done(job);
          return other.counts();
        }, PATIENCE)
        .toEqual({ waiting: 0, taken: 0 });
    }, 60_000);
  });
}
