import { InferenceError } from '@millrace/contracts';
import { LOW_PRIORITY, type Permit } from '../vocabulary.js';
import { type ModelSet, modelsOf, type PlaceAsk, type RoomLimits, WaitingRoom } from './waiting-room.js';

export type { PlaceAsk } from './waiting-room.js';

export interface AdmissionLimits extends RoomLimits {
  /** Requests that run at a time. */
  readonly maxConcurrentRequests: number;
  /** How long a request waits for a worker while none is ready for its model. 0: it is refused at once. */
  readonly coldStartWaitMs: number;
}

/** What admission wants to know of the workers. */
export interface Servants {
  /** Whether one that is ready serves the model. */
  serves(model: string): boolean;
  /** Whether one that is ready serves anything. */
  readonly servesAny: boolean;
  /** Whether any has told of the model, ready or not. */
  knows(model: string): boolean;
  /** Whether any has ever said what it serves. */
  readonly modelsKnown: boolean;
  /** Whether all have, but for those that can't be reached. */
  readonly allHeard: boolean;
  /** Whether one that none serves may soon be served: else nobody waits for it. */
  comesBack(model: string): boolean;
  /** How a model stands that none serves: `loading (40% read)`. */
  standingOf(model: string): string;
  /** Calls `listener` in the very turn in which any of these may have changed; returns what stops that. */
  watch(listener: () => void): () => void;
}

/** Clients ignore a Retry-After above a minute (openai-node) or give up on one above two (openai-python). */
const RETRY_AFTER_SECONDS_MAX = 60;
/** How soon to come back for a model that did not become ready: time to load a small one. */
const NOT_READY_RETRY_SECONDS = 2;
/** How long a place is held, before anything was measured. */
const HELD_MS_AT_FIRST = 1_000;
/** Weight of the newest measurement in the running mean. */
const HELD_MS_WEIGHT = 0.1;

/** A request that wants a place, and who wants to know that it was made to wait for it. */
export interface AdmissionAsk extends PlaceAsk {
  /** When it began to wait for workers, on the clock of `performance.now()`; undefined: it has not. */
  readonly coldSinceMs?: number | undefined;
  readonly onWait?: () => void;
}

/** What a request in the room waits for. */
interface Wait<Result> {
  readonly served: boolean;
  /** It waits for no place, and goes on as soon as this is so. */
  readonly until?: () => boolean;
  readonly onTurn: () => Result;
}

/** What admission does to a request in the room: each but the last two ends its wait, and it is out of the room then. */
interface Guest {
  /** Whether it waits for no place, and what it waits for is there. */
  hasComeTrue(): boolean;
  goOn(): void;
  refuse(error: InferenceError): void;
  /** No worker is ready for it, and none is waited for any longer. */
  giveUp(): void;
  /** From now on no worker is ready for it. */
  cool(sinceMs: number): void;
  warm(): void;
}

/**
 * Places for requests: a bounded number run, a bounded number wait. Who waits, who is next and who gives way is decided in
 * waiting-room.ts; this is what comes of it.
 *
 * Ownership: a place belongs to the permit that was handed out with it, and comes back when that is disposed of, once.
 * Concurrency: a freed place passes on in the same turn, without an `await` between, so it is never given twice, and none
 * stays free while somebody could use it. A request that is let in and whose signal aborts in the same turn holds a permit all
 * the same.
 */
export class Admission {
  #running = 0;
  readonly #runningByModel = new Map<string | undefined, number>();
  /** For which somebody waits: of those that run, and of those that wait for a place. */
  #interactiveRunning = 0;
  #interactiveWaiting = 0;
  /** Of those that wait, those that do so for no place. */
  #placelessWaiting = 0;
  #heldMsMean = HELD_MS_AT_FIRST;
  readonly #room: WaitingRoom<Guest>;
  readonly #unwatch: () => void;
  #closed = false;

  constructor(
    private readonly limits: AdmissionLimits,
    private readonly servants: Servants,
    private readonly clock: () => number = () => performance.now(),
  ) {
    this.#room = new WaitingRoom(limits);
    this.#unwatch = servants.watch(() => this.#onNews());
  }

