import {
  type Citation,
  InferenceError,
  type ResponseAnnotation,
  type ResponseBody,
  type ResponseEvent,
  type ResponseRequestBody,
} from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import type { KeptResponse, ResponseStore } from '../responses/response-store.js';
import type { ModelCatalog } from '../validation/model-catalog.js';
import { checkResponseRequest, inResponseWords, validResponse } from '../validation/parse-response-request.js';
import type { Call, ValidChatRequest } from '../vocabulary.js';
import { annotationsOf } from './annotations.js';
import { endedEarly } from './answer-heading.js';
import type { CompleteChat } from './complete-chat.js';
import type { Entered } from './entrance.js';
import { LogprobsAllowance } from './logprobs-allowance.js';
import { tellOverhead } from './overhead.js';
import { emptyResponse, newResponseIds, type ResponseIds } from './response-body.js';
import { ResponseEvents } from './response-events.js';
import type { ResponseInput, ResponseInputs } from './response-input.js';

export type ResponseAnswer =
  | { readonly kind: 'whole'; readonly body: ResponseBody }
  | { readonly kind: 'stream'; readonly chunks: AsyncIterable<readonly ResponseEvent[]> };

/** A request that is valid. */
interface Prepared {
  readonly asked: ResponseRequestBody;
  readonly request: ValidChatRequest;
  readonly input: ResponseInput;
}

/** One that was let in, and what is told of it. */
interface Begun {
  readonly entered: Entered<ValidChatRequest>;
  readonly input: ResponseInput;
  readonly empty: ResponseBody;
  readonly events: ResponseEvents;
}

/** An answer does not wait longer for its being kept: it is worth more than what can go on from it. */
const KEEP_WAIT_MS = 5_000;

const ALLOWANCE_ADVICE = 'Ask for fewer tokens or log-probabilities.';

/** POST /v1/responses: the way of a chat, with items at both of its ends, and with what is kept of them. */
export class Respond {
  constructor(
    private readonly chat: Pick<CompleteChat, 'enter' | 'generate'>,
    private readonly inputs: ResponseInputs,
    private readonly store: Pick<ResponseStore, 'keep'>,
    private readonly logger: Logger,
    private readonly keepWaitMs = KEEP_WAIT_MS,
  ) {}

