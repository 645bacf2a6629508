import type { ErrorCode, InferenceError, ModelDescription, ModelState, Prompt } from '@millrace/contracts';
import { counter, gauge } from '@millrace/runtime';
import { MEASURED } from '../metrics/declarations.js';
import type { Worker, WorkerPhase } from '../vocabulary.js';
import { AffinityMemory } from './affinity-memory.js';
import {
  type Choice,
  type ChoiceAsk,
  type ChoiceReason,
  type Contender,
  chooseWorker,
  type Field,
} from './choose-workers.js';
import { KindLoad } from './kind-load.js';
import { NO_PREFIX, type PromptPrefix, prefixOf } from './prompt-prefix.js';
import type { Servant } from './ready-workers.js';
import { WorkerRing } from './worker-ring.js';
import { type StandingLimits, WorkerStanding } from './worker-standing.js';

export interface ChoiceLimits extends StandingLimits {
  /** How much more than the mean one may have and still be asked for what it has read. */
  readonly affinityLoadPercent: number;
  /** Beginnings of prompts that are remembered. */
  readonly affinityEntriesMax: number;
  /** How long an answer is expected to become whose request does not say. */
  readonly answerTokensEstimate: number;
}

/** What is to be answered. */
export interface Wanted {
  /** Undefined: what was read of it is of no use to anybody else, as with texts to embed. */
  readonly prompt: Prompt | undefined;
  /** Of all prompts together, roughly. */
  readonly promptTokens: number;
  /** Answers; 0: none, but work. */
  readonly sequences: number;
  /** Of each answer; undefined: nobody said. */
  readonly answerTokensMax: number | undefined;
}

/** A worker that was chosen. Whoever gets it disposes of it when the worker is done with the request, in whatever way. */
export interface Chosen<W> extends Disposable {
  readonly worker: W;
  /** The model as this worker has it. */
  readonly model: ModelDescription;
  /** Changes when a worker that was away comes back. */
  readonly reader: number;
  readonly reason: ChoiceReason;
  /** It began to answer. */
  answered(): void;
  /** It did not answer, or broke off. */
  failed(error: InferenceError): void;
}

/** Told when a worker begins to be left alone for its failures, with the last of them, and when it answers again. */
export type CircuitListener = (worker: string, is: 'open' | 'closed', code?: ErrorCode) => void;

export interface ChoiceOptions {
  readonly clock?: () => number;
  readonly random?: () => number;
  /** Whether its circuits are counted. */
  readonly counted?: boolean;
  readonly onCircuit?: CircuitListener | undefined;
}

/** What the choice wants to know of the workers. */
export interface Servants<W> {
  readyFor(model: string): readonly Servant<W>[];
  /** Calls `listener` when a worker changes its phase; `is` is undefined for one that was taken away. */
  watchPhases(listener: (worker: W, is: WorkerPhase | undefined, was: WorkerPhase | undefined) => void): () => void;
}

/** Clients allow far more tokens than they get: an answer counts for so many estimates at most. */
const ESTIMATES_MAX = 4;
/** How often reports are looked at: workers make one a second. */
const REPORTS_MS = 250;
/** Weight of the newest request in the running mean. */
const MEAN_WEIGHT = 0.01;
/** Before anything was asked. */
const TOKENS_MEAN_AT_FIRST = 256;
/**
 * What a report can do. Of the sequences that a worker claims to have from elsewhere no more count than so many times what the one in
 * the middle has, and a batch: who claims a million gets less, and does not make everybody else look idle. And no fewer than
 * this part of it: who always claims to have none does not get all that every gateway has.
 */
const REPORT_TIMES_MAX = 4;
const REPORT_SEQUENCES_FREE = 32;
const REPORT_PART_MIN = 0.5;
/** A worker that says that its batches are large gets more, but not without bound. Beside the one in the middle. */
const CAPACITY_MIN = 0.25;
const CAPACITY_MAX = 4;
/** Models come and go with what workers say: of so many something is kept. */
const MODELS_MAX = 4_096;

/**
 * Chooses a worker for each request, and keeps what that needs: what is out with whom, who has read what, who failed.
 *
 * Ownership: what was chosen counts as out until it is disposed of. The workers are the directory's.
 * Concurrency: a choice and what it changes happen in one turn, so that no two requests see the same worker as idle.
 */
