import { MODEL_STATES, type ModelDescription, type ModelStateBody } from '@millrace/contracts';
import type { Worker, WorkerPhase, WorkerState } from '../vocabulary.js';
import { ReadyWorkers, type Servant } from './ready-workers.js';

/** How a model stands with the workers that are there. */
export interface ModelStanding {
  readonly model: ModelDescription;
  /** The best that any of them has; `unavailable` where none of them may be asked for it. */
  readonly state: ModelStateBody;
  /** What the worker of that state says of it; empty where there is nothing to say. */
  readonly detail: string;
  /** Whether an answer comes of it, if later. */
  readonly servable: boolean;
}

/** `was` is undefined for a worker that is new. */
export type PhaseListener<W> = (worker: W, is: WorkerPhase | undefined, was: WorkerPhase | undefined) => void;

/**
 * What is known of the workers. Generic, so that routing need not know how one talks to them.
 *
 * Ownership: the workers are whoever's who adds them; discovery adds and takes away while requests run.
 */
export class WorkerDirectory<W extends Worker> {
  readonly #watchers = new Set<() => void>();
  /** In the order added, with what ends being told of each. */
  readonly #members = new Map<W, () => void>();
  #workers: readonly W[] = [];
  readonly #ready = new ReadyWorkers<W>();
  readonly #phaseWatchers = new Set<PhaseListener<W>>();
  /** What each worker reported, as far as it matters to whoever asks for a model. */
  readonly #reports = new Map<W, { readonly models: WorkerState['models']; readonly gist: string }>();
  /** Made anew when it is asked for after that has changed: every request asks. */
  #models: readonly ModelDescription[] | undefined;
  #modelsStale = true;
  /** Who still finds out who the workers are. */
  readonly #expecting = new Set<string>();

  constructor(workers: readonly W[] = []) {
    for (const worker of workers) this.add(worker);
  }

  get workers(): readonly W[] {
    return this.#workers;
  }

