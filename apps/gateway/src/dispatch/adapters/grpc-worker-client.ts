import {
  type CallOptions,
  type ChannelCredentials,
  type ChannelOptions,
  type ClientDuplexStream,
  credentials,
  experimental,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import {
  type EmbedRequest,
  InferenceError,
  PROTOCOL_VERSION,
  type Ranking,
  type RerankRequest,
  type Tokenized,
  timeoutSettingOf,
  type WorkRequest,
} from '@millrace/contracts';
import {
  type ChatPrompt,
  type DetokenizeReply,
  type EmbedPart,
  type GatewayFrame,
  InferenceClient,
  type Load,
  type RenderPromptReply,
  type RerankReply,
  type TokenizeReply,
  type Welcome,
  type WorkerDescription,
  type WorkerFrame,
} from '@millrace/contracts/protocol';
import {
  GrpcCertificates,
  type Logger,
  unreachableWorker,
  type WatchedTls,
  workerIdentity,
  workerTlsFailure,
} from '@millrace/runtime';
import type { SequenceEvent, WorkerPhase, WorkerState } from '../../vocabulary.js';
import { faultOf } from '../check-description.js';
import { OpenSequences, type OpenSequencesLimits, type SequenceWay, tooLarge, workerLost } from '../open-sequences.js';
import { modelOf } from '../protocol-frames.js';
import {
  chatBytes,
  detokenizeMessage,
  embedMessage,
  rankingOf,
  renderPromptMessage,
  rerankMessage,
  textOf,
  tokenizedOf,
  tokenizeMessage,
  vectorsOf,
} from '../protocol-work.js';
import { WorkCalls } from '../work-calls.js';
import type {
  AnswerAttempt,
  DetokenizeWork,
  RenderWork,
  TokenizeWork,
  Vectors,
  WorkerClient,
} from '../worker-client.js';

export interface GrpcWorkerClientLimits extends OpenSequencesLimits {
  /** How long connecting may take, up to the worker's Welcome. */
  readonly workerConnectTimeoutMs: number;
  /** A worker reports once a second; one that is silent for so long counts as lost. */
  readonly workerSilenceMsMax: number;
}

/** How a channel to a worker is secured. */
export interface WorkerSecurity {
  readonly credentials: ChannelCredentials;
  readonly channel: ChannelOptions;
  /** What went wrong, as the end of a sentence; undefined where security is not why. */
  failureOf(details: string): string | undefined;
}

const UNSECURED: WorkerSecurity = {
  credentials: credentials.createInsecure(),
  channel: {},
  failureOf: (details) => workerTlsFailure(details, undefined),
};

/**
 * Mutual TLS. Each new connection is made with what is in force then; those that are open keep what they have.
 *
 * @param onFailure is told why a connection was not secured, each time
 */
export function workerSecurity(
  address: string,
  tls: WatchedTls,
  serverName: string | undefined,
  onFailure: (why: string) => void,
): WorkerSecurity {
  const certificates = new GrpcCertificates(tls);
  const { verify, channel } = workerIdentity(address, serverName);
  return {
    credentials: experimental.createCertificateProviderChannelCredentials(certificates, certificates, verify),
    channel,
    failureOf: (details) => {
      const why = workerTlsFailure(details, tls);
      if (why !== undefined) onFailure(why);
      return why;
    },
  };
}

/** Pauses between attempts to connect: doubled each time, from the first to the last. */
const RECONNECT_DELAY_MS_MIN = 100;
const RECONNECT_DELAY_MS_MAX = 2_000;
/** After it was understood that the two can't work together: another release has to be installed first. */
const REFUSED_DELAY_MS = 10_000;
/** A gateway that did not run itself when the time was up, as after SIGSTOP, has not read yet what the worker said. */
const LATE_MS_MIN = 250;
const LATE_GRACE_MS = 1_000;
/** Of what a worker says of itself, for /readyz. */
const DETAIL_CHARACTERS_MAX = 1_000;
/** How often a worker that loads is asked how far it is: the stream tells of models that changed, and of no more. */
const DESCRIBE_DELAY_MS = 250;
/**
 * A step brings at most some tokens for each of some hundred sequences; more than this is not a step. Vectors come in
 * parts that are smaller, and tokens of a text that would take more are refused.
 */
const RECEIVED_BYTES_MAX = 4 * 1024 * 1024;

/**
 * What the worker receives at most. The channel must not have a lower limit than `sentBytesMax`: a frame over it ends the
 * stream, and with it every other answer.
 */
const CHANNEL_BYTES_MAX = 1_088 * 1024 * 1024;

/** The reply to a call, or why there is none. */
type OnReply<R> = (error: ServiceError | null, reply?: R) => void;

type Converse = ClientDuplexStream<GatewayFrame, WorkerFrame>;

/**
 * One worker over gRPC: one channel, and on it one Converse stream that every sequence of this gateway shares.
 *
 * Ownership: owns the stream and connects it again for as long as it is not closed. A sequence is its own until it is
 * settled: by a frame, by the loss of the stream, or by its consumer.
 * Concurrency: everything happens in callbacks, none of which awaits. A callback of a stream that was given up is told
 * by comparing it with `#stream`.
 */
export class GrpcWorkerClient implements WorkerClient {
  readonly #client: InferenceClient;
  readonly #sequences: OpenSequences;
  readonly #calls = new WorkCalls();
  #stream: Converse | undefined;
  #phase: WorkerPhase = 'connecting';
  #detail = 'not connected yet';
  #description: WorkerDescription | undefined;
  /** The stream on which the worker has said which protocol it speaks. */
  #welcomed: Converse | undefined;
  /** The stream for which the worker is being asked how far it is. */
  #describing: Converse | undefined;
  #models: WorkerState['models'];
  #load: Load | undefined;
  #outstandingAtReport: number | undefined;
  #unreachable = false;
  readonly #watchers = new Set<() => void>();
  #reconnectDelayMs = RECONNECT_DELAY_MS_MIN;
  #closed = false;
  /** One timer for whatever is due next: the Welcome, the next sign of life, or the next attempt. */
  #timer: NodeJS.Timeout | undefined;

  constructor(
    readonly address: string,
    private readonly gatewayId: string,
    private readonly limits: GrpcWorkerClientLimits,
    private readonly logger: Logger,
    private readonly security: WorkerSecurity = UNSECURED,
  ) {
    this.#sequences = new OpenSequences(address, limits, logger);
    // Named as what it is: gRPC reads a host called `unix` or `ipv4` as something else.
    this.#client = new InferenceClient(`dns:${address}`, security.credentials, {
      ...security.channel,
      // HTTP_PROXY is meant for the Internet, where providers are; and DNS has no say in how workers are spoken to.
      'grpc.enable_http_proxy': 0,
      'grpc.service_config_disable_resolution': 1,
      'grpc.max_receive_message_length': RECEIVED_BYTES_MAX,
      'grpc.max_send_message_length': CHANNEL_BYTES_MAX,
      // The pauses are ours; the channel's own would only add to them.
      'grpc.initial_reconnect_backoff_ms': RECONNECT_DELAY_MS_MIN,
      'grpc.max_reconnect_backoff_ms': RECONNECT_DELAY_MS_MIN,
      // Without it, every client of one address shares one connection: two gateways in one process would lose theirs together.
      'grpc.use_local_subchannel_pool': 1,
    });
    this.#connect();
  }

  get heard(): boolean {
    return this.#models !== undefined || this.#unreachable;
  }

  get models(): WorkerState['models'] {
    return this.#models;
  }

  state(): WorkerState {
    return {
      address: this.address,
      phase: this.#phase,
      detail: this.#detail,
      version: this.#description?.version ?? '',
      running: this.#load?.running ?? 0,
      waiting: this.#load?.waiting ?? 0,
      outstanding: this.#sequences.size + this.#calls.size,
      outstandingAtReport: this.#outstandingAtReport,
      sequencesMax: this.#description?.sequencesMax,
      models: this.#models,
    };
  }

  watch(listener: () => void): () => void {
    this.#watchers.add(listener);
    return () => this.#watchers.delete(listener);
  }

  answer(request: AnswerAttempt, signal: AbortSignal): AsyncIterable<SequenceEvent> {
    const stream = this.#stream;
    if (stream === undefined || this.#phase !== 'ready') throw this.#notReady();
    const way: SequenceWay = {
      credit: (sequenceId, tokens) => stream.write({ frame: { $case: 'credit', value: { sequenceId, tokens } } }),
      cancel: (sequenceId) => stream.write({ frame: { $case: 'cancel', value: { sequenceId } } }),
    };
    const { answer, starts } = this.#sequences.begin(request, way, signal);
    for (const start of starts) stream.write(start);
    return answer;
  }

  async embed(request: EmbedRequest, signal: AbortSignal): Promise<Vectors> {
    const message = embedMessage(request);
    const parts = await this.#call<EmbedPart[]>(request, signal, (options, onReply) => {
      const received: EmbedPart[] = [];
      const call = this.#client.embed(message, options);
      call.on('data', (part: EmbedPart) => received.push(part));
      call.on('end', () => onReply(null, received));
      call.on('error', (error: ServiceError) => onReply(error));
      return call;
    });
    return vectorsOf(parts, request.inputs.length);
  }

  async rerank(request: RerankRequest, signal: AbortSignal): Promise<Ranking> {
    const message = rerankMessage(request);
    const reply = await this.#call<RerankReply>(request, signal, (options, onReply) =>
      this.#client.rerank(message, new Metadata(), options, onReply),
    );
    return rankingOf(reply, request.documents.length);
  }

  async tokenize(request: TokenizeWork, signal: AbortSignal): Promise<Tokenized> {
    const message = tokenizeMessage(request);
    if (message.prompt?.$case === 'chat') this.#refuseTooLarge(message.prompt.value);
    const reply = await this.#call<TokenizeReply>(request, signal, (options, onReply) =>
      this.#client.tokenize(message, new Metadata(), options, onReply),
    );
    return tokenizedOf(reply);
  }

  async detokenize(request: DetokenizeWork, signal: AbortSignal): Promise<string> {
    const message = detokenizeMessage(request);
    const reply = await this.#call<DetokenizeReply>(request, signal, (options, onReply) =>
      this.#client.detokenize(message, new Metadata(), options, onReply),
    );
    return textOf(reply);
  }

  async renderPrompt(request: RenderWork, signal: AbortSignal): Promise<string> {
    const message = renderPromptMessage(request);
    this.#refuseTooLarge(message.chat);
    const reply = await this.#call<RenderPromptReply>(request, signal, (options, onReply) =>
      this.#client.renderPrompt(message, new Metadata(), options, onReply),
    );
    return textOf(reply);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#giveUpStream('connecting', 'closed');
    this.#client.close();
  }

  /** One call beside the stream. It lives as long as the stream does: a worker that is lost is lost to both. */
  #call<R>(
    { deadlineMs, priority }: WorkRequest,
    signal: AbortSignal,
    begin: (options: Partial<CallOptions>, onReply: OnReply<R>) => { cancel(): void },
  ): Promise<R> {
    if (this.#phase !== 'ready') throw this.#notReady();
    const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
    return this.#calls.run<R>((end) => {
      const call = begin(options, (error, reply) => {
        if (error) end.reject(callFailure(error, priority));
        else end.resolve(reply as R);
      });
      return () => call.cancel();
    }, signal);
  }

  #refuseTooLarge(chat: ChatPrompt | undefined): void {
    const bytes = chatBytes(chat);
    if (bytes > this.limits.sentBytesMax) throw tooLarge(bytes, this.limits.sentBytesMax);
  }

  #notReady(): InferenceError {
    return new InferenceError('worker_lost', `The worker is ${this.#phase} just now. Send the request again.`);
  }

  // --------------------------------------------------------------------------------------------------- the connection

  #connect(): void {
    const stream = this.#client.converse();
    this.#stream = stream;
    const onlyThis =
      <A>(act: (argument: A) => void) =>
      (argument: A) => {
        if (this.#stream === stream) act(argument);
      };
    stream.on(
      'data',
      onlyThis((frame: WorkerFrame) => this.#onFrame(frame)),
    );
    stream.on(
      'error',
      onlyThis((error: ServiceError) => {
        // It speaks another protocol, and says which.
        if (error.code === status.FAILED_PRECONDITION) this.#onRefused(shown(error.details));
        else
          this.#onLost(
            this.security.failureOf(error.details) ??
              unreachableWorker(error.details) ??
              `${status[error.code] ?? error.code}: ${error.details}`,
          );
      }),
    );
    stream.on(
      'end',
      onlyThis(() => this.#onLost('the worker ended the connection')),
    );
    this.#expectWithin(this.limits.workerConnectTimeoutMs, 'did not welcome us in time');
    stream.write({
      frame: { $case: 'hello', value: { protocolVersion: PROTOCOL_VERSION, gatewayId: this.gatewayId } },
    });
  }

  #onFrame({ frame }: WorkerFrame): void {
    this.#expectWithin(this.limits.workerSilenceMsMax, 'has been silent for too long');
    if (frame?.$case !== 'welcome' && this.#welcomed !== this.#stream) {
      this.#onRefused('the worker speaks before it has welcomed us');
      return;
    }
    switch (frame?.$case) {
      case 'welcome':
        this.#onWelcome(frame.value);
        return;
      case 'step':
        for (const update of frame.value.updates) this.#sequences.update(update);
        return;
      case 'load':
        this.#onLoad(frame.value);
        return;
      case 'worker':
        this.#onDescription(frame.value);
        return;
    }
  }

  #onWelcome({ protocolVersion, worker }: Welcome): void {
    if (protocolVersion !== PROTOCOL_VERSION || worker === undefined) {
      this.#onRefused(`the worker speaks protocol ${protocolVersion}, this gateway ${PROTOCOL_VERSION}`);
      return;
    }
    this.#welcomed = this.#stream;
    this.#reconnectDelayMs = RECONNECT_DELAY_MS_MIN;
    this.#onDescription(worker);
  }

  #onDescription(worker: WorkerDescription): void {
    const fault = faultOf(worker);
    if (fault !== undefined) {
      this.#onRefused(`the worker ${fault}`);
      return;
    }
    this.#unreachable = false;
    this.#description = worker;
    this.#models = worker.models.length > 0 ? worker.models.map(modelOf) : this.#models;
    this.#load = worker.load ?? this.#load;
    this.#enter(
      worker.state === 'ready' || worker.state === 'draining' ? worker.state : 'loading',
      shown(worker.detail),
    );
    if (this.#phase === 'loading') this.#describeSoon();
  }

  #onLoad(load: Load): void {
    this.#load = load;
    this.#outstandingAtReport = this.#sequences.size + this.#calls.size;
    if (load.draining && this.#phase === 'ready')
      this.#enter('draining', 'it finishes what it has and takes nothing new');
  }

  /** One question at a time: descriptions also come of their own accord, and each of them leads here. */
  #describeSoon(): void {
    const stream = this.#stream;
    if (this.#describing === stream) return;
    this.#describing = stream;
    setTimeout(() => {
      if (this.#stream !== stream) return;
      this.#client.describe({}, (error, worker) => {
        if (this.#stream !== stream) return;
        this.#describing = undefined;
        if (!error) this.#onDescription(worker);
        else if (this.#phase === 'loading') this.#describeSoon();
      });
    }, DESCRIBE_DELAY_MS).unref();
  }

  #expectWithin(ms: number, otherwise: string): void {
    clearTimeout(this.#timer);
    const dueMs = performance.now() + ms;
    const lose = () => this.#onLost(`the worker ${otherwise} (${ms} ms)`);
    this.#timer = setTimeout(() => {
      // Timers go before what has arrived: had we been frozen, every worker would seem to be.
      if (performance.now() - dueMs < LATE_MS_MIN) lose();
      else this.#timer = setTimeout(lose, LATE_GRACE_MS);
    }, ms);
  }

  /** We understand each other well enough to know that it makes no sense; a new release may come up at the same address. */
  #onRefused(why: string): void {
    this.#onLost(why, REFUSED_DELAY_MS);
  }

  #onLost(why: string, delayMs = this.#reconnectDelayMs): void {
    this.#unreachable = true;
    this.#giveUpStream(this.#models === undefined ? 'connecting' : 'lost', why);
    if (this.#closed) return;
    this.#timer = setTimeout(() => this.#connect(), delayMs * (0.5 + Math.random() / 2));
    this.#reconnectDelayMs = Math.min(RECONNECT_DELAY_MS_MAX, this.#reconnectDelayMs * 2);
  }

  #giveUpStream(phase: WorkerPhase, why: string): void {
    clearTimeout(this.#timer);
    const stream = this.#stream;
    this.#stream = undefined;
    this.#load = undefined;
    this.#outstandingAtReport = undefined;
    stream?.cancel();
    this.#enter(phase, why);
    this.#sequences.giveUpAll(workerLost());
    this.#calls.giveUpAll(workerLost());
  }

  #enter(phase: WorkerPhase, detail: string): void {
    if (phase !== this.#phase && !this.#closed) {
      this.logger.info({ worker: this.address, was: this.#phase, detail: detail || undefined }, `worker ${phase}`);
    }
    this.#phase = phase;
    this.#detail = detail;
    for (const watcher of this.#watchers) watcher(); // After every description too: its models may be others.
  }
}

function shown(detail: string): string {
  return detail.slice(0, DETAIL_CHARACTERS_MAX).toWellFormed();
}

/** Why a call, and not the work that it was about, failed. */
function callFailure(error: ServiceError, priority: number): InferenceError {
  switch (error.code) {
    case status.RESOURCE_EXHAUSTED: {
      const most = RECEIVED_BYTES_MAX.toLocaleString('en');
      const sentence = `The reply would take more than ${most} bytes, or the request more than the worker reads. Send less.`;
      return new InferenceError('request_too_large', sentence, { cause: error });
    }
    case status.DEADLINE_EXCEEDED: {
      const sentence = `The worker had not finished when the time was up. Send less, or raise ${timeoutSettingOf(priority)}.`;
      return new InferenceError('deadline_exceeded', sentence, { cause: error });
    }
    default:
      return workerLost(error);
  }
}
