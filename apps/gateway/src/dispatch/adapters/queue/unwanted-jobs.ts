import type { QueueJobData, QueueNames } from '@millrace/contracts';
import type { Queue } from 'bullmq';
import type { Redis } from 'ioredis';

/** A queue that was looked through is not looked through again for so long: who finds it full asks with every request. */
const LOOK_MS_MIN = 10_000;
/** Read by one script, during which Redis does nothing else. */
const PAGE = 50;
/** Of one queue, at one look: what will be run first, and what gateways left that died lies there. */
const LOOKED_AT_MAX = 10_000;

/** As a worker judges before it reads a job: its time is over, or its gateway is there no more. */
const FIND = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ids = redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[2])
local found = {#ids}
for _, id in ipairs(ids) do
  local read, job = pcall(cjson.decode, redis.call('HGET', ARGV[3] .. id, 'data') or '')
  if read and type(job) == 'table' and type(job.deadlineAtMs) == 'number' and type(job.gateway) == 'string' then
    if job.deadlineAtMs <= now or redis.call('EXISTS', ARGV[4] .. job.gateway) == 0 then found[#found + 1] = id end
  end
end
return found`;

/** What is known of the queue of a pool. */
export interface LookedThroughQueue {
  readonly queue: Queue<QueueJobData>;
  readonly names: QueueNames;
  readonly client: Redis;
}

/**
 * Takes jobs out of a queue that nobody can want any more, such as those of a gateway that died: a worker drops them unread, but where
 * none has a place they would keep others out. BullMQ's own `clean` knows the age of a job alone, and neither who asks nor until when.
 *
 * Concurrency: one look at a time; whoever comes meanwhile waits for it. Other gateways may be at the same.
 */
export class UnwantedJobs {
  #running: Promise<number> | undefined;
  #lookedAtMs = Number.NEGATIVE_INFINITY;

  constructor(private readonly of: LookedThroughQueue) {}

  /** @returns how many are gone; 0 also where it was looked just now. @throws where Redis does not answer. */
  async remove(): Promise<number> {
    if (this.#running !== undefined) return this.#running;
    if (performance.now() - this.#lookedAtMs < LOOK_MS_MIN) return 0;
    this.#running = this.#removeAll();
    try {
      return await this.#running;
    } finally {
      this.#running = undefined;
      this.#lookedAtMs = performance.now();
    }
  }

  async #removeAll(): Promise<number> {
    let removed = 0;
    for (let from = 0; from < LOOKED_AT_MAX; ) {
      const [looked, ...ids] = await this.#find(from);
      const gone = await this.#removeThese(ids);
      removed += gone;
      if (looked < PAGE) break;
      // Those behind have moved up.
      from += looked - gone;
    }
    return removed;
  }

  async #find(from: number): Promise<[number, ...string[]]> {
    const { queue, names, client } = this.of;
    // Every job has a priority (`jobPriority` is never 0), so all that wait are here.
    const [key, jobs] = [queue.toKey('prioritized'), queue.toKey('')];
    const range = [from, from + PAGE - 1];
    return (await client.call('EVAL', FIND, 1, key, ...range, jobs, names.gateway(''))) as [number, ...string[]];
  }

  /** With what lies beside them. One that a worker has taken meanwhile is its own. */
  async #removeThese(ids: readonly string[]): Promise<number> {
    const { queue, names, client } = this.of;
    const removed = await Promise.all(ids.map((id) => queue.remove(id)));
    const gone = ids.filter((_, at) => removed[at] === 1);
    const beside = gone.flatMap((id) => [names.payload(id), names.answer(id), names.control(id)]);
    if (beside.length > 0) await client.unlink(...beside);
    return gone.length;
  }
}
