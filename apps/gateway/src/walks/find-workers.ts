import {
  DISPATCH_HEADER,
  type ErrorCode,
  InferenceError,
  type ModelDescription,
  type Prompt,
} from '@millrace/contracts';
import { counter } from '@millrace/runtime';
import type { Admission, PlaceAsk } from '../admission/admission.js';
import type { Candidate } from '../dispatch/dispatcher.js';
import type { WorkerClient } from '../dispatch/worker-client.js';
import { MEASURED } from '../metrics/declarations.js';
import { type DispatchWish, ORDINARY } from '../routing/dispatch-choice.js';
import { RetryBudget, type RetryLimits } from '../routing/retry-budget.js';
import type { Chosen, Wanted } from '../routing/worker-choice.js';
import type { WorkerDirectory } from '../routing/worker-directory.js';
import { type Asked, type Entered, placeAsk } from './entrance.js';

/** What is asked for, and of an answer the prompts. */
export interface AskedOfWorkers extends Asked {
  readonly prompts?: readonly Prompt[];
}

/** Who chooses: best first. */
export interface Chooser {
  choose(
    model: string,
    wanted: Wanted,
    asked: ReadonlySet<number>,
    wish: DispatchWish,
  ): Chosen<WorkerClient> | undefined;
}

/** Failures of a queue that are those of the worker which took the job, and not of the queue. */
const OF_ONE_MEMBER: ReadonlySet<ErrorCode> = new Set(['worker_lost', 'shutting_down']);
/** Bytes of JSON to a token, roughly. */
const BYTES_PER_TOKEN = 4;
/** Before every key's: an answer that has begun is read by somebody, and goes on before another begins. */
const CONTINUED_PRIORITY = 1_000_000;

/** A place for a request, and the workers to ask while it has it. */
export class FindWorkers {
  readonly #budget: RetryBudget;
  readonly #retries = counter(MEASURED.retryOutcomes);

  constructor(
    private readonly admission: Admission,
    private readonly directory: WorkerDirectory<WorkerClient>,
    private readonly choice: Chooser,
    limits: RetryLimits,
    private readonly clock: () => number = () => performance.now(),
  ) {
    this.#budget = new RetryBudget(limits, clock());
  }

  /**
   * The workers to ask, the best first: those of the request's model, then of each of its fallbacks. If none of them is ready any
   * more, and the request may wait for workers, it goes back to the waiting room as a newcomer, and on with those that are ready then.
   * Once one has begun to answer, only workers of its model follow.
   *
   * It ends when there is nobody left to ask, or when the retries are spent that this gateway allows itself.
   *
   * Ownership: the place is held from the first worker on until this generator is returned or ends, and a worker counts as busy
   * with the request until the next is asked for; `for await` sees to both.
   *
   * @throws InferenceError as `Admission.admit`; what `Entered.turnTo` refuses with, if nobody could be asked for that.
   */
  async *find(entered: Entered<AskedOfWorkers>): AsyncGenerator<Candidate> {
    const { record, deadline } = entered;
    const way = new Way(entered);
    this.#refuseUnreachable(way);
    this.#budget.earn();
    do {
      record.reaches('admit');
      using _permit = await this.admission.admit(way.placeAsk, deadline.signal);
      record.admitted();
      for (let chosen = await this.#next(way); chosen !== undefined; chosen = await this.#next(way)) {
        using worker = chosen;
        if (!this.#mayAsk(way)) return;
        yield this.#candidate(way, worker);
      }
      way.waitsAgain();
    } while (!this.#served(way.models) && this.admission.waitsFor(way.models.map(({ id }) => id)));
    if (!way.everAsked && way.refusal) throw way.refusal;
  }

  /** @throws InferenceError where the way that was asked for leads to nobody who has any of the models. */
  #refuseUnreachable({ wish, models }: Way): void {
    if (!wish.strict) return;
    const leads = this.directory.workers.some(
      ({ dispatch = 'grpc', models: served }) =>
        dispatch === wish.way && served?.some(({ id }) => models.some((model) => model.id === id)),
    );
    if (leads) return;
    const [model] = models;
    throw new InferenceError(
      'invalid_request',
      `${DISPATCH_HEADER} is ${wish.way}, and no worker that is reached so serves \`${model?.id}\`. Leave it out, or start a worker whose setting dispatch is ${wish.way} or both.`,
      { param: DISPATCH_HEADER },
    );
  }

  /** The best that was not asked, of the first model of which there is one. */
  async #next(way: Way): Promise<Chosen<WorkerClient> | undefined> {
    for (const model of way.models) {
      // First whether there is one: a fallback is counted for from the moment that it is turned to, and so would be a way back.
      if (way.exhausted.has(model.id) || !this.directory.serves(model.id) || !(await way.turnTo(model))) continue;
      const chosen = this.choice.choose(model.id, way.wanted, way.asked, way.wish);
      if (chosen) return chosen;
      way.exhausted.add(model.id);
    }
    return undefined;
  }

