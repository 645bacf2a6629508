import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { attemptOf, type Play } from '../../apps/gateway/src/dispatch/worker-client.contract.ts';
import type { AnswerAttempt } from '../../apps/gateway/src/dispatch/worker-client.ts';
import type { SequenceEvent } from '../../apps/gateway/src/vocabulary.ts';
import { RealRedis } from '../services/real-redis.ts';
import { QueueBed, type QueueBedOptions } from './queue-bed.testing.ts';

const url = process.env.TEST_REDIS_URL;
const FOREVER = new AbortController().signal;

async function textOf(events: AsyncIterable<SequenceEvent>): Promise<string> {
  let text = '';
  for await (const event of events) if (event.kind === 'tokens') text += event.text;
  return text;
}

const rejection = (promise: Promise<unknown>) =>
  promise.then(
    () => 'it did not fail',
    (error: unknown) => error,
  );

describe.skipIf(url === undefined)('work that goes by a queue (skipped where TEST_REDIS_URL names no Redis)', () => {
  const beds: QueueBed[] = [];
  afterEach(async () => {
    for (const bed of beds.splice(0)) await bed.close();
  });

  async function open(options: QueueBedOptions = {}, at = url!): Promise<QueueBed> {
    const bed = await QueueBed.open(at, options);
    beds.push(bed);
    return bed;
  }

  const ask = (bed: QueueBed, play: Play, more: Partial<AnswerAttempt> = {}, signal = FOREVER) =>
    bed.client.answer(attemptOf([play], more), signal);

  /** Until the first words are there. */
  async function begun(events: AsyncIterator<SequenceEvent>): Promise<string> {
    for (;;) {
      const { value, done } = await events.next();
      if (done) throw new Error('it ended');
      if (value.kind === 'tokens') return value.text;
    }
  }

  it('leaves nothing of itself in Redis', async () => {
    const bed = await open();
    expect(await textOf(ask(bed, 'say one two three'))).toBe('one two three');
    const left = ask(bed, 'endless')[Symbol.asyncIterator]();
    await begun(left);
    await left.return?.();
    await expect.poll(() => bed.running()).toBe(0);
    const ofJobs = async () =>
      (await bed.keys()).filter((key) => /^(answer|payload|jobs:pool:[0-9a-f-]{36})/.test(key));
    await expect.poll(ofJobs, { timeout: 5_000 }).toEqual([]);
    // What tells the worker that nobody reads stays for a while.
    for (const key of await bed.keys()) {
      if (/^(control|gateway|worker:|workers|wake)/.test(key)) {
        expect(await bed.redis.pttl(bed.names.workers.replace(/workers$/, key))).toBeGreaterThan(0);
      }
    }
  });

  it('carries a request that is too large for a job beside it', async () => {
    const bed = await open();
    const words = `say ${'long '.repeat(40_000)}end` as const;
    const events = ask(bed, words)[Symbol.asyncIterator]();
    expect(await begun(events)).toContain('long ');
    await events.return?.();
  });

  it('is read no more where its client left while it was on its way', async () => {
    const bed = await open();
    const words = `say ${'long '.repeat(40_000)}end` as const;
    for (let times = 0; times < 30; times++) {
      const leaving = new AbortController();
      const answer = rejection(textOf(ask(bed, words, {}, leaving.signal)));
      if (times % 3 > 0) await sleep(times % 3);
      leaving.abort(new Error('left'));
      await answer;
    }
    await expect.poll(() => bed.link.streams.size).toBe(0);
    await expect.poll(async () => (await bed.keys()).filter((key) => key.startsWith('payload:'))).toEqual([]);
  });

  it('is not asked of a pool whose name is none', async () => {
    const bed = await open();
    const workerId = bed.link.watch.workers()[0]!.workerId;
    for (const pool of ['a:b', '', 'A', 'a'.repeat(65)]) {
      await bed.redis.hset(bed.names.worker('stranger'), await bed.redis.hgetall(bed.names.worker(workerId)));
      await bed.redis.hset(bed.names.worker('stranger'), 'pool', pool);
      await bed.redis.zadd(bed.names.workers, Date.now() + 60_000, 'stranger');
      await bed.link.watch.look();
      expect(bed.link.watch.workers().map(({ pool: name }) => name)).toEqual(['pool']);
    }
    expect(await textOf(ask(bed, 'say one two'))).toBe('one two');
  });

  it('is asked for again where what lay beside the job is gone', async () => {
    const bed = await open({ worker: { maxBatchSize: 1 } });
    const running = ask(bed, 'endless')[Symbol.asyncIterator]();
    await begun(running);
    const large = rejection(textOf(ask(bed, `say ${'long '.repeat(40_000)}end`)));
    await expect.poll(async () => (await bed.keys()).filter((key) => key.startsWith('payload:')).length).toBe(1);
    await expect.poll(() => bed.redis.zcard(`${bed.names.bull}:pool:prioritized`)).toBe(1);
    for (const key of await bed.keys())
      if (key.startsWith('payload:')) await bed.redis.del(bed.names.payload(key.slice(8)));
    await running.return?.();
    expect(await large).toMatchObject({ code: 'worker_lost' });
    expect(bed.worker.outcomes).toEqual(['begun', 'malformed']);
  });

  it('refuses a request that is larger than a body may be', async () => {
    const bed = await open({ limits: { sentBytesMax: 1_000 } });
    expect(() => ask(bed, `say ${'long '.repeat(1_000)}`)).toThrow(
      expect.objectContaining({ code: 'request_too_large' }),
    );
  });

  it('takes no more jobs than it has places, and the next as one is free', async () => {
    const bed = await open({ worker: { maxBatchSize: 2 } });
    const [first, second, third] = ['endless', 'endless', 'say at last'].map((play) =>
      ask(bed, play as Play)[Symbol.asyncIterator](),
    );
    await begun(first!);
    await begun(second!);
    const waits = begun(third!);
    expect(await Promise.race([waits, sleep(200, 'it waits')])).toBe('it waits');
    expect(bed.running()).toBe(2);
    await first!.return?.();
    // Words that come while nobody asks are one piece.
    expect(await waits).toMatch(/^at /);
    await second!.return?.();
  });

  it('refuses what is one too many, and says both numbers', async () => {
    const bed = await open({ worker: { maxBatchSize: 1 }, limits: { queueJobsMax: 2 } });
    const running = ask(bed, 'endless')[Symbol.asyncIterator]();
    await begun(running);
    const waiting = [ask(bed, 'say a'), ask(bed, 'say b')].map(textOf);
    await expect.poll(() => bed.redis.zcard(`${bed.names.bull}:pool:prioritized`)).toBe(2);
    expect(await rejection(textOf(ask(bed, 'say c')))).toMatchObject({
      code: 'rate_limit_exceeded',
      message: '2 jobs are waiting for a worker of this model (the limit is 2). Try again later.',
      details: { limit: 'queue', retryAfterSeconds: expect.any(Number) },
    });
    await running.return?.();
    expect(await Promise.all(waiting)).toEqual(['a', 'b']);
  });

  describe('where the queue is full', () => {
    const idsIn = (bed: QueueBed) => bed.redis.zrange(`${bed.names.bull}:pool:prioritized`, '0', '-1');
    const waitingIn = async (bed: QueueBed) => (await idsIn(bed)).length;
    const keysOfJobs = async (bed: QueueBed) =>
      (await bed.keys()).filter((key) => /^(answer|control|payload|jobs:pool:[0-9a-f-]{36})/.test(key));

    it('has the place of what a gateway left that died, and nothing of that stays', async () => {
      const bed = await open({ worker: { maxBatchSize: 1 }, limits: { queueJobsMax: 3 } });
      const running = ask(bed, 'endless')[Symbol.asyncIterator]();
      await begun(running);
      const ofRunning = await keysOfJobs(bed);
      const dead = await bed.addGateway();
      const large = `say ${'long '.repeat(40_000)}` as const;
      for (const play of ['say a', 'say b', large] as const)
        void rejection(textOf(dead.client.answer(attemptOf([play], {}), FOREVER)));
      await expect.poll(() => waitingIn(bed)).toBe(3);
      expect(await keysOfJobs(bed)).toContainEqual(expect.stringMatching(/^payload/));
      await dead.die();
      const next = textOf(ask(bed, 'say mine'));
      await expect.poll(() => waitingIn(bed)).toBe(1);
      const [left, before] = [await keysOfJobs(bed), new Set(ofRunning)];
      expect(left.filter((key) => !before.has(key))).toEqual([expect.stringMatching(/^jobs:pool:/)]);
      await running.return?.();
      expect(await next).toBe('mine');
      expect(bed.worker.outcomes).toEqual(['begun', 'begun']);
    });

    it('has the place of what nobody has time for any more', async () => {
      const bed = await open({ worker: { maxBatchSize: 1 }, limits: { queueJobsMax: 1 } });
      const running = ask(bed, 'endless')[Symbol.asyncIterator]();
      await begun(running);
      // Nobody leaves, so that the job stays in the queue.
      void rejection(textOf(ask(bed, 'say late', { deadlineMs: 50 })));
      await expect.poll(() => waitingIn(bed)).toBe(1);
      const [late] = await idsIn(bed);
      await sleep(100);
      const next = textOf(ask(bed, 'say mine'));
      await expect.poll(() => idsIn(bed)).toEqual([expect.not.stringMatching(late!)]);
      await running.return?.();
      expect(await next).toBe('mine');
      expect(bed.worker.outcomes).toEqual(['begun', 'begun']);
    });

    it('has it among many, and those that somebody waits for stay', async () => {
      const bed = await open({ worker: { maxBatchSize: 1 }, limits: { queueJobsMax: 140 } });
      const running = ask(bed, 'endless')[Symbol.asyncIterator]();
      await begun(running);
      const dead = await bed.addGateway({ queueJobsMax: 1_000 });
      const leave = (jobs: number) => {
        for (let at = 0; at < jobs; at++)
          void rejection(textOf(dead.client.answer(attemptOf(['say nothing'], {}), FOREVER)));
      };
      leave(70);
      await expect.poll(() => waitingIn(bed)).toBe(70);
      const words = Array.from({ length: 10 }, (_, at) => `word-${at}`);
      const wanted = words.map((word) => textOf(ask(bed, `say ${word}`)));
      await expect.poll(() => waitingIn(bed)).toBe(80);
      leave(60);
      // It counts now and then.
      await expect.poll(() => bed.client.waiting).toBe(140);
      await dead.die();
      wanted.push(textOf(ask(bed, 'say last')));
      await expect.poll(() => waitingIn(bed)).toBe(11);
      await running.return?.();
      expect(await Promise.all(wanted)).toEqual([...words, 'last']);
      expect(bed.worker.outcomes).toEqual(Array.from({ length: 12 }, () => 'begun'));
    });
  });

  it('drops a job unread whose time was over while it waited', async () => {
    const bed = await open({ worker: { maxBatchSize: 1 } });
    const running = ask(bed, 'endless')[Symbol.asyncIterator]();
    await begun(running);
    // Nobody leaves, so that the job stays in the queue.
    void rejection(textOf(ask(bed, 'say late', { deadlineMs: 50 })));
    await expect.poll(() => bed.redis.zcard(`${bed.names.bull}:pool:prioritized`)).toBe(1);
    await sleep(100);
    await running.return?.();
    await expect.poll(() => bed.worker.outcomes).toEqual(['begun', 'expired']);
    expect(bed.worker.engine.asked).toHaveLength(1);
  });

  it('takes a job out of the queue whose caller leaves before it was taken', async () => {
    const bed = await open({ worker: { maxBatchSize: 1 } });
    const running = ask(bed, 'endless')[Symbol.asyncIterator]();
    await begun(running);
    const leaving = new AbortController();
    const left = rejection(textOf(ask(bed, 'say nothing', {}, leaving.signal)));
    await expect.poll(() => bed.redis.zcard(`${bed.names.bull}:pool:prioritized`)).toBe(1);
    leaving.abort(new Error('left'));
    expect(await left).toMatchObject({ message: 'left' });
    await expect.poll(() => bed.redis.zcard(`${bed.names.bull}:pool:prioritized`)).toBe(0);
    await running.return?.();
  });

  it('runs what is more urgent first, and what is low last', async () => {
    const bed = await open({ worker: { maxBatchSize: 1 } });
    const running = ask(bed, 'endless')[Symbol.asyncIterator]();
    await begun(running);
    const asked = [-1_000, 0, 50].map(async (priority, at) => {
      await expect.poll(() => bed.redis.zcard(`${bed.names.bull}:pool:prioritized`)).toBe(at);
      expect(await textOf(ask(bed, `say ${priority}`, { priority }))).toBe(`${priority}`);
    });
    await expect.poll(() => bed.redis.zcard(`${bed.names.bull}:pool:prioritized`)).toBe(3);
    await running.return?.();
    await Promise.all(asked);
    // As they began: two that end within a millisecond may be heard of in either order.
    expect(bed.worker.engine.asked.slice(1).map(({ priority }) => priority)).toEqual([50, 0, -1_000]);
  });

  it('runs embeddings by their priority, as answers', async () => {
    const bed = await open({ worker: { maxBatchSize: 1 } });
    const running = ask(bed, 'endless')[Symbol.asyncIterator]();
    await begun(running);
    const asked = [-1_000, 0, 50].map(async (priority, at) => {
      await expect.poll(() => bed.redis.zcard(`${bed.names.bull}:pool:prioritized`)).toBe(at);
      const inputs = [{ kind: 'text', text: 'one' }] as const;
      await bed.client.embed({ requestId: 'r', model: 'demo', inputs, priority }, FOREVER);
    });
    await expect.poll(() => bed.redis.zcard(`${bed.names.bull}:pool:prioritized`)).toBe(3);
    await running.return?.();
    await Promise.all(asked);
    expect(bed.worker.engine.embedded.map(({ priority }) => priority)).toEqual([50, 0, -1_000]);
  });

  it('is lost with its worker, and with no other', async () => {
    const bed = await open({ workers: 2, worker: { maxBatchSize: 1 }, workerSilenceMsMax: 2_500 });
    const answers = [ask(bed, 'endless'), ask(bed, 'endless')].map((events) => events[Symbol.asyncIterator]());
    await Promise.all(answers.map(begun));
    bed.worker.die();
    const read = answers.map(async (events) => {
      for (;;) {
        const { done } = await events.next();
        if (done) return 'ended';
      }
    });
    expect(await Promise.race(read.map(rejection))).toMatchObject({ code: 'worker_lost' });
    expect(bed.client.state()).toMatchObject({ phase: 'ready', outstanding: 1 });
    // The place of the one that died is another's to fill.
    await Promise.all(answers.map((events) => events.return?.()));
    expect(await textOf(ask(bed, 'say still here'))).toBe('still here');
  });

  it('is given up by a worker whose lock was lost', async () => {
    const bed = await open({ worker: { queueLockMs: 1_500 } });
    const events = ask(bed, 'endless')[Symbol.asyncIterator]();
    await begun(events);
    const [lock] = await bed.redis.keys(`${bed.names.bull}:pool:*:lock`);
    await bed.redis.set(lock!, 'another');
    const failed = rejection(
      (async () => {
        for (;;) await events.next();
      })(),
    );
    expect(await failed).toMatchObject({ code: 'worker_lost' });
    await expect.poll(() => bed.running()).toBe(0);
  });

  it('stops by itself where the gateway is gone that asked', async () => {
    const bed = await open({ worker: { gatewayGoneMs: 1_000 } });
    const events = ask(bed, 'endless')[Symbol.asyncIterator]();
    await begun(events);
    // What a gateway that was killed leaves: nobody reads, nobody cancels, nobody says that it is there.
    await bed.link.close();
    await expect.poll(() => bed.running(), { timeout: 10_000 }).toBe(0);
  });

  it('is dropped where the gateway is gone by the time that it is taken', async () => {
    const bed = await open({ worker: { maxBatchSize: 1, gatewayGoneMs: 1_000 } });
    const running = ask(bed, 'endless')[Symbol.asyncIterator]();
    await begun(running);
    void rejection(textOf(ask(bed, 'say nothing', { deadlineMs: 60_000 })));
    await expect.poll(() => bed.redis.zcard(`${bed.names.bull}:pool:prioritized`)).toBe(1);
    const { gatewayId } = bed.link;
    const names = bed.names;
    await bed.link.close();
    await bed.redis.del(names.gateway(gatewayId));
    await expect.poll(() => bed.worker.outcomes, { timeout: 10_000 }).toEqual(['begun', 'abandoned']);
  });

  it('goes to whoever is free: a burst does not end up with one worker alone', async () => {
    const bed = await open({ workers: 2, worker: { maxBatchSize: 8 } });
    // Each has to know that it has company.
    await expect.poll(() => bed.client.state().sequencesMax).toBe(16);
    await sleep(1_200);
    const answers = Array.from({ length: 8 }, () => ask(bed, 'endless')[Symbol.asyncIterator]());
    await Promise.all(answers.map(begun));
    expect(bed.workers.map(({ engine }) => engine.running).sort()).not.toEqual([0, 8]);
    await Promise.all(answers.map((events) => events.return?.()));
  });

  it('hands back what has not begun when a worker drains, and the rest when the time is over', async () => {
    const bed = await open();
    const answers = ['endless', 'silent'].map((play) => ask(bed, play as Play)[Symbol.asyncIterator]());
    await begun(answers[0]!);
    await expect.poll(() => bed.running()).toBe(2);
    const waiting = rejection(answers[1]!.next());
    const drained = bed.worker.consumer.drain(300);
    expect(await waiting).toMatchObject({ code: 'shutting_down' });
    const running = rejection(
      (async () => {
        for (;;) await answers[0]!.next();
      })(),
    );
    expect(await running).toMatchObject({ code: 'shutting_down' });
    await drained;
    await expect.poll(() => bed.client.state().phase).toBe('draining');
  });

  describe('where Redis goes away and comes back', () => {
    let redis: RealRedis;
    const openOn = async (options: QueueBedOptions = {}) => {
      redis = await RealRedis.start();
      return open(options, redis.url);
    };
    afterEach(async () => redis.end());

    it('goes on where it was when Redis has kept it, and its reader sees no difference', async () => {
      redis = await RealRedis.start(undefined, { keeps: true });
      const bed = await open({}, redis.url);
      bed.worker.engine.slowness = 10;
      const words = Array.from({ length: 200 }, (_, at) => `word${at}`).join(' ');
      const answers = [ask(bed, `say ${words}`), ask(bed, `say ${words}`)].map((events) =>
        events[Symbol.asyncIterator](),
      );
      const firsts = await Promise.all(answers.map(begun));
      await redis.stop();
      await redis.start();
      const rests = await Promise.all(answers.map((events) => textOf({ [Symbol.asyncIterator]: () => events })));
      expect(rests.map((rest, at) => firsts[at]! + rest)).toEqual([words, words]);
      expect(bed.worker.engine.asked).toHaveLength(2);
    });

    it('is asked for again when Redis has forgotten it', async () => {
      const bed = await openOn();
      bed.worker.engine.slowness = 20;
      const events = ask(bed, 'endless')[Symbol.asyncIterator]();
      await begun(events);
      await redis.stop();
      await expect.poll(() => bed.client.state().phase).toBe('lost');
      await redis.start();
      const failed = rejection(
        (async () => {
          for (;;) await events.next();
        })(),
      );
      expect(await failed).toMatchObject({ code: 'worker_lost' });
      await bed.ready();
      expect(await textOf(ask(bed, 'say again'))).toBe('again');
    });

    it('is asked for again when its last frames were forgotten before they were read', async () => {
      const bed = await openOn();
      const events = ask(bed, 'endless')[Symbol.asyncIterator]();
      await begun(events);
      await expect.poll(() => bed.worker.consumer.unsettled).toBe(1);
      // Its worker has nothing more to say and is there, and what it said is gone.
      const [job] = (await bed.redis.keys(`${bed.names.bull}:pool:*-*-*-*-*`)).filter((key) => !key.endsWith(':lock'));
      await bed.redis.del(job!);
      const failed = rejection(
        (async () => {
          for (;;) await events.next();
        })(),
      );
      expect(await failed).toMatchObject({ code: 'worker_lost' });
      await expect.poll(() => bed.running()).toBe(0);
    });

    it('is told to whoever looks when that Redis would forget jobs', async () => {
      const bed = await openOn();
      expect(bed.link.trouble).toBeUndefined();
      await bed.redis.config('SET', 'maxmemory', '1gb', 'maxmemory-policy', 'allkeys-lru');
      await expect.poll(() => bed.link.trouble, { timeout: 30_000 }).toContain('maxmemory-policy allkeys-lru');
      expect(await textOf(ask(bed, 'say all the same'))).toBe('all the same');
      await bed.redis.config('SET', 'maxmemory-policy', 'noeviction');
      await expect.poll(() => bed.link.trouble, { timeout: 30_000 }).toBeUndefined();
    });

    it('is asked for again when it was still waiting', async () => {
      const bed = await openOn({ worker: { maxBatchSize: 1 } });
      const running = ask(bed, 'endless')[Symbol.asyncIterator]();
      await begun(running);
      const waiting = rejection(textOf(ask(bed, 'say never')));
      await expect.poll(() => bed.redis.zcard(`${bed.names.bull}:pool:prioritized`)).toBe(1);
      await redis.stop();
      await redis.start();
      expect(await waiting).toMatchObject({ code: 'worker_lost' });
      await running.return?.();
    });
  });
});