export class WorkerChoice<W extends Worker> {
  readonly #standings = new Map<W, WorkerStanding>();
  readonly #pools = new Map<string, Pool<W>>();
  readonly #memory: AffinityMemory;
  readonly #kinds = new KindLoad();
  /** Models that have had several ready workers at a time. */
  readonly #shared = new Set<string>();
  /** Of the choice that is being made: looking at the clock for each worker would take longer than the rest. */
  readonly #moment = { nowMs: 0 };
  #tokensMean = TOKENS_MEAN_AT_FIRST;
  readonly #choices = counter(MEASURED.choices);
  readonly #ends: readonly (() => void)[];
  private readonly clock: () => number;
  private readonly random: () => number;
  private readonly onCircuit: CircuitListener | undefined;

  constructor(
    private readonly servants: Servants<W>,
    private readonly limits: ChoiceLimits,
    { clock = () => performance.now(), random = Math.random, counted = true, onCircuit }: ChoiceOptions = {},
  ) {
    this.clock = clock;
    this.random = random;
    this.onCircuit = onCircuit;
    this.#memory = new AffinityMemory(limits.affinityEntriesMax);
    this.#ends = [
      servants.watchPhases((worker, is, was) => this.#onPhase(worker, is, was)),
      ...(counted ? [gauge(MEASURED.openCircuits, () => [{ value: this.openCircuits }])] : []),
    ];
  }

  /** Workers that are left alone for their failures just now. */
  get openCircuits(): number {
    return [...this.#standings.values()].filter(({ circuit }) => circuit.open).length;
  }

  /** Beginnings that it remembers. */
  get remembered(): number {
    return this.#memory.size;
  }

  /**
   * The worker to ask now, of those that are ready for the model and were not `asked`, by `Chosen.reader`. Undefined: there is none.
   */
  choose(model: string, wanted: Wanted, asked: ReadonlySet<number> = new Set()): Chosen<W> | undefined {
    const nowMs = this.clock();
    this.#moment.nowMs = nowMs;
    const pool = this.#poolOf(model, nowMs);
    if (pool === undefined) return undefined;
    const ask = this.#askOf(model, wanted, asked);
    const choice = chooseWorker(pool, ask, this.#knowledge(pool, nowMs));
    if (choice === undefined) return undefined;
    this.#tokensMean += MEAN_WEIGHT * ((ask.answerTokens || ask.promptTokens) / ask.sequences - this.#tokensMean);
    this.#choices.add(1, { reason: choice.reason });
    return this.#hand(pool, choice, ask, nowMs);
  }

  close(): void {
    for (const end of this.#ends) end();
  }

  #hand(
    pool: Pool<W>,
    { contender: { standing, servant }, reason, unreadTokens, foundBy }: Choice<Member<W>>,
    { prefix, sequences, answerTokens }: ChoiceAsk,
    nowMs: number,
  ): Chosen<W> {
    const { id } = servant.model;
    const { reader } = standing;
    standing.take(unreadTokens + answerTokens, sequences, id, nowMs);
    pool.sequences += sequences;
    const { anchor } = prefix;
    if (anchor !== undefined) this.#kinds.add(anchor, sequences, nowMs);
    this.#remember(prefix, reader, foundBy);
    let unread = unreadTokens;
    let state: 'out' | 'answered' | 'failed' | 'ended' = 'out';
    return {
      ...servant,
      reader,
      reason,
      answered: () => {
        if (state !== 'out') return;
        state = 'answered';
        if (standing.answered(id, this.clock())) this.onCircuit?.(servant.worker.address, 'closed');
        standing.giveBack(unread, 0);
        unread = 0;
      },
      failed: (error) => {
        if (state === 'failed' || state === 'ended') return;
        state = 'failed';
        this.#onFailure(standing, servant, error);
      },
      [Symbol.dispose]: () => {
        if (state === 'ended') return;
        if (state !== 'failed') standing.ended(id, state === 'answered');
        state = 'ended';
        standing.giveBack(unread + answerTokens, sequences);
        pool.sequences -= sequences;
        if (anchor !== undefined) this.#kinds.add(anchor, -sequences, this.clock());
      },
    };
  }

  /** Already when it is sent: those that come in the same moment with the same beginning find it being read. */
  #remember({ points }: PromptPrefix, reader: number, foundBy: number | undefined): void {
    for (const { key, kept } of points) {
      if (kept) this.#memory.hasRead(key, reader);
      else if (key === foundBy) this.#memory.hasReadOn(key, reader);
    }
  }

  #onFailure(standing: WorkerStanding, { worker, model }: Servant<W>, { code }: InferenceError): void {
    // That the connection broke was counted when it did, and not for each request that it took along.
    if (code === 'worker_lost' && worker.state().phase !== 'ready') standing.ended(model.id, false);
    else this.#mayOpen(worker, standing, code, () => standing.failed(code, model.id, this.clock()));
  }

