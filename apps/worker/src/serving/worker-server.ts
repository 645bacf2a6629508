import { hostname } from 'node:os';
import { logVerbosity, Server, type ServerUnaryCall, type sendUnaryData, setLogVerbosity, status } from '@grpc/grpc-js';
import {
  InferenceError,
  type ModelDescription,
  PROTOCOL_VERSION,
  type Sampling,
  type TimeLimits,
  VERSION,
} from '@millrace/contracts';
import {
  type DescribeRequest,
  InferenceService,
  type Load,
  type ModelDescription as ModelMessage,
  type Sampling as SamplingMessage,
  type WorkerDescription,
} from '@millrace/contracts/protocol';
import { Doorbell, type Logger, type WatchedTls } from '@millrace/runtime';
import { HealthImplementation } from 'grpc-health-check';
import type { Library } from '../models/library.js';
import type { Lease } from '../models/library-entry.js';
import type { WaitTerms } from '../models/waiting-line.js';
import { Conversation, type ConversationHost } from './conversation.js';
import { gatewayCredentials } from './gateway-credentials.js';
import type { ConverseStream } from './step-writer.js';
import { WorkCalls } from './work-calls.js';

export interface WorkerServerSettings extends TimeLimits {
  readonly workerHost: string;
  readonly workerPort: number;
  readonly maxBatchSize: number;
  readonly queueMax: number;
  readonly stallTimeoutMs: number;
  /** `queue`: gateways don't reach it by this server, which tells its health all the same. */
  readonly dispatch: 'grpc' | 'queue' | 'both';
}

/** The names under which the health service answers: the whole server, and its one service. */
const HEALTH_NAMES = ['', 'millrace.inference.v1.Inference'];
const LOAD_CHECK_MS = 100;
const HEARTBEAT_MS = 1_000;
/** At most so often are gateways told of models that change. */
const MODELS_INTERVAL_MS = 250;
/** Gateways that talk at a time; each holds one stream. */
const CONVERSATIONS_MAX = 256;
/** How long connections may take to close once everything is said. */
const CLOSE_MS_MAX = 1_000;

const SERVER_OPTIONS = {
  // Above the largest `bodyBytesMax` that a gateway can be given (1 GiB): a message over the limit ends the stream, and
  // with it every other sequence of that gateway, so the gateway's own limit must be the one that is met first.
  'grpc.max_receive_message_length': 1_088 * 1024 * 1024,
  // Frames and parts of vectors are at most about 1 MiB; tokens of a text that would take more are refused.
  'grpc.max_send_message_length': 4 * 1024 * 1024,
  // Per connection: a gateway needs one Converse, a call for each embedding, ranking or tokenizing that is on its way,
  // and Describe or a health check now and then. Further ones wait at the gateway; `WorkCalls` has the limit of all.
  'grpc.max_concurrent_streams': 512,
  // A gateway whose machine vanished is noticed after half a minute, and its sequences are cancelled.
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
  // HTTP/2 begins with 64 KiB in flight; a prompt of megabytes would hold up the Cancels and Credits behind it.
  'grpc-node.flow_control_window': 1024 * 1024,
};

/**
 * The worker's gRPC server: gateways converse with it, orchestrators ask for its health.
 *
 * Ownership: owns the conversations. The library is the caller's, and is closed after this.
 */
export class WorkerServer implements ConversationHost {
  readonly #server = new Server(SERVER_OPTIONS);
  readonly #health = new HealthImplementation();
  readonly #conversations = new Set<Conversation>();
  readonly #workCalls: WorkCalls;
  readonly #fewer = new Doorbell();
  readonly #workerId = `worker@${hostname()}:${process.pid}`;
  #draining = false;
  #serving: boolean | undefined;
  #loadTimer: NodeJS.Timeout | undefined;
  #lastLoad: Load | undefined;
  #lastLoadAtMs = 0;
  /** What gateways are told of the models; undefined while nothing has changed. */
  #told: WorkerDescription | undefined;
  #toldAtMs = Number.NEGATIVE_INFINITY;
  #changed = false;

  constructor(
    private readonly settings: WorkerServerSettings,
    private readonly library: Library,
    private readonly logger: Logger,
  ) {
    this.#workCalls = new WorkCalls(this, settings, logger);
    if (settings.dispatch !== 'queue') this.#addInference();
    this.#health.addToServer(this.#server);
    this.#updateHealth();
  }

