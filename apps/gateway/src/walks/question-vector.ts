import { InferenceError, type ModelDescription } from '@millrace/contracts';
import type { QuestionVector, QuestionVectors } from '../cache/question-vectors.js';
import type { WorkerClient } from '../dispatch/worker-client.js';
import type { WorkerDirectory } from '../routing/worker-directory.js';

const FLOAT_BYTES = 4;

/** Makes vectors of questions by a worker's embedding model, beside everything else that the worker does for this gateway. */
export class WorkerQuestionVectors implements QuestionVectors {
  constructor(
    private readonly directory: Pick<WorkerDirectory<WorkerClient>, 'workers' | 'models'>,
    private readonly wantedModel: string | undefined,
  ) {}

  async vectorOf(question: string, requestId: string, signal: AbortSignal): Promise<QuestionVector | undefined> {
    const model = this.#model();
    const worker = model && this.#workerWith(model);
    if (worker === undefined) return undefined;
    // Whoever waits for the answer waits for this; who does not has a time limit for it, too.
    const request = { requestId, model: model!.id, priority: 0, inputs: [{ kind: 'text', text: question }] } as const;
    const { vectors } = await worker.embed(request, signal);
    return { model: model!.id, vector: floatsOf(vectors[0]) };
  }

  /** The one that the setting names, or the only one. */
  #model(): ModelDescription | undefined {
    const all = (this.directory.models() ?? []).filter(({ capabilities }) => capabilities.includes('embedding'));
    if (this.wantedModel === undefined) return all.length === 1 ? all[0] : undefined;
    return all.find(({ id, aliases }) => id === this.wantedModel || aliases.includes(this.wantedModel!));
  }

  /** One that has it loaded before one that would load it first, and of these the one that has the least to do. */
  #workerWith({ id }: ModelDescription): WorkerClient | undefined {
    const ranked = this.directory.workers.flatMap((worker) => {
      const { phase, outstanding } = worker.state();
      const served = phase === 'ready' ? worker.models?.find((model) => model.id === id) : undefined;
      return served === undefined || served.state === 'failed'
        ? []
        : [{ worker, outstanding, isLoaded: isLoaded(served) }];
    });
    ranked.sort((one, other) => Number(other.isLoaded) - Number(one.isLoaded) || one.outstanding - other.outstanding);
    return ranked[0]?.worker;
  }
}

function isLoaded({ state }: ModelDescription): boolean {
  return state === undefined || state === 'loaded';
}

/** Little-endian, as they travel. */
export function floatsOf(bytes: Uint8Array | undefined): Float32Array {
  if (bytes === undefined || bytes.length === 0 || bytes.length % FLOAT_BYTES !== 0) {
    throw new InferenceError('internal_error', `The worker made a vector of ${bytes?.length ?? 0} bytes.`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float32Array.from({ length: bytes.length / FLOAT_BYTES }, (_, at) => view.getFloat32(at * FLOAT_BYTES, true));
}
