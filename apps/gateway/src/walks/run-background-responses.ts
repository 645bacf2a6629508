import { setTimeout as sleep } from 'node:timers/promises';
import { type ErrorCode, type FileSearchResult, InferenceError, type ResponseEvent } from '@millrace/contracts';
import { gauge, type Logger } from '@millrace/runtime';
import { MEASURED } from '../metrics/declarations.js';
import { EventKeeper, isOver, RunLost } from '../responses/event-keeper.js';
import type { FoundResults } from '../responses/kept-searches.js';
import type { ResponseNews } from '../responses/response-news.js';
import type { BegunRun, NewRun, ResponseRuns } from '../responses/response-runs.js';
import { HeldJob } from '../stores/held-job.js';
import { type JobCounts, type JobQueue, JobQueueFull, type TakenJob } from '../stores/job-queue.js';
import { DatabaseUnavailable } from '../stores/sql-database.js';
import { ANYONE, type Call, type Caller } from '../vocabulary.js';
import { backgroundCall } from './background-call.js';
import type { ResponseIds } from './response-body.js';
import { RunWatch } from './run-watch.js';
import { type Ended, LAST_OPENING_NUMBER, ToldResponse } from './told-response.js';

/** How a response is answered, be it in the background or not. */
export interface Producer {
  /** Its events, from its beginning to its end. @param found is given what its searches find. */
  produce(
    body: object,
    call: Call,
    ids: ResponseIds,
    found: Map<string, readonly FileSearchResult[]>,
  ): AsyncIterable<readonly ResponseEvent[]>;
}

export interface BackgroundParts {
  readonly queue: JobQueue;
  readonly runs: ResponseRuns;
  readonly news: ResponseNews;
  readonly producer: Producer;
  /** Whether anybody is there who could answer: what is taken before waits here, and another gateway might have had it answered. */
  readonly canAnswer: () => boolean;
  readonly callers: {
    /** Undefined: the key is valid no more. */
    callerOfKey(keyId: string): Promise<Caller | undefined>;
  };
}

export interface BackgroundSettings {
  /** At one gateway. */
  readonly backgroundResponsesMax: number;
}

export interface BackgroundPace {
  /** Between two looks for what stands in no queue: Redis has lost it, or whoever would have added it was killed. */
  readonly sweepMs: number;
  /** Between two looks whether one that runs was ended elsewhere. */
  readonly watchMs: number;
}

export const BACKGROUND_PACE: BackgroundPace = { sweepMs: 5_000, watchMs: 1_000 };
/** Of those that are looked at then; the next look goes on behind them. */
const SWEPT_MAX = 64;
/** A response of which nobody heard again so often is not begun any more: it may be what kills those who begin it. */
const LOST_MAX = 3;
/** After an attempt that could not even begin, doubled each time. */
const PUT_OFF_MS_MIN = 250;
const PUT_OFF_MS_MAX = 30_000;
/** While the database is away in which the end is to be kept. */
const END_RETRY_MS = 500;
const LOOK_FOR_WORKERS_MS = 200;
/** A job came again, of what somebody is at: that one was killed, or the queue has lost the job that it had. */
const HELD_RETRY_MS = 1_000;
/** A taker rests after what nobody foresaw. */
const FAILED_PAUSE_MS = 1_000;

/** What has nothing to do with the request: it is tried again for as long as the response has time. */
const LATER: ReadonlySet<ErrorCode> = new Set([
  'rate_limit_exceeded',
  'model_not_ready',
  'store_unavailable',
  'shutting_down',
  'conversation_locked',
]);

/** What came of an attempt. */
type Attempt =
  | Ended
  /** And that is kept. */
  | { readonly kind: 'done' }
  | { readonly kind: 'again'; readonly inMs: number }
  /** Another has it, or nobody wants it any more. */
  | { readonly kind: 'lost' };

/**
 * Responses with `background: true`: a row that says what is to be answered, and a job that reminds somebody of it. Whichever gateway takes the
 * job answers, at the priority that the caller has, and keeps what came of it in one transaction. docs/concepts/responses.md says what holds
 * when a gateway is killed on the way.
 *
 * Ownership: it works by itself from `start` on, until `stop`.
 * Concurrency: `backgroundResponsesMax` of them here, and any number at other gateways; each by one at a time.
 */
