import { type ErrorCode, InferenceError, type ModelDescription, type TimeLimits } from '@millrace/contracts';
import type { AdmissionAsk } from '../admission/admission.js';
import type { CallerRates, ExpectedUse, RateHold } from '../limits/caller-rates.js';
import type { OpenRecord } from '../request-log/request-log.js';
import { type ModelCatalog, RestingModels } from '../validation/model-catalog.js';
import { bodyOverCaps } from '../validation/within-caps.js';
import { type Call, type Deadline, LOW_PRIORITY, type ServiceTier } from '../vocabulary.js';
import { startDeadline } from './deadline.js';
import type { StoredNames } from './stored-names.js';

/** Holds a request until workers have said what is served: before that, nobody can tell whether it is valid. */
export interface ColdStart {
  /** Whether any of them has. */
  readonly modelsAreKnown: boolean;
  /** Whether all of them have that can be reached. */
  readonly allHeard: boolean;
  /**
   * @param from whether it is enough that one has, or all have to that can be reached.
   * @returns when it began to wait; undefined if it never had to.
   * @throws InferenceError `model_not_ready` after `coldStartWaitMs`, `rate_limit_exceeded` when nobody more may wait, or what
   *   `signal` was aborted with.
   */
  modelsKnown(ask: Omit<AdmissionAsk, 'model'>, from: 'some' | 'all', signal: AbortSignal): Promise<number | undefined>;
  /**
   * Until a worker tells of the model, or of one of its fallbacks, where those come when somebody waits for them.
   *
   * @returns as `modelsKnown`. @throws InferenceError as `modelsKnown`.
   */
  modelComes(ask: AdmissionAsk & { readonly model: string }, signal: AbortSignal): Promise<number | undefined>;
}

/** A request that is valid, allowed and within its caller's rate: what comes next is the waiting room. */
export interface Entered<Request> extends Disposable {
  readonly request: Request;
  readonly call: Call;
  readonly record: OpenRecord;
  readonly deadline: Deadline;
  /** When it began to wait for a worker that says what is served; undefined: it did not have to. */
  readonly coldSinceMs: number | undefined;
  /** The models that may answer, best first: the request's own and its fallbacks, but for those before the first that have no room for it. */
  readonly choices: readonly ModelDescription[];
  /**
   * To be called before another of `choices` than the first is asked, and awaited: it is counted for that one from then on.
   *
   * @returns why that one may not be asked: its limit is reached. Undefined: it may.
   */
  turnTo(model: ModelDescription): Promise<InferenceError | undefined>;
}

export interface Asked {
  readonly model: ModelDescription;
  readonly fallbacks?: readonly ModelDescription[];
  readonly maxTokens?: number | undefined;
  readonly bestOf?: number;
  readonly prompts?: readonly unknown[];
  readonly serviceTier?: ServiceTier | undefined;
}

/** Bytes of JSON to a token, roughly; what was estimated wrongly is put right when the answer is there. */
const BYTES_PER_TOKEN = 4;

/** What every walk begins with, in the order in which requests are refused: validity, of which the key's models are part, rate and budget. */
export class Entrance {
  constructor(
    private readonly coldStart: ColdStart,
    private readonly rates: CallerRates,
    private readonly limits: TimeLimits,
    private readonly models: Pick<ModelCatalog, 'capsOf' | 'resting'>,
    private readonly stored: Pick<StoredNames, 'insteadOf'>,
  ) {}

  /**
   * Ownership: whoever gets it disposes of it, on every path: that settles what it was let through with, and closes its record.
   *
   * @param answers how many answers there will be; unsaid, what the request says of it.
   * @throws what `parse` throws, and every refusal; the record is closed then.
   */
  async enter<Request extends Asked>(
    asked: Call,
    record: OpenRecord,
    parse: () => Request | Promise<Request>,
    { answers }: { readonly answers?: 0 } = {},
  ): Promise<Entered<Request>> {
    const deadline = startDeadline(asked, this.limits);
    try {
      const { request, coldSinceMs } = await this.#parse(asked, record, parse, deadline.signal);
      const call = request.serviceTier === 'flex' ? unhurried(asked) : asked;
      // Only now it is known that nobody waits for it.
      if (call !== asked) deadline.changeTo(call.caller.priority);
      const fallbacks = this.#withRoomFor(call, request);
      record.concerns(request);
      const hold = await this.rates.take(call, expectedUse({ ...request, fallbacks }, call, answers), deadline.signal);
      return {
        request,
        call,
        record,
        deadline,
        coldSinceMs,
        choices: choicesOf(request.model, fallbacks, hold),
        turnTo: ({ id }) => hold.turnTo(id),
        [Symbol.dispose]: () => leave(record, deadline, hold),
      };
    } catch (thrown) {
      const error = await this.stored.insteadOf(thrown);
      record.fail(error);
      leave(record, deadline, undefined);
      throw error;
    }
  }

