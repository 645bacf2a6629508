import { once } from 'node:events';
import type { ServerWritableStream } from '@grpc/grpc-js';
import {
  allowedMsOf,
  type EmbeddingInput,
  type Engine,
  InferenceError,
  type Prompt,
  type TimeLimits,
  timeoutSettingOf,
  type WorkRequest,
} from '@millrace/contracts';
import type {
  DetokenizeReply,
  DetokenizeRequest,
  EmbedPart,
  EmbedRequest,
  Failure,
  InferenceServer,
  RenderPromptReply,
  RenderPromptRequest,
  RerankReply,
  RerankRequest,
  TokenizeReply,
  TokenizeRequest,
  WorkHeading,
} from '@millrace/contracts/protocol';
import { ATTRIBUTES, type Logger, type OpenSpan, openSpan } from '@millrace/runtime';
import type { Lease } from '../models/library-entry.js';
import type { WaitTerms } from '../models/waiting-line.js';
import { failureOf } from './failure-message.js';
import { chatPrompt } from './prompt-message.js';

/** Calls at a time, of all gateways together. Each holds its request, which may be megabytes. */
const WORK_CALLS_MAX = 256;

/** Of one part of an embedding's reply; a message may have 4 MiB, and smaller ones let others through between them. */
const PART_VECTORS_MAX = 64;
const PART_BYTES_MAX = 1024 * 1024;

/** What the calls ask of the worker. */
export interface WorkHost {
  /** @throws InferenceError when the model can't be had, or when the worker takes nothing new. */
  use(model: string, terms: WaitTerms): Promise<Lease>;
  /** A call was settled. */
  onSettled(): void;
}

/** What a call is worked on with. */
interface Work {
  readonly engine: Engine;
  readonly request: WorkRequest;
  /** Aborts when the caller leaves, the time is up or the worker gives up. */
  readonly signal: AbortSignal;
}

/** Who may stop wanting the reply: a gRPC call, or what stands for one. */
export interface WorkCaller {
  readonly cancelled: boolean;
  on(event: 'cancelled', listener: () => void): unknown;
}

/** Takes a part of a long reply, and resolves when it takes another. */
export type SendPart = (part: EmbedPart, signal: AbortSignal) => Promise<void>;

/** OpenAI's limit of inputs; documents are held to it as well. The gateway has checked it. */
const INPUTS_MAX = 2_048;

class Cancelled extends Error {}

/**
 * Work that is no answer: embedding, ranking, tokens and rendered prompts. Each is a call of its own, with a deadline,
 * and ends when the call is cancelled. What goes wrong is said in the reply.
 *
 * Ownership: a call is settled once, by its work, by the deadline, by who cancels it or by `giveUp`. An engine that goes
 * on computing for a call that is settled concerns nobody.
 */
export class WorkCalls {
  readonly #running = new Set<AbortController>();
  /** Of those, who wait for their model. */
  readonly #waiting = new Set<AbortController>();

  constructor(
    private readonly host: WorkHost,
    private readonly timeLimits: TimeLimits,
    private readonly logger: Logger,
  ) {}

  /** Calls that are not settled. */
  get running(): number {
    return this.#running.size;
  }

