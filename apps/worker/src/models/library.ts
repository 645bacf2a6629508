import { type Engine, type EngineLoad, InferenceError, type ModelDescription } from '@millrace/contracts';
import { Doorbell, type Logger } from '@millrace/runtime';
import {
  descriptionOf,
  failureEndMs,
  hasFailed,
  idleEndMs,
  isAway,
  type Lease,
  type LibraryEntry,
  type LoadedModel,
  loadedNow,
  longestWaiting,
  mayAnswer,
  usableNow,
} from './library-entry.js';
import {
  aboutToLoad,
  failureOf,
  filesChange,
  isMistake,
  NoLongerWanted,
  NoRoomNow,
  noLongerOffered,
  shuttingDown,
  tooLate,
} from './library-failures.js';
import type { LibraryModel, LookedAt, OpenTerms, Report } from './library-model.js';
import { LibraryRoom, type RoomHost, type RoomTerms } from './library-room.js';
import type { MemoryBudget } from './memory-budget.js';
import { sentenceOf } from './sentence-of.js';
import { WaitingLine, type WaitTerms } from './waiting-line.js';

/** `failed`: no model is there, nor will be. */
export type LibraryState = 'loading' | 'ready' | 'failed';

/** Why a model was unloaded. */
export type UnloadReason = 'idle' | 'room' | 'broken' | 'gone';

export interface LibraryListener {
  /** A model was loaded, unloaded, failed, or is loaded further. May be called very often. */
  onChange(): void;
  onLoaded(model: LibraryModel, durationMs: number): void;
  onFailed(model: LibraryModel): void;
  onUnloaded(model: LibraryModel, reason: UnloadReason): void;
  /** Only a new process mends this. Called once. */
  onHopeless(error: Error): void;
}

export interface LibraryLimits {
  /** Requests that may wait for a model, of all models together. */
  readonly queueMax: number;
}

/** For how long a model that could not be loaded is not tried again, unless its file changes. */
const RETRY_DELAY_MS = 30_000;
/** An engine that is closed takes no longer than its running step. */
const CLOSE_MS_MAX = 60_000;
/** How long the answers of a broken engine may take to fail. */
const BROKEN_DRAIN_MS_MAX = 5_000;
/** An engine that breaks so often within that time is not mended by loading the model again. */
const BREAKS_MAX = 3;
const BREAKS_WITHIN_MS = 600_000;
/** Looking at files that are not loaded holds up the start no longer than that. */
const LOOK_AT_START_MS_MAX = 2_000;
/** So often is a model prepared whose files become others meanwhile, as they do while they are copied. */
const PREPARE_TIMES_MAX = 3;
/** At most so often does loading say in the log how far it is. */
const PROGRESS_LOG_MS = 5_000;

/**
 * The models of this worker. Some are loaded at the start, the others when they are asked for; they are unloaded when
 * nobody has used them for long, or when another needs their memory, and never while they are in use.
 *
 * Whoever asks for a model that is not loaded waits in its line. Lines take turns: the model whose first waiter has waited
 * longest is loaded next, and everyone who waits for it by then is let in at once. `planRoom` says what has to go for it.
 * One model is loaded at a time, since two at once would both be late, and neither would know what memory the other leaves;
 * those that are computed elsewhere need none, and are opened beside that.
 *
 * A model that can't be loaded is an error of those who asked for it. It is tried again when somebody asks after a while,
 * or after its file has changed.
 *
 * Ownership: owns the engines from the moment they are open, and closes them when no lease is left.
 *
 * Concurrency: one loop (`#tend`) loads and unloads; `use` and leases only count, and ring its bell.
 */
export class Library {
  #entries: readonly LibraryEntry[];
  readonly #byName = new Map<string, LibraryEntry>();
  readonly #bell = new Doorbell();
  readonly #stop = new AbortController();
  readonly #started = Promise.withResolvers<void>();
  #hasStarted = false;
  /** Why only a new process mends this. */
  #hopeless: string | undefined;
  #tending: Promise<void> | undefined;
  readonly #room: LibraryRoom;
  /** Models that are being opened beside the loop. */
  readonly #aside = new Set<Promise<void>>();

