import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  InferenceError,
  QUEUE_BEAT_MS,
  QUEUE_CONTROL_FIELDS,
  QUEUE_FRAME_FIELD,
  QUEUE_KEYS_TTL_MS,
  type QueueJobData,
  type QueueNames,
  type TimeLimits,
} from '@millrace/contracts';
import { QueueControl, QueueFrame, type WorkerDescription } from '@millrace/contracts/protocol';
import { Doorbell, type Logger } from '@millrace/runtime';
import { type Job, Worker } from 'bullmq';
import type { ModelUser } from '../serving/answers-to.js';
import { WorkCalls } from '../serving/work-calls.js';
import { type FrameStream, FrameWriter, wakeScript } from './frame-writer.js';
import { PoolPresence } from './pool-presence.js';
import type { QueueRedis } from './queue-redis.js';
import { QueuedWork } from './queued-work.js';
import { readJob } from './read-job.js';

export interface QueueConsumerOptions extends TimeLimits {
  readonly pool: string;
  /** Names this life of the worker: one that is started again is another. */
  readonly workerId: string;
  /** Places in the batch. */
  readonly maxBatchSize: number;
  readonly queueLockMs: number;
  readonly stallTimeoutMs: number;
  /** A gateway that has not said for so long that it is there wants nothing any more. Longer than a Redis takes to come back. */
  readonly gatewayGoneMs?: number;
}

/** What the consumer asks of the worker. */
export interface QueueHost extends ModelUser {
  describe(): WorkerDescription;
}

/** What became of a job that was taken. */
export type TakenOutcome = 'begun' | 'expired' | 'abandoned' | 'malformed';

/**
 * Takes a job over, unless nobody wants it any more or it was begun before: the first frame of its stream is written once only, so a job
 * that comes twice is answered by who took it first. Whoever did may ask again, if it was not told that it did.
 */
const TAKE = `
if redis.call('EXISTS', KEYS[1]) == 0 then return {'abandoned'} end
if redis.call('HEXISTS', KEYS[2], '${QUEUE_CONTROL_FIELDS.cancelled}') == 1 then return {'abandoned'} end
local first = redis.call('XRANGE', KEYS[4], '-', '+', 'COUNT', 1)[1]
if first and first[2][2] ~= ARGV[1] then return {'abandoned'} end
if not first then redis.call('XADD', KEYS[4], '1-0', '${QUEUE_FRAME_FIELD}', ARGV[1]) end
redis.call('PEXPIRE', KEYS[4], ARGV[2])
${wakeScript('KEYS[5]')}
if ARGV[3] == '1' then return {'begun'} end
return {'begun', redis.call('GET', KEYS[3]) or ''}`;

/** How long one look for a job waits at most, in seconds: how long a worker that stops may be held up. */
const LOOK_SECONDS = 5;
/** How often it is looked whether there is a place, beside when an answer of its own ends: gateways may send others directly. */
const PLACE_CHECK_MS = 20;
/** How long one whose batch is nearly full lets others go first. */
const YIELD_MS_MAX = 8;
/** After Redis did not answer. */
const RETRY_DELAY_MS = 250;
/** Attempts to claim a job of which BullMQ says that it is this worker's: some seconds. */
const CLAIMS_MAX = 20;
/** Renewals of a lock within the time that it holds. */
const RENEWALS = 3;
const GATEWAY_GONE_MS = 10_000;
/** How long each step of closing may take. */
const CLOSE_MS_MAX = 1_000;
/** How long the last frames may take when it stops. */
const LAST_FRAMES_MS_MAX = 1_000;

interface Taken {
  readonly work: QueuedWork;
  readonly job: Job<QueueJobData>;
  readonly token: string;
}

/**
 * Feeds the worker from the queue of its pool: takes a job when there is a place in the batch, has it answered as any other, and writes
 * what comes to the stream of the attempt.
 *
 * A job is never given to a second worker by BullMQ (`maxStalledCount` is 0): when this one falls silent, the gateway asks again, as
 * another attempt with another stream, and goes on behind the tokens that it has.
 *
 * Ownership: owns the jobs it has taken until each is settled. Concurrency: one loop takes; a beat every second says that the worker is
 * there, renews what it holds and looks what its gateways want that it did not hear.
 */
export class QueueConsumer {
  readonly #presence: PoolPresence;
  readonly #frames: FrameWriter;
  readonly #calls: WorkCalls;
  readonly #bull: Worker<QueueJobData>;
  readonly #taken = new Map<string, Taken>();
  readonly #freed = new Doorbell();
  /** Gateways that were not there at the last look, each with since when. */
  readonly #missing = new Map<string, number>();
  #renewedAtMs = 0;
  #beating: NodeJS.Timeout | undefined;
  #taking: Promise<void> | undefined;
  #stopped = false;
  #closed = false;
  #trouble = false;