  /**
   * Resolves with the port.
   *
   * @param tls gateways are let in that show a certificate of its authority, and nobody else; absent: whoever comes
   * @throws Error in one sentence when it can't be had.
   */
  async listen(tls?: WatchedTls): Promise<number> {
    setLogVerbosity(logVerbosity.NONE); // What it would write to stderr comes to us as an error as well.
    const { workerHost: host, workerPort: port } = this.settings;
    const address = `${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${port}`;
    const bound = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(address, gatewayCredentials(tls), (error, boundPort) => {
        if (error === null) resolve(boundPort);
        else reject(new Error(cannotListen(address, error), { cause: error }));
      });
    });
    this.#loadTimer = setInterval(() => {
      this.#reportLoad();
      this.#tellModels();
    }, LOAD_CHECK_MS).unref();
    return bound;
  }

  /** To be called when a model or the library changes; as often as one likes. */
  noteModels(): void {
    this.#changed = true;
    this.#updateHealth();
    // At once, if nothing was told lately; else the timer sees to it.
    this.#tellModels();
  }

  #addInference(): void {
    this.#server.addService(InferenceService, {
      ...this.#workCalls.handlers(),
      converse: (stream: ConverseStream) => this.#converse(stream),
      describe: (
        _call: ServerUnaryCall<DescribeRequest, WorkerDescription>,
        answer: sendUnaryData<WorkerDescription>,
      ) => answer(null, this.describe()),
    });
  }

  #updateHealth(): void {
    const serving = this.library.state === 'ready' && !this.#draining;
    if (serving === this.#serving) return;
    this.#serving = serving;
    for (const name of HEALTH_NAMES) this.#health.setStatus(name, serving ? 'SERVING' : 'NOT_SERVING');
  }

  describe(): WorkerDescription {
    const { state, detail } = this.library;
    return {
      workerId: this.#workerId,
      protocolVersion: PROTOCOL_VERSION,
      version: VERSION,
      // The protocol has no "failed": such a worker is not ready, and `detail` says why.
      state: this.#draining ? 'draining' : state === 'ready' ? 'ready' : 'loading',
      detail: this.#draining ? 'The worker finishes what it has and takes nothing new.' : detail,
      models: this.library.models().map(toMessage),
      sequencesMax: this.settings.maxBatchSize,
      waitingMax: this.settings.queueMax,
      load: this.#load(),
    };
  }

  /**
   * Takes nothing new, and hands back at once what has not begun: it begins sooner elsewhere. Resolves when every other sequence and every
   * call is settled, or after `timeoutMs`, when the rest is handed back too, with every token that was computed and may be sent. Gateways
   * go on with it at another worker.
   */
  async drain(timeoutMs: number): Promise<void> {
    this.#draining = true;
    this.#updateHealth();
    this.#reportLoad();
    const waiting = new InferenceError('shutting_down', 'This worker stopped before it began. Send the request again.');
    for (const conversation of this.#conversations) conversation.giveUpWaiting(waiting);
    this.#workCalls.giveUpWaiting(waiting);
    if (await this.#settledWithin(timeoutMs)) return;
    this.logger.warn({ unsettled: this.#unsettled(), timeoutMs }, 'Draining took too long; the rest is handed back.');
    const error = new InferenceError(
      'shutting_down',
      'This worker stopped before the answer was complete. Send the request again.',
    );
    for (const conversation of this.#conversations) conversation.giveUp(error);
    this.#workCalls.giveUp(error);
    // A gateway that reads nothing can't be told; it must not keep us from stopping.
    await this.#settledWithin(CLOSE_MS_MAX);
  }

  /** Whether every sequence and every call was settled in time. */
  async #settledWithin(timeoutMs: number): Promise<boolean> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#fewer.ring();
    }, timeoutMs);
    while (!late && this.#unsettled() > 0) await this.#fewer.heard();
    clearTimeout(timer);
    return this.#unsettled() === 0;
  }

  async close(): Promise<void> {
    clearInterval(this.#loadTimer);
    for (const conversation of this.#conversations) conversation.end();
    await new Promise<void>((resolve) => {
      const force = setTimeout(() => {
        this.#server.forceShutdown();
        resolve();
      }, CLOSE_MS_MAX);
      this.#server.tryShutdown(() => {
        clearTimeout(force);
        resolve();
      });
    });
  }

  #converse(stream: ConverseStream): void {
    if (this.#conversations.size >= CONVERSATIONS_MAX) {
      const details = `${CONVERSATIONS_MAX} gateways converse with this worker already. Start another worker.`;
      stream.emit('error', Object.assign(new Error(details), { code: status.RESOURCE_EXHAUSTED, details }));
      return;
    }
    this.#conversations.add(new Conversation(stream, this, this.settings.stallTimeoutMs, this.logger));
  }

  // ------------------------------------------------------------------------------ what conversations and calls ask of it

  get sequencesMax(): number {
    return this.settings.maxBatchSize;
  }

  get told(): WorkerDescription | undefined {
    return this.#told;
  }

  get timeLimits(): TimeLimits {
    return this.settings;
  }

  async use(model: string, terms: WaitTerms): Promise<Lease> {
    if (this.#draining) {
      throw new InferenceError('shutting_down', 'This worker is about to stop. Send the request again.');
    }
    return this.library.use(model, terms);
  }

  onSettled(): void {
    this.#fewer.ring();
  }

  onEnded(conversation: Conversation): void {
    this.#conversations.delete(conversation);
    this.#fewer.ring();
  }

  #unsettled(): number {
    let unsettled = this.#workCalls.running;
    for (const conversation of this.#conversations) unsettled += conversation.sequences;
    return unsettled;
  }

  #load(): Load {
    return { ...this.library.engineLoad, draining: this.#draining };
  }

  /** A gateway that reads slowly is told later, and then how things stand by then. */
  #tellModels(): void {
    const nowMs = performance.now();
    if (this.#changed && nowMs - this.#toldAtMs >= MODELS_INTERVAL_MS) {
      this.#changed = false;
      this.#toldAtMs = nowMs;
      this.#told = this.describe();
    }
    if (this.#told === undefined) return;
    for (const conversation of this.#conversations) conversation.sendWorker(this.#told);
  }

  /** Sends the load when it has changed since the last look, and else once a second, so that silence means loss. */
  #reportLoad(): void {
    const load = this.#load();
    const nowMs = performance.now();
    const last = this.#lastLoad;
    const same = last?.running === load.running && last.waiting === load.waiting && last.draining === load.draining;
    if (same && nowMs - this.#lastLoadAtMs < HEARTBEAT_MS) return;
    this.#lastLoad = load;
    this.#lastLoadAtMs = nowMs;
    for (const conversation of this.#conversations) conversation.sendLoad(load);
  }
}

const LISTEN_FAILURES = {
  EADDRINUSE: 'the port is in use. Stop what uses it, or choose another with --worker-port.',
  EADDRNOTAVAIL: 'this machine has no such address. Change --worker-host.',
  EACCES: 'this user may not use that port. Choose one above 1023 with --worker-port.',
  'Name resolution failed': 'there is no such address. Correct --worker-host.',
};

function cannotListen(address: string, error: Error): string {
  const known = Object.entries(LISTEN_FAILURES).find(([code]) => error.message.includes(code));
  return `The worker can't listen on ${address}: ${known?.[1] ?? error.message}`;
}

function toMessage(model: ModelDescription): ModelMessage {
  return {
    id: model.id,
    aliases: [...model.aliases],
    contextLength: model.contextLength,
    capabilities: [...model.capabilities],
    engine: model.engine,
    created: model.created,
    samplingDefaults: samplingMessage(model.samplingDefaults),
    maxTokensDefault: model.maxTokensDefault ?? 0,
    isDefault: model.isDefault,
    embeddingLength: model.embeddingLength ?? 0,
    state: model.state ?? 'loaded',
    detail: model.detail ?? '',
  };
}

function samplingMessage({ logitBias = [], drySequenceBreakers, ...sampling }: Sampling): SamplingMessage {
  return {
    ...sampling,
    logitBias: [...logitBias],
    drySequenceBreakers: drySequenceBreakers && { texts: [...drySequenceBreakers] },
  };
}
