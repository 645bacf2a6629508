import type { ErrorCode, InferenceError, ModelDescription, ModelState, Prompt } from '@millrace/contracts';
import { counter, gauge } from '@millrace/runtime';
import { MEASURED } from '../metrics/declarations.js';
import type { Worker, WorkerPhase } from '../vocabulary.js';
import { AffinityMemory, KindMemory } from './affinity-memory.js';
import { type Choice, type ChoiceReason, type Contender, chooseWorker } from './choose-workers.js';
import { NO_PREFIX, type PromptPrefix, prefixOf } from './prompt-prefix.js';
import type { Servant } from './ready-workers.js';
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
const TOKENS_MEAN_AT_FIRST = 512;
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
  readonly #kinds = new KindMemory();
  /** Models that have had several ready workers at a time. */
  readonly #shared = new Set<string>();
  /** What is out, by kind of prompt; as many entries as there are kinds out. */
  readonly #kindTokens = new Map<number, number>();
  /** Of the choice that is being made: looking at the clock for each worker would take longer than the rest. */
  readonly #moment = { nowMs: 0 };
  #tokensMean = TOKENS_MEAN_AT_FIRST;
  readonly #choices = counter(MEASURED.choices);
  readonly #ends: readonly (() => void)[];

  constructor(
    private readonly servants: Servants<W>,
    private readonly limits: ChoiceLimits,
    private readonly clock: () => number = () => performance.now(),
  ) {
    this.#memory = new AffinityMemory(limits.affinityEntriesMax);
    this.#ends = [
      servants.watchPhases((worker, is, was) => this.#onPhase(worker, is, was)),
      gauge(MEASURED.openCircuits, () => [{ value: this.openCircuits }]),
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
    const ask = { prefix: this.#prefixOf(model, wanted), asked, ...this.#tokensOf(wanted) };
    const choice = chooseWorker(pool.members, ask, this.#knowledge(nowMs));
    if (choice === undefined) return undefined;
    const sequences = Math.max(1, wanted.sequences);
    this.#tokensMean += MEAN_WEIGHT * (choice.cost / sequences - this.#tokensMean);
    this.#choices.add(1, { reason: choice.reason });
    return this.#hand(choice, ask.prefix, sequences, nowMs);
  }

  close(): void {
    for (const end of this.#ends) end();
  }

  #hand(
    { contender: { standing, servant }, reason, cost }: Choice<Member<W>>,
    prefix: PromptPrefix,
    sequences: number,
    nowMs: number,
  ): Chosen<W> {
    const { id } = servant.model;
    const { reader } = standing;
    standing.take(cost, sequences, id, nowMs);
    this.#count(prefix.anchor, cost);
    // Already now: those that come in the same moment with the same beginning find it being read.
    if (prefix.anchor !== undefined) this.#kinds.hasRead(prefix.anchor, reader);
    for (const { key, kept } of prefix.points) if (kept) this.#memory.hasRead(key, reader);
    let state: 'out' | 'answered' | 'failed' | 'ended' = 'out';
    return {
      ...servant,
      reader,
      reason,
      answered: () => {
        if (state !== 'out') return;
        state = 'answered';
        standing.answered(id, this.clock());
      },
      failed: ({ code }) => {
        if (state === 'failed' || state === 'ended') return;
        state = 'failed';
        this.#onFailure(standing, servant, code);
      },
      [Symbol.dispose]: () => {
        if (state === 'ended') return;
        if (state !== 'failed') standing.ended(id, state === 'answered');
        state = 'ended';
        standing.giveBack(cost, sequences);
        this.#count(prefix.anchor, -cost);
      },
    };
  }

  #onFailure(standing: WorkerStanding, { worker, model }: Servant<W>, code: ErrorCode): void {
    // That the connection broke was counted when it did, and not for each request that it took along.
    if (code === 'worker_lost' && worker.state().phase !== 'ready') standing.ended(model.id, false);
    else standing.failed(code, model.id, this.clock());
  }

  #onPhase(worker: W, is: WorkerPhase | undefined, was: WorkerPhase | undefined): void {
    if (is === undefined) {
      this.#standings.delete(worker);
      return;
    }
    const nowMs = this.clock();
    const standing = this.#standingOf(worker, nowMs);
    if (is === 'ready' && was !== 'ready') standing.becameReady(nowMs);
    if (is !== 'ready' && was === 'ready' && is !== 'draining') standing.lost(nowMs);
  }

  #standingOf(worker: W, nowMs: number): WorkerStanding {
    const known = this.#standings.get(worker);
    if (known) return known;
    const standing = new WorkerStanding(worker.address, this.limits, nowMs);
    this.#standings.set(worker, standing);
    return standing;
  }

  #tokensOf({ promptTokens, sequences, answerTokensMax }: Wanted) {
    const { answerTokensEstimate } = this.limits;
    const answer = Math.min(answerTokensMax ?? answerTokensEstimate, ESTIMATES_MAX * answerTokensEstimate);
    return { promptTokens: Math.max(1, promptTokens), answerTokens: sequences * answer };
  }

  /** Where there is but one worker, as with a provider's models, nobody asks what it has read. Two of which one is away are two. */
  #prefixOf(model: string, { prompt }: Wanted): PromptPrefix {
    return prompt === undefined || !this.#shared.has(model) ? NO_PREFIX : prefixOf(prompt, model);
  }

  #count(anchor: number | undefined, tokens: number): void {
    if (anchor === undefined) return;
    const left = (this.#kindTokens.get(anchor) ?? 0) + tokens;
    if (left > 0) this.#kindTokens.set(anchor, left);
    else this.#kindTokens.delete(anchor);
  }

  #knowledge(nowMs: number) {
    return {
      nowMs,
      tokensMean: this.#tokensMean,
      affinityLoadPercent: this.limits.affinityLoadPercent,
      readersOf: (key: number) => this.#memory.readersOf(key),
      readersOfKind: (anchor: number) => this.#kinds.readersOf(anchor),
      tokensOfKind: (anchor: number) => this.#kindTokens.get(anchor) ?? 0,
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
    const members = servants.map(
      (servant) => new Member(servant, this.#standingOf(servant.worker, nowMs), this.#moment),
    );
    const pool: Pool<W> = { servants, members, lookedAtMs: nowMs };
    this.#lookAtReports(pool, nowMs);
    this.#pools.set(model, pool);
    forgetOldest(this.#pools);
    if (members.length > 1) this.#shared.add(model);
    forgetOldest(this.#shared);
    return pool;
  }

  /** What the workers say of themselves, as far as it can be believed. */
  #lookAtReports(pool: Pool<W>, nowMs: number): void {
    const states = pool.servants.map(({ worker }) => worker.state());
    const elsewhere = states.map(({ running, waiting, outstanding, outstandingAtReport }, index) => {
      const reported = believable(running) + believable(waiting);
      if (outstandingAtReport !== undefined) return Math.max(0, reported - outstandingAtReport);
      return Math.max(0, Math.max(reported, outstanding) - pool.members[index]!.standing.sequencesOfLate(nowMs));
    });
    const sizes = states.map(({ sequencesMax }) => believable(sequencesMax ?? 0));
    const usual = middle(elsewhere);
    const usualSize = middle(sizes.filter((size) => size > 0));
    for (const [index, member] of pool.members.entries()) {
      const most = REPORT_TIMES_MAX * usual + REPORT_SEQUENCES_FREE;
      const sequences = Math.min(most, Math.max(REPORT_PART_MIN * usual, elsewhere[index]!));
      const size = sizes[index]! > 0 ? sizes[index]! / usualSize : 1;
      member.heard(sequences * this.#tokensMean, Math.min(CAPACITY_MAX, Math.max(CAPACITY_MIN, size)));
    }
    pool.lookedAtMs = nowMs;
  }
}

interface Pool<W> {
  readonly servants: readonly Servant<W>[];
  readonly members: readonly Member<W>[];
  lookedAtMs: number;
}

/** A ready worker of one model. */
class Member<W> implements Contender {
  readonly seed: number;
  readonly reader: number;
  readonly model: ModelState;
  otherTokens = 0;
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

  get ownTokens(): number {
    return this.standing.tokens;
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

  heard(otherTokens: number, size: number): void {
    this.otherTokens = otherTokens;
    this.#size = size;
  }
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
  return [...numbers].sort((a, b) => a - b)[Math.floor((numbers.length - 1) / 2)] ?? 0;
}