  constructor(
    private readonly redis: QueueRedis,
    private readonly names: QueueNames,
    private readonly options: QueueConsumerOptions,
    private readonly host: QueueHost,
    private readonly logger: Logger,
    private readonly onTaken: (outcome: TakenOutcome) => void = () => {},
  ) {
    const { pool, workerId, queueLockMs } = options;
    this.#presence = new PoolPresence(redis.commands, names, { workerId, pool }, () => host.describe());
    this.#frames = new FrameWriter(redis.commands);
    this.#calls = new WorkCalls(
      { use: (model, terms) => host.use(model, terms), onSettled: () => this.#freed.ring() },
      options,
      logger,
    );
    this.#bull = new Worker(pool, undefined, {
      connection: redis.bull,
      prefix: names.bull,
      autorun: false,
      lockDuration: queueLockMs,
      stalledInterval: queueLockMs,
      // A job whose worker fell silent is not run again but removed: whoever waits for it asks again.
      maxStalledCount: 0,
      // Noted with each job it takes.
      name: workerId,
      drainDelay: LOOK_SECONDS,
      removeOnComplete: { count: 0 },
      removeOnFail: { count: 0 },
    });
    // What fails is said once, by the beat.
    this.#bull.on('error', () => {});
  }

  start(): void {
    const { subscriber } = this.redis;
    const { workerId, pool } = this.options;
    subscriber.on('messageBuffer', (_channel: Buffer, message: Buffer) => this.#onControl(message));
    subscriber.subscribe(this.names.controlOf(workerId), this.names.controlOfPool(pool)).catch(() => {});
    void this.#bull.startStalledCheckTimer().catch(() => {});
    void this.#beat();
    this.#taking = this.#take();
  }

  /** Sequences and calls that were taken and are not settled. */
  get unsettled(): number {
    let unsettled = 0;
    for (const { work } of this.#taken.values()) unsettled += work.size;
    return unsettled;
  }

  /**
   * Takes nothing more, and hands back what it has not begun. Resolves when the rest is settled, or after `timeoutMs`, when that is handed
   * back, too, with every token that was computed. What nobody has taken stays in the queue, for others.
   */
  async drain(timeoutMs: number): Promise<void> {
    this.#stopped = true;
    // It goes on saying that it is there, and now that it takes nothing more: what it still has would count as lost otherwise.
    await this.#presence.announce().catch(() => {});
    const waiting = new InferenceError('shutting_down', 'This worker stopped before it began. Send the request again.');
    for (const { work } of this.#taken.values()) work.giveUpWaiting(waiting);
    this.#calls.giveUpWaiting(waiting);
    if (await this.#emptyWithin(timeoutMs)) return;
    this.logger.warn({ unsettled: this.unsettled, timeoutMs }, 'Draining took too long; the rest is handed back.');
    const rest = new InferenceError(
      'shutting_down',
      'This worker stopped before the answer was complete. Send the request again.',
    );
    for (const { work } of this.#taken.values()) work.giveUp(rest);
    this.#calls.giveUp(rest);
    await this.#emptyWithin(LAST_FRAMES_MS_MAX);
  }

  async close(): Promise<void> {
    this.#stopped = true;
    this.#closed = true;
    clearTimeout(this.#beating);
    for (const { work } of this.#taken.values()) work.cancel();
    this.#frames.close();
    await this.#presence.withdraw().catch(() => {});
    // Where Redis is away BullMQ would wait for it.
    await Promise.race([this.#bull.close(true), sleep(CLOSE_MS_MAX, undefined, { ref: false })]);
    this.redis.close();
    this.#freed.ring();
    await Promise.race([this.#taking, sleep(CLOSE_MS_MAX, undefined, { ref: false })]);
  }

  async #emptyWithin(timeoutMs: number): Promise<boolean> {
    const untilMs = performance.now() + timeoutMs;
    while (this.#taken.size > 0 && performance.now() < untilMs) await sleep(PLACE_CHECK_MS);
    return this.#taken.size === 0;
  }

  // ------------------------------------------------------------------------------------------------------- taking jobs

  async #take(): Promise<void> {
    while (!this.#stopped) {
      const busy = this.#busyPart();
      if (busy >= 1) {
        await Promise.race([this.#freed.heard(), sleep(PLACE_CHECK_MS)]);
        continue;
      }
      // Whoever has less to do takes sooner: else the one that is awake would take a whole burst, and the others none of it.
      if (this.#presence.hasCompany && busy > 0) await sleep(Math.ceil(busy * YIELD_MS_MAX));
      try {
        const token = randomUUID();
        const job = await this.#bull.getNextJob(token, { block: true });
        if (job !== undefined) await this.#takeOver(job, token);
      } catch {
        await sleep(RETRY_DELAY_MS);
      }
    }
  }

  /**
   * From 0, idle, to 1: takes nothing. What was taken counts from the first moment on, and the engine's count only once it knows of it.
   */
  #busyPart(): number {
    const { state, load } = this.host.describe();
    if (state !== 'ready') return 1;
    const busy = Math.max(this.unsettled, (load?.running ?? 0) + (load?.waiting ?? 0));
    return busy / this.options.maxBatchSize;
  }

  async #takeOver(job: Job<QueueJobData>, token: string): Promise<void> {
    const { data } = job;
    const outcome = isJobData(data) ? await this.#begin(job, token) : 'malformed';
    this.onTaken(outcome);
    if (outcome === 'begun') return;
    this.logger.debug({ requestId: data?.requestId, attempt: data?.attempt, outcome }, 'A job is dropped.');
    await this.#complete(job, token);
  }

  async #begin(job: Job<QueueJobData>, token: string): Promise<TakenOutcome> {
    const { data } = job;
    const leftMs = Math.floor(data.deadlineAtMs - this.#presence.redisNowMs());
    if (leftMs <= 0) return 'expired';
    const stream = { key: this.names.answer(data.answerId), wakeKey: this.names.wake(data.gateway) };
    if (this.#taken.has(data.answerId)) return 'abandoned';
    const [outcome, stored] = await this.#claim(data, stream);
    if (outcome !== 'begun') return 'abandoned';
    const asked = readJob(data.payload === undefined ? stored : Buffer.from(data.payload, 'base64'));
    if (asked === undefined) {
      // A number that is not the next: its reader sees that something is missing, and asks again.
      this.#frames.add(stream, Number.MAX_SAFE_INTEGER, new Uint8Array());
      return 'malformed';
    }
    const work: QueuedWork = new QueuedWork(
      {
        data,
        stream,
        stallTimeoutMs: this.options.stallTimeoutMs,
        onSettled: () => this.#freed.ring(),
        onEnded: () => void this.#onEnded(work, stream.key, job, token),
      },
      this.#frames,
      this.host,
      this.#calls,
      this.logger,
    );
    this.#taken.set(data.answerId, { work, job, token });
    work.begin(asked, leftMs);
    // Between the look for a job and this one it may have begun to stop.
    if (this.#stopped) work.giveUpWaiting(new InferenceError('shutting_down', 'This worker stopped before it began.'));
    return 'begun';
  }

  /** Tried again while Redis is away: BullMQ has given the job to this worker, and to nobody else any more. */
  async #claim(data: QueueJobData, stream: FrameStream): Promise<[outcome: string, stored: Buffer]> {
    for (let left = CLAIMS_MAX; ; left--) {
      try {
        return await this.#claimOnce(data, stream);
      } catch (error) {
        if (left === 1 || this.#closed) throw error;
        await sleep(RETRY_DELAY_MS);
      }
    }
  }

  async #claimOnce(data: QueueJobData, { key, wakeKey }: FrameStream): Promise<[outcome: string, stored: Buffer]> {
    const { answerId, gateway, payload } = data;
    const taken = { frame: { $case: 'taken', value: { workerId: this.options.workerId } }, more: false } as const;
    const reply = (await this.redis.commands.callBuffer(
      'EVAL',
      TAKE,
      5,
      ...[this.names.gateway(gateway), this.names.control(answerId), this.names.payload(answerId), key, wakeKey],
      ...[Buffer.from(QueueFrame.encode(taken).finish()), QUEUE_KEYS_TTL_MS, payload === undefined ? '0' : '1'],
    )) as Buffer[];
    return [String(reply[0]), reply[1] ?? Buffer.alloc(0)];
  }

  async #onEnded(work: QueuedWork, key: string, job: Job<QueueJobData>, token: string): Promise<void> {
    this.#freed.ring();
    await this.#frames.written(key);
    this.#taken.delete(work.data.answerId);
    // Its reader has taken the stream away, and a frame that was on its way then has made another.
    if (work.cancelled && !this.#closed) this.redis.commands.unlink(key).catch(() => {});
    await this.#complete(job, token);
  }

  /** Nobody waits for this: a job that can't be completed now is removed once its lock has run out. */
  async #complete(job: Job<QueueJobData>, token: string): Promise<void> {
    if (this.#closed) return;
    await job.moveToCompleted('', token, false).catch(() => {});
  }

  // ----------------------------------------------------------------------------------------------- every second, and news

  async #beat(): Promise<void> {
    const startedAtMs = performance.now();
    let restMs = RETRY_DELAY_MS;
    try {
      if (!this.#closed) await this.#presence.announce();
      await this.#lookAfterJobs();
      if (this.#trouble) this.logger.info('The Redis of the queues is back.');
      this.#trouble = false;
      restMs = Math.max(0, QUEUE_BEAT_MS - (performance.now() - startedAtMs));
    } catch (error) {
      this.#complain(error as Error);
    }
    if (!this.#closed) this.#beating = setTimeout(() => void this.#beat(), restMs);
  }

  /** Once, until it is back; and not of a connection that is still being made for the first time. */
  #complain({ message }: Error): void {
    const { commands, lastError } = this.redis;
    const isNew = commands.status !== 'ready' && lastError === '';
    if (isNew || this.#trouble || this.#closed) return;
    this.#trouble = true;
    this.logger.warn(
      `Jobs can't be taken: the Redis of the queues can't be reached (${lastError || message}). It is tried again.`,
    );
  }

  async #lookAfterJobs(): Promise<void> {
    const taken = [...this.#taken.values()];
    if (taken.length === 0) return;
    await Promise.all([this.#readControls(taken), this.#lookForGateways(taken), this.#renew(taken)]);
  }

  /** What was published while nobody listened is written down, too. */
  async #readControls(taken: readonly Taken[]): Promise<void> {
    const pipeline = this.redis.commands.pipeline();
    for (const { work } of taken) pipeline.hgetall(this.names.control(work.data.answerId));
    const replies = (await pipeline.exec()) ?? [];
    for (const [at, [error, fields]] of replies.entries()) {
      if (error === null) taken[at]!.work.obey(controlOf(fields as Record<string, string>));
    }
  }

  async #lookForGateways(taken: readonly Taken[]): Promise<void> {
    const gateways = [...new Set(taken.map(({ work }) => work.data.gateway))];
    const there = await Promise.all(gateways.map((id) => this.redis.commands.exists(this.names.gateway(id))));
    const nowMs = performance.now();
    const { gatewayGoneMs = GATEWAY_GONE_MS } = this.options;
    for (const id of this.#missing.keys()) if (!gateways.includes(id)) this.#missing.delete(id);
    for (const [at, id] of gateways.entries()) {
      if (there[at] === 1) this.#missing.delete(id);
      else if (!this.#missing.has(id)) this.#missing.set(id, nowMs);
      else if (nowMs - this.#missing.get(id)! >= gatewayGoneMs) this.#abandon(id, taken);
    }
  }

  #abandon(gateway: string, taken: readonly Taken[]): void {
    this.logger.info({ gateway }, 'A gateway is gone; nobody waits for what it asked for.');
    this.#missing.delete(gateway);
    for (const { work } of taken) if (work.data.gateway === gateway) work.cancel();
  }

  async #renew(taken: readonly Taken[]): Promise<void> {
    const { queueLockMs } = this.options;
    const nowMs = performance.now();
    if (nowMs - this.#renewedAtMs < queueLockMs / RENEWALS) return;
    const ids = taken.map(({ job }) => job.id!);
    const lost = await this.#bull.extendJobLocks(
      ids,
      taken.map(({ token }) => token),
      queueLockMs,
    );
    this.#renewedAtMs = nowMs;
    const error = new InferenceError('worker_lost', 'The worker was away for too long. Send the request again.');
    for (const { job, work } of taken) {
      if (!lost.includes(job.id!)) continue;
      this.logger.warn({ requestId: work.data.requestId }, 'A job was lost: its lock ran out, or Redis forgot it.');
      work.giveUp(error);
    }
  }

  #onControl(message: Buffer): void {
    const control = decoded(() => QueueControl.decode(message));
    if (control !== undefined) this.#taken.get(control.answerId)?.work.obey(control);
  }
}

function controlOf(fields: Readonly<Record<string, string>>): Pick<QueueControl, 'granted' | 'cancelled'> {
  const { cancelled, cancelledSequence, granted } = QUEUE_CONTROL_FIELDS;
  const numbered = (prefix: string) =>
    Object.entries(fields)
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, value]) => ({ sequenceId: Number(name.slice(prefix.length)), tokens: Number(value) }));
  const all = cancelled in fields ? [0] : [];
  return {
    granted: numbered(granted),
    cancelled: [...all, ...numbered(cancelledSequence).map(({ sequenceId }) => sequenceId)],
  };
}

function isJobData(data: Partial<QueueJobData> | undefined): data is QueueJobData {
  return (
    typeof data?.answerId === 'string' && typeof data.gateway === 'string' && typeof data.deadlineAtMs === 'number'
  );
}

function decoded<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch {
    return undefined;
  }
}