  /** From now on it may be chosen. Adding it twice does nothing. */
  add(worker: W): void {
    if (this.#members.has(worker)) return;
    this.#members.set(
      worker,
      worker.watch(() => this.#onNews(worker)),
    );
    this.#workers = [...this.#members.keys()];
    this.#onNews(worker);
  }

  /** Whether it is still being found out who the workers are: until then nobody knows that a model does not exist. */
  expectMore(expected: boolean, by = 'discovery'): void {
    if (this.#expecting.has(by) === expected) return;
    if (expected) this.#expecting.add(by);
    else this.#expecting.delete(by);
    this.#tell();
  }

  /** Nothing new goes to it from now on; what it has is its own affair, and so is closing it. */
  remove(worker: W): void {
    this.#members.get(worker)?.();
    if (!this.#members.delete(worker)) return;
    this.#workers = [...this.#members.keys()];
    const was = this.#ready.remove(worker);
    this.#reports.delete(worker);
    this.#modelsStale = true;
    for (const listener of [...this.#phaseWatchers]) listener(worker, undefined, was);
    this.#tell();
  }

  /** Whether a worker that is ready has it: one that is not loaded yet, or could not be, is asked all the same. */
  serves(model: string): boolean {
    return this.#ready.of(model).length > 0;
  }

  /** Whether any worker has told of a model, by this name or as its alias. */
  knows(name: string): boolean {
    return this.models()?.some(({ id, aliases }) => id === name || aliases.includes(name)) ?? false;
  }

  /** Whether a worker is ready, for whatever model. */
  get servesAny(): boolean {
    return this.#ready.any;
  }

  /** Whether a model that nobody serves just now may soon be served again, as far as anybody knows. */
  comesBack(model: string): boolean {
    return !this.allHeard || this.#givenUp(model) === undefined;
  }

  /** Why nobody who has the model is waited for; undefined: somebody is, or nobody has it. */
  #givenUp(model: string): string | undefined {
    const having = this.#workers.filter(({ models }) => models?.some(({ id }) => id === model));
    return having.every(({ givenUp }) => givenUp !== undefined) ? having[0]?.givenUp : undefined;
  }

  /** Those, in the order in which they were added. The same list until one of them changes. */
  readyFor(model: string): readonly Servant<W>[] {
    return this.#ready.of(model);
  }

  /** Whether any worker has ever said what it serves. */
  get modelsKnown(): boolean {
    return (this.models()?.length ?? 0) > 0;
  }

  /** Whether every worker has said what it serves, or could not be reached: what none of them knows then does not exist. */
  get allHeard(): boolean {
    return this.#expecting.size === 0 && this.workers.every(({ heard }) => heard);
  }

  /** How a model stands, for a sentence: `unavailable`, `loading (40% read)`. */
  standingOf(id: string): string {
    const { state = 'unavailable', detail = '' } = this.standings().find(({ model }) => model.id === id) ?? {};
    return detail === '' ? state : `${state} (${detail})`;
  }

  /** Calls `listener`, which must not throw, in the very turn in which any of this changes; returns what stops that. */
  watch(listener: () => void): () => void {
    this.#watchers.add(listener);
    return () => this.#watchers.delete(listener);
  }

  /**
   * Calls `listener`, which must not throw, for each worker that changes its phase, before those that `watch`; `is` is undefined for
   * one that was taken away. Told at once of those that are there.
   */
  watchPhases(listener: PhaseListener<W>): () => void {
    for (const worker of this.workers) listener(worker, worker.state().phase, undefined);
    this.#phaseWatchers.add(listener);
    return () => this.#phaseWatchers.delete(listener);
  }

  #onNews(worker: W): void {
    const was = this.#ready.update(worker);
    this.#noteModels(worker);
    const { phase } = worker.state();
    if (phase !== was) for (const listener of [...this.#phaseWatchers]) listener(worker, phase, was);
    this.#tell();
  }

  /** A worker that loads describes itself anew all the time, and mostly says no more than how far it is. */
  #noteModels(worker: W): void {
    const { models } = worker;
    const known = this.#reports.get(worker);
    if (known !== undefined && known.models === models) return;
    const gist = JSON.stringify(models?.map((model) => ({ ...model, detail: undefined })));
    this.#reports.set(worker, { models, gist });
    this.#modelsStale ||= known?.gist !== gist;
  }

  #tell(): void {
    for (const listener of [...this.#watchers]) listener();
  }

  states(): WorkerState[] {
    return this.workers.map((worker) => worker.state());
  }

  /**
   * Every model that a worker has reported, away or not: a model whose worker restarts still exists, and asking for it
   * is a 503 and not a 404. Undefined while no worker has ever reported.
   */
  models(): readonly ModelDescription[] | undefined {
    if (this.workers.length < 2) return this.workers[0]?.models;
    if (this.#modelsStale) this.#models = this.#allModels();
    this.#modelsStale = false;
    return this.#models;
  }

  #allModels(): readonly ModelDescription[] | undefined {
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
    const ready = this.#modelsIn('ready');
    // These answer nobody yet, but say how far they are.
    const starting = this.#modelsIn('loading').filter(({ state }) => state === 'loading' || state === 'failed');
    return (this.models() ?? []).map((model) => {
      const best = bestOf(ready, model) ?? bestOf(starting, model);
      if (best === undefined) {
        return { model, state: 'unavailable', detail: this.#givenUp(model.id) ?? '', servable: false };
      }
      const state = stateOf(best);
      return { model, state, detail: best.detail ?? '', servable: state !== 'failed' && ready.includes(best) };
    });
  }

  #modelsIn(phase: WorkerPhase): readonly ModelDescription[] {
    return this.workers.filter((worker) => worker.state().phase === phase).flatMap(({ models }) => models ?? []);
  }
}

function bestOf(reports: readonly ModelDescription[], { id }: ModelDescription): ModelDescription | undefined {
  return reports.filter((report) => report.id === id).sort((a, b) => rank(a) - rank(b))[0];
}

function stateOf({ state = 'loaded' }: ModelDescription): (typeof MODEL_STATES)[number] {
  return state;
}

/** They are listed from the best on. */
function rank(model: ModelDescription): number {
  return MODEL_STATES.indexOf(stateOf(model));
}