  /** @throws InferenceError where the body is larger than the model's entry in the models file allows. */
  #withRoomFor({ bodyBytes }: Call, { model, fallbacks = [] }: Asked): readonly ModelDescription[] {
    const refusal = bodyOverCaps(model.id, this.models.capsOf(model.id), bodyBytes);
    if (refusal !== undefined) throw refusal;
    return fallbacks.filter(({ id }) => bodyOverCaps(id, this.models.capsOf(id), bodyBytes) === undefined);
  }

  /**
   * A model that nobody has heard of may be one of a worker that has not been heard yet, or that comes when somebody waits for it: a 404
   * then would be a lie.
   */
  async #parse<Request>(call: Call, record: OpenRecord, parse: () => Request | Promise<Request>, signal: AbortSignal) {
    const waiter = waiterOf(call, record);
    let coldSinceMs: number | undefined;
    const knowing = async (from: 'some' | 'all') => {
      coldSinceMs = await this.coldStart.modelsKnown({ ...waiter, coldSinceMs }, from, signal);
      record.goesOn();
    };
    // A request for what rests at zero has to be read to be known for one: there may be no worker at all.
    if (this.models.resting.size === 0) await knowing('some');
    for (let readings = 1; ; readings++) {
      try {
        return { request: await parse(), coldSinceMs };
      } catch (error) {
        const resting = restingOf(error);
        if (readings === READINGS_MAX || !mayBecomeKnown(error)) throw error;
        if (resting !== undefined) {
          record.awaits(resting.first);
          const ask = { ...waiter, model: resting.first, fallbacks: resting.others, coldSinceMs };
          coldSinceMs = await this.coldStart.modelComes(ask, signal);
          record.goesOn();
        } else if (!this.coldStart.modelsAreKnown) await knowing('some');
        else if (!this.coldStart.allHeard) await knowing('all');
        else throw error;
      }
    }
  }
}

/** Workers may come and go again while a request waits; each time it is read anew. */
const READINGS_MAX = 16;

function restingOf(error: unknown): RestingModels | undefined {
  const cause = error instanceof InferenceError ? error.details.cause : undefined;
  return cause instanceof RestingModels ? cause : undefined;
}

/** The same call, which everybody else goes before. */
function unhurried(call: Call): Call {
  return { ...call, caller: { ...call.caller, priority: LOW_PRIORITY } };
}

/**
 * Or one that the caller may not use, where it named none: of those that are still to come it may use some. Or none that an alias stands
 * for is known yet.
 */
function mayBecomeKnown(error: unknown): boolean {
  return error instanceof InferenceError && MAY_BECOME_KNOWN.has(error.code);
}

const MAY_BECOME_KNOWN: ReadonlySet<ErrorCode> = new Set(['model_not_found', 'model_not_allowed', 'model_not_ready']);

function leave(record: OpenRecord, deadline: Disposable, hold: RateHold | undefined): void {
  deadline[Symbol.dispose]();
  hold?.settle(record.tokensUsed());
  record.close();
}

function expectedUse(
  { model, fallbacks = [], maxTokens, bestOf = 1, prompts = [''] }: Asked,
  call: Call,
  answers = bestOf * prompts.length,
): ExpectedUse {
  const answerMax = maxTokens ?? model.overrides?.maxTokens;
  return {
    model: model.id,
    fallbacks: fallbacks.map(({ id }) => id),
    promptTokens: Math.ceil(call.bodyBytes / BYTES_PER_TOKEN),
    answers,
    answerTokensMax: answerMax && Math.min(answerMax, model.contextLength || Number.POSITIVE_INFINITY),
  };
}

/** What the waiting room wants to know of a request that has entered. */
export function placeAsk({ choices, call, record, coldSinceMs }: Entered<Asked>) {
  const [model, ...fallbacks] = choices.map(({ id }) => id);
  return { ...waiterOf(call, record), model: model!, fallbacks, coldSinceMs };
}

/** From the one on that it is counted for. */
function choicesOf(
  model: ModelDescription,
  fallbacks: readonly ModelDescription[],
  { model: counted }: RateHold,
): readonly ModelDescription[] {
  const all = [model, ...fallbacks];
  return all.slice(
    Math.max(
      0,
      all.findIndex(({ id }) => id === counted),
    ),
  );
}

/** Whoever has to wait is told so, and not who only might have had to: what is removed from the room has been `dropped`. */
function waiterOf({ caller: { keyId, priority }, bodyBytes }: Call, record: OpenRecord) {
  return { keyId, priority, bytes: bodyBytes, onWait: () => record.waits() };
}
