import { randomUUID } from 'node:crypto';
import {
  type EmbedRequest,
  InferenceError,
  type ModelDescription,
  QUEUE_INLINE_BYTES_MAX,
  type QueueJobData,
  type Ranking,
  type RerankRequest,
  type TimedRequest,
  type TimeLimits,
  type Tokenized,
  timeoutMsOf,
  type WorkRequest,
} from '@millrace/contracts';
import { type EmbedPart, type GatewayFrame, type QueueFrame, QueueJob, type Start } from '@millrace/contracts/protocol';
import type { Logger } from '@millrace/runtime';
import { Queue } from 'bullmq';
import type { SequenceEvent, WorkerPhase, WorkerState } from '../../../vocabulary.js';
import { faultOf } from '../../check-description.js';
import { malformed } from '../../malformed.js';
import { OpenSequences, type SequenceWay, tooLarge, workerLost } from '../../open-sequences.js';
import { modelOf } from '../../protocol-frames.js';
import {
  detokenizeMessage,
  embedMessage,
  rankingOf,
  renderPromptMessage,
  rerankMessage,
  textOf,
  tokenizedOf,
  tokenizeMessage,
  vectorsOf,
} from '../../protocol-work.js';
import { WorkCalls } from '../../work-calls.js';
import type {
  AnswerAttempt,
  DetokenizeWork,
  RenderWork,
  TokenizeWork,
  Vectors,
  WorkerClient,
} from '../../worker-client.js';
import { jobPriority } from './job-priority.js';
import type { PoolWorker } from './pool-watch.js';
import { type AttemptContent, QueueAttempt } from './queue-attempt.js';
import type { QueueLink } from './queue-link.js';
import { UnwantedJobs } from './unwanted-jobs.js';

/** The time limits are those of work that does not say how long it may take. */
export interface QueueWorkerClientLimits extends TimeLimits {
  /** Jobs that wait in the queue, of all gateways. */
  readonly queueJobsMax: number;
  /** How far the worker may run ahead of a consumer. */
  readonly creditTokens: number;
  /** The largest request sent: a body, and what the protocol adds. */
  readonly sentBytesMax: number;
}

type Work = Exclude<QueueJob['work'], undefined>;
type Reply = Exclude<QueueFrame['frame'], undefined>;

/** A job is looked for once it is so old. */
const LOOKED_FOR_MS = 2_000;
/** A job that is nowhere at so many looks one after another was forgotten by Redis; one that has just ended may have frames to be read. */
const MISSES_MAX = 2;
/** BullMQ has given it to a worker, which may never have learned of it: the connection broke in that moment. */
const UNCLAIMED_MS_MAX = 10_000;
/** What lies in Redis beside a job stays so much longer than anybody waits. */
const KEPT_MS = 60_000;
/** Answers that go on are read by somebody: before all that has not begun. */
const CONTINUED_PRIORITY = 1_000_000;
/** Jobs are counted again when the last count is so old. */
const COUNT_AGE_MS_MAX = 1_000;
/** Or when there may be this part of the most that may wait: so many gateways can fill the rest without knowing of each other. */
const FAR_FROM_FULL = 4;
/** How soon to come back where the queue is full. */
const FULL_RETRY_SECONDS = 5;
/** Kept by BullMQ of what happened in a queue, which nobody reads. */
const EVENTS_MAX = 10;

/**
 * The workers of a pool that take from one queue, as one worker: a job is taken by whoever has a place. What it computes comes back by a
 * stream in Redis, one for each attempt.
 *
 * A worker that falls silent loses its attempts, and Redis those that it forgot; whoever asked asks again, as another attempt. While Redis
 * is away attempts go on: what was written meanwhile is read when it is back.
 *
 * Ownership: owns its attempts until each is settled, given up, or left by its consumer. The link is the caller's.
 * Concurrency: but for the way of a job into the queue everything happens in callbacks, none of which awaits.
 */
