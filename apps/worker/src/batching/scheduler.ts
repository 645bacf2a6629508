import { InferenceError } from '@millrace/contracts';
import { Doorbell, type Logger } from '@millrace/runtime';
import {
  type Logprob,
  PlacesFailed,
  type StepResult,
  type StepWork,
  type TokenEngine,
} from '../token-engine/token-engine.js';
import type { BatchingObserver } from './batching-observer.js';
import type { Seat } from './choose-place.js';
import { Company } from './company.js';
import { planStep, type StepLimits, type StepPlan } from './plan-step.js';
import type { Outcome, Sequence, SequenceListener } from './sequence.js';
import { Shelf } from './shelf.js';

export interface SchedulerLimits extends Pick<StepLimits, 'placesMax' | 'prefillChunkTokens'> {
  /** Sequences that may wait for a place. */
  readonly queueMax: number;
  /** How long an idle worker may wait for company before a step. */
  readonly maxWaitMs: number;
  /** One step in so many is for all: so what nobody waits for goes on beside a crowd, and is not starved by it. */
  readonly backgroundSteps: number;
}

/**
 * Steps in a row that may break before the engine counts as broken. One may be the fault of what was in it, and clearing
 * the places mends that; three in a row, with different sequences, are the engine's own (a lost GPU, for example), and
 * only a new process mends those.
 */
const BREAKS_IN_A_ROW_MAX = 3;

/**
 * Runs many sequences on one engine, a step at a time.
 *
 * Ownership: from `submit` on the scheduler owns the sequence and sees to it that it is settled, whatever happens. Only
 * the scheduler touches the engine's places.
 *
 * Concurrency: only `run` changes who is waiting and who is running, save that `submit` appends. Anyone may settle a
 * sequence at any time, also during a step; `run` takes its place away before the next, so a batch never changes under
 * a step. While the engine computes a step, the event loop is free: answers of the step before are sent meanwhile.
 */
export class Scheduler implements SequenceListener {
  #waiting: Sequence[] = [];
  #running: Sequence[] = [];
  #someSettled = false;
  /** Why nobody is run any more; undefined while the loop runs. */
  #stopped: InferenceError | undefined;
  #breaksInARow = 0;
  /** Counts turns. */
  #steps = 0;
  readonly #shelf: Shelf;
  readonly #company: Company;
  readonly #stepLimits: StepLimits;
  readonly #work = new Doorbell();

  constructor(
    private readonly engine: TokenEngine,
    private readonly limits: SchedulerLimits,
    private readonly observer: BatchingObserver,
    private readonly logger: Logger,
  ) {
    const { placesMax } = limits;
    const { tokensPerStepMax } = engine.model;
    if (placesMax > tokensPerStepMax) {
      throw new Error(
        `${placesMax} sequences can't share a step of ${tokensPerStepMax} tokens. Lower maxBatchSize to ${tokensPerStepMax}.`,
      );
    }
    this.#shelf = new Shelf(engine, placesMax);
    this.#company = new Company(limits.maxWaitMs);
    this.#stepLimits = { ...engine.model, ...limits };
  }

