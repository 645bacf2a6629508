import { Client, type ClientDuplexStream, credentials, type ServiceError } from '@grpc/grpc-js';
import { type Engine, PROTOCOL_VERSION } from '@millrace/contracts';
import {
  type ChatPrompt,
  type DetokenizeReply,
  type DetokenizeRequest,
  type EmbedInput,
  type EmbedPart,
  type GatewayFrame,
  InferenceClient,
  type RenderPromptReply,
  type RenderPromptRequest,
  type RerankReply,
  type RerankRequest,
  type Sampling,
  type SequenceUpdate,
  type Start,
  type TokenizeReply,
  type TokenizeRequest,
  type WorkerDescription,
  type WorkerFrame,
} from '@millrace/contracts/protocol';
import { createLogger, type Logger } from '@millrace/runtime';
import { Library } from '../models/library.js';
import type { LibraryModel } from '../models/library-model.js';
import { MemoryBudget } from '../models/memory-budget.js';
import { WorkerServer, type WorkerServerSettings } from './worker-server.js';

export const SILENT = createLogger({ name: 'test', level: 'silent', format: 'json' });

export interface TestServer {
  readonly server: WorkerServer;
  readonly library: Library;
  readonly address: string;
  close(): Promise<void>;
}

/**
 * A worker's server on a free port; the model is loaded unless `loading` holds it up or breaks it. `others` are loaded
 * beside it, `late` ones when they are asked for.
 */
export async function openServer(
  engine: Engine,
  more: Partial<WorkerServerSettings> = {},
  loading?: () => Promise<void>,
  logger: Logger = SILENT,
  others: readonly Engine[] = [],
  late: readonly Engine[] = [],
): Promise<TestServer> {
  const chosen = servedBy(engine, { isDefault: true, loadsAtStart: true }, async (report) => {
    report('The weights are being read.');
    await loading?.();
  });
  const beside = others.map((other) => servedBy(other, { isDefault: false, loadsAtStart: true }));
  const onRequest = late.map((other) => servedBy(other, { isDefault: false, loadsAtStart: false }));
  const library = new Library(
    [chosen, ...beside, ...onRequest],
    new MemoryBudget(Number.MAX_SAFE_INTEGER, 0, () => Number.MAX_SAFE_INTEGER),
    { queueMax: 10 },
    {
      onChange: () => server.noteModels(),
      onLoaded: () => undefined,
      onFailed: () => undefined,
      onUnloaded: () => undefined,
      onHopeless: () => undefined,
    },
    SILENT,
  );
  const settings = {
    workerHost: '127.0.0.1',
    workerPort: 0,
    maxBatchSize: 8,
    queueMax: 100,
    stallTimeoutMs: 60_000,
    requestTimeoutMs: 60_000,
    backgroundTimeoutMs: 60_000,
    dispatch: 'grpc' as const,
    ...more,
  };
  const server = new WorkerServer(settings, library, logger);
  const port = await server.listen();
  const loaded = library.load();
  if (loading === undefined) await loaded;
  else void loaded.catch(() => undefined);
  return {
    server,
    library,
    address: `127.0.0.1:${port}`,
    close: async () => {
      await server.close();
      await library.close();
    },
  };
}

/** A model that has this engine, once `before` has let it. */
function servedBy(
  engine: Engine,
  terms: Pick<LibraryModel, 'isDefault' | 'loadsAtStart'>,
  before?: (report: (detail: string) => void) => Promise<void>,
): LibraryModel {
  const description = engine.describe();
  const { id, aliases } = description;
  return {
    id,
    aliases,
    ...terms,
    idleUnloadMs: 0,
    isElsewhere: false,
    stamp: async () => '',
    look: async () => ({
      description,
      bytes: 0,
      open: async ({ report }) => {
        await before?.(report);
        return engine;
      },
    }),
  };
}

/** Asks the standard health service. By hand, since its messages are two bytes long. */
export function askHealth(address: string): Promise<'SERVING' | 'NOT_SERVING' | 'UNKNOWN'> {
  const client = new Client(address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      '/grpc.health.v1.Health/Check',
      () => Buffer.alloc(0),
      (answer: Buffer) => (['UNKNOWN', 'SERVING', 'NOT_SERVING'] as const)[answer[1] ?? 0] ?? 'UNKNOWN',
      undefined,
      (error, serving) => {
        client.close();
        if (error) reject(error);
        else resolve(serving ?? 'UNKNOWN');
      },
    );
  });
}

/** How a call is made. */
export interface CallTerms {
  readonly model: string;
  readonly deadlineMs: number;
  readonly priority: number;
  readonly signal: AbortSignal;
  /** Awaited after each part: a slow reader. */
  readonly pause: () => Promise<unknown>;
}

function headingOf({ model, deadlineMs = 0, priority = 0 }: Partial<CallTerms>, usually: string) {
  return { requestId: 'request', model: model ?? usually, deadlineMs, priority, traceparent: '', tracestate: '' };
}

type Answer<Reply> = (error: ServiceError | null, reply: Reply) => void;

function unary<Reply>(make: (answer: Answer<Reply>) => { cancel(): void }, more: Partial<CallTerms>): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const call = make((error, reply) => (error ? reject(error) : resolve(reply)));
    more.signal?.addEventListener('abort', () => call.cancel());
  });
}

/** Sampling as a frame has it. */
export function samplingMessage(more: Partial<Sampling>): Sampling {
  return { logitBias: [], drySequenceBreakers: undefined, ...more };
}

/** A gateway of few words: it writes frames and collects what comes back. */
export class TestGateway {
  readonly #client: InferenceClient;
  readonly stream: ClientDuplexStream<GatewayFrame, WorkerFrame>;
  readonly frames: WorkerFrame[] = [];
  error: ServiceError | undefined;
  ended = false;

