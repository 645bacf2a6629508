import { InferenceError } from '@millrace/contracts';
import { randomHex } from '@millrace/runtime';
import type { WorkerClient } from '../dispatch/worker-client.js';
import type { RequestLog } from '../request-log/request-log.js';
import type { WorkerDirectory } from '../routing/worker-directory.js';
import type { ModelCatalog } from '../validation/model-catalog.js';
import type { Embedding, EmbeddingModel } from '../vector-stores/embedding.js';
import { type Caller, LOW_PRIORITY, type ValidEmbedRequest } from '../vocabulary.js';
import { backgroundCall } from './background-call.js';
import type { DoWork } from './do-work.js';
import { modelsFor } from './models-for.js';
import { floatsOf } from './question-vector.js';

/** Bytes of chance in the id of a request that nobody sent. */
const ID_BYTES = 12;

/** Vectors for vector stores, by the way of any request for embeddings: on the account of the key, recorded, and behind everybody who waits. */
export class EmbedChunks implements Embedding {
  constructor(
    private readonly models: ModelCatalog,
    private readonly directory: Pick<WorkerDirectory<WorkerClient>, 'workers' | 'models'>,
    private readonly requestLog: RequestLog,
    private readonly work: DoWork,
    private readonly wantedModel: string | undefined,
  ) {}

  modelFor(caller: Caller, named: string | undefined): EmbeddingModel {
    return this.#resolve(caller, named);
  }

  #resolve(caller: Caller, named: string | undefined) {
    return modelsFor(caller, this.models).resolve(named ?? this.wantedModel ?? this.#onlyOne(), 'embedding');
  }

  /** What a model can do is not known before it was loaded: where none is known to make vectors, and one may, that one is asked. */
  #onlyOne(): string | undefined {
    const all = this.directory.models() ?? [];
    const sure = all.filter(({ capabilities }) => capabilities.includes('embedding'));
    const possible = sure.length > 0 ? sure : all.filter(({ capabilities }) => capabilities.length === 0);
    return possible.length === 1 ? possible[0]!.id : undefined;
  }

  async vectorsOf(
    caller: Caller,
    { id }: EmbeddingModel,
    texts: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly Float32Array[]> {
    const bodyBytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
    const call = backgroundCall({ requestId: newRequestId(), caller, bodyBytes }, signal);
    const record = this.requestLog.open('embeddings', call);
    const { result } = await this.work.run(call, record, {
      parse: () => embedRequest(this.#resolve(caller, id), texts),
      ask:
        ({ inputs }) =>
        (worker, heading, ending) =>
          worker.embed({ ...heading, inputs }, ending),
      promptTokensOf: ({ promptTokens }) => promptTokens,
    });
    return checkedVectors(result.vectors, texts.length);
  }

  /** Asked beside everything else: to split a text into tokens takes a worker less than a millisecond. */
  async spell({ id }: EmbeddingModel, text: string, signal: AbortSignal): Promise<readonly Uint8Array[] | undefined> {
    const worker = this.directory.workers.find(
      (one) =>
        one.state().phase === 'ready' &&
        one.models?.some((model) => model.id === id && (model.state === undefined || model.state === 'loaded')),
    );
    if (worker === undefined) return undefined;
    const request = {
      requestId: newRequestId(),
      model: id,
      priority: LOW_PRIORITY,
      prompt: { kind: 'text', text },
      addSpecial: false,
      parseSpecial: false,
    } as const;
    try {
      return (await worker.tokenize(request, signal)).pieces;
    } catch {
      // A server that does not tell, or a worker that went away: an estimate serves as well.
      signal.throwIfAborted();
      return undefined;
    }
  }
}

/** Of texts that are not from a body, and so were not checked as one. */
export function embedRequest(model: ValidEmbedRequest['model'], texts: readonly string[]): ValidEmbedRequest {
  const inputs = texts.map((text) => ({ kind: 'text', text }) as const);
  const valid: Omit<ValidEmbedRequest, symbol> = { model, inputs, dimensions: undefined, encoding: 'base64' };
  return valid as ValidEmbedRequest;
}

export function checkedVectors(vectors: readonly Uint8Array[], count: number): readonly Float32Array[] {
  if (vectors.length === count) return vectors.map(floatsOf);
  throw new InferenceError('internal_error', `The worker made ${vectors.length} vectors of ${count} texts.`);
}

function newRequestId(): string {
  return `vector-store-${randomHex(ID_BYTES)}`;
}
