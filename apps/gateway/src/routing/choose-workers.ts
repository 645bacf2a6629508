import type { Worker, WorkerState } from '../vocabulary.js';

/** The ready workers of a model, the least loaded first: the first is asked, the others only if it cannot. */
export function chooseWorkers<W extends Worker>(model: string, workers: readonly W[]): W[] {
  return workers
    .filter((worker) => serves(worker, model))
    .map((worker) => ({ worker, state: worker.state() }))
    .filter(({ state }) => state.phase === 'ready')
    .sort((a, b) => load(a.state) - load(b.state)) // A stable sort: idle workers are taken in the order configured.
    .map(({ worker }) => worker);
}

function serves({ models }: Worker, model: string): boolean {
  return models?.some(({ id }) => id === model) ?? false;
}

/**
 * The worker's own figure counts all of its gateways but is up to a second old; ours counts only this one but is exact.
 * The larger of the two is the better guess: with the report alone, a burst would go to one worker as a whole.
 */
function load({ running, waiting, outstanding }: WorkerState): number {
  return Math.max(running + waiting, outstanding);
}