  /** By the model of their choice; of those that wait, undefined where nobody knows yet which it is. */
  get byModel(): {
    readonly running: ReadonlyMap<string | undefined, number>;
    readonly waiting: ReadonlyMap<string | undefined, number>;
  } {
    const waiting = new Map<string | undefined, number>();
    for (const models of this.#room.models) {
      const first = models?.[0];
      waiting.set(first, (waiting.get(first) ?? 0) + this.#room.waitingFor(models).length);
    }
    return { running: this.#runningByModel, waiting };
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#room.size;
  }

  /**
   * Those for which somebody waits: all but work of low priority, which gives way to them. Who waits for a worker, and not for a place, is
   * not among them: nothing that gives way would help.
   */
  get interactive(): { readonly running: number; readonly waiting: number } {
    return { running: this.#interactiveRunning, waiting: this.#interactiveWaiting };
  }

  /** Of the bodies of those that wait. */
  get waitingBytes(): number {
    return this.#room.bytes;
  }

  get modelsAreKnown(): boolean {
    return this.servants.modelsKnown;
  }

  get allHeard(): boolean {
    return this.servants.allHeard;
  }

  /**
   * A place, once there is one and a worker is ready that serves the model or one of its fallbacks.
   *
   * @throws InferenceError `rate_limit_exceeded` when nobody more may wait, or later when it has to give way;
   *   `model_not_ready` when no worker was ready for `coldStartWaitMs`, or at once when none of them `comesBack`; `shutting_down` once this is closed; or what `signal` was
   *   aborted with.
   */
  async admit(ask: AdmissionAsk & { readonly model: string }, signal: AbortSignal): Promise<Permit> {
    signal.throwIfAborted();
    if (this.#closed) throw shuttingDown();
    const models = modelsOf(ask);
    const served = this.#serves(models);
    // Nobody is passed over: whoever could use a free place has been given it.
    if (served && this.#running < this.limits.maxConcurrentRequests) return this.#take(ask);
    if (!served && !this.waitsFor(models)) throw this.#notReady(ask, 0);
    if (!served && this.servants.servesAny && this.#room.crowds(ask)) throw this.#crowded(ask);
    return this.#wait(ask, signal, { served, onTurn: () => this.#take(ask) });
  }

  /**
   * Holds a request until some worker has said what is served, or until all have: before that, nobody can tell whether it is
   * valid. It waits in the same room, within the same bounds, but for no place.
   *
   * @returns when it began to wait; undefined if it did not have to.
   * @throws InferenceError as `admit`.
   */
  async modelsKnown(
    ask: Omit<AdmissionAsk, 'model'>,
    from: 'some' | 'all',
    signal: AbortSignal,
  ): Promise<number | undefined> {
    const known = () => this.servants.modelsKnown && (from === 'some' || this.servants.allHeard);
    if (known()) return ask.coldSinceMs;
    signal.throwIfAborted();
    if (this.#closed) throw shuttingDown();
    const forAny = { ...ask, model: undefined, fallbacks: undefined };
    if (!this.#mayWait) throw this.#notReady(forAny, 0);
    const sinceMs = ask.coldSinceMs ?? this.clock();
    return this.#wait({ ...forAny, coldSinceMs: sinceMs }, signal, {
      served: false,
      until: known,
      onTurn: () => sinceMs,
    });
  }

  /**
   * Holds a request for models of which no worker has told, but one comes for whoever waits: until one has told of any of them. Before
   * that nobody can tell whether it is valid. It waits in the same room, within the same bounds, but for no place.
   *
   * @returns as `modelsKnown`.
   * @throws InferenceError as `admit`.
   */
  async modelComes(ask: AdmissionAsk & { readonly model: string }, signal: AbortSignal): Promise<number | undefined> {
    const models = modelsOf(ask);
    const known = () => models?.some((model) => this.servants.knows(model)) ?? false;
    if (known()) return ask.coldSinceMs;
    signal.throwIfAborted();
    if (this.#closed) throw shuttingDown();
    if (!this.#mayWait) throw this.#notReady(ask, 0);
    const sinceMs = ask.coldSinceMs ?? this.clock();
    if (this.#room.crowds(ask)) throw this.#crowded(ask);
    return this.#wait({ ...ask, coldSinceMs: sinceMs }, signal, { served: false, until: known, onTurn: () => sinceMs });
  }

  /** Hears no news from now on, and lets nobody in: whoever waits or comes is told that this stops. Those that run keep their places. */
  close(): void {
    this.#closed = true;
    this.#unwatch();
    for (const models of this.#room.models) {
      for (const { guest } of this.#room.waitingFor(models)) guest.refuse(shuttingDown());
    }
  }

  /** Whether a request waits for a worker that serves any of these models, of which none is served just now. */
  waitsFor(models: ModelSet): boolean {
    return this.#mayWait && (models?.some((model) => this.servants.comesBack(model)) ?? true);
  }

  get #mayWait(): boolean {
    return this.limits.coldStartWaitMs > 0 && this.limits.maxQueueDepth > 0;
  }

  async #wait<Result>(
    ask: AdmissionAsk,
    signal: AbortSignal,
    { served, until, onTurn }: Wait<Result>,
  ): Promise<Result> {
    this.#makeRoom(ask);
    ask.onWait?.();
    const interactive = isInteractive(ask) ? 1 : 0;
    const placeless = until === undefined ? 0 : 1;
    return new Promise((resolve, reject) => {
      let coldTimer: NodeJS.Timeout | undefined;
      let coldSinceMs: number | undefined;
      const leaveRoom = () => {
        clearTimeout(coldTimer);
        signal.removeEventListener('abort', onAbort);
        this.#room.remove(waiter);
        if (coldSinceMs === undefined) this.#interactiveWaiting -= interactive;
        this.#placelessWaiting -= placeless;
      };
      const onAbort = () => {
        leaveRoom();
        reject(signal.reason);
      };
      const guest: Guest = {
        hasComeTrue: () => until?.() ?? false,
        goOn: () => {
          leaveRoom();
          resolve(onTurn());
        },
        refuse: (error) => {
          leaveRoom();
          reject(error);
        },
        giveUp: () => guest.refuse(this.#notReady(ask, coldSinceMs === undefined ? 0 : this.clock() - coldSinceMs)),
        cool: (sinceMs) => {
          this.#interactiveWaiting -= interactive;
          coldSinceMs = sinceMs;
          const leftMs = Math.max(0, sinceMs + this.limits.coldStartWaitMs - this.clock());
          coldTimer = setTimeout(guest.giveUp, leftMs);
        },
        warm: () => {
          this.#interactiveWaiting += interactive;
          coldSinceMs = undefined;
          clearTimeout(coldTimer);
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      const nowMs = this.clock();
      const waiter = this.#room.add(ask, served, guest, nowMs);
      this.#interactiveWaiting += interactive;
      this.#placelessWaiting += placeless;
      if (!served) guest.cool(ask.coldSinceMs ?? nowMs);
    });
  }

  #makeRoom(ask: PlaceAsk): void {
    const leaving = this.#room.whoGivesWay(ask, this.clock());
    if (leaving === undefined) throw this.#full(ask);
    for (const { guest } of leaving) guest.refuse(this.#gaveWay());
  }

  #take(ask: PlaceAsk): Permit {
    this.#running++;
    this.#countRunning(ask, 1);
    if (isInteractive(ask)) this.#interactiveRunning++;
    this.#room.begin(ask);
    const sinceMs = this.clock();
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        this.#release(ask, sinceMs);
      },
    };
  }

  #release(ask: PlaceAsk, sinceMs: number): void {
    const nowMs = this.clock();
    this.#running--;
    this.#countRunning(ask, -1);
    if (isInteractive(ask)) this.#interactiveRunning--;
    this.#room.end(ask, nowMs);
    this.#heldMsMean += HELD_MS_WEIGHT * (nowMs - sinceMs - this.#heldMsMean);
    this.#fill();
  }

  #countRunning({ model }: PlaceAsk, by: 1 | -1): void {
    const count = (this.#runningByModel.get(model) ?? 0) + by;
    // Names are forgotten with their last request: workers may rename their models for ever.
    if (count === 0) this.#runningByModel.delete(model);
    else this.#runningByModel.set(model, count);
  }

  #fill(): void {
    while (this.#running < this.limits.maxConcurrentRequests) {
      const next = this.#room.next(this.clock());
      if (next === undefined) return;
      next.guest.goOn();
    }
  }

  #onNews(): void {
    const nowMs = this.clock();
    this.#letOnWhoWaitsForNoPlace();
    for (const models of this.#room.models) {
      if (models === undefined) continue;
      const served = this.#serves(models);
      if (!served && !this.waitsFor(models)) {
        for (const { guest } of this.#room.waitingFor(models)) guest.giveUp();
        continue;
      }
      if (!this.#room.setServed(models, served)) continue;
      for (const { guest } of this.#room.waitingFor(models)) {
        if (served) guest.warm();
        else guest.cool(nowMs);
      }
    }
    this.#fill();
  }

  #letOnWhoWaitsForNoPlace(): void {
    if (this.#placelessWaiting === 0) return;
    for (const models of this.#room.models) {
      for (const { guest } of this.#room.waitingFor(models)) if (guest.hasComeTrue()) guest.goOn();
    }
  }

  #serves(models: ModelSet): boolean {
    return models?.some((model) => this.servants.serves(model)) ?? false;
  }

  #full({ bytes }: PlaceAsk): InferenceError {
    const { maxConcurrentRequests, maxQueueDepth, maxQueueBytes } = this.limits;
    const running = `${this.#running} requests are running (the limit is ${maxConcurrentRequests}) and ${this.#room.size} are waiting`;
    const sentence =
      this.#room.size < maxQueueDepth
        ? `${running}, whose bodies take ${inEnglish(this.#room.bytes)} bytes; with the ${inEnglish(bytes)} of this one they would take more than ${inEnglish(maxQueueBytes)}.`
        : `${running} (${maxQueueDepth}).`;
    return this.#refusal(`${sentence} Try again later.`);
  }

  #crowded(ask: PlaceAsk): InferenceError {
    const { maxQueueDepth } = this.limits;
    const same = this.#room.waitingFor(modelsOf(ask)).length;
    return this.#refusal(
      `${same} requests wait for a worker of the model \`${ask.model}\`, ${this.#room.size} wait in all (the limit is ${maxQueueDepth}), and those that no worker serves leave as much room to others as they take. Try again later.`,
    );
  }

  #gaveWay(): InferenceError {
    return this.#refusal(
      `${this.#room.size} requests were waiting (the limit is ${this.limits.maxQueueDepth}), and this one gave way to one of a key with fewer, or of a higher priority. Try again later.`,
    );
  }

  #refusal(sentence: string): InferenceError {
    const details = { retryAfterSeconds: this.#retryAfterSeconds(), limit: 'queue' } as const;
    return new InferenceError('rate_limit_exceeded', sentence, details);
  }

  #notReady({ model, fallbacks = [] }: Pick<PlaceAsk, 'model' | 'fallbacks'>, waitedMs: number): InferenceError {
    const nobodyHas = model !== undefined && ![model, ...fallbacks].some((id) => this.servants.knows(id));
    if (nobodyHas) return notComing(model, waitedMs, this.limits);
    const waited = waitedMs === 0 ? '' : `; this request waited ${inEnglish(Math.ceil(waitedMs))} ms for one`;
    const sentence =
      model === undefined
        ? `${this.servants.modelsKnown ? 'Not every' : 'No'} worker has reported its models yet${waited}. Try again shortly; /readyz says what is missing.`
        : `No worker can serve the model \`${model}\` just now${waited}. ${this.#standings(model, fallbacks)} Try again shortly; /readyz says what is missing.`;
    return new InferenceError('model_not_ready', sentence, { retryAfterSeconds: NOT_READY_RETRY_SECONDS });
  }

  #standings(model: string, fallbacks: readonly string[]): string {
    const each = fallbacks.map((id) => `\`${id}\` is ${this.servants.standingOf(id)}`);
    const others = each.length === 0 ? '' : ` Nor can what would stand in for it: ${each.join(', ')}.`;
    return `It is ${this.servants.standingOf(model)}.${others}`;
  }

