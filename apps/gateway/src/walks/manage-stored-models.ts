import {
  type ErrorCode,
  InferenceError,
  type ModelJobBody,
  type ModelJobListBody,
  type RemovedModelBody,
  type StoredModelBody,
  type StoredModelListBody,
  type WarmedModelBody,
} from '@millrace/contracts';
import {
  type AddTerms,
  checkModelId,
  isModelId,
  ModelProblem,
  type ModelProblemKind,
  type ModelStore,
  type StoredModel,
} from '@millrace/storage';
import type { WorkerClient } from '../dispatch/worker-client.js';
import type { RequestLog } from '../request-log/request-log.js';
import type { WorkerDirectory } from '../routing/worker-directory.js';
import { parseAddModel, parsePullModel, parseRemoveModel } from '../validation/parse-model-requests.js';
import type { Call } from '../vocabulary.js';
import type { ModelJobs } from './model-jobs.js';
import { recordedAdmin } from './recorded-admin.js';

const IF_AWAY = 'Look at GET /admin/models once it is back.';
/** A large model may take long to come from a bucket and to be loaded. */
const WARM_MS_MAX = 3_600_000;
/** What is looked up while a caller waits. */
const LOOK_MS_MAX = 10_000;
/** Whoever fetches a model may take an hour: that is told soon. */
const LOCK_WAIT_MS_MAX = 2_000;

/** /admin/models: the registry on the disk of this gateway, and the bucket. */
export class ManageStoredModels {
  constructor(
    private readonly store: ModelStore,
    private readonly jobs: ModelJobs,
    private readonly directory: Pick<WorkerDirectory<WorkerClient>, 'readyFor'>,
    private readonly requestLog: RequestLog,
  ) {}

  add(body: unknown, call: Call): Promise<ModelJobBody> {
    return this.#recorded(call, async () => {
      const { source, ...wished } = parseAddModel(body);
      const wishes = Object.fromEntries(
        Object.entries(wished).filter(([, value]) => value !== null),
      ) as Partial<AddTerms>;
      if (wishes.id !== undefined) checkModelId(wishes.id);
      refusePath(source);
      return this.jobs.begin('add', wishes.id ?? null, async (onProgress, signal) => {
        const { id } = await this.store.add(source, { ...wishes, allowPaths: false }, onProgress, signal);
        return { model: id, problems: [] };
      });
    });
  }

  list(call: Call): Promise<StoredModelListBody> {
    return this.#recorded(call, async () => {
      const { models, trouble } = await this.store.models(AbortSignal.timeout(LOOK_MS_MAX));
      return { object: 'list', data: models.map(storedModelBody), trouble: trouble ?? null };
    });
  }

  find(id: string, call: Call): Promise<StoredModelBody> {
    return this.#recorded(call, async () => storedModelBody(await this.#find(id)));
  }

  remove(id: string, query: unknown, call: Call): Promise<RemovedModelBody> {
    return this.#recorded(call, async () => {
      const fromBucket = parseRemoveModel(query).bucket === 'true';
      const { where } = await this.#find(id);
      if (where === 'bucket' && !fromBucket)
        throw new InferenceError(
          'invalid_request',
          `The model ${id} is in the bucket alone. To remove it from there, say ?bucket=true.`,
          { param: 'bucket' },
        );
      const lockWaitMsMax = LOCK_WAIT_MS_MAX;
      await this.store.remove(id, { fromBucket, lockWaitMsMax }, AbortSignal.timeout(LOOK_MS_MAX));
      return { id, object: 'stored_model', deleted: true };
    });
  }

  verify(id: string, call: Call): Promise<ModelJobBody> {
    return this.#recorded(call, async () => {
      await this.#find(id);
      return this.jobs.begin('verify', id, async (onProgress, signal) => ({
        model: id,
        problems: await this.store.verify(id, onProgress, signal),
      }));
    });
  }

  pull(id: string, body: unknown, call: Call): Promise<ModelJobBody> {
    return this.#recorded(call, async () => {
      const { replace } = parsePullModel(body);
      await this.#find(id);
      return this.jobs.begin('pull', id, async (onProgress, signal) => {
        await this.store.pull(id, { replace }, onProgress, signal);
        return { model: id, problems: [] };
      });
    });
  }

  push(id: string, call: Call): Promise<ModelJobBody> {
    return this.#recorded(call, async () => {
      await this.#find(id);
      return this.jobs.begin('push', id, async (onProgress, signal) => {
        await this.store.push(id, onProgress, signal);
        return { model: id, problems: [] };
      });
    });
  }

  listJobs(call: Call): Promise<ModelJobListBody> {
    return this.#recorded(call, async () => ({ object: 'list', data: this.jobs.list() }));
  }

  findJob(id: string, call: Call): Promise<ModelJobBody> {
    return this.#recorded(call, async () => this.jobs.find(id));
  }

  cancelJob(id: string, call: Call): Promise<ModelJobBody> {
    return this.#recorded(call, () => this.jobs.cancel(id));
  }

  /** Has every worker that serves a model load it: by asking each for the tokens of nothing. */
  warm(id: string, call: Call): Promise<WarmedModelBody> {
    return this.#recorded(call, async () => {
      const servants = this.directory.readyFor(id);
      if (servants.length === 0)
        throw new InferenceError(
          'model_not_found',
          `No worker that is ready serves a model ${JSON.stringify(id.slice(0, 100))}. GET /v1/models lists those that are served.`,
          { param: 'id' },
        );
      const signal = AbortSignal.any([call.clientLeft, AbortSignal.timeout(WARM_MS_MAX)]);
      const workers = servants.map(async ({ worker }) => {
        const work = {
          requestId: call.requestId,
          model: id,
          deadlineMs: WARM_MS_MAX,
          priority: 0,
          addSpecial: false,
          parseSpecial: false,
        };
        try {
          await worker.tokenize({ ...work, prompt: { kind: 'text', text: '' } }, signal);
          return { worker: worker.address, ok: true, detail: '' };
        } catch (error) {
          signal.throwIfAborted();
          if (!(error instanceof InferenceError)) throw error;
          return { worker: worker.address, ok: false, detail: error.message };
        }
      });
      return { model: id, workers: await Promise.all(workers) };
    });
  }

  async #find(id: string): Promise<StoredModel> {
    // Whoever looks for a model chooses no id, and need not hear which there may be.
    if (!isModelId(id)) throw noSuchModel(id);
    return this.store.find(id, AbortSignal.timeout(LOOK_MS_MAX));
  }

  #recorded<T>(call: Call, work: () => Promise<T>): Promise<T> {
    return recordedAdmin(this.requestLog, call, IF_AWAY, async () => {
      try {
        return await work();
      } catch (error) {
        if (error instanceof ModelProblem) throw inferenceError(error);
        // Of `LOOK_MS_MAX`: nothing else here has a time.
        if (error instanceof DOMException && error.name === 'TimeoutError') throw inSilence(error);
        throw error;
      }
    });
  }
}