export class QueueWorkerClient implements WorkerClient {
  readonly address: string;
  /** Its workers stand in for each other: one that failed says nothing of the next. */
  readonly dispatch = 'queue';
  readonly #queue: Queue<QueueJobData>;
  readonly #unwanted: UnwantedJobs;
  readonly #answers = new Set<OpenSequences>();
  readonly #attempts = new Set<QueueAttempt>();
  readonly #calls = new WorkCalls();
  readonly #watchers = new Set<() => void>();
  readonly #unlisten: () => void;
  #workers: readonly PoolWorker[] = [];
  #phase: WorkerPhase = 'connecting';
  #detail = 'nobody was looked for yet';
  #models: WorkerState['models'];
  #modelsGist = '';
  #toldModels: WorkerState['models'];
  /** What waited in the queue when it was last asked. */
  #counted = { jobs: 0, atMs: Number.NEGATIVE_INFINITY, addedSince: 0 };
  /** Jobs that are on their way into the queue. */
  #adding = 0;
  #closed = false;

  constructor(
    readonly pool: string,
    private readonly link: QueueLink,
    private readonly limits: QueueWorkerClientLimits,
    private readonly logger: Logger,
  ) {
    this.address = `queue:${pool}`;
    this.#queue = new Queue(pool, {
      connection: link.client,
      prefix: link.names.bull,
      streams: { events: { maxLen: EVENTS_MAX } },
    });
    // What can't be sent fails where it is sent.
    this.#queue.on('error', () => {});
    this.#unwanted = new UnwantedJobs({ queue: this.#queue, names: link.names, client: link.client });
    this.#unlisten = link.onNews(() => this.#onNews());
    this.#onNews();
  }

  /** Jobs that nobody has taken, of all gateways, as they were counted last. */
  get waiting(): number {
    return this.#counted.jobs;
  }

  get models(): WorkerState['models'] {
    return this.#models;
  }

  get heard(): boolean {
    return this.#models !== undefined || this.link.looked;
  }

  state(): WorkerState {
    const ready = this.#workers.filter(isReady);
    return {
      address: this.address,
      phase: this.#phase,
      detail: this.#detail,
      version: ready[0]?.description.version ?? '',
      running: sum(ready, ({ load }) => load.running),
      waiting: sum(ready, ({ load }) => load.waiting) + this.#counted.jobs,
      outstanding: sum([...this.#answers], ({ size }) => size) + this.#calls.size,
      sequencesMax: sum(ready, ({ description }) => description.sequencesMax) || undefined,
      models: this.#models,
    };
  }

  watch(listener: () => void): () => void {
    this.#watchers.add(listener);
    return () => this.#watchers.delete(listener);
  }

  answer(request: AnswerAttempt, signal: AbortSignal): AsyncIterable<SequenceEvent> {
    if (this.#phase !== 'ready') throw this.#notReady();
    const open = new OpenSequences(this.address, this.limits, this.logger);
    const { controls } = this.link;
    const way: SequenceWay = {
      credit: (id, tokens) => {
        if (!attempt.ended) controls.grant(attempt, id, attempt.grant(id, tokens, this.limits.creditTokens));
      },
      cancel: (id) => {
        if (open.size === 0) attempt.end(true);
        else if (!attempt.ended) controls.cancel(attempt, id);
      },
    };
    const { answer, starts } = open.begin(request, way, signal);
    const attempt = this.#attempt(request, {
      take: ({ frame }) => {
        if (frame?.$case === 'step') for (const update of frame.value.updates) open.update(update);
        return open.size === 0;
      },
      giveUp: (error) => {
        open.giveUpAll(error);
        this.#answers.delete(open);
      },
    });
    this.#answers.add(open);
    const goesOn = request.sequences.some(({ resume }) => resume !== undefined);
    const priority = goesOn ? CONTINUED_PRIORITY : request.priority;
    void this.#send(attempt, { starts: starts.map(startOf), work: undefined }, request, request.attempt, priority);
    return answer;
  }

  async embed(request: EmbedRequest, signal: AbortSignal): Promise<Vectors> {
    const received: EmbedPart[] = [];
    const work: Work = { $case: 'embed', value: embedMessage(request) };
    await this.#call(request, work, signal, ({ frame }) => {
      if (frame?.$case === 'embed') received.push(frame.value);
    });
    return vectorsOf(received, request.inputs.length);
  }

  async rerank(request: RerankRequest, signal: AbortSignal): Promise<Ranking> {
    const reply = await this.#call(request, { $case: 'rerank', value: rerankMessage(request) }, signal);
    return rankingOf(replyOf(reply, 'rerank'), request.documents.length);
  }

  async tokenize(request: TokenizeWork, signal: AbortSignal): Promise<Tokenized> {
    const reply = await this.#call(request, { $case: 'tokenize', value: tokenizeMessage(request) }, signal);
    return tokenizedOf(replyOf(reply, 'tokenize'));
  }

  async detokenize(request: DetokenizeWork, signal: AbortSignal): Promise<string> {
    const reply = await this.#call(request, { $case: 'detokenize', value: detokenizeMessage(request) }, signal);
    return textOf(replyOf(reply, 'detokenize'));
  }

  async renderPrompt(request: RenderWork, signal: AbortSignal): Promise<string> {
    const reply = await this.#call(request, { $case: 'renderPrompt', value: renderPromptMessage(request) }, signal);
    return textOf(replyOf(reply, 'renderPrompt'));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#unlisten();
    this.#enter('connecting', 'closed');
    this.#closed = true;
    for (const attempt of [...this.#attempts]) attempt.giveUp(workerLost());
    this.#calls.giveUpAll(workerLost());
    await this.#queue.close().catch(() => {});
  }

  // --------------------------------------------------------------------------------------------- the way into the queue

  /** @param onFrame is told every frame of the reply. @returns the last. */
  #call(
    request: WorkRequest,
    work: Work,
    signal: AbortSignal,
    onFrame: (frame: QueueFrame) => void = () => {},
  ): Promise<Reply> {
    if (this.#phase !== 'ready') throw this.#notReady();
    return this.#calls.run<Reply>((end) => {
      const attempt = this.#attempt(request, {
        take: (frame) => {
          onFrame(frame);
          if (frame.more || frame.frame === undefined) return false;
          end.resolve(frame.frame);
          return true;
        },
        giveUp: (error) => end.reject(error),
      });
      void this.#send(attempt, { starts: [], work }, request, 1, request.priority);
      return () => attempt.end(true);
    }, signal);
  }

  #attempt({ deadlineMs, priority }: TimedRequest, content: AttemptContent): QueueAttempt {
    const attempt = new QueueAttempt(
      {
        answerId: randomUUID(),
        pool: this.pool,
        untilMs: performance.now() + (deadlineMs ?? timeoutMsOf(priority, this.limits)),
        lost: workerLost,
        onEnded: (ended, left) => this.#onEnded(ended, left),
      },
      content,
    );
    this.#attempts.add(attempt);
    return attempt;
  }

  async #send(
    attempt: QueueAttempt,
    asked: QueueJob,
    { requestId }: Pick<WorkRequest, 'requestId'>,
    number: number,
    priority: number,
  ): Promise<void> {
    this.#adding++;
    try {
      const payload = QueueJob.encode(asked).finish();
      const { sentBytesMax } = this.limits;
      if (payload.length > sentBytesMax) throw tooLarge(payload.length, sentBytesMax);
      await this.#makeSureOfRoom();
      if (attempt.ended) return;
      await this.#add(attempt, payload, { requestId, attempt: number }, priority);
      attempt.sentAtMs = performance.now();
      // It was left while it was on its way.
      if (attempt.ended) await this.#remove(attempt);
    } catch (error) {
      attempt.giveUp(error instanceof InferenceError ? error : workerLost(error));
    } finally {
      this.#adding--;
    }
  }

  /** @throws InferenceError where as many wait as may. */
  async #makeSureOfRoom(): Promise<void> {
    if (this.#isFarFromFull()) return;
    const { queueJobsMax } = this.limits;
    if ((await this.#countWaiting()) < queueJobsMax) return;
    await this.#removeUnwanted();
    const waiting = await this.#countWaiting();
    if (waiting < queueJobsMax) return;
    const [many, most] = [waiting, queueJobsMax].map((count) => count.toLocaleString('en'));
    throw new InferenceError(
      'rate_limit_exceeded',
      `${many} jobs are waiting for a worker of this model (the limit is ${most}). Try again later.`,
      { retryAfterSeconds: FULL_RETRY_SECONDS, limit: 'queue' },
    );
  }

  async #countWaiting(): Promise<number> {
    await this.#count();
    // Those that are on their way are not counted by Redis yet; the one that asks is among them.
    return this.#counted.jobs + this.#adding - 1;
  }

  async #removeUnwanted(): Promise<void> {
    const jobs = await this.#unwanted.remove();
    if (jobs > 0)
      this.logger.info({ pool: this.pool, jobs }, 'the queue was full, and jobs that nobody waits for are removed');
  }

  async #count(): Promise<void> {
    const jobs = await this.#queue.getJobCountByTypes('wait', 'prioritized');
    this.#counted = { jobs, atMs: performance.now(), addedSince: this.#adding };
  }

  /** Then it need not be counted anew, which is a way to Redis and back that every first token would wait for. */
  #isFarFromFull(): boolean {
    this.#counted.addedSince++;
    const { jobs, atMs, addedSince } = this.#counted;
    const fresh = performance.now() - atMs < COUNT_AGE_MS_MAX;
    return fresh && (jobs + addedSince) * FAR_FROM_FULL <= this.limits.queueJobsMax;
  }

  async #add(
    attempt: QueueAttempt,
    payload: Uint8Array,
    of: Pick<QueueJobData, 'requestId' | 'attempt'>,
    priority: number,
  ): Promise<void> {
    const { names, client, streams, gatewayId, watch } = this.link;
    const { answerId } = attempt;
    const leftMs = Math.max(1, Math.floor(attempt.untilMs - performance.now()));
    const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
    const inline = bytes.length <= QUEUE_INLINE_BYTES_MAX;
    // Before anything is waited for: whoever leaves meanwhile closes it.
    streams.open(names.answer(answerId), attempt);
    if (!inline) await client.set(names.payload(answerId), bytes, 'PX', leftMs + KEPT_MS);
    if (attempt.ended) {
      client.unlink(names.payload(answerId)).catch(() => {});
      return;
    }
    const nowMs = watch.redisNowMs();
    const data: QueueJobData = {
      answerId,
      gateway: gatewayId,
      ...of,
      deadlineAtMs: nowMs + leftMs,
      ...(inline && { payload: bytes.toString('base64') }),
    };
    await this.#queue.add('work', data, {
      // An add that is sent twice, since the answer to the first was lost, is one job.
      jobId: answerId,
      priority: jobPriority(priority, nowMs),
      removeOnComplete: true,
      removeOnFail: true,
    });
  }

  #onEnded(attempt: QueueAttempt, left: boolean): void {
    this.#attempts.delete(attempt);
    for (const open of this.#answers) if (open.size === 0) this.#answers.delete(open);
    const { names, client, streams, controls } = this.link;
    const { answerId } = attempt;
    streams.close(names.answer(answerId));
    const keys = [names.answer(answerId), names.payload(answerId)];
    if (left) {
      // Written down as well: a worker that was frozen reads it when it wakes.
      controls.cancel(attempt, 0);
      if (attempt.workerId === undefined && attempt.sentAtMs !== undefined) void this.#remove(attempt);
    } else {
      keys.push(names.control(answerId));
    }
    // What is left lying goes with its time.
    client.unlink(...keys).catch(() => {});
  }

  /** Out of the queue, if nobody has taken it. */
  async #remove({ answerId }: QueueAttempt): Promise<void> {
    await this.#queue.remove(answerId).catch(() => {});
  }

  // ------------------------------------------------------------------------------------------------- who is behind it

  #onNews(): void {
    if (this.#closed) return;
    this.#workers = this.link.watch.workers().filter(({ pool }) => pool === this.pool);
    this.#learnModels();
    const [phase, detail] = this.#standing();
    this.#enter(phase, detail);
    if (!this.link.usable) return;
    for (const attempt of [...this.#attempts]) {
      if (attempt.workerId !== undefined && !this.link.watch.hears(attempt.workerId)) attempt.giveUp(workerLost());
    }
    void this.#lookForJobs();
    this.#count().catch(() => {});
  }

  #standing(): [WorkerPhase, string] {
    if (!this.link.looked) return ['connecting', this.link.trouble ?? 'nobody was looked for yet'];
    if (!this.link.usable) return ['lost', this.link.trouble ?? ''];
    const heard = this.#workers.filter(({ heard }) => heard);
    if (heard.some(isReady)) return ['ready', ''];
    for (const state of ['loading', 'draining'] as const) {
      const one = heard.find(({ description }) => description.state === state);
      if (one !== undefined) return [state, one.description.detail.slice(0, 1_000).toWellFormed()];
    }
    return ['lost', 'no worker takes from this queue'];
  }

  /** Of those that are ready, or else of whoever said it last: a model whose workers are away still exists. */
  #learnModels(): void {
    const able = this.#workers.filter(({ description }) => faultOf(description) === undefined);
    const ready = able.filter(isReady);
    const models = new Map<string, ModelDescription>();
    for (const { description } of ready.length > 0 ? ready : able) {
      for (const model of description.models.map(modelOf)) if (!models.has(model.id)) models.set(model.id, model);
    }
    if (models.size === 0) return;
    const gist = JSON.stringify([...models.values()]);
    if (gist === this.#modelsGist) return;
    this.#modelsGist = gist;
    this.#models = [...models.values()];
  }

  /**
   * Whether jobs are where they should be. Redis may have forgotten one, waiting or taken, or its last frames with it; and whoever took
   * one may have died before it could say so.
   */
  async #lookForJobs(): Promise<void> {
    const nowMs = performance.now();
    const old = [...this.#attempts].filter(
      ({ sentAtMs }) => sentAtMs !== undefined && nowMs - sentAtMs > LOOKED_FOR_MS,
    );
    if (old.length === 0) return;
    const { names, client, watch } = this.link;
    const pipeline = client.pipeline();
    for (const { answerId } of old) pipeline.hmget(`${names.bull}:${this.pool}:${answerId}`, 'timestamp', 'pb');
    const replies = await pipeline.exec().catch(() => undefined);
    for (const [at, [error, said]] of (replies ?? []).entries()) {
      const attempt = old[at]!;
      if (error !== null || attempt.ended) continue;
      const [timestamp, takenBy] = said as [string | null, string | null];
      attempt.unclaimedSinceMs = takenBy === null || attempt.workerId ? undefined : (attempt.unclaimedSinceMs ?? nowMs);
      const unclaimedMs = nowMs - (attempt.unclaimedSinceMs ?? nowMs);
      const isHeld = takenBy === null || (watch.hears(takenBy) && unclaimedMs < UNCLAIMED_MS_MAX);
      const isThere = timestamp !== null && isHeld;
      attempt.missed = isThere ? 0 : attempt.missed + 1;
      if (attempt.missed >= MISSES_MAX) attempt.giveUp(workerLost());
    }
  }

  #enter(phase: WorkerPhase, detail: string): void {
    if (phase !== this.#phase) {
      this.logger.info({ worker: this.address, was: this.#phase, detail: detail || undefined }, `pool ${phase}`);
    }
    // It is looked every second; whoever watches wants to know what has changed.
    const changed = phase !== this.#phase || detail !== this.#detail || this.#models !== this.#toldModels;
    this.#phase = phase;
    this.#detail = detail;
    this.#toldModels = this.#models;
    if (!changed) return;
    for (const watcher of [...this.#watchers]) watcher();
  }

  #notReady(): InferenceError {
    return new InferenceError('worker_lost', `The pool is ${this.#phase} just now. Send the request again.`);
  }
}

function isReady({ heard, description }: PoolWorker): boolean {
  return heard && description.state === 'ready' && faultOf(description) === undefined;
}

function startOf({ frame }: GatewayFrame): Start {
  if (frame?.$case !== 'start') throw new Error('Only Starts begin an answer.');
  return frame.value;
}

type Replies = { readonly [R in Reply as R['$case']]: R['value'] };

function replyOf<C extends keyof Replies>(reply: Reply, kind: C): Replies[C] {
  if (reply.$case === kind) return reply.value as Replies[C];
  throw malformed(`a reply of the kind ${reply.$case} where ${kind} was asked for`);
}

function sum<T>(ones: readonly T[], of: (one: T) => number): number {
  return ones.reduce((all, one) => all + of(one), 0);
}