  /** When the queue as it stands will have been let in, at the pace of late. */
  #retryAfterSeconds(): number {
    const waitMs = ((this.#room.size + 1) / this.limits.maxConcurrentRequests) * this.#heldMsMean;
    return Math.min(RETRY_AFTER_SECONDS_MAX, Math.max(1, Math.ceil(waitMs / 1000)));
  }
}

/** None has told of it yet, or those that did are gone: as with a pool that rests at zero. */
function notComing(
  model: string,
  waitedMs: number,
  { coldStartWaitMs, maxQueueDepth }: AdmissionLimits,
): InferenceError {
  const why =
    waitedMs === 0
      ? `No worker is there for the model \`${model}\`, and nobody may wait for one: coldStartWaitMs is ${inEnglish(coldStartWaitMs)}, and maxQueueDepth ${inEnglish(maxQueueDepth)}.`
      : `No worker has come for the model \`${model}\`: this request waited ${inEnglish(Math.ceil(waitedMs))} ms for one, and the most is ${inEnglish(coldStartWaitMs)} (coldStartWaitMs).`;
  return new InferenceError(
    'model_not_ready',
    `${why} Try again shortly: one may be on its way. If it stays so, whoever runs this server should see why none starts; /readyz says which are there.`,
    { retryAfterSeconds: NOT_READY_RETRY_SECONDS },
  );
}

function shuttingDown(): InferenceError {
  return new InferenceError('shutting_down', 'This server is stopping before the request had its turn. Send it again.');
}

function isInteractive({ priority }: PlaceAsk): boolean {
  return priority > LOW_PRIORITY;
}

function inEnglish(number: number): string {
  return number.toLocaleString('en');
}
