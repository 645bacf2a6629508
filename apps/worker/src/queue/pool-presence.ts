import { QUEUE_FORGET_MS, QUEUE_WORKER_FIELDS, type QueueNames } from '@millrace/contracts';
import { Load, WorkerDescription } from '@millrace/contracts/protocol';

/** What it needs of Redis. */
export interface PresenceRedis {
  eval(script: string, keys: number, ...args: (string | Buffer | number)[]): Promise<unknown>;
}

export interface PoolMember {
  readonly workerId: string;
  readonly pool: string;
}

const { pool: POOL, beat: BEAT, load: LOAD, told: TOLD, description: DESCRIPTION } = QUEUE_WORKER_FIELDS;

/** On Redis' own clock, which it gives back. Whoever is silent for long is forgotten on the way. */
const ANNOUNCE = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[1]), ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[2], '${POOL}', ARGV[3], '${BEAT}', ARGV[4], '${LOAD}', ARGV[5], '${TOLD}', ARGV[6], '${DESCRIPTION}', ARGV[7])
redis.call('PEXPIRE', KEYS[2], ARGV[1])
return {now, redis.call('ZCARD', KEYS[1])}`;

const WITHDRAW = `
redis.call('ZREM', KEYS[1], ARGV[1])
return redis.call('DEL', KEYS[2])`;

/**
 * Tells gateways by Redis that this worker takes from the queue of its pool, what it serves and how full it is. It knows what Redis'
 * clock says, since deadlines are told by that one.
 */
export class PoolPresence {
  #beat = 0;
  #told = '';
  #version = 0;
  /** Redis' clock less ours. */
  #aheadMs = 0;
  /** Whether others take from queues, too. */
  hasCompany = false;

  constructor(
    private readonly redis: PresenceRedis,
    private readonly names: QueueNames,
    private readonly member: PoolMember,
    private readonly describe: () => WorkerDescription,
  ) {}

  /** @throws where Redis does not answer. */
  async announce(): Promise<void> {
    const { load, ...said } = this.describe();
    const description = Buffer.from(WorkerDescription.encode({ ...said, load: undefined }).finish());
    const gist = description.toString('latin1');
    if (gist !== this.#told) this.#version++;
    this.#told = gist;
    this.#beat++;
    const { workerId, pool } = this.member;
    const loaded = Buffer.from(Load.encode(load ?? { running: 0, waiting: 0, draining: false }).finish());
    const askedAtMs = Date.now();
    const [nowMs, workers] = (await this.redis.eval(
      ANNOUNCE,
      2,
      this.names.workers,
      this.names.worker(workerId),
      ...[QUEUE_FORGET_MS, workerId, pool, this.#beat, loaded, this.#version, description],
    )) as [number, number];
    this.hasCompany = workers > 1;
    this.#aheadMs = Number(nowMs) - (askedAtMs + Date.now()) / 2;
  }

  /** What Redis' clock says. */
  redisNowMs(): number {
    return Date.now() + this.#aheadMs;
  }

  /** From now on no gateway counts on it. */
  async withdraw(): Promise<void> {
    const { workerId } = this.member;
    await this.redis.eval(WITHDRAW, 2, this.names.workers, this.names.worker(workerId), workerId);
  }
}
