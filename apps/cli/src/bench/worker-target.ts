import { type ClientDuplexStream, Metadata } from '@grpc/grpc-js';
import { PROTOCOL_VERSION } from '@millrace/contracts';
import type {
  ChatPrompt,
  GatewayFrame,
  InferenceClient,
  SequenceUpdate,
  Start,
  WorkerFrame,
} from '@millrace/contracts/protocol';
import { CommandError } from '../command.js';
import { percentile } from './statistics.js';
import { type BenchRequest, messagesOf, type Sample, type Target } from './target.js';

/** Enough for any answer here: credit is the gateway's business, and part of what it adds. */
const CREDIT_TOKENS = 1_000_000;

const ROUND_TRIPS = 200;
/** The first calls also wait for the compiler, here and there. */
const ROUND_TRIPS_WARM_UP = 100;
const ROUND_TRIP_DEADLINE_MS = 10_000;

interface Asked {
  readonly startedMs: number;
  readonly onFirstToken: (() => void) | undefined;
  firstTokenMs: number | undefined;
  readonly resolve: (sample: Sample) => void;
  readonly reject: (error: Error) => void;
}

/**
 * A worker, asked over gRPC as a gateway does: one stream that all sequences share.
 *
 * Ownership: it owns the channel and the stream. When the stream ends, every question that is open fails.
 */
export class WorkerTarget implements Target {
  readonly #model: string;
  readonly #client: InferenceClient;
  readonly #stream: ClientDuplexStream<GatewayFrame, WorkerFrame>;
  readonly #asked = new Map<number, Asked>();
  #lastId = 0;

  constructor(client: InferenceClient, model: string) {
    this.#model = model;
    this.#client = client;
    this.#stream = this.#client.converse();
    this.#stream.on('data', (frame: WorkerFrame) => this.#receive(frame));
    this.#stream.on('error', (error) => this.#failAll(error.message));
    this.#stream.on('end', () => this.#failAll('it ended the stream'));
    const hello = { protocolVersion: PROTOCOL_VERSION, gatewayId: `bench:${process.pid}` };
    this.#stream.write({ frame: { $case: 'hello', value: hello } });
  }

  ask(request: BenchRequest): Promise<Sample> {
    this.#lastId += 1;
    const sequenceId = this.#lastId;
    return new Promise((resolve, reject) => {
      const { onFirstToken } = request;
      const startedMs = performance.now();
      this.#asked.set(sequenceId, { startedMs, onFirstToken, firstTokenMs: undefined, resolve, reject });
      this.#stream.write({ frame: { $case: 'start', value: this.#start(sequenceId, request) } });
    });
  }

  /**
   * The median of gRPC calls that ask for no work, one at a time on the channel of the measurements.
   *
   * The nearest thing to the price of the hop itself: a worker cannot be asked for an answer without gRPC.
   */
  async roundTripMs(calls = ROUND_TRIPS): Promise<number> {
    const samples: number[] = [];
    for (let call = 0; call < ROUND_TRIPS_WARM_UP + calls; call++) {
      const startedMs = performance.now();
      await this.#describe();
      if (call >= ROUND_TRIPS_WARM_UP) samples.push(performance.now() - startedMs);
    }
    return percentile(
      samples.toSorted((a, b) => a - b),
      50,
    );
  }

  #describe(): Promise<void> {
    const deadline = Date.now() + ROUND_TRIP_DEADLINE_MS;
    return new Promise((resolve, reject) => {
      this.#client.describe({}, new Metadata(), { deadline }, (error) => {
        if (error) reject(new CommandError(`The worker does not describe itself: ${error.details}.`));
        else resolve();
      });
    });
  }

  async close(): Promise<void> {
    this.#stream.end();
    this.#client.close();
  }

  #start(sequenceId: number, request: BenchRequest): Start {
    return {
      sequenceId,
      attempt: 1,
      requestId: `bench-${sequenceId}`,
      traceparent: '',
      tracestate: '',
      model: this.#model,
      prompt: promptOf(request),
      sampling: {
        temperature: request.temperature ?? 0,
        ignoreEos: request.ignoreEos ?? false,
        drySequenceBreakers: undefined,
        logitBias: [],
      },
      maxTokens: request.maxTokens,
      stop: [],
      resumeTokenIds: [],
      resumeText: '',
      creditTokens: CREDIT_TOKENS,
      deadlineMs: 0,
      priority: 0,
      format: undefined,
      echo: false,
      siblings: [],
      resumeReasoning: '',
      resumeCalls: [],
      resumeCitations: 0,
      resumeUnnumberedTokens: 0,
      resumeLogprobs: 0,
    };
  }

  #receive({ frame }: WorkerFrame): void {
    if (frame?.$case !== 'step') return;
    for (const update of frame.value.updates) this.#update(update);
  }

  #update({ sequenceId, text, settled }: SequenceUpdate): void {
    const asked = this.#asked.get(sequenceId);
    if (asked === undefined) return;
    const nowMs = performance.now() - asked.startedMs;
    if (text !== '' && asked.firstTokenMs === undefined) {
      asked.firstTokenMs = nowMs;
      asked.onFirstToken?.();
    }
    if (settled === undefined) return;
    this.#asked.delete(sequenceId);
    if (settled.reason === 'stop' || settled.reason === 'length') {
      const { completionTokens: tokens, promptTokens, cachedTokens } = settled;
      asked.resolve({ firstTokenMs: asked.firstTokenMs ?? nowMs, totalMs: nowMs, tokens, promptTokens, cachedTokens });
    } else {
      asked.reject(new CommandError(`The worker failed a request: ${settled.failure?.message ?? settled.reason}`));
    }
  }

  #failAll(why: string): void {
    for (const asked of this.#asked.values()) asked.reject(new CommandError(`The worker is lost: ${why}.`));
    this.#asked.clear();
  }
}

const BARE_CHAT: ChatPrompt = {
  messagesJson: '',
  toolsJson: '',
  templateVariablesJson: '',
  toolChoice: undefined,
  singleCall: false,
  documentsJson: '',
  continueFinal: false,
  reasoningEffort: '',
  nowSeconds: 0,
};

function promptOf(request: BenchRequest): Start['prompt'] {
  if (request.completion) return { $case: 'text', value: request.prompt };
  const messagesJson = JSON.stringify(messagesOf(request));
  return { $case: 'chat', value: { ...BARE_CHAT, messagesJson } };
}
