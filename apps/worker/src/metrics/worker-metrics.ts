import { counter, gauge, histogram } from '@millrace/runtime';
import { MEASURED } from './declarations.js';

/** What the worker looks up when somebody asks. */
export interface WorkerLook {
  engineLoad(): { readonly running: number; readonly waiting: number };
}

/**
 * Counts what batching tells it. Make it after `startMetrics`.
 *
 * Labels come from the closed unions `Outcome` and `Decision` of batching.
 */
export class WorkerMetrics {
  readonly #sequences = counter(MEASURED.sequences);
  readonly #decisions = counter(MEASURED.decisions);
  readonly #tokens = counter(MEASURED.tokens);
  readonly #stepDuration = histogram(MEASURED.stepDuration);
  readonly #batchSize = histogram(MEASURED.batchSize);
  readonly #stepTokens = histogram(MEASURED.stepTokens);
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

  settled(outcome: string, promptTokensRead: number): void {
    this.#sequences.add(1, { outcome });
    this.#tokens.add(promptTokensRead, PROMPT);
  }

  loaded(durationMs: number): void {
    this.#loadSeconds = durationMs / 1000;
  }

  /** Gauges are read at each scrape. */
  watch(look: WorkerLook): void {
    gauge(MEASURED.running, () => [{ value: look.engineLoad().running }]);
    gauge(MEASURED.waiting, () => [{ value: look.engineLoad().waiting }]);
    gauge(MEASURED.loadDuration, () => (this.#loadSeconds === undefined ? [] : [{ value: this.#loadSeconds }]));
  }
}

/** Made once, as they are used at every step. */
const GENERATED = { kind: 'generated' };
const PROMPT = { kind: 'prompt' };
