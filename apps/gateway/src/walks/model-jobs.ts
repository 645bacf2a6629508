import { InferenceError, type MODEL_JOB_KINDS, type ModelJobBody } from '@millrace/contracts';
import { type Logger, randomHex } from '@millrace/runtime';
import { ModelProblem, type OnProgress } from '@millrace/storage';

type JobKind = (typeof MODEL_JOB_KINDS)[number];

/** What a job does; what it gives back is wrong with the model, as sentences. */
export type JobWork = (
  onProgress: OnProgress,
  signal: AbortSignal,
) => Promise<{ readonly model: string; readonly problems: readonly string[] }>;

/** So many that have ended are remembered, for whoever asks how they ended. */
const ENDED_MAX = 100;
/** A fetch of so long is stuck, whatever it says. */
const JOB_MS_MAX = 24 * 60 * 60 * 1_000;
const RETRY_AFTER_SECONDS = 10;

interface Job {
  body: ModelJobBody;
  readonly stop: AbortController;
  readonly done: Promise<void>;
}

/**
 * What takes its time with models: fetches and the like, of which a call of the admin API only begins one. They are this gateway's, and
 * gone with it; what one had fetched is gone on with by the next that is asked for the same.
 */
export class ModelJobs {
  readonly #jobs = new Map<string, Job>();

  constructor(
    private readonly limits: { readonly modelFetchesMax: number },
    private readonly logger: Logger,
  ) {}

  /** @throws InferenceError `rate_limit_exceeded` where enough run already. */
  begin(kind: JobKind, model: string | null, work: JobWork): ModelJobBody {
    const running = [...this.#jobs.values()].filter(({ body }) => body.status === 'running').length;
    const { modelFetchesMax } = this.limits;
    if (running >= modelFetchesMax)
      throw new InferenceError(
        'rate_limit_exceeded',
        `${running} models are being fetched, pushed or verified, and modelFetchesMax is ${modelFetchesMax}. Wait until one has ended: GET /admin/model-jobs tells.`,
        { retryAfterSeconds: RETRY_AFTER_SECONDS },
      );
    const id = `job_${randomHex(12)}`;
    const stop = new AbortController();
    const body: ModelJobBody = {
      ...{
        id,
        object: 'model_job',
        kind,
        model,
        status: 'running',
        phase: null,
        bytes: 0,
        bytes_all: null,
        problems: [],
      },
      ...{ created_at: nowSeconds(), ended_at: null },
    };
    const started = Promise.withResolvers<void>();
    const job: Job = { body, stop, done: started.promise.then(() => this.#run(job, work)) };
    this.#jobs.set(id, job);
    started.resolve();
    return body;
  }

  async #run(job: Job, work: JobWork): Promise<void> {
    const set = (changes: Partial<ModelJobBody>) => {
      job.body = { ...job.body, ...changes };
    };
    const onProgress: OnProgress = ({ phase, bytes, bytesAll }) => set({ phase, bytes, bytes_all: bytesAll ?? null });
    try {
      const signal = AbortSignal.any([job.stop.signal, AbortSignal.timeout(JOB_MS_MAX)]);
      const { model, problems } = await work(onProgress, signal);
      set({ model, problems: [...problems], status: problems.length === 0 ? 'done' : 'failed' });
    } catch (error) {
      const isForeseen = error instanceof ModelProblem || error instanceof InferenceError;
      if (!isForeseen && !job.stop.signal.aborted)
        this.logger.error({ job: job.body.id, error }, 'A job on a model failed in a way that nobody foresaw.');
      if (job.stop.signal.aborted) set({ status: 'cancelled' });
      else
        set({
          status: 'failed',
          problems: [isForeseen ? error.message : 'It failed; the log of the gateway says why.'],
        });
    }
    set({ ended_at: nowSeconds() });
    const { id, kind, model, status, problems } = job.body;
    this.logger.info({ job: id, kind, model, status, problems }, 'A job on a model has ended.');
    this.#forgetOldest();
  }

  #forgetOldest(): void {
    const ended = [...this.#jobs].filter(([, { body }]) => body.status !== 'running');
    for (const [id] of ended.slice(0, Math.max(0, ended.length - ENDED_MAX))) this.#jobs.delete(id);
  }

  /** The latest first. */
  list(): ModelJobBody[] {
    return [...this.#jobs.values()].map(({ body }) => body).reverse();
  }

  /** @throws InferenceError `model_job_not_found` */
  find(id: string): ModelJobBody {
    return this.#jobOf(id).body;
  }

  /** Resolves once it has ended. */
  async cancel(id: string): Promise<ModelJobBody> {
    const job = this.#jobOf(id);
    job.stop.abort(new Error('cancelled'));
    await job.done;
    return job.body;
  }

  #jobOf(id: string): Job {
    const job = this.#jobs.get(id);
    if (job !== undefined) return job;
    throw new InferenceError(
      'model_job_not_found',
      `There is no job ${JSON.stringify(id.slice(0, 60))}: this gateway remembers those that run and the last ${ENDED_MAX} that ended, until it stops. GET /admin/model-jobs lists them.`,
    );
  }

  async close(): Promise<void> {
    const jobs = [...this.#jobs.values()];
    for (const { stop } of jobs) stop.abort(new Error('The gateway stops.'));
    await Promise.all(jobs.map(({ done }) => done));
  }
}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1_000);
}
