import { BoundedLabel, beginAtZero, counter, gauge, histogram, SumsByModel } from '@millrace/runtime';
import { MEASURED } from './declarations.js';

/** What the worker looks up when somebody asks. */
export interface WorkerLook {
  /** Of each model that is loaded or waited for. */
  engineLoads(): readonly { readonly model: string; readonly running: number; readonly waiting: number }[];
  loadedModels(): number;
  /** Sequences that may share a step. */
  readonly batchSizeMax: number;
  readonly tls: { secondsLeft(): readonly { readonly use: string; readonly seconds: number }[] };
}

/** Further models are counted as `other`. */
const MODELS_MAX = 64;

/**
 * Counts what the engines of all models tell it. Make it after `startTelemetry`.
 *
 * Labels come from the closed unions `Outcome` and `Decision` of batching, `InputOutcome` of embedding and `UnloadReason`
 * of the library, and from the models that this worker was given.
 */
export class WorkerMetrics {
  readonly #models = new BoundedLabel(MODELS_MAX);
  readonly #instruments = {
    sequences: counter(MEASURED.sequences),
    decisions: counter(MEASURED.decisions),
    tokens: counter(MEASURED.tokens),
    stepDuration: histogram(MEASURED.stepDuration),
    batchSize: histogram(MEASURED.batchSize),
    stepTokens: histogram(MEASURED.stepTokens),
    inputs: counter(MEASURED.embeddingInputs),
    inputDuration: histogram(MEASURED.embeddingInputDuration),
  };
  readonly #modelLoads = counter(MEASURED.modelLoads);
  readonly #modelUnloads = counter(MEASURED.modelUnloads);
  readonly #queueJobs = counter(MEASURED.queueJobs);
  readonly #loadSeconds = new Map<string, number>();

  /** What the engine of one model tells. */
  of(model: string): ModelMetrics {
    return new ModelMetrics(this.#models.of(model), this.#instruments);
  }

  modelLoaded(model: string, durationMs: number): void {
    const label = this.#models.of(model);
    this.#loadSeconds.set(label, durationMs / 1000);
    this.#modelLoads.add(1, { outcome: 'loaded', model: label });
  }

  modelFailed(model: string): void {
    this.#modelLoads.add(1, { outcome: 'failed', model: this.#models.of(model) });
  }

  jobTaken(outcome: string): void {
    this.#queueJobs.add(1, { outcome });
  }

  modelUnloaded(model: string, reason: string): void {
    this.#modelUnloads.add(1, { reason, model: this.#models.of(model) });
  }

  /** Gauges are read at each scrape. */
  watch(look: WorkerLook): void {
    const sums = { running: new SumsByModel(this.#models), waiting: new SumsByModel(this.#models) };
    const loads = (what: 'running' | 'waiting') =>
      sums[what].of(look.engineLoads().map((load) => [load.model, load[what]] as const));
    gauge(MEASURED.running, () => loads('running'));
    gauge(MEASURED.waiting, () => loads('waiting'));
    gauge(MEASURED.loadedModels, () => [{ value: look.loadedModels() }]);
    gauge(MEASURED.batchSizeMax, () => [{ value: look.batchSizeMax }]);
    gauge(MEASURED.memory, () => [{ value: process.memoryUsage.rss() }]);
    gauge(MEASURED.certificateSeconds, () =>
      look.tls.secondsLeft().map(({ use, seconds }) => ({ value: seconds, labels: { use } })),
    );
    gauge(MEASURED.loadDuration, () => [...this.#loadSeconds].map(([model, value]) => ({ value, labels: { model } })));
  }
}

type Instruments = Readonly<{
  sequences: ReturnType<typeof counter>;
  decisions: ReturnType<typeof counter>;
  tokens: ReturnType<typeof counter>;
  stepDuration: ReturnType<typeof histogram>;
  batchSize: ReturnType<typeof histogram>;
  stepTokens: ReturnType<typeof histogram>;
  inputs: ReturnType<typeof counter>;
  inputDuration: ReturnType<typeof histogram>;
}>;

/** Of one model, as `BatchingObserver` and, in `embedding`, as `EmbeddingObserver` have it. */
export class ModelMetrics {
  // Made once, as they are used at every step.
  readonly #model: { readonly model: string };
  readonly #generated: { readonly kind: string; readonly model: string };
  readonly #prompt: { readonly kind: string; readonly model: string };
  readonly #cached: { readonly kind: string; readonly model: string };

  constructor(
    private readonly model: string,
    private readonly instruments: Instruments,
  ) {
    this.#model = { model };
    this.#generated = { kind: 'generated', model };
    this.#prompt = { kind: 'prompt', model };
    this.#cached = { kind: 'cached', model };
  }

  /** It works in steps: from now on they are counted from 0, so that the first request is seen as well. */
  begins(): this {
    for (const what of ['stepDuration', 'batchSize', 'stepTokens'] as const)
      beginAtZero(this.instruments[what], this.#model);
    for (const labels of [this.#generated, this.#prompt, this.#cached]) this.instruments.tokens.add(0, labels);
    return this;
  }

  decided(decision: string): void {
    this.instruments.decisions.add(1, { decision, model: this.model });
  }

  stepped(durationMs: number, sequences: number, tokens: number, chosen: number): void {
    this.instruments.stepDuration.record(durationMs / 1000, this.#model);
    this.instruments.batchSize.record(sequences, this.#model);
    this.instruments.stepTokens.record(tokens, this.#model);
    this.instruments.tokens.add(chosen, this.#generated);
  }

  settled(outcome: string, promptTokensRead: number, cachedTokens: number): void {
    this.instruments.sequences.add(1, { outcome, model: this.model });
    this.instruments.tokens.add(promptTokensRead, this.#prompt);
    if (cachedTokens > 0) this.instruments.tokens.add(cachedTokens, this.#cached);
  }

  /** What the engines of vectors tell: apart, since the two kinds of settling would be mistaken for each other. */
  readonly embedding = {
    computed: (durationMs: number, tokens: number): void => {
      this.instruments.inputDuration.record(durationMs / 1000, this.#model);
      this.instruments.tokens.add(tokens, this.#prompt);
    },
    settled: (outcome: string, inputs: number): void => {
      if (inputs > 0) this.instruments.inputs.add(inputs, { outcome, model: this.model });
    },
  };
}