export class RunBackgroundResponses {
  /** None is begun any more. */
  readonly #stopping = new AbortController();
  /** Nothing is waited for any more. */
  readonly #leaving = new AbortController();
  readonly #running = new Map<string, AbortController>();
  #loops: readonly Promise<void>[] = [];
  #counts: JobCounts = { waiting: 0, taken: 0 };
  readonly #endGauge = gauge(MEASURED.backgroundResponses, () => [
    { value: this.#counts.waiting, labels: { state: 'waiting' } },
    { value: this.#counts.taken, labels: { state: 'taken' } },
  ]);

  constructor(
    private readonly parts: BackgroundParts,
    private readonly settings: BackgroundSettings,
    private readonly logger: Logger,
    private readonly pace: BackgroundPace = BACKGROUND_PACE,
  ) {}

  start(): void {
    const takers = Array.from({ length: this.settings.backgroundResponsesMax }, () => this.#takeJobs());
    this.#loops = [...takers, this.#sweep()];
  }

  /** From here on it is answered, whatever becomes of this gateway. @throws what `ResponseRuns.queue` throws. */
  async queue(owner: string | undefined, run: NewRun): Promise<void> {
    await this.parts.runs.queue(owner, run);
    // Where that fails, the next look adds it.
    await this.#remind(run.response.id, run.priority).catch(() => undefined);
  }

  /** It was cancelled or deleted: who is at it here stops now, and who reads it hears of it. */
  ended(id: string): void {
    this.#running.get(id)?.abort(new RunLost('The response was ended.'));
    this.parts.news.tell(id);
  }

  /** Those that run may end within so long. The others are begun anew by others, or after the next start. */
  async stop(waitMs: number): Promise<void> {
    this.#stopping.abort(new Stopping());
    const timer = setTimeout(() => this.#leaving.abort(new Stopping()), waitMs);
    await Promise.all(this.#loops);
    clearTimeout(timer);
    this.#endGauge();
  }

  #remind(id: string, priority: number): Promise<void> {
    return this.parts.queue.add({ id, payload: id, priority });
  }

  async #takeJobs(): Promise<void> {
    const { signal } = this.#stopping;
    for (;;) {
      while (!this.parts.canAnswer() && !signal.aborted)
        await sleep(LOOK_FOR_WORKERS_MS, undefined, { signal }).catch(() => undefined);
      const job = await this.parts.queue.take(signal).catch(() => undefined);
      if (job === undefined) return;
      await this.#do(job);
    }
  }

  async #sweep(): Promise<void> {
    const { signal } = this.#stopping;
    let after = '';
    while (!signal.aborted) {
      try {
        await this.#expire();
        const live = await this.parts.runs.live(after, SWEPT_MAX);
        for (const { id, priority } of live) await this.#remind(id, priority);
        after = live.length < SWEPT_MAX ? '' : live.at(-1)!.id;
        this.#counts = await this.parts.queue.counts();
      } catch (error) {
        // Database or queue is away, and says so itself.
        if (!(error instanceof JobQueueFull)) this.logger.debug({ error }, 'responses were not looked at');
      }
      await sleep(this.pace.sweepMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Those that nobody took in time. Who was at one when its time was over has told so itself. */
  async #expire(): Promise<void> {
    const { runs } = this.parts;
    for (const id of await runs.overdue(SWEPT_MAX)) {
      const run = await runs.begin(id, this.parts.queue.leaseMs);
      if (run !== undefined) await this.#end(run, await this.#failedAsKept(run, timeIsOver()), this.#stopping.signal);
    }
  }

  async #do(taken: TakenJob): Promise<void> {
    const { queue, runs } = this.parts;
    const id = taken.payload;
    // It keeps others from taking what would only tell them that somebody is at it: that is known by the run alone, whatever the queue forgets.
    using _held = new HeldJob(queue, taken);
    let run: BegunRun | undefined;
    try {
      run = await runs.begin(id, queue.leaseMs);
      if (run === undefined) {
        const isLive = await runs.isLive(id);
        return void (await (isLive ? queue.retryLater(taken, HELD_RETRY_MS) : queue.done(taken)));
      }
      const attempt = await this.#attempt(run);
      if (attempt.kind === 'ended') await this.#end(run, attempt, this.#leaving.signal);
      if (attempt.kind === 'again') {
        await runs.putBack(run);
        return void (await queue.retryLater(taken, attempt.inMs));
      }
      await queue.done(taken);
    } catch (error) {
      if (run !== undefined) await runs.putBack(run).catch(() => undefined);
      this.logger.warn({ error, responseId: id }, 'a response was not answered; it is tried again');
      await queue.retryLater(taken, PUT_OFF_MS_MIN).catch(() => false);
      // What is wrong here need not be wrong elsewhere: others take it meanwhile.
      await sleep(FAILED_PAUSE_MS, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
    }
  }

  async #attempt(run: BegunRun): Promise<Attempt> {
    const hopeless = whyHopeless(run);
    if (hopeless !== undefined) return this.#failedAsKept(run, hopeless);
    const told = new ToldResponse(run);
    const ending = new AbortController();
    this.#running.set(run.id, ending);
    using _watch = new RunWatch(() => this.#whyToEnd(run), ending, this.pace.watchMs, this.parts.queue.leaseMs);
    const timer = setTimeout(() => ending.abort(timeIsOver()), run.remainingMs);
    const signal = AbortSignal.any([ending.signal, this.#leaving.signal]);
    const { runs, news } = this.parts;
    const keeper = run.streamed ? new EventKeeper(runs, run, () => news.tell(run.id), signal) : undefined;
    try {
      const caller = await this.#callerOf(run);
      if (caller === undefined) throw keyGone();
      return await this.#answer(run, caller, told, keeper, signal);
    } catch (error) {
      return await this.#afterFailure(run, told, keeper, signal.aborted ? signal.reason : error);
    } finally {
      clearTimeout(timer);
      this.#running.delete(run.id);
    }
  }

  /** With what was streamed of it. */
  async #failedAsKept(run: BegunRun, why: InferenceError): Promise<Ended> {
    const told = new ToldResponse(run);
    let last = LAST_OPENING_NUMBER;
    for (let more = run.streamed; more; ) {
      const page = await this.parts.runs.events(run.owner, run.id, last);
      told.recall(page?.events ?? []);
      last = page?.events.at(-1)?.sequence_number ?? run.lastNumber;
      more = last < run.lastNumber;
    }
    return told.failed(why);
  }

  /**
   * The events as they come; those of its end are kept with the end itself. And that before the answer is let go of, which until then has its
   * conversation for itself: whoever is next there finds this one in it.
   */
  async #answer(
    run: BegunRun,
    caller: Caller,
    told: ToldResponse,
    keeper: EventKeeper | undefined,
    signal: AbortSignal,
  ): Promise<Attempt> {
    const { producer } = this.parts;
    const { id, created_at: createdAt } = run.response;
    const found = new Map<string, readonly FileSearchResult[]>();
    const call = callOf(run, caller, signal);
    for await (const events of producer.produce(run.request.body, call, { id, createdAt }, found)) {
      if (isOver(signal)) throw signal.reason;
      const more = told.add(events);
      if (more.length > 0) await keeper?.add(more);
      told.isStreamOver = keeper?.isFull ?? false;
      if (!told.hasEnded) continue;
      // Where nobody has seen anything of it, it need not end with that.
      if (told.error !== undefined && LATER.has(told.error.code) && !told.isSeen) throw told.error;
      await this.#end(run, told.ended((await keeper?.rest()) ?? []), signal, found);
      return { kind: 'done' };
    }
    if (isOver(signal)) throw signal.reason;
    throw new InferenceError('internal_error', 'The answer of this response ended without saying how.');
  }

  async #afterFailure(
    run: BegunRun,
    told: ToldResponse,
    keeper: EventKeeper | undefined,
    error: unknown,
  ): Promise<Attempt> {
    if (error instanceof RunLost) return { kind: 'lost' };
    // It may be back when another begins it.
    if (error instanceof DatabaseUnavailable) throw error;
    // Here the answer ends, but not the response: another begins it anew.
    if (error instanceof Stopping) return { kind: 'again', inMs: 0 };
    if (!(error instanceof InferenceError)) this.logger.error({ error, responseId: run.id }, 'a response failed');
    // Behind what was told before: where that can't be kept, another finds what there is.
    if (told.isSeen || !isForLater(error)) return told.failed(error, (await keeper?.rest()) ?? []);
    const waitMs = PUT_OFF_MS_MIN * 2 ** Math.min(run.putBack, 10);
    const inMs = Math.min(PUT_OFF_MS_MAX, Math.max(waitMs, (error.details.retryAfterSeconds ?? 0) * 1_000));
    return { kind: 'again', inMs };
  }

  /** Until it is kept, or may be another's. @throws DatabaseUnavailable where that is away for as long as a lease lasts. */
  async #end(run: BegunRun, { response, events }: Ended, signal: AbortSignal, found?: FoundResults): Promise<void> {
    const untilMs = performance.now() + this.parts.queue.leaseMs;
    for (;;) {
      try {
        await this.parts.runs.end(run, response, events, found);
        this.parts.news.tell(run.id);
        return;
      } catch (error) {
        if (!(error instanceof DatabaseUnavailable) || performance.now() > untilMs) throw error;
        await sleep(END_RETRY_MS, undefined, { signal: AbortSignal.any([signal, this.#leaving.signal]) });
      }
    }
  }

  async #callerOf({ owner }: BegunRun): Promise<Caller | undefined> {
    return owner === undefined ? ANYONE : this.parts.callers.callerOfKey(owner);
  }

  async #whyToEnd(run: BegunRun): Promise<Error | undefined> {
    if (!(await this.parts.runs.hold(run, this.parts.queue.leaseMs)))
      return new RunLost('The response was ended, or another has begun it.');
    return (await this.#callerOf(run)) === undefined ? keyGone() : undefined;
  }
}

/** The gateway stops. */
class Stopping extends Error {
  override readonly name = 'Stopping';
}

function isForLater(error: unknown): error is InferenceError {
  return error instanceof InferenceError && LATER.has(error.code) && error.details.shouldRetry !== false;
}

/** In the name of whoever made it, and at the priority that they have: they wait for it, though not here. */
function callOf({ id, request }: BegunRun, caller: Caller, signal: AbortSignal): Call {
  const bodyBytes = Buffer.byteLength(JSON.stringify(request.body));
  return {
    ...backgroundCall({ requestId: id, caller, bodyBytes }, leftBy(signal)),
    caller,
    cacheAsk: request.cacheAsk,
    dispatchAsk: request.dispatchAsk,
  };
}

/** Whoever answers hears of an end as of a client that left: it is nobody's fault, and is recorded so. */
function leftBy(signal: AbortSignal): AbortSignal {
  const left = new AbortController();
  const leave = () => left.abort(signal.reason instanceof InferenceError ? signal.reason : nobodyWaits(signal.reason));
  if (signal.aborted) leave();
  else signal.addEventListener('abort', leave, { once: true });
  return left.signal;
}

function nobodyWaits(cause: unknown): InferenceError {
  return new InferenceError('client_closed_request', 'Nobody waits for this response here any more.', { cause });
}

/** Why it is not begun again; undefined: it is. */
function whyHopeless({ remainingMs, streamed, lastNumber, attempt, putBack }: BegunRun): InferenceError | undefined {
  if (remainingMs <= 0) return timeIsOver();
  if (streamed && lastNumber > LAST_OPENING_NUMBER)
    return new InferenceError(
      'answer_broken_off',
      'The gateway that answered this response stopped, and a new answer would not go on from what was streamed of this one. Send it again.',
    );
  if (attempt - 1 - putBack >= LOST_MAX)
    return new InferenceError(
      'internal_error',
      `${LOST_MAX} gateways were lost while they answered this response, so it is not tried again. Look for its id in their logs.`,
    );
  return undefined;
}

function timeIsOver(): InferenceError {
  return new InferenceError(
    'deadline_exceeded',
    'The response was not complete within backgroundResponseTimeoutMs. Send it again, or raise that setting.',
  );
}

function keyGone(): InferenceError {
  return new InferenceError(
    'invalid_api_key',
    'The API key that made this response is valid no more, so nothing more is done in its name.',
  );
}
