import { InferenceError } from '@millrace/contracts';
import { Doorbell, type Logger } from '@millrace/runtime';
import { type Chosen, PlacesFailed, type StepWork, type TokenEngine } from '../token-engine/token-engine.js';
import type { BatchingObserver } from './batching-observer.js';
import { planStep, type StepLimits, type StepPlan } from './plan-step.js';
import type { Outcome, Sequence, SequenceListener } from './sequence.js';

export interface SchedulerLimits extends StepLimits {
  /** Sequences that may wait for a place. */
  readonly queueMax: number;
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
  #stopped = false;
  #breaksInARow = 0;
  readonly #atPlace: (Sequence | undefined)[] = [];
  readonly #work = new Doorbell();

  constructor(
    private readonly engine: TokenEngine,
    private readonly limits: SchedulerLimits,
    private readonly observer: BatchingObserver,
    private readonly logger: Logger,
  ) {
    const { placesMax, tokensPerStepMax } = limits;
    if (placesMax > tokensPerStepMax) {
      throw new Error(
        `${placesMax} sequences can't share a step of ${tokensPerStepMax} tokens. Lower maxBatchSize to ${tokensPerStepMax}.`,
      );
    }
  }

  get running(): number {
    return this.#running.length;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** @throws InferenceError when nobody may join the waiting; cheap, so ask before work is put into a sequence. */
  checkRoom(): void {
    if (this.#stopped) {
      throw new InferenceError('shutting_down', 'This worker is about to stop. Send the request again.');
    }
    const { placesMax, queueMax } = this.limits;
    if (this.#running.length + this.#waiting.length < placesMax + queueMax) return;
    this.observer.decided('refused');
    throw new InferenceError(
      'rate_limit_exceeded',
      `${this.#waiting.length} answers wait for a place on this worker; ${queueMax} may. Retry shortly.`,
      { retryAfterSeconds: 1 },
    );
  }

  /** Call `checkRoom` first, in the same turn of the event loop. */
  submit(sequence: Sequence): void {
    if (sequence.settled) return; // Resumed tokens may already be the whole answer.
    this.#waiting.push(sequence);
    this.#work.ring();
  }

  /** @throws what the engine threw, once it counts as broken. */
  async run(stop: AbortSignal): Promise<void> {
    stop.addEventListener('abort', () => this.#work.ring(), { once: true });
    let error: unknown = new InferenceError('shutting_down', 'This worker stops. Send the request again.');
    try {
      while (!stop.aborted) await this.#turn();
    } catch (thrown) {
      error = new InferenceError('worker_lost', ENGINE_FAILED, { cause: thrown });
      throw thrown;
    } finally {
      // Stopped or broken, leave nobody waiting for an answer that will not come.
      this.#stopped = true;
      for (const sequence of [...this.#running, ...this.#waiting]) sequence.fail(error);
      this.#running = [];
      this.#waiting = [];
    }
  }

  async #turn(): Promise<void> {
    this.#removeSettled();
    const plan = planStep(this.#running, this.#waiting, this.limits);
    this.#join(plan.joining);
    const shares = plan.shares.filter(({ sequence }) => !sequence.settled);
    if (shares.length === 0) return this.#someSettled ? undefined : this.#work.heard();

    try {
      const startedAtMs = performance.now();
      const chosen = await this.#step(shares);
      this.#handOut(shares, chosen);
      this.#breaksInARow = 0;
      this.observer.stepped(performance.now() - startedAtMs, shares.length, tokensOf(shares), chosen.length);
    } catch (error) {
      this.#failRunning(error);
    }
  }

  async #step(shares: Shares): Promise<readonly Chosen[]> {
    try {
      return await this.engine.step(shares.map(workOf));
    } catch (error) {
      if (!(error instanceof PlacesFailed)) throw error;
      const failure = new InferenceError('internal_error', NO_TOKEN, { cause: error });
      for (const place of error.places) this.#atPlace[place]!.fail(failure);
      return error.chosen;
    }
  }

  /** Takes the places of those that were settled since the last step. */
  #removeSettled(): void {
    if (!this.#someSettled) return;
    this.#someSettled = false;
    for (const { settled, place } of this.#running) if (settled) this.#clear(place!);
    this.#running = this.#running.filter((sequence) => !sequence.settled);
    this.#waiting = this.#waiting.filter((sequence) => !sequence.settled);
  }

  #join(joining: StepPlan<Sequence>['joining']): void {
    if (joining.length === 0) return;
    for (const { sequence, place } of joining) {
      sequence.join(place);
      this.#running.push(sequence);
      this.#atPlace[place] = sequence;
      this.observer.decided('joined');
      this.#prepare(sequence, place);
    }
    this.#waiting = this.#waiting.filter((sequence) => sequence.state === 'waiting');
  }

  #prepare(sequence: Sequence, place: number): void {
    try {
      this.engine.prepare(place, sequence.sampling, sequence.chosen);
    } catch (error) {
      // What it asks for is its own affair; the others of the batch go on.
      this.logger.error({ error }, 'The engine could not prepare a sequence.');
      sequence.fail(error);
    }
  }

  #handOut(shares: Shares, chosen: readonly Chosen[]): void {
    for (const { sequence, tokens } of shares) sequence.noteRead(tokens);
    for (const { place, token } of chosen) {
      const sequence = this.#atPlace[place]!;
      try {
        sequence.receive(token);
      } catch (error) {
        this.logger.error({ error }, 'A token could not be handed out.');
        sequence.fail(error);
      }
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
    if (this.#breaksInARow >= BREAKS_IN_A_ROW_MAX) throw error;
  }

  #clear(place: number): void {
    this.#atPlace[place] = undefined;
    try {
      this.engine.cutBack(place, 0);
    } catch (error) {
      // The next step at this place will break, and that is counted.
      this.logger.error({ error, place }, 'The engine could not clear a place.');
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
    this.observer.settled(outcome, Math.min(sequence.position, sequence.promptTokens));
    this.#work.ring();
  }
}

type Shares = StepPlan<Sequence>['shares'];

const ENGINE_FAILED = 'The engine failed while it computed this answer. Send the request again.';

const NO_TOKEN = 'The model had no token left to choose: all were ruled out. Change the sampling parameters.';

function workOf({ sequence, tokens }: Shares[number]): StepWork {
  return {
    place: sequence.place!,
    position: sequence.position,
    tokens: sequence.nextTokens(tokens),
    choose: tokens === sequence.unread,
  };
}

function tokensOf(shares: Shares): number {
  return shares.reduce((sum, { tokens }) => sum + tokens, 0);
}
