import { MODEL_STATES, type ModelDescription, type ModelStateBody } from '@millrace/contracts';
import type { Worker, WorkerState } from '../vocabulary.js';

/** How a model stands with the workers that are there. */
export interface ModelStanding {
  readonly model: ModelDescription;
  /** The best that any of them has; `unavailable` where none of them is there. */
  readonly state: ModelStateBody;
  /** What the worker of that state says of it; empty where there is nothing to say. */
  readonly detail: string;
}

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

  /** Every model as `models`, with its state. Looked up when somebody asks for it, and by no request for an answer. */
  standings(): readonly ModelStanding[] {
    const there = this.workers.filter((worker) => worker.state().phase === 'ready');
    return (this.models() ?? []).map((model) => {
      const reports = there.flatMap(({ models }) => models?.filter(({ id }) => id === model.id) ?? []);
      const [best] = reports.sort((a, b) => rank(a) - rank(b));
      return { model, state: best === undefined ? 'unavailable' : stateOf(best), detail: best?.detail ?? '' };
    });
  }
}

function stateOf({ state = 'loaded' }: ModelDescription): (typeof MODEL_STATES)[number] {
  return state;
}

/** They are listed from the best on. */
function rank(model: ModelDescription): number {
  return MODEL_STATES.indexOf(stateOf(model));
}
