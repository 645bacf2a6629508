import { PROTOCOL_VERSION } from './version.js';

/** Part of the names of keys in Redis, of an address and of metrics. */
export const POOL_NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;

/**
 * Where everything about queue dispatch lies in Redis. Gateways and workers of one installation have the same `prefix`, and those that
 * speak another version of the protocol never meet: its number is part of every name.
 */
export interface QueueNames {
  /** Of BullMQ's keys; the name of the queue is the pool's. */
  readonly bull: string;
  /** A sorted set of worker ids, each with the time, on Redis' clock, until which it counts. */
  readonly workers: string;
  /** A hash: what one worker says of itself (`QueueWorkerFields`). */
  worker(workerId: string): string;
  /** Exists for as long as the gateway does: what it asked for is of use to nobody else. */
  gateway(gatewayId: string): string;
  /** A stream of one entry, new whenever there is something to read for the gateway: what it waits on, instead of on all of them. */
  wake(gatewayId: string): string;
  /** The stream of one attempt: `QueueFrame`s, each under the number that it has. */
  answer(answerId: string): string;
  /** A `QueueJob` that is too large to lie in the job itself. */
  payload(answerId: string): string;
  /** A hash: what was told the worker of the attempt, in all (`QUEUE_CONTROL_FIELDS`). */
  control(answerId: string): string;
  /** The channel on which one worker is told of credit and of what nobody waits for any more. */
  controlOf(workerId: string): string;
  /** As `controlOf`, for all workers of a pool: nobody knows yet which of them has the job. */
  controlOfPool(pool: string): string;
}

export function queueNames(prefix: string): QueueNames {
  const all = `${prefix}:queue${PROTOCOL_VERSION}`;
  return {
    bull: `${all}:jobs`,
    workers: `${all}:workers`,
    worker: (id) => `${all}:worker:${id}`,
    gateway: (id) => `${all}:gateway:${id}`,
    wake: (id) => `${all}:wake:${id}`,
    answer: (id) => `${all}:answer:${id}`,
    payload: (id) => `${all}:payload:${id}`,
    control: (id) => `${all}:control:${id}`,
    controlOf: (id) => `${all}:to-worker:${id}`,
    controlOfPool: (pool) => `${all}:to-pool:${pool}`,
  };
}

/** What a worker that takes from a queue says of itself, as fields of a hash. */
export const QUEUE_WORKER_FIELDS = {
  pool: 'pool',
  /** Counts up with every announcement: whoever sees it change has heard the worker. */
  beat: 'beat',
  /** A `Load` of the protocol. */
  load: 'load',
  /** Changes with the description. */
  told: 'told',
  /** A `WorkerDescription` of the protocol. */
  description: 'description',
} as const;

/** Of the hash beside an attempt's stream. */
export const QUEUE_CONTROL_FIELDS = {
  /** Nobody waits for any of it. */
  cancelled: 'cancelled',
  /** Before the number of a sequence: nobody waits for that one. */
  cancelledSequence: 'cancelled:',
  /** Before the number of a sequence: its credit in all. */
  granted: 'granted:',
} as const;

/** What of a stream's entries holds the frame. */
export const QUEUE_FRAME_FIELD = 'f';

/** A `QueueJob` of more bytes does not lie in its job, which BullMQ's scripts would have to carry about. */
export const QUEUE_INLINE_BYTES_MAX = 64 * 1024;

/** The data of a job: what has to be known of it before it is read. */
export interface QueueJobData {
  readonly answerId: string;
  /** Who asks. */
  readonly gateway: string;
  readonly requestId: string;
  readonly attempt: number;
  /** On Redis' clock: nobody wants it any more then. */
  readonly deadlineAtMs: number;
  /** A `QueueJob` in base64; absent: it lies under `QueueNames.payload`. */
  readonly payload?: string;
}

/** How often workers and gateways say in Redis that they are there. */
export const QUEUE_BEAT_MS = 1_000;
/** Whoever has not said so for so long is forgotten; whether a worker counts as lost, each gateway decides sooner. */
export const QUEUE_FORGET_MS = 30_000;
/** What lies beside a job goes with the last of these: it is written anew with every frame. */
export const QUEUE_KEYS_TTL_MS = 120_000;