  /** A circuit that opens is told of once: that each trial fails as well says nothing new. */
  #mayOpen({ address }: W, { circuit }: WorkerStanding, code: ErrorCode, fail: () => void): void {
    const wasOpen = circuit.open;
    fail();
    if (!wasOpen && circuit.open) this.onCircuit?.(address, 'open', code);
  }

  #onPhase(worker: W, is: WorkerPhase | undefined, was: WorkerPhase | undefined): void {
    if (is === undefined) {
      this.#standings.delete(worker);
      return;
    }
    const nowMs = this.clock();
    const standing = this.#standingOf(worker, nowMs);
    if (is === 'ready' && was !== 'ready') standing.becameReady(nowMs);
    if (is !== 'ready' && was === 'ready' && is !== 'draining') {
      this.#mayOpen(worker, standing, 'worker_lost', () => standing.lost(nowMs));
    }
  }

  #standingOf(worker: W, nowMs: number): WorkerStanding {
    const known = this.#standings.get(worker);
    if (known) return known;
    const standing = new WorkerStanding(worker.address, this.limits, nowMs);
    this.#standings.set(worker, standing);
    return standing;
  }

  #askOf(model: string, wanted: Wanted, asked: ReadonlySet<number>): ChoiceAsk {
    const { promptTokens, sequences, answerTokensMax } = wanted;
    const { answerTokensEstimate } = this.limits;
    const answer = Math.min(answerTokensMax ?? answerTokensEstimate, ESTIMATES_MAX * answerTokensEstimate);
    return {
      prefix: this.#prefixOf(model, wanted),
      promptTokens: Math.max(1, promptTokens),
      sequences: Math.max(1, sequences),
      answerTokens: sequences * answer,
      asked,
    };
  }

  /** Where there is but one worker, as with a provider's models, nobody asks what it has read. Two of which one is away are two. */
  #prefixOf(model: string, { prompt }: Wanted): PromptPrefix {
    return prompt === undefined || !this.#shared.has(model) ? NO_PREFIX : prefixOf(prompt, model);
  }

  #knowledge(pool: Pool<W>, nowMs: number) {
    const { affinityLoadPercent } = this.limits;
    const workers = pool.contenders.length;
    return {
      nowMs,
      tokensMean: this.#tokensMean,
      affinityLoadPercent,
      readersOf: (key: number) => this.#memory.readersOf(key),
      arcOf: (anchor: number) => {
        const narrowing = this.#kinds.narrowingOf(anchor, pool.ownSequences / workers, workers);
        return { from: anchor, narrowing };
      },
      random: this.random,
    };
  }

  #poolOf(model: string, nowMs: number): Pool<W> | undefined {
    const servants = this.servants.readyFor(model);
    if (servants.length === 0) {
      this.#pools.delete(model);
      return undefined;
    }
    const known = this.#pools.get(model);
    if (known?.servants === servants) {
      if (nowMs - known.lookedAtMs >= REPORTS_MS) this.#lookAtReports(known, nowMs);
      return known;
    }
    const pool = new Pool(
      servants,
      servants.map((servant) => new Member(servant, this.#standingOf(servant.worker, nowMs), this.#moment)),
    );
    this.#lookAtReports(pool, nowMs);
    this.#pools.set(model, pool);
    forgetOldest(this.#pools);
    if (servants.length > 1) this.#shared.add(model);
    forgetOldest(this.#shared);
    return pool;
  }

  /** What the workers say of themselves, as far as it can be believed. The only look at all of them, a few times a second. */
  #lookAtReports(pool: Pool<W>, nowMs: number): void {
    const states = pool.servants.map(({ worker }) => worker.state());
    const elsewhere = states.map(({ running, waiting, outstanding, outstandingAtReport }, index) => {
      const reported = believable(running) + believable(waiting);
      if (outstandingAtReport !== undefined) return Math.max(0, reported - outstandingAtReport);
      return Math.max(0, Math.max(reported, outstanding) - pool.contenders[index]!.standing.sequencesOfLate(nowMs));
    });
    const sizes = states.map(({ sequencesMax }) => believable(sequencesMax ?? 0));
    const usual = middle(elsewhere);
    const usualSize = middle(sizes.filter((size) => size > 0));
    for (const [index, member] of pool.contenders.entries()) {
      const most = REPORT_TIMES_MAX * usual + REPORT_SEQUENCES_FREE;
      const sequences = Math.min(most, Math.max(REPORT_PART_MIN * usual, elsewhere[index]!));
      const size = sizes[index]! > 0 ? sizes[index]! / usualSize : 1;
      member.heard(sequences, this.#tokensMean, Math.min(CAPACITY_MAX, Math.max(CAPACITY_MIN, size)));
    }
    pool.lookAgain(nowMs);
  }
}

/** The ready workers of one model, and what they have in hand together. */
class Pool<W> implements Field<Member<W>> {
  readonly loaded: readonly Member<W>[];
  readonly others: readonly Member<W>[];
  readonly byReader: ReadonlyMap<number, Member<W>>;
  readonly ring: WorkerRing<Member<W>>;
  /** Kept up with what this gateway sends for this model, and right again at every look. */
  sequences = 0;
  ownSequences = 0;
  capacity = 1;
  lookedAtMs = 0;

  constructor(
    readonly servants: readonly Servant<W>[],
    readonly contenders: readonly Member<W>[],
  ) {
    this.loaded = contenders.filter(({ model }) => model === 'loaded');
    this.others = contenders.filter(({ model }) => model !== 'loaded');
    this.byReader = new Map(contenders.map((one) => [one.reader, one]));
    this.ring = new WorkerRing(this.loaded);
  }

  lookAgain(nowMs: number): void {
    const free = this.contenders.filter(({ blockedUntilMs }) => blockedUntilMs <= nowMs);
    const counted = free.length > 0 ? free : this.contenders;
    this.sequences = sum(counted, ({ sequences }) => sequences);
    this.ownSequences = sum(counted, ({ standing }) => standing.sequences);
    this.capacity = sum(counted, ({ capacity }) => capacity);
    this.lookedAtMs = nowMs;
  }
}

/** A ready worker of one model. */
class Member<W> implements Contender {
  readonly seed: number;
  readonly reader: number;
  readonly model: ModelState;
  #others = 0;
  #otherTokens = 0;
  #size = 1;

  constructor(
    readonly servant: Servant<W>,
    readonly standing: WorkerStanding,
    private readonly moment: { readonly nowMs: number },
  ) {
    this.seed = standing.seed;
    this.reader = standing.reader;
    this.model = servant.model.state ?? 'loaded';
  }

  get sequences(): number {
    return this.standing.sequences + this.#others;
  }

  get tokens(): number {
    return this.standing.tokens + this.#otherTokens;
  }

  get capacity(): number {
    return this.#size * this.standing.shareAt(this.moment.nowMs);
  }

  get blockedUntilMs(): number {
    return this.standing.blockedUntilMs(this.servant.model.id);
  }

  get leastBadMs(): number {
    return this.standing.leastBadMs(this.servant.model.id);
  }

  /** @param sequences that are believed to be from elsewhere, of so many tokens each. */
  heard(sequences: number, tokensEach: number, size: number): void {
    this.#others = sequences;
    this.#otherTokens = sequences * tokensEach;
    this.#size = size;
  }
}

function sum<T>(ones: readonly T[], of: (one: T) => number): number {
  return ones.reduce((all, one) => all + of(one), 0);
}

function forgetOldest(models: Map<string, unknown> | Set<string>): void {
  if (models.size > MODELS_MAX) models.delete(models.keys().next().value!);
}

/** A number of sequences, whatever was claimed. */
function believable(count: number): number {
  return Number.isFinite(count) && count > 0 ? count : 0;
}

/** Of an even number the lower of the two in the middle: of two workers, one must not speak for both. 0 for none. */
function middle(numbers: readonly number[]): number {
  return Float64Array.from(numbers).sort()[Math.floor((numbers.length - 1) / 2)] ?? 0;
}
