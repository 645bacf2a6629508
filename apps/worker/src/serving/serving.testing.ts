import { Client, type ClientDuplexStream, credentials, type ServiceError } from '@grpc/grpc-js';
import type { Engine } from '@millrace/contracts';
import {
  type GatewayFrame,
  InferenceClient,
  type SequenceUpdate,
  type Start,
  type WorkerDescription,
  type WorkerFrame,
} from '@millrace/contracts/protocol';
import { createLogger, type Logger } from '@millrace/runtime';
import { Library, type LibraryListener } from '../models/library.js';
import { WorkerServer, type WorkerServerSettings } from './worker-server.js';

export const SILENT = createLogger({ name: 'test', level: 'silent', format: 'json' });

export interface TestServer {
  readonly server: WorkerServer;
  readonly library: Library;
  readonly address: string;
  close(): Promise<void>;
}

/** A worker's server on a free port; the model is loaded unless `loading` holds it up or breaks it. */
export async function openServer(
  engine: Engine,
  more: Partial<WorkerServerSettings> = {},
  loading?: () => Promise<void>,
  logger: Logger = SILENT,
): Promise<TestServer> {
  let onState: LibraryListener['onState'] = () => undefined;
  const listener = { onState: (state: Parameters<typeof onState>[0]) => onState(state), onLoaded: () => undefined };
  const library = new Library(
    'scripted',
    async (report) => {
      report('The weights are being read.');
      await loading?.();
      return engine;
    },
    listener,
    SILENT,
  );
  const settings = {
    workerHost: '127.0.0.1',
    workerPort: 0,
    maxBatchSize: 8,
    queueMax: 100,
    stallTimeoutMs: 60_000,
    ...more,
  };
  const server = new WorkerServer(settings, library, logger);
  onState = () => server.updateHealth();
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

  hello(protocolVersion = 1): void {
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
      maxTokens: 0,
      stop: [],
      resumeTokenIds: [],
      resumeText: '',
      creditTokens: 1_000,
      deadlineMs: 0,
      priority: 0,
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

  framesOf<K extends 'welcome' | 'load' | 'step'>(kind: K): Extract<WorkerFrame['frame'], { $case: K }>['value'][] {
    return this.frames.flatMap(({ frame }) => (frame?.$case === kind ? [frame.value as never] : []));
  }

  describe(): Promise<WorkerDescription> {
    return new Promise((resolve, reject) => {
      this.#client.describe({}, (error, description) => (error ? reject(error) : resolve(description)));
    });
  }

  close(): void {
    this.stream.cancel();
    this.#client.close();
  }
}