  get running(): number {
    return this.#running.length;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /**
   * @param preparing how many are being prepared, and will join the waiting.
   * @throws InferenceError when nobody may join the waiting; cheap, so ask before work is put into a sequence.
   */
  checkRoom(preparing: number): void {
    if (this.#stopped !== undefined) {
      throw new InferenceError('shutting_down', 'This worker is about to stop. Send the request again.');
    }
    const { placesMax, queueMax } = this.limits;
    const waiting = this.#waiting.length + preparing;
    if (this.#running.length + waiting < placesMax + queueMax) return;
    this.observer.decided('refused');
    throw new InferenceError(
      'rate_limit_exceeded',
      `${waiting} answers wait for a place on this worker; ${queueMax} may. Retry shortly.`,
      { retryAfterSeconds: 1 },
    );
  }

  /** Call `checkRoom` first. */
  submit(sequence: Sequence): void {
    if (sequence.settled) return; // Resumed tokens may already be the whole answer.
    if (this.#stopped !== undefined) {
      sequence.fail(this.#stopped); // Its prompt was being prepared when the loop ended.
      return;
    }
    this.#company.noteArrival(performance.now(), this.#running.length + this.#waiting.length === 0);
    this.#waiting.push(sequence);
    this.#work.ring();
  }

  /** @throws what the engine threw, once it counts as broken. */
  async run(stop: AbortSignal): Promise<void> {
    stop.addEventListener('abort', () => this.#work.ring(), { once: true });
    let error = new InferenceError('shutting_down', 'This worker stops. Send the request again.');
    try {
      while (!stop.aborted) await this.#turn(stop);
    } catch (thrown) {
      error = new InferenceError('worker_lost', ENGINE_FAILED, { cause: thrown });
      throw thrown;
    } finally {
      // Stopped or broken, leave nobody waiting for an answer that will not come.
      this.#stopped = error;
      for (const sequence of [...this.#running, ...this.#waiting]) sequence.fail(error);
      this.#running = [];
      this.#waiting = [];
    }
  }

  async #turn(stop: AbortSignal): Promise<void> {
    this.#removeSettled();
    await this.#awaitCompany(stop);
    const backgroundTurn = ++this.#steps % this.limits.backgroundSteps === 0;
    const plan = planStep(this.#running, this.#waiting, this.#shelf.contents(), {
      ...this.#stepLimits,
      backgroundTurn,
    });
    for (const sequence of plan.heldBack) if (sequence.holdBack()) this.observer.decided('held_back');
    await this.#join(plan);
    const shares = plan.shares.filter(({ sequence }) => !sequence.settled);
    if (shares.length === 0) return this.#someSettled ? undefined : this.#work.heard();

    try {
      const startedAtMs = performance.now();
      const result = await this.#step(shares);
      this.#handOut(shares, result);
      this.#breaksInARow = 0;
      this.observer.stepped(performance.now() - startedAtMs, shares.length, tokensOf(shares), result.chosen.length);
    } catch (error) {
      this.#failRunning(error);
    }
  }

  /** Only before the first step of a worker that was idle: a running one takes those who come into its next step. */
  async #awaitCompany(stop: AbortSignal): Promise<void> {
    if (this.#running.length > 0 || this.#waiting.length === 0) return;
    let waited = false;
    while (!stop.aborted && this.#waiting.length < this.limits.placesMax) {
      const waitMs = this.#company.waitMs(performance.now());
      if (waitMs <= 0) break;
      waited = true;
      const timer = setTimeout(() => this.#work.ring(), waitMs);
      await this.#work.heard();
      clearTimeout(timer);
    }
    if (!waited) return;
    this.observer.decided('company');
    this.#removeSettled();
  }

  async #step(shares: Shares): Promise<StepResult> {
    try {
      return await this.engine.step(shares.map(workOf));
    } catch (error) {
      if (!(error instanceof PlacesFailed)) throw error;
      const { cause } = error;
      const failure =
        cause instanceof InferenceError ? cause : new InferenceError('internal_error', NO_TOKEN, { cause: error });
      for (const place of error.places) this.#shelf.at(place)!.fail(failure);
      return error.result;
    }
  }

  /** Takes the places of those that were settled since the last step. */
  #removeSettled(): void {
    if (!this.#someSettled) return;
    this.#someSettled = false;
    for (const { settled, place } of this.#running) if (settled) this.#shelf.leave(place!);
    this.#running = this.#running.filter((sequence) => !sequence.settled);
    this.#waiting = this.#waiting.filter((sequence) => !sequence.settled);
  }

  async #join({ joining, heldBack }: StepPlan<Sequence>): Promise<void> {
    if (joining.length === 0) return;
    for (const { sequence, ...seat } of joining) {
      sequence.join(seat.place, seat.kept);
      this.#running.push(sequence);
      this.observer.decided('joined');
      // While a copy is under way, anyone may settle anyone; who is settled leaves before the next step, as always.
      await this.#seat(sequence, seat);
      this.#prepare(sequence, seat.place);
    }
    this.#waiting = this.#waiting.filter((sequence) => sequence.state === 'waiting');
    this.#countAged(joining, heldBack);
  }

  async #seat(sequence: Sequence, seat: Seat): Promise<void> {
    try {
      await this.#shelf.seat(sequence, seat);
      if (seat.kept > 0) this.observer.decided(seat.copyFrom === undefined ? 'reused' : 'copied');
    } catch (error) {
      // It only costs time: the place is cleared, and everything is read again.
      this.logger.warn({ error }, 'The engine could not keep what was read before.');
      this.#shelf.clear(seat.place);
      sequence.loseKept();
    }
  }

  /** Those who are held back wait for what they share with another, and not for their turn. */
  #countAged(joining: StepPlan<Sequence>['joining'], heldBack: readonly Sequence[]): void {
    const passed = this.#waiting.filter((sequence) => !heldBack.includes(sequence));
    const highest = Math.max(...passed.map(({ priority }) => priority));
    for (const { sequence } of joining) if (sequence.priority < highest) this.observer.decided('aged');
  }

  #prepare(sequence: Sequence, place: number): void {
    try {
      this.engine.prepare(place, sequence.takeChoosing(), sequence.prompt, sequence.chosen);
    } catch (error) {
      if (error instanceof InferenceError && sequence.dropBinding()) {
        this.logger.warn(
          { error },
          'A grammar that begins in the midst of an answer was refused; the answer goes on without.',
        );
        this.#prepare(sequence, place);
        return;
      }
      // What it asks for is its own affair; the others of the batch go on.
      if (!(error instanceof InferenceError)) this.logger.error({ error }, 'The engine could not prepare a sequence.');
      sequence.fail(error);
    }
  }

  #handOut(shares: Shares, { chosen, scored }: StepResult): void {
    const scores = new Map<number, readonly Logprob[]>(scored.map(({ place, logprobs }) => [place, logprobs]));
    for (const { sequence, tokens } of shares) {
      this.#guarded(sequence, () => sequence.noteRead(tokens, scores.get(sequence.place!)));
    }
    for (const each of chosen) {
      const sequence = this.#shelf.at(each.place)!;
      this.#guarded(sequence, () => sequence.receive(each));
      // A call was opened, say, and from now on a grammar binds what is written.
      if (sequence.rebinds && !sequence.settled) this.#prepare(sequence, each.place);
    }
  }