  /** @param models the chosen one first; no two share a name. */
  constructor(
    models: readonly [LibraryModel, ...LibraryModel[]],
    private readonly budget: MemoryBudget,
    private readonly limits: LibraryLimits,
    private readonly listener: LibraryListener,
    private readonly logger: Logger,
  ) {
    this.#entries = models.map((model) => this.#entryFor(model, false));
    const host: RoomHost = {
      stopped: this.#stop.signal,
      unload: (entry) => this.#unload(entry, 'room'),
      admitWhoMay: () => this.#admitWhoMay(),
      heard: (untilMs) => this.#heard(untilMs),
    };
    this.#room = new LibraryRoom(() => this.#entries, budget, host, logger);
    this.#nameAll();
  }

  #entryFor(model: LibraryModel, isOffered: boolean): LibraryEntry {
    return {
      model,
      line: new WaitingLine<Lease>(() => this.#bell.ring()),
      ...{ state: 'idle', detail: '', stamp: undefined, looked: undefined, failure: undefined, loaded: undefined },
      ...{ leaving: false, brought: undefined, isOffered, isGone: false, breaksAtMs: [] },
    };
  }

  #nameAll(): void {
    this.#byName.clear();
    for (const entry of this.#entries) {
      if (entry.isGone) continue;
      for (const name of [entry.model.id, ...entry.model.aliases]) this.#byName.set(name, entry);
    }
  }

  /**
   * What may be asked for beside the models that it was made with, from now on: those that are new are taken up, and those that are there no
   * more go once nobody uses them. A name that a model has that it was made with stays that one's.
   */
  offer(models: readonly LibraryModel[]): void {
    if (this.#stop.signal.aborted) return;
    const offered = new Map(models.map((model) => [model.id, model]));
    for (const entry of this.#entries) if (entry.isOffered) entry.isGone = !offered.has(entry.model.id);
    const known = new Set(this.#entries.flatMap(({ model }) => [model.id, ...model.aliases]));
    const added = [...offered.values()].filter(({ id }) => !known.has(id)).map((model) => this.#entryFor(model, true));
    this.#entries = [...this.#entries, ...added];
    this.#dropGone();
    this.#nameAll();
    this.#bell.ring();
    this.listener.onChange();
  }

  #dropGone(): void {
    for (const { isGone, line, model } of this.#entries) if (isGone) line.refuseAll(noLongerOffered(model.id));
    this.#entries = this.#entries.filter(({ isGone, state }) => !isGone || state !== 'idle');
  }

  // ------------------------------------------------------------------------------------------------- what it says

  /** `ready` once everything that is loaded at the start was tried, if there is anything that may answer. */
  get state(): LibraryState {
    if (this.#hopeless !== undefined) return 'failed';
    if (!this.#hasStarted) return 'loading';
    return this.#entries.some(mayAnswer) ? 'ready' : 'failed';
  }

  /** What is being loaded, and what failed: sentences for `/readyz`. Empty when all is well. */
  get detail(): string {
    if (this.#hopeless !== undefined) return this.#hopeless;
    const failed = this.#entries.flatMap(({ failure }) => (failure === undefined ? [] : [failure.error.message]));
    const loading = this.#entries.filter(({ state }) => state === 'loading').map(({ detail }) => detail);
    if (!this.#hasStarted && loading.length === 0) loading.push(aboutToLoad(this.#entries[0]!.model.id));
    return [...failed, ...loading].join(' ');
  }

  /** Of all engines together; those who wait for a model wait as well. */
  get engineLoad(): EngineLoad {
    const loads = this.engineLoads;
    const sum = (of: (load: EngineLoad) => number) => loads.reduce((total, load) => total + of(load), 0);
    return { running: sum(({ running }) => running), waiting: sum(({ waiting }) => waiting) };
  }

  /** The same for each model. */
  get engineLoads(): readonly (EngineLoad & { readonly model: string })[] {
    return this.#entries.map(({ model, loaded, line }) => {
      const { running, waiting } = loaded?.engine.load() ?? { running: 0, waiting: 0 };
      return { model: model.id, running, waiting: waiting + line.length };
    });
  }

  get loadedModels(): number {
    return this.#entries.filter(({ state }) => state === 'loaded').length;
  }

  /** All of them, loaded or not. */
  models(): readonly ModelDescription[] {
    return this.#entries.filter(({ isGone }) => !isGone).map(descriptionOf);
  }

  // ------------------------------------------------------------------------------------------------- using a model

  /**
   * The engine that answers for `name`, loaded if it is not yet.
   *
   * @throws InferenceError `model_not_found`; `model_failed` with the reason; `rate_limit_exceeded` when too many wait;
   *   `deadline_exceeded`; `shutting_down`; the signal's reason.
   */
  async use(name: string, terms: WaitTerms): Promise<Lease> {
    const entry = this.#entryOf(name);
    terms.signal.throwIfAborted();
    if (this.#stop.signal.aborted) throw shuttingDown();
    if (hasFailed(entry)) await this.#refuseUnlessChanged(entry);
    // Looked at only now: it may have come while the files were looked at.
    const loaded = usableNow(entry);
    if (loaded !== undefined) return this.#lease(entry, loaded);
    this.#refuseWhenFull(entry);
    const { id, isElsewhere } = entry.model;
    const admitted = entry.line.wait(terms, () => tooLate(id, entry.detail, terms.deadlineMs));
    if (isElsewhere && this.#hasStarted) this.#bringAside(entry);
    this.#bell.ring();
    return admitted;
  }

  #entryOf(name: string): LibraryEntry {
    const entry = this.#byName.get(name);
    if (entry !== undefined) return entry;
    const ids = this.#entries.map(({ model }) => model.id).join(', ');
    throw new InferenceError('model_not_found', `This worker serves ${ids}, not "${name}".`, { param: 'model' });
  }

  async #refuseUnlessChanged(entry: LibraryEntry): Promise<void> {
    const { error, stamp } = entry.failure!;
    if ((await entry.model.stamp()) === stamp) throw error;
  }

  #refuseWhenFull(entry: LibraryEntry): void {
    if (this.#stop.signal.aborted) throw shuttingDown();
    const waiting = this.#waiting();
    if (waiting < this.limits.queueMax) return;
    throw new InferenceError(
      'rate_limit_exceeded',
      `${waiting} requests wait for a model of this worker to be loaded; ${this.limits.queueMax} may. ${entry.model.id} is not loaded now: retry shortly.`,
      { retryAfterSeconds: 2, limit: 'queue' },
    );
  }

  #waiting(): number {
    return this.#entries.reduce((sum, { line }) => sum + line.length, 0);
  }

  #lease(entry: LibraryEntry, loaded: LoadedModel): Lease {
    loaded.inUse++;
    let isHeld = true;
    return {
      engine: loaded.engine,
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        loaded.inUse--;
        loaded.lastUsedAtMs = performance.now();
        // Others need not wake the loop: nothing waits for this one, or it is used on.
        if (loaded.inUse === 0 || entry.leaving) this.#bell.ring();
      },
    };
  }

  // ------------------------------------------------------------------------------------------------- the loop

  /**
   * Loads what is to be there from the start, then tends the models until `close`. Resolves once the start is done.
   *
   * @throws Error in one sentence, for the person who started the worker, when no model is left that could ever answer.
   */
  async load(): Promise<void> {
    this.#tending ??= this.#run().catch((error: unknown) =>
      this.#giveUp('The worker lost track of its models.', error),
    );
    await this.#started.promise;
  }

  async #run(): Promise<void> {
    try {
      await this.#start();
    } catch (error) {
      this.#hopeless = sentenceOf(error);
      this.listener.onChange();
      this.#started.reject(error);
      return;
    }
    this.#hasStarted = true;
    this.listener.onChange();
    this.#started.resolve();
    await this.#tend();
  }

  async #start(): Promise<void> {
    const stopped = this.#stop.signal;
    for (const entry of this.#entries.filter(({ model }) => model.loadsAtStart)) {
      if (stopped.aborted) return;
      // Only those who are asked for take another's room.
      if (entry.model.isElsewhere) this.#bringAside(entry);
      else if (!isAway(entry) || (await this.#fetch(entry))) await this.#bring(entry, { mayUnload: false });
    }
    await this.#awaitWhileNothingAnswers(Promise.all(this.#aside));
    await this.#lookAtOthers();
    if (stopped.aborted || this.#entries.some((entry) => entry.model.isElsewhere || mayAnswer(entry))) return;
    const { error } = this.#entries[0]!.failure!;
    throw new Error(error.message, { cause: error });
  }

  /** So that they can be described, and one that is missing is known before anybody asks for it. */
  async #lookAtOthers(): Promise<void> {
    const looking = (async () => {
      for (const entry of this.#entries) {
        if (this.#stop.signal.aborted) return;
        if (entry.looked !== undefined || entry.failure !== undefined || entry.state !== 'idle') continue;
        if (isAway(entry)) continue; // Nobody fetches gigabytes to describe a model.
        await this.#look(entry).catch((error: unknown) => {
          // Somebody may have asked for it meanwhile; then loading tells what is wrong with it.
          if (entry.state === 'idle') this.#fail(entry, error);
        });
        this.listener.onChange();
      }
    })();
    this.#aside.add(looking);
    void looking.finally(() => this.#aside.delete(looking));
    await this.#awaitWhileNothingAnswers(looking);
  }

  /** Once a model can answer, what is slow (a server that still loads its own, say) goes on beside. */
  async #awaitWhileNothingAnswers(work: Promise<unknown>): Promise<void> {
    const done = work.then(() => true);
    for (;;) {
      const late = Promise.withResolvers<false>();
      const timer = setTimeout(() => late.resolve(false), LOOK_AT_START_MS_MAX);
      const isDone = await Promise.race([done, late.promise]);
      clearTimeout(timer);
      if (isDone || this.#entries.some(({ loaded }) => loaded !== undefined)) return;
    }
  }

  async #tend(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const broken = this.#entries.find(({ loaded }) => loaded?.brokenAtMs !== undefined);
      const next = longestWaiting(this.#entries);
      const tooIdle = this.#entries.find((entry) => idleEndMs(entry) <= performance.now());
      const gone = this.#entries.find(({ isGone, loaded }) => isGone && loaded?.inUse === 0);
      await this.#forgetFailures();
      if (broken !== undefined) await this.#replaceBroken(broken);
      else if (gone !== undefined) await this.#unload(gone, 'gone');
      else if (next?.model.isElsewhere) this.#bringAside(next);
      else if (next !== undefined && isAway(next)) this.#fetchAside(next);
      else if (next !== undefined) await this.#bring(next, { mayUnload: true });
      else if (tooIdle !== undefined) await this.#unload(tooIdle, 'idle');
      else await this.#heard(this.#nextDueMs());
    }
  }

  /**
   * What failed a while ago may be asked for again. What is to be there from the start is tried without being asked, if it
   * is elsewhere and may be back by itself, or if nothing else can answer: then nobody asks this worker for anything.
   */
  async #forgetFailures(): Promise<void> {
    for (const entry of this.#entries) {
      if (failureEndMs(entry) > performance.now()) continue;
      entry.failure!.isPast = true;
      this.listener.onChange();
      if (!entry.model.loadsAtStart) continue;
      if (entry.model.isElsewhere) this.#bringAside(entry);
      else if (this.state === 'failed' && (!isAway(entry) || (await this.#fetch(entry))))
        await this.#bring(entry, { mayUnload: false });
    }
  }

  /** When something is to be done though nobody rings; Infinity: never. */
  #nextDueMs(): number {
    return Math.min(...this.#entries.flatMap((entry) => [idleEndMs(entry), failureEndMs(entry)]));
  }

  /** Waits for the bell, at most until `untilMs`. */
  async #heard(untilMs: number): Promise<void> {
    const forMs = Math.min(Math.max(0, untilMs - performance.now()), TIMER_MS_MAX);
    const timer = Number.isFinite(untilMs) ? setTimeout(() => this.#bell.ring(), Math.ceil(forMs)) : undefined;
    await this.#bell.heard();
    clearTimeout(timer);
  }

  // ------------------------------------------------------------------------------------------------- loading

  #bringAside(entry: LibraryEntry): void {
    if (entry.state !== 'idle') return;
    const bringing = this.#bring(entry, { mayUnload: false });
    this.#aside.add(bringing);
    void bringing.finally(() => this.#aside.delete(bringing));
  }

  /** Fetching takes the disk and the network, and for long: others are loaded meanwhile. */
  #fetchAside(entry: LibraryEntry): void {
    if (entry.state !== 'idle') return;
    const fetching = this.#fetch(entry).then(() => this.#bell.ring());
    this.#aside.add(fetching);
    void fetching.finally(() => this.#aside.delete(fetching));
  }

  /** Brings a model's files here, or fails who waits for it. Never rejects. @returns whether they are here. */
  async #fetch(entry: LibraryEntry): Promise<boolean> {
    const { model } = entry;
    entry.state = 'loading';
    entry.failure = undefined;
    const report = this.#reporterOf(entry);
    report(aboutToLoad(model.id));
    try {
      entry.stamp = await model.stamp();
      entry.looked = undefined;
      entry.brought = await model.bring!(report, this.#stop.signal);
    } catch (error) {
      entry.state = 'idle';
      this.#fail(entry, error);
    }
    entry.state = 'idle';
    entry.detail = '';
    // What nobody waits for any more need not be kept from being deleted.
    if (entry.line.length === 0 && !model.loadsAtStart) this.#letGo(entry);
    if (entry.isGone) this.#dropGone();
    this.listener.onChange();
    return entry.brought !== undefined;
  }

  #letGo(entry: LibraryEntry): void {
    entry.brought?.[Symbol.dispose]();
    entry.brought = undefined;
  }

  /** Loads a model and lets in who waits for it, or fails them. Never rejects. */
  async #bring(entry: LibraryEntry, { mayUnload }: { readonly mayUnload: boolean }): Promise<void> {
    const { id } = entry.model;
    entry.state = 'loading';
    entry.failure = undefined;
    const report = this.#reporterOf(entry);
    report(aboutToLoad(id));
    try {
      const looked = await this.#prepare(entry, { mayUnload, report });
      await this.#open(entry, looked, report);
    } catch (error) {
      entry.state = 'idle';
      entry.detail = '';
      this.#letGo(entry);
      if (error instanceof NoRoomNow) this.logger.warn({ model: id }, error.message);
      else if (!(error instanceof NoLongerWanted)) this.#fail(entry, error);
    }
    // What is opened beside the loop made nobody leave.
    if (!entry.model.isElsewhere) this.#room.letLeaversStay();
    if (entry.isGone) this.#dropGone();
    this.listener.onChange();
  }

  /** Looks at the model, tries it, and makes room for it. */
  async #prepare(entry: LibraryEntry, terms: RoomTerms): Promise<LookedAt> {
    for (let times = 0; times < PREPARE_TIMES_MAX; times++) {
      const looked = await this.#look(entry);
      const { trial } = looked;
      if (trial !== undefined) {
        await this.#room.make(entry, trial.bytes, terms);
        await trial.run(terms.report, this.#stop.signal);
      }
      await this.#room.make(entry, looked.bytes, terms);
      // That may have taken minutes, and only what was tried is to be opened.
      if ((await entry.model.stamp()) === entry.stamp) return looked;
    }
    throw new Error(filesChange(PREPARE_TIMES_MAX));
  }

  async #look(entry: LibraryEntry): Promise<LookedAt> {
    const stamp = await entry.model.stamp();
    if (entry.looked === undefined || entry.stamp !== stamp) {
      entry.stamp = stamp;
      entry.looked = undefined;
      entry.looked = await entry.model.look(this.#stop.signal);
    }
    return entry.looked;
  }

  async #open(entry: LibraryEntry, looked: LookedAt, report: Report): Promise<void> {
    const { model } = entry;
    const startedAtMs = performance.now();
    this.budget.take(model.id, looked.bytes);
    const loaded = await this.#openEngine(entry, looked, report, startedAtMs).catch((error: unknown) => {
      this.budget.giveBack(model.id);
      throw error;
    });
    entry.loaded = loaded;
    entry.state = 'loaded';
    entry.detail = '';
    const durationMs = performance.now() - startedAtMs;
    this.logger.info({ model: model.id, durationMs: Math.round(durationMs) }, 'The model is loaded.');
    this.listener.onLoaded(model, durationMs);
    entry.line.admitAll(() => this.#lease(entry, loaded));
  }

  async #openEngine(entry: LibraryEntry, looked: LookedAt, report: Report, startedAtMs: number): Promise<LoadedModel> {
    let loaded: LoadedModel | undefined;
    let brokeEarly: unknown;
    const onBroken: OpenTerms['onBroken'] = (error, isSound) => {
      if (loaded === undefined) brokeEarly = error ?? new Error('The engine broke.');
      this.#noteBroken(entry, loaded, error, isSound);
    };
    const engine = await looked.open({ report, onBroken, signal: this.#stop.signal });
    if (brokeEarly !== undefined) {
      await this.#close(entry.model, engine);
      throw brokeEarly;
    }
    loaded = loadedNow(engine, looked.bytes, startedAtMs);
    return loaded;
  }

  #admitWhoMay(): void {
    for (const entry of this.#entries) {
      const loaded = usableNow(entry);
      if (loaded !== undefined) entry.line.admitAll(() => this.#lease(entry, loaded));
    }
  }

  #fail(entry: LibraryEntry, cause: unknown): void {
    if (this.#stop.signal.aborted) {
      entry.line.refuseAll(shuttingDown());
      return;
    }
    const { id } = entry.model;
    const error = failureOf(id, cause);
    const untilMs = performance.now() + RETRY_DELAY_MS;
    entry.failure = { error, stamp: entry.stamp, untilMs, isPast: false };
    // The sentence says it all, unless the mistake is ours.
    this.logger.error({ model: id, ...(isMistake(cause) && { error: cause }) }, error.message);
    this.listener.onFailed(entry.model);
    entry.line.refuseAll(error);
  }

  #reporterOf(entry: LibraryEntry): Report {
    let loggedAtMs = performance.now();
    return (detail) => {
      if (entry.state !== 'loading' || entry.detail === detail) return;
      entry.detail = detail;
      this.listener.onChange();
      if (performance.now() - loggedAtMs < PROGRESS_LOG_MS) return;
      loggedAtMs = performance.now();
      this.logger.info({ model: entry.model.id }, detail);
    };
  }

  // ------------------------------------------------------------------------------------------------- unloading

  async #unload(entry: LibraryEntry, reason: UnloadReason): Promise<void> {
    const { model, loaded } = entry;
    if (loaded === undefined) return;
    // Whoever asks from here on waits in line.
    entry.loaded = undefined;
    entry.state = 'idle';
    entry.leaving = false;
    this.listener.onChange();
    await this.#close(model, loaded.engine);
    this.#letGo(entry);
    this.budget.giveBack(model.id);
    this.#dropGone();
    this.logger.info({ model: model.id, reason }, 'The model is unloaded.');
    this.listener.onUnloaded(model, reason);
  }

  /** An engine that does not close would hold up every other model for ever; that is then a matter of the process. */
  async #close(model: LibraryModel, engine: Engine): Promise<void> {
    const late = Symbol('late');
    let timer: NodeJS.Timeout | undefined;
    const tooLong = new Promise<typeof late>((resolve) => {
      timer = setTimeout(resolve, CLOSE_MS_MAX, late);
    });
    try {
      const ended = await Promise.race([engine.close(), tooLong]);
      if (ended === late) this.#giveUp(`The engine of ${model.id} did not close within ${CLOSE_MS_MAX / 1_000} s.`);
    } catch (error) {
      this.logger.error({ model: model.id, error }, 'An engine could not be closed in order.');
      this.#giveUp(`The engine of ${model.id} could not be closed.`, error);
    } finally {
      clearTimeout(timer);
    }
  }

  /** @param loaded absent when it broke before it was open. */
  #noteBroken(entry: LibraryEntry, loaded: LoadedModel | undefined, error: unknown, isSound: boolean): void {
    const { id } = entry.model;
    const nowMs = performance.now();
    entry.breaksAtMs = [...entry.breaksAtMs.filter((atMs) => nowMs - atMs < BREAKS_WITHIN_MS), nowMs];
    this.logger.error({ model: id, error, isSound }, 'The engine of a model broke.');
    if (loaded !== undefined) loaded.brokenAtMs = nowMs;
    if (isSound && entry.breaksAtMs.length < BREAKS_MAX) this.#bell.ring();
    else this.#giveUp(`The engine of ${id} broke; this worker has to be restarted.`, error);
  }

  /** Closes what broke, and loads the model again. */
  async #replaceBroken(entry: LibraryEntry): Promise<void> {
    const loaded = entry.loaded!;
    const untilMs = loaded.brokenAtMs! + BROKEN_DRAIN_MS_MAX;
    while (loaded.inUse > 0 && performance.now() < untilMs && !this.#stop.signal.aborted) await this.#heard(untilMs);
    await this.#unload(entry, 'broken');
    if (!entry.model.loadsAtStart || this.#hopeless !== undefined) return;
    if (!isAway(entry) || (await this.#fetch(entry))) await this.#bring(entry, { mayUnload: false });
  }

  #giveUp(sentence: string, cause?: unknown): void {
    if (this.#hopeless !== undefined || this.#stop.signal.aborted) return;
    this.#hopeless = sentence;
    this.listener.onChange();
    this.listener.onHopeless(new Error(sentence, { cause }));
  }

  /** Refuses who waits, and closes the engines. States stay as they are: by then nobody can see them. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#bell.ring();
    for (const { line } of this.#entries) line.refuseAll(shuttingDown());
    await this.#tending;
    await Promise.all(this.#aside);
    const closing = this.#entries.map(async ({ model, loaded }) => loaded && this.#close(model, loaded.engine));
    await Promise.all(closing);
    for (const entry of this.#entries) this.#letGo(entry);
  }
}

/** Node's timers take no more. */
const TIMER_MS_MAX = 2 ** 31 - 1;