  /** In the foreground: somebody waits. What it answers is kept before its end is told, so that whoever has read that can go on from it. */
  async run(body: unknown, call: Call): Promise<ResponseAnswer> {
    const begun = await this.#enter(body, call, newResponseIds(), 'foreground');
    if (begun.entered.request.stream) return { kind: 'stream', chunks: this.#keeping(begun, call) };
    await using _held = begun.input;
    // One path for both: a whole response is the last event of the stream that we collect ourselves.
    for await (const _ of this.#tell(begun));
    const response = await this.#keep(begun, call);
    tellOverhead(call, begun.entered.record);
    return { kind: 'whole', body: response };
  }

  /**
   * The events of a response for whoever keeps them itself, from `response.created` to its end: a failure after the first is told as events,
   * as in a stream.
   *
   * @throws InferenceError where it failed before anything was told.
   */
  async *produce(body: unknown, call: Call, ids: ResponseIds): AsyncGenerator<readonly ResponseEvent[]> {
    const begun = await this.#enter(body, call, ids, 'background');
    await using _held = begun.input;
    try {
      yield* this.#tell(begun);
    } catch (error) {
      yield failed(begun, error);
    }
  }

  /**
   * What is kept of a response in the background before anybody works on it: valid, within its caller's rate, and queued. Then `produce` can
   * be called for it, again and again until one of them comes to an end.
   */
  async accept(body: unknown, call: Call, ids: ResponseIds): Promise<KeptResponse> {
    const { entered, input, empty } = await this.#enter(body, call, ids, 'background', { answers: 0 });
    using _entered = entered;
    await using _held = input;
    entered.record.done(0);
    return { response: { ...empty, status: 'queued' }, input: input.own };
  }

  async #enter(
    body: unknown,
    call: Call,
    ids: ResponseIds,
    where: 'foreground' | 'background',
    expected: { readonly answers?: 0 } = {},
  ): Promise<Begun> {
    let prepared: Prepared | undefined;
    try {
      const parse = async (models: ModelCatalog) => {
        prepared = await this.#prepare(body, call, ids, models);
        if (where === 'foreground' && prepared.asked.background) throw noBackground();
        return prepared.request;
      };
      const entered = await this.chat.enter(call, parse, 'responses', expected);
      const { asked, input } = prepared!;
      const { request, record } = entered;
      const empty = emptyResponse(asked, request, ids);
      const events = new ResponseEvents(
        empty,
        (citation) => annotated(citation, request),
        () => record.answeredBy.id,
      );
      return { entered, input, empty, events };
    } catch (error) {
      await prepared?.input[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #prepare(body: unknown, { caller }: Call, { id }: ResponseIds, models: ModelCatalog): Promise<Prepared> {
    const asked = checkResponseRequest(body);
    const input = await this.inputs.hold(asked, caller.keyId, id);
    try {
      return { asked, request: validResponse(asked, input.all, models), input };
    } catch (error) {
      await input[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Its end is told when everything that it had is given back: whoever reads it slowly, or keeps it first, holds no place. */
  async *#tell({ entered, events }: Begun): AsyncGenerator<readonly ResponseEvent[]> {
    // A stream collects them too: its last event has all of them.
    const allowance = new LogprobsAllowance({ ...entered.request, stream: false }, ALLOWANCE_ADVICE);
    let last: readonly ResponseEvent[] = [];
    try {
      for await (const event of this.chat.generate(entered)) {
        allowance.use(event);
        last = events.add(event);
        if (events.ended === undefined && last.length > 0) yield last;
      }
      if (events.ended === undefined) throw endedEarly();
    } catch (error) {
      const told = inResponseWords(error);
      entered.record.fail(told);
      throw told;
    }
    yield last;
  }

  async *#keeping(begun: Begun, call: Call): AsyncGenerator<readonly ResponseEvent[]> {
    const { events } = begun;
    await using _held = begun.input;
    try {
      for await (const told of this.#tell(begun)) {
        yield events.ended === undefined ? told : endingWith(await this.#keep(begun, call), told);
      }
    } catch (error) {
      const told = failed(begun, error);
      // Whoever left reads none of it, and knows of no response that there could be.
      yield call.clientLeft.aborted ? told : endingWith(await this.#keep(begun, call), told);
    }
  }

  /** @returns the response as it is told: where it could not be kept, it says so. */
  async #keep({ events, input }: Begun, { caller: { keyId }, requestId }: Call): Promise<ResponseBody> {
    const response = events.ended!;
    // Before its end is told: whoever reads that may go on in the same conversation at once.
    await using _held = input;
    if (!response.store) return response;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not kept within ${this.keepWaitMs} ms`)), this.keepWaitMs);
    });
    try {
      await Promise.race([this.store.keep(keyId, { response, input: input.own }), late]);
      return response;
    } catch (error) {
      this.logger.warn({ error, requestId, response: response.id }, 'a response could not be kept');
      return { ...response, store: false };
    } finally {
      clearTimeout(timer);
    }
  }
}

/** What is told in place of what did not come. @throws `error` where nothing was told yet, so that it has a status of its own. */
function failed({ events }: Begun, error: unknown): readonly ResponseEvent[] {
  if (!events.begun) throw error;
  return events.fail(error);
}

function endingWith(response: ResponseBody, told: readonly ResponseEvent[]): readonly ResponseEvent[] {
  return told.map((event) => ('response' in event ? { ...event, response } : event));
}

/** A page of the web, or what has an address that names it: OpenAI's items tell of it without a wrapping. */
function annotated(citation: Citation, { prompts }: ValidChatRequest): readonly ResponseAnnotation[] {
  return annotationsOf([citation], prompts[0]!).map(({ type, url_citation }) => ({ type, ...url_citation }));
}

function noBackground(): InferenceError {
  return new InferenceError(
    'unsupported_parameter',
    '`background` is true, which this server does not do yet. Leave it out, and wait for the response or stream it.',
    { param: 'background' },
  );
}
