import type { ModelDescription } from '@millrace/contracts';
import type { Worker, WorkerState } from '../vocabulary.js';

/** What is known of the workers. Generic, so that routing need not know how one talks to them. */
export class WorkerDirectory<W extends Worker> {
  constructor(readonly workers: readonly W[]) {}

  states(): WorkerState[] {
    return this.workers.map((worker) => worker.state());
  }

  /**
   * Every model that a worker has reported, away or not: a model whose worker restarts still exists, and asking for it
   * is a 503 and not a 404. Undefined while no worker has ever reported.
   */
  models(): readonly ModelDescription[] | undefined {
    if (this.workers.length < 2) return this.workers[0]?.models;
    const reports = this.workers.map(({ models }) => models).filter((models) => models !== undefined);
    if (reports.length < 2) return reports[0];
    // Two workers of one pool describe the same model alike; the first of the list speaks for both.
    return [
      ...new Map(
        reports
          .flat()
          .reverse()
          .map((model) => [model.id, model]),
      ).values(),
    ].reverse();
  }
}