  /** The worker gives all of them up. */
  giveUp(error: InferenceError): void {
    for (const leaving of this.#running) leaving.abort(error);
  }

  /** Gives up those with which nobody has begun. */
  giveUpWaiting(error: InferenceError): void {
    for (const leaving of this.#waiting) leaving.abort(error);
  }

  /** For the gRPC server. */
  handlers(): Pick<InferenceServer, 'embed' | 'rerank' | 'tokenize' | 'detokenize' | 'renderPrompt'> {
    return {
      embed: (call) => void this.#stream(call),
      rerank: (call, answer) => void this.rerank(call.request, call).then((reply) => answer(null, reply)),
      tokenize: (call, answer) => void this.tokenize(call.request, call).then((reply) => answer(null, reply)),
      detokenize: (call, answer) => void this.detokenize(call.request, call).then((reply) => answer(null, reply)),
      renderPrompt: (call, answer) => void this.renderPrompt(call.request, call).then((reply) => answer(null, reply)),
    };
  }

  async #stream(call: ServerWritableStream<EmbedRequest, EmbedPart>): Promise<void> {
    const last = await this.embed(call.request, call, async (part, signal) => {
      if (!call.write(part)) await once(call, 'drain', { signal });
    });
    if (call.cancelled) return;
    call.write(last);
    call.end();
  }

  // None of these rejects: what goes wrong is said in the reply.

  /** All parts but the last go to `sendPart`. */
  embed({ heading, inputs, dimensions }: EmbedRequest, caller: WorkCaller, sendPart: SendPart): Promise<EmbedPart> {
    const work = async ({ engine, request, signal }: Work): Promise<EmbedPart> => {
      checkCount(inputs.length, 'input');
      const asked = { ...request, inputs: inputs.map(inputOf), ...(dimensions > 0 && { dimensions }) };
      const { vectors, promptTokens } = await engine.embed(asked, signal);
      const parts = inParts(vectors);
      const last = parts.pop() ?? [];
      for (const part of parts) {
        signal.throwIfAborted();
        await sendPart({ vectors: part, promptTokens: 0, failure: undefined }, signal);
      }
      return { vectors: last, promptTokens, failure: undefined };
    };
    return this.#settle(caller, heading, work, (failure) => ({ vectors: [], promptTokens: 0, failure }));
  }

  rerank({ heading, query, documents }: RerankRequest, caller: WorkCaller): Promise<RerankReply> {
    const work = async ({ engine, request, signal }: Work): Promise<RerankReply> => {
      checkCount(documents.length, 'documents');
      const { scores, promptTokens } = await engine.rerank({ ...request, query, documents }, signal);
      return { scores: [...scores], promptTokens, failure: undefined };
    };
    return this.#settle(caller, heading, work, (failure) => ({ scores: [], promptTokens: 0, failure }));
  }

  tokenize({ heading, prompt, addSpecial, parseSpecial }: TokenizeRequest, caller: WorkCaller): Promise<TokenizeReply> {
    const work = async ({ engine, request }: Work): Promise<TokenizeReply> => {
      const asked = { ...request, prompt: promptOf(prompt), addSpecial, parseSpecial };
      const { tokens, pieces } = await engine.tokenize(asked);
      return { tokens: [...tokens], pieces: [...pieces], failure: undefined };
    };
    return this.#settle(caller, heading, work, (failure) => ({ tokens: [], pieces: [], failure }));
  }

  detokenize({ heading, tokens }: DetokenizeRequest, caller: WorkCaller): Promise<DetokenizeReply> {
    const work = async ({ engine }: Work): Promise<DetokenizeReply> => {
      return { text: await engine.detokenize(tokens), failure: undefined };
    };
    return this.#settle(caller, heading, work, (failure) => ({ text: '', failure }));
  }

  renderPrompt({ heading, chat }: RenderPromptRequest, caller: WorkCaller): Promise<RenderPromptReply> {
    const work = async ({ engine }: Work): Promise<RenderPromptReply> => {
      if (chat === undefined) throw withoutPrompt('messages');
      return { text: await engine.renderPrompt(chatPrompt(chat)), failure: undefined };
    };
    return this.#settle(caller, heading, work, (failure) => ({ text: '', failure }));
  }

  /** What `work` gives within the time, else what `failed` makes of the reason. Never rejects. */
  async #settle<Reply>(
    caller: WorkCaller,
    heading: WorkHeading | undefined,
    work: (work: Work) => Promise<Reply>,
    failed: (failure: Failure) => Reply,
  ): Promise<Reply> {
    const { requestId = '', model = '', deadlineMs = 0, priority = 0 } = heading ?? {};
    const span = openWorkSpan(heading);
    const allowedMs = allowedMsOf({ priority, deadlineMs: deadlineMs || undefined }, this.timeLimits);
    const leaving = new AbortController();
    const startedAtMs = performance.now();
    let timer: NodeJS.Timeout | undefined;
    let failure: Failure | undefined;
    try {
      this.#checkRoom();
      this.#running.add(leaving);
      timer = setTimeout(() => leaving.abort(tooLate(allowedMs, priority)), allowedMs);
      caller.on('cancelled', () => leaving.abort(new Cancelled('The call was cancelled.')));
      if (caller.cancelled) leaving.abort(new Cancelled('The call was cancelled.'));
      const { signal } = leaving;
      this.#waiting.add(leaving);
      using lease = await this.host.use(model, { deadlineMs: allowedMs, signal });
      this.#waiting.delete(leaving);
      const leftMs = Math.max(1, allowedMs - Math.floor(performance.now() - startedAtMs));
      const request = { requestId, model, deadlineMs: leftMs, priority, trace: span?.context };
      const reply = await unlessAborted(work({ engine: lease.engine, request, signal }), signal);
      this.logger.debug({ requestId, model }, 'A call is settled.');
      return reply;
    } catch (error) {
      failure = this.#failure(error, { requestId, model });
      return failed(failure);
    } finally {
      span?.end(performance.now(), {}, failure?.code);
      clearTimeout(timer);
      this.#waiting.delete(leaving);
      if (this.#running.delete(leaving)) this.host.onSettled();
    }
  }

  #checkRoom(): void {
    if (this.#running.size < WORK_CALLS_MAX) return;
    throw new InferenceError(
      'rate_limit_exceeded',
      `${this.#running.size} calls are being worked on by this worker; ${WORK_CALLS_MAX} may. Retry shortly.`,
      { retryAfterSeconds: 1 },
    );
  }

  #failure(error: unknown, line: { readonly requestId: string; readonly model: string }): Failure {
    const failure = failureOf(error);
    // Nobody reads the reply to a call that was cancelled, and nothing is wrong with it.
    if (error instanceof Cancelled) this.logger.debug(line, 'A call was cancelled.');
    else if (failure.code === 'internal_error') this.logger.error({ ...line, error }, 'A call failed.');
    else this.logger.debug({ ...line, code: failure.code }, 'A call is settled.');
    return failure;
  }
}