/** Said at once, and not by a job that fails. */
function refusePath(source: string): void {
  if (/^(https?|s3|hf|preset):/i.test(source) || /^[a-z0-9][a-z0-9.-]*$/.test(source)) return;
  throw new InferenceError(
    'invalid_request',
    '`source` is a path or something else that is fetched from nowhere: a gateway adds no files of its own machine. Give an address that begins with https://, s3:// or hf:, or the name of a preset.',
    { param: 'source' },
  );
}

const CODES: Readonly<Record<ModelProblemKind, ErrorCode>> = {
  invalid: 'invalid_request',
  exists: 'invalid_request',
  source: 'invalid_request',
  changed: 'invalid_request',
  not_found: 'model_not_found',
  busy: 'model_busy',
  full: 'store_unavailable',
  registry: 'store_unavailable',
  unavailable: 'store_unavailable',
};

function noSuchModel(id: string): InferenceError {
  return new InferenceError(
    'model_not_found',
    `The model ${JSON.stringify(id.slice(0, 100))} is not in the registry. \`millrace models list\` shows those that there are.`,
  );
}

function inferenceError(problem: ModelProblem): InferenceError {
  return new InferenceError(CODES[problem.kind], problem.message, { cause: problem });
}

function inSilence(cause: unknown): InferenceError {
  return new InferenceError(
    'store_unavailable',
    `The folder of models and the bucket did not answer within ${LOOK_MS_MAX.toLocaleString('en-US')} ms. Try again later.`,
    { cause },
  );
}

/** Without what only concerns the machine: where its file is. */
function storedModelBody({ id, entry, where }: StoredModel): StoredModelBody {
  const { source, digest, size, format, task, template, quantisation, licence, added } = entry;
  return {
    id,
    object: 'stored_model',
    where,
    source,
    digest,
    size,
    format,
    task,
    has_template: template !== null,
    quantisation,
    licence,
    added,
  };
}
