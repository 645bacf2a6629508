import { InferenceError, type ResponseBody, type ResponseEvent, type ResponseRequestBody } from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import type { KeptResponse, ResponseStore } from '../responses/response-store.js';
import type { ModelCatalog } from '../validation/model-catalog.js';
import { checkResponseRequest, validResponse } from '../validation/parse-response-request.js';
import { fileSearchOf } from '../validation/searched-files.js';
import type { Call, ValidChatRequest } from '../vocabulary.js';
import type { CompleteChat } from './complete-chat.js';
import { tellOverhead } from './overhead.js';
import { emptyResponse, newResponseIds, type ResponseIds } from './response-body.js';
import type { ResponseInput, ResponseInputs } from './response-input.js';
import { type BegunResponse, ResponseTurns } from './response-turns.js';
import type { SearchFiles } from './search-files.js';

export type ResponseAnswer =
  | { readonly kind: 'whole'; readonly body: ResponseBody }
  | { readonly kind: 'stream'; readonly chunks: AsyncIterable<readonly ResponseEvent[]> };

/** A request that is valid. */
interface Prepared {
  readonly asked: ResponseRequestBody;
  readonly request: ValidChatRequest;
  readonly input: ResponseInput;
}

/** `queue`: it is answered later. */
type Where = 'foreground' | 'background' | 'queue';

/** An answer does not wait longer for its being kept: it is worth more than what can go on from it. */
const KEEP_WAIT_MS = 5_000;

/** POST /v1/responses: the way of a chat, with items at both of its ends, and with what is kept of them. */
export class Respond {
  constructor(
    private readonly chat: Pick<CompleteChat, 'enter' | 'generate'>,
    private readonly inputs: ResponseInputs,
    private readonly files: Pick<SearchFiles, 'check' | 'run'>,
    private readonly store: Pick<ResponseStore, 'keep'>,
    private readonly logger: Logger,
    private readonly keepWaitMs = KEEP_WAIT_MS,
  ) {}

  /** In the foreground: somebody waits. What it answers is kept before its end is told, so that whoever has read that can go on from it. */
  async run(body: unknown, call: Call): Promise<ResponseAnswer> {
    const begun = await this.#enter(body, call, newResponseIds(), 'foreground');
    const turns = new ResponseTurns(begun, this.chat, this.files);
    if (begun.entered.request.stream) return { kind: 'stream', chunks: this.#keeping(begun, turns) };
    await using _held = begun.input;
    // One path for both: a whole response is the last event of the stream that we collect ourselves.
    for await (const _ of turns.tell());
    const response = await this.#keep(begun, turns);
    tellOverhead(call, turns);
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
    const turns = new ResponseTurns(begun, this.chat, this.files);
    try {
      yield* turns.tell();
    } catch (error) {
      yield failed(turns, error);
    }
  }

  /**
   * What is kept of a response in the background before anybody works on it: valid, within its caller's rate, and queued. Then `produce` can
   * be called for it, again and again until one of them comes to an end.
   */
  async accept(body: unknown, call: Call, ids: ResponseIds): Promise<KeptResponse> {
    const { entered, input, empty } = await this.#enter(body, call, ids, 'queue', { answers: 0 });
    using _entered = entered;
    await using _held = input;
    entered.record.done(0);
    return { response: { ...empty, status: 'queued' }, input: input.own };
  }

  async #enter(
    body: unknown,
    call: Call,
    ids: ResponseIds,
    where: Where,
    expected: { readonly answers?: 0 } = {},
  ): Promise<BegunResponse> {
    let prepared: Prepared | undefined;
    try {
      const parse = async (models: ModelCatalog) => {
        prepared = await this.#prepare(body, call, where === 'queue' ? undefined : ids, models);
        if (where === 'foreground' && prepared.asked.background) throw noBackground();
        return prepared.request;
      };
      const entered = await this.chat.enter(call, parse, 'responses', expected);
      const { asked, input } = prepared!;
      return { asked, input, entered, empty: emptyResponse(asked, entered.request, ids), call };
    } catch (error) {
      await prepared?.input[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #prepare(body: unknown, call: Call, ids: ResponseIds | undefined, models: ModelCatalog): Promise<Prepared> {
    const asked = checkResponseRequest(body);
    const searched = fileSearchOf(asked.tools);
    const input = await this.inputs.hold(asked, call.caller.keyId, ids?.id);
    try {
      if (searched !== undefined) await this.files.check(searched.tool, searched.place, call);
      return { asked, request: validResponse(asked, input.all, models), input };
    } catch (error) {
      await input[Symbol.asyncDispose]();
      throw error;
    }
  }

  async *#keeping(begun: BegunResponse, turns: ResponseTurns): AsyncGenerator<readonly ResponseEvent[]> {
    const { events } = turns;
    await using _held = begun.input;
    try {
      for await (const told of turns.tell()) {
        yield events.ended === undefined ? told : endingWith(await this.#keep(begun, turns), told);
      }
    } catch (error) {
      const told = failed(turns, error);
      // Whoever left reads none of it, and knows of no response that there could be.
      yield begun.call.clientLeft.aborted ? told : endingWith(await this.#keep(begun, turns), told);
    }
  }

  /** @returns the response as it is told: where it could not be kept, it says so. */
  async #keep({ input, call }: BegunResponse, { events }: ResponseTurns): Promise<ResponseBody> {
    const { caller, requestId } = call;
    const response = events.ended!;
    // Before its end is told: whoever reads that may go on in the same conversation at once.
    await using _held = input;
    if (!response.store) return response;
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new Error(`not kept within ${this.keepWaitMs} ms`)), this.keepWaitMs);
    try {
      await this.store.keep(caller.keyId, { response, input: input.own }, late.signal);
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
function failed({ events }: ResponseTurns, error: unknown): readonly ResponseEvent[] {
  if (!events.begun) throw error;
  return events.fail(error);
}

function endingWith(response: ResponseBody, told: readonly ResponseEvent[]): readonly ResponseEvent[] {
  return told.map((event) => ('response' in event ? { ...event, response } : event));
}

/** Elsewhere it is queue-response.ts that is asked. */
function noBackground(): InferenceError {
  return new InferenceError(
    'unsupported_parameter',
    '`background` is true in a line of a batch, for which nobody waits anyway. Leave it out.',
    { param: 'background' },
  );
}
