import type { ModelDescription } from '@millrace/contracts';
import type { Worker, WorkerState } from '../vocabulary.js';

/**
 * What it weighs, in sequences, that a model has to be loaded first. With less, a second worker would be made to load for
 * every small burst; with more, it would stay idle while the first is full.
 */
const LOADING_WEIGHT = 8;
/** More than any load: a worker that could not load the model is asked when there is no other, and says why. */
const FAILED_WEIGHT = 1e9;

/** The ready workers of a model, the least loaded first: the first is asked, the others only if it cannot. */
export function chooseWorkers<W extends Worker>(id: string, workers: readonly W[]): W[] {
  return workers
    .flatMap((worker) => servant(worker, id))
    .sort((a, b) => weight(a) - weight(b)) // A stable sort: idle workers are taken in the order configured.
    .map(({ worker }) => worker);
}

/** Whether it is among those that `chooseWorkers` would return. */
export function serves(worker: Worker, id: string): boolean {
  return servant(worker, id).length > 0;
}

interface Servant<W> {
  readonly worker: W;
  readonly model: ModelDescription;
  readonly state: WorkerState;
}

function servant<W extends Worker>(worker: W, id: string): Servant<W>[] {
  const model = worker.models?.find((one) => one.id === id);
  if (model === undefined) return [];
  const state = worker.state();
  return state.phase === 'ready' ? [{ worker, model, state }] : [];
}

function weight({ model, state }: Servant<Worker>): number {
  if (model.state === 'failed') return FAILED_WEIGHT + load(state);
  return load(state) + (model.state === 'idle' || model.state === 'loading' ? LOADING_WEIGHT : 0);
}

/**
 * The worker's own figure counts all of its gateways but is up to a second old; ours counts only this one but is exact.
 * The larger of the two is the better guess: with the report alone, a burst would go to one worker as a whole.
 */
function load({ running, waiting, outstanding }: WorkerState): number {
  return Math.max(running + waiting, outstanding);
}