/** Rejects with the signal's reason as soon as it is aborted, whatever becomes of `working`. */
async function unlessAborted<Reply>(working: Promise<Reply>, signal: AbortSignal): Promise<Reply> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();
  try {
    return await Promise.race([working, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

function openWorkSpan(heading: WorkHeading | undefined): OpenSpan | undefined {
  if (heading === undefined) return undefined;
  const { model, requestId, traceparent, tracestate } = heading;
  const attributes = { [ATTRIBUTES.requestModel]: model, [ATTRIBUTES.requestId]: requestId };
  const parent = traceparent === '' ? undefined : { traceparent, tracestate };
  return openSpan({ name: `work ${model}`, role: 'server', startMs: performance.now(), attributes }, parent);
}

function inParts(vectors: readonly Float32Array[]): Uint8Array[][] {
  const bytes = vectors[0]?.byteLength ?? 1;
  const each = Math.max(1, Math.min(PART_VECTORS_MAX, Math.floor(PART_BYTES_MAX / bytes)));
  const parts: Uint8Array[][] = [];
  for (let at = 0; at < vectors.length; at += each) parts.push(vectors.slice(at, at + each).map(bytesOf));
  return parts;
}

/** As they lie in memory: every machine that llama.cpp's packages are made for is little-endian. */
function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function checkCount(count: number, param: string): void {
  if (count <= INPUTS_MAX) return;
  const [given, most] = [count, INPUTS_MAX].map((number) => number.toLocaleString('en-US'));
  throw new InferenceError('invalid_request', `${param} has ${given} entries; at most ${most} are allowed.`, { param });
}

function inputOf({ input }: EmbedRequest['inputs'][number], index: number): EmbeddingInput {
  if (input?.$case === 'text') return { kind: 'text', text: input.value };
  if (input?.$case === 'tokens') return { kind: 'tokens', tokens: input.value.ids };
  throw withoutPrompt(`input[${index}]`);
}

function promptOf(prompt: TokenizeRequest['prompt']): Prompt {
  if (prompt?.$case === 'text') return { kind: 'text', text: prompt.value };
  if (prompt?.$case === 'chat') return chatPrompt(prompt.value);
  throw withoutPrompt('prompt');
}

function withoutPrompt(param: string): InferenceError {
  return new InferenceError('invalid_request', `${param} is missing. Send a text, tokens or messages.`, { param });
}

function tooLate(allowedMs: number, priority: number): InferenceError {
  return new InferenceError(
    'deadline_exceeded',
    `The request was not complete within ${allowedMs.toLocaleString('en-US')} ms. Send less, or raise ${timeoutSettingOf(priority)}.`,
  );
}