  #guarded(sequence: Sequence, act: () => void): void {
    try {
      act();
    } catch (error) {
      this.logger.error({ error }, 'A token could not be handed out.');
      sequence.fail(error);
    }
  }

  /**
   * The engine broke: what its places hold is unknown, so everyone who runs has lost their work. Those who wait have
   * lost nothing, and the loop goes on with them in places that are cleared first.
   */
  #failRunning(error: unknown): void {
    this.#breaksInARow++;
    this.observer.decided('broke');
    this.logger.error(
      { error, breaksInARow: this.#breaksInARow },
      `The engine failed in a step of ${this.#running.length} sequences.`,
    );
    // Not internal_error: most of them only shared the step with what broke it, and another worker can answer them.
    const failure = new InferenceError('worker_lost', ENGINE_FAILED, { cause: error });
    for (const sequence of this.#running) sequence.fail(failure);
    this.#running = [];
    if (this.#breaksInARow >= BREAKS_IN_A_ROW_MAX) throw error;
    this.#forgetAll();
  }

  #forgetAll(): void {
    try {
      this.#shelf.forgetAll();
    } catch (error) {
      // The next step there will break, and that is counted.
      this.logger.error({ error }, 'The engine could not clear its places.');
    }
  }

  // ------------------------------------------------------------------------------------------- what sequences report

  onPaused(): void {
    this.observer.decided('paused');
  }

  onUnpaused(): void {
    this.observer.decided('resumed');
    this.#work.ring();
  }

  onSettled(sequence: Sequence, outcome: Outcome): void {
    this.#someSettled = true;
    if (sequence.place === undefined && !ANSWERED.has(outcome)) this.observer.decided('dropped');
    const { position, promptTokens, cachedTokens } = sequence;
    this.observer.settled(outcome, Math.min(position, promptTokens) - cachedTokens, cachedTokens);
    this.#work.ring();
  }
}

/** Of a sequence that was never given a place: its resumed tokens were the whole answer. */
const ANSWERED: ReadonlySet<Outcome> = new Set(['stop', 'length', 'tool_calls']);

type Shares = StepPlan<Sequence>['shares'];

const ENGINE_FAILED = 'The engine failed while it computed this answer. Send the request again.';

const NO_TOKEN = 'The model had no token left to choose: all were ruled out. Change the sampling parameters.';

function workOf({ sequence, tokens }: Shares[number]): StepWork {
  return {
    place: sequence.place!,
    position: sequence.position,
    tokens: sequence.nextTokens(tokens),
    choose: sequence.choosesAfter(tokens),
    scored: sequence.scoredBy(tokens),
  };
}

function tokensOf(shares: Shares): number {
  return shares.reduce((sum, { tokens }) => sum + tokens, 0);
}
