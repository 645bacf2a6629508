import { type BoundedLabel, counter } from '@millrace/runtime';
import { MEASURED } from './declarations.js';

/** Counts requests for models that rest at zero. */
export class RestingAsked {
  readonly #asked = counter(MEASURED.restingAsked);

  constructor(private readonly models: BoundedLabel) {}

  /** From now on each of them has a series: Prometheus sees no rise in one that begins with 1, and nobody would wake for the first request. */
  expect(models: Iterable<string>): void {
    for (const model of models) this.#add(0, model);
  }

  readonly count = (model: string): void => this.#add(1, model);

  #add(requests: number, model: string): void {
    this.#asked.add(requests, { model: this.models.of(model) });
  }
}
