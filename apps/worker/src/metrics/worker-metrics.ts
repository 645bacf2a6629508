import { counter, gauge, histogram } from '@millrace/runtime';
import { MEASURED } from './declarations.js';

/** What the worker looks up when somebody asks. */
export interface WorkerLook {
  engineLoad(): { readonly running: number; readonly waiting: number };
  loadedModels(): number;
  readonly tls: { secondsLeft(): readonly { readonly use: string; readonly seconds: number }[] };
}

/**
 * Counts what batching and embedding tell it. Make it after `startMetrics`.
 *
 * Labels come from the closed unions `Outcome` and `Decision` of batching, `InputOutcome` of embedding and `UnloadReason`
 * of the library.
 */
export class WorkerMetrics {
  readonly #sequences = counter(MEASURED.sequences);
  readonly #decisions = counter(MEASURED.decisions);
  readonly #tokens = counter(MEASURED.tokens);
  readonly #stepDuration = histogram(MEASURED.stepDuration);
  readonly #batchSize = histogram(MEASURED.batchSize);
  readonly #stepTokens = histogram(MEASURED.stepTokens);
  readonly #inputs = counter(MEASURED.embeddingInputs);
  readonly #inputDuration = histogram(MEASURED.embeddingInputDuration);
  readonly #modelLoads = counter(MEASURED.modelLoads);
  readonly #modelUnloads = counter(MEASURED.modelUnloads);
  readonly #queueJobs = counter(MEASURED.queueJobs);
  #loadSeconds: number | undefined;

  decided(decision: string): void {
    this.#decisions.add(1, { decision });
  }

  stepped(durationMs: number, sequences: number, tokens: number, chosen: number): void {
    this.#stepDuration.record(durationMs / 1000);
    this.#batchSize.record(sequences);
    this.#stepTokens.record(tokens);
    this.#tokens.add(chosen, GENERATED);
  }

  settled(outcome: string, promptTokensRead: number, cachedTokens: number): void {
    this.#sequences.add(1, { outcome });
    this.#tokens.add(promptTokensRead, PROMPT);
    if (cachedTokens > 0) this.#tokens.add(cachedTokens, CACHED);
  }

  /** What the engines of vectors tell: apart, since the two kinds of settling would be mistaken for each other. */
  readonly embedding = {
    computed: (durationMs: number, tokens: number): void => {
      this.#inputDuration.record(durationMs / 1000);
      this.#tokens.add(tokens, PROMPT);
    },
    settled: (outcome: string, inputs: number): void => {
      if (inputs > 0) this.#inputs.add(inputs, { outcome });
    },
  };

  modelLoaded(durationMs: number, isChosen: boolean): void {
    if (isChosen) this.#loadSeconds = durationMs / 1000;
    this.#modelLoads.add(1, LOADED);
  }

  modelFailed(): void {
    this.#modelLoads.add(1, FAILED);
  }

  jobTaken(outcome: string): void {
    this.#queueJobs.add(1, { outcome });
  }

  modelUnloaded(reason: string): void {
    this.#modelUnloads.add(1, { reason });
  }

  /** Gauges are read at each scrape. */
  watch(look: WorkerLook): void {
    gauge(MEASURED.running, () => [{ value: look.engineLoad().running }]);
    gauge(MEASURED.waiting, () => [{ value: look.engineLoad().waiting }]);
    gauge(MEASURED.loadedModels, () => [{ value: look.loadedModels() }]);
    gauge(MEASURED.certificateSeconds, () =>
      look.tls.secondsLeft().map(({ use, seconds }) => ({ value: seconds, labels: { use } })),
    );
    gauge(MEASURED.loadDuration, () => (this.#loadSeconds === undefined ? [] : [{ value: this.#loadSeconds }]));
  }
}

/** Made once, as they are used at every step. */
const GENERATED = { kind: 'generated' };
const PROMPT = { kind: 'prompt' };
const CACHED = { kind: 'cached' };
const LOADED = { outcome: 'loaded' };
const FAILED = { outcome: 'failed' };