  constructor(address: string) {
    this.#client = new InferenceClient(address, credentials.createInsecure(), {
      'grpc.max_send_message_length': -1,
      // Tests open and close many servers; a shared channel would remember the dead ones.
      'grpc.use_local_subchannel_pool': 1,
    });
    this.stream = this.#client.converse();
    this.stream.on('data', (frame: WorkerFrame) => this.frames.push(frame));
    this.stream.on('error', (error: ServiceError) => {
      this.error = error;
    });
    this.stream.on('end', () => {
      this.ended = true;
    });
  }

  send(frame: NonNullable<GatewayFrame['frame']>): void {
    this.stream.write({ frame });
  }

  hello(protocolVersion = PROTOCOL_VERSION): void {
    this.send({ $case: 'hello', value: { protocolVersion, gatewayId: 'test' } });
  }

  start(sequenceId: number, more: Partial<Start> = {}): void {
    const value: Start = {
      sequenceId,
      attempt: 1,
      requestId: `request-${sequenceId}`,
      traceparent: '',
      tracestate: '',
      model: 'scripted',
      prompt: { $case: 'text', value: 'hello' },
      sampling: undefined,
      maxTokens: undefined,
      stop: [],
      resumeTokenIds: [],
      resumeText: '',
      creditTokens: 1_000,
      deadlineMs: 0,
      priority: 0,
      format: undefined,
      logprobs: undefined,
      echo: false,
      suffix: undefined,
      siblings: [],
      resumeReasoning: '',
      resumeCalls: [],
      resumeCitations: 0,
      resumeUnnumberedTokens: 0,
      resumeLogprobs: 0,
      ...more,
    };
    this.send({ $case: 'start', value });
  }

  cancel(sequenceId: number): void {
    this.send({ $case: 'cancel', value: { sequenceId } });
  }

  credit(sequenceId: number, tokens: number): void {
    this.send({ $case: 'credit', value: { sequenceId, tokens } });
  }

  updates(sequenceId: number): SequenceUpdate[] {
    return this.frames.flatMap(({ frame }) =>
      frame?.$case === 'step' ? frame.value.updates.filter((update) => update.sequenceId === sequenceId) : [],
    );
  }

  text(sequenceId: number): string {
    return this.updates(sequenceId)
      .map(({ text }) => text)
      .join('');
  }

  tokens(sequenceId: number): number[] {
    return this.updates(sequenceId).flatMap(({ tokenIds }) => tokenIds);
  }

  settled(sequenceId: number): SequenceUpdate['settled'] {
    return this.updates(sequenceId).find(({ settled }) => settled !== undefined)?.settled;
  }

  framesOf<K extends 'welcome' | 'load' | 'step' | 'worker'>(
    kind: K,
  ): Extract<WorkerFrame['frame'], { $case: K }>['value'][] {
    return this.frames.flatMap(({ frame }) => (frame?.$case === kind ? [frame.value as never] : []));
  }

  describe(): Promise<WorkerDescription> {
    return new Promise((resolve, reject) => {
      this.#client.describe({}, (error, description) => (error ? reject(error) : resolve(description)));
    });
  }

  /** Every part of the reply; rejects when the call itself fails, also because `signal` was aborted. */
  async embed(inputs: readonly string[], more: Partial<CallTerms> = {}, dimensions = 0): Promise<EmbedPart[]> {
    const messages = inputs.map((value): EmbedInput => ({ input: { $case: 'text', value } }));
    const call = this.#client.embed({ heading: headingOf(more, 'vectors'), inputs: messages, dimensions });
    more.signal?.addEventListener('abort', () => call.cancel());
    const parts: EmbedPart[] = [];
    for await (const part of call) {
      parts.push(part as EmbedPart);
      await more.pause?.();
    }
    return parts;
  }

  rerank(request: Partial<RerankRequest>, more: Partial<CallTerms> = {}): Promise<RerankReply> {
    const message = { heading: headingOf(more, 'vectors'), query: 'query', documents: ['document'], ...request };
    return unary((answer) => this.#client.rerank(message, answer), more);
  }

  tokenize(request: Partial<TokenizeRequest>, more: Partial<CallTerms> = {}): Promise<TokenizeReply> {
    const heading = headingOf(more, 'scripted');
    const message = { heading, prompt: undefined, addSpecial: false, parseSpecial: false, ...request };
    return unary((answer) => this.#client.tokenize(message, answer), more);
  }

  detokenize(request: Partial<DetokenizeRequest>, more: Partial<CallTerms> = {}): Promise<DetokenizeReply> {
    const message = { heading: headingOf(more, 'scripted'), tokens: [], ...request };
    return unary((answer) => this.#client.detokenize(message, answer), more);
  }

  renderPrompt(request: Partial<RenderPromptRequest>, more: Partial<CallTerms> = {}): Promise<RenderPromptReply> {
    const message = { heading: headingOf(more, 'scripted'), chat: undefined, ...request };
    return unary((answer) => this.#client.renderPrompt(message, answer), more);
  }

  close(): void {
    this.stream.cancel();
    this.#client.close();
  }
}

/** A chat as a gateway sends it. */
export function chatMessage(messagesJson: string, more: Partial<ChatPrompt> = {}): ChatPrompt {
  return {
    messagesJson,
    toolsJson: '',
    templateVariablesJson: '',
    toolChoice: undefined,
    singleCall: false,
    documentsJson: '',
    continueFinal: false,
    reasoningEffort: '',
    nowSeconds: 0,
    ...more,
  };
}