  /** The first attempt is free, and so is one that goes on with an answer. */
  #mayAsk(way: Way): boolean {
    if (!isRetry(way) || this.#budget.take(this.clock())) return true;
    this.#retries.add(1, { outcome: 'refused' });
    return false;
  }

  #candidate(way: Way, chosen: Chosen<WorkerClient>): Candidate {
    const { worker, model, reader } = chosen;
    const retry = isRetry(way);
    way.asks(reader);
    const count = (outcome: 'answered' | 'failed') => {
      if (retry) this.#retries.add(1, { outcome });
    };
    return {
      worker,
      model,
      answered: () => {
        chosen.answered();
        way.answeredBy(model, reader);
        count('answered');
      },
      failed: (error) => {
        // What breaks off later is no failed retry any more.
        if (!way.hasAnswered) count('failed');
        // One of those that take from a queue has failed, and another may well not.
        if (worker.dispatch === 'queue' && OF_ONE_MEMBER.has(error.code)) way.mayAskAgain(reader);
        else chosen.failed(error);
      },
    };
  }

  #served(models: readonly ModelDescription[]): boolean {
    return models.some(({ id }) => this.directory.serves(id));
  }
}

function isRetry({ everAsked, hasAnswered }: Way): boolean {
  return everAsked && !hasAnswered;
}

/** One request's way from worker to worker. */
class Way {
  readonly wanted: Wanted;
  readonly wish: DispatchWish;
  /** Those that may answer, in this order. */
  models: readonly ModelDescription[];
  placeAsk: ReturnType<typeof placeAsk> & Pick<PlaceAsk, 'begun'>;
  /** By `Chosen.reader`: a worker that was away and came back is another. */
  readonly asked = new Set<number>();
  /** Models whose workers were all asked. */
  readonly exhausted = new Set<string>();
  everAsked = false;
  hasAnswered = false;
  refusal: InferenceError | undefined;
  #turnedTo: string | undefined;

  constructor(private readonly entered: Entered<AskedOfWorkers>) {
    this.wanted = wantedOf(entered);
    this.wish = wishOf(entered);
    this.models = entered.choices;
    this.placeAsk = placeAsk(entered);
    this.#turnedTo = entered.choices[0]?.id;
  }

  /** Whether it may be asked for that model: the limit of a fallback may be reached. */
  async turnTo(model: ModelDescription): Promise<boolean> {
    if (this.#turnedTo === model.id) return true;
    this.refusal = await this.entered.turnTo(model);
    if (this.refusal === undefined) this.#turnedTo = model.id;
    return this.refusal === undefined;
  }

  mayAskAgain(reader: number): void {
    this.asked.delete(reader);
    this.exhausted.clear();
  }

  asks(reader: number): void {
    this.asked.add(reader);
    this.everAsked = true;
  }

  answeredBy(model: ModelDescription, reader: number): void {
    this.hasAnswered = true;
    this.models = [model];
    // It went on: whoever failed before may be asked for the rest, and only this one not at once again.
    this.asked.clear();
    this.asked.add(reader);
    this.exhausted.clear();
  }

  /** Back to the waiting room, for the models that are left. */
  waitsAgain(): void {
    this.exhausted.clear();
    const [model, ...fallbacks] = this.models.map(({ id }) => id);
    const priority = this.hasAnswered ? CONTINUED_PRIORITY : this.placeAsk.priority;
    // There was a worker in between: it begins to wait for one anew.
    const begun = this.hasAnswered;
    this.placeAsk = { ...this.placeAsk, model: model!, fallbacks, priority, begun, coldSinceMs: undefined };
  }
}

function wishOf({ request, call }: Entered<AskedOfWorkers>): DispatchWish {
  if (call.dispatchAsk !== undefined) return { way: call.dispatchAsk, strict: true };
  return request.serviceTier === 'flex' ? { way: 'queue', strict: false } : ORDINARY;
}

function wantedOf({ request, call }: Entered<AskedOfWorkers>): Wanted {
  const { prompts, bestOf = 1, maxTokens } = request;
  return {
    prompt: prompts?.[0],
    promptTokens: Math.ceil(call.bodyBytes / BYTES_PER_TOKEN),
    sequences: (prompts?.length ?? 0) * bestOf,
    answerTokensMax: maxTokens,
  };
}
