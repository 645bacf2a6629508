import type { ModelDescription } from '@millrace/contracts';
import type { Worker, WorkerPhase } from '../vocabulary.js';

/** A worker that is ready, and a model that it serves. */
export interface Servant<W> {
  readonly worker: W;
  /** As this worker describes it. */
  readonly model: ModelDescription;
}

interface Member<W> {
  /** Counts additions, so that who was configured first stays first. */
  readonly number: number;
  phase: WorkerPhase | undefined;
  models: readonly ModelDescription[] | undefined;
  servants: readonly (Servant<W> & { readonly number: number })[];
}

/**
 * The ready workers of each model, brought up to date when a worker changes, so that no request looks through all of them.
 *
 * Concurrency: a list that was handed out is never changed; a change makes a new one.
 */
export class ReadyWorkers<W extends Worker> {
  readonly #members = new Map<W, Member<W>>();
  readonly #servants = new Map<string, readonly (Servant<W> & { readonly number: number })[]>();
  #added = 0;

  /** In the order in which workers were added; empty where none is ready. */
  of(model: string): readonly Servant<W>[] {
    return this.#servants.get(model) ?? [];
  }

  /** Whether there is one of whatever model. */
  get any(): boolean {
    return this.#servants.size > 0;
  }

  /** Takes over how a worker stands now. @returns its phase before; undefined: it was not known. */
  update(worker: W): WorkerPhase | undefined {
    const { phase } = worker.state();
    const { models } = worker;
    const member = this.#members.get(worker) ?? this.#join(worker);
    const was = member.phase;
    const changed = (was === 'ready') !== (phase === 'ready') || (phase === 'ready' && member.models !== models);
    member.phase = phase;
    member.models = models;
    if (changed) this.#replace(member, phase === 'ready' ? servantsOf(worker, models ?? [], member.number) : []);
    return was;
  }

  /** @returns as `update`. */
  remove(worker: W): WorkerPhase | undefined {
    const member = this.#members.get(worker);
    if (member === undefined) return undefined;
    this.#replace(member, []);
    this.#members.delete(worker);
    return member.phase;
  }

  #join(worker: W): Member<W> {
    const member = { number: ++this.#added, phase: undefined, models: undefined, servants: [] };
    this.#members.set(worker, member);
    return member;
  }

  #replace(member: Member<W>, servants: Member<W>['servants']): void {
    const { number } = member;
    const models = new Set([...member.servants, ...servants].map(({ model }) => model.id));
    for (const id of models) {
      const others = (this.#servants.get(id) ?? []).filter((one) => one.number !== number);
      const own = servants.find(({ model }) => model.id === id);
      const at = others.findIndex((one) => one.number > number);
      if (own) others.splice(at < 0 ? others.length : at, 0, own);
      if (others.length > 0) this.#servants.set(id, others);
      else this.#servants.delete(id);
    }
    member.servants = servants;
  }
}

/** A worker that lists a model twice is one servant of it. */
function servantsOf<W>(worker: W, models: readonly ModelDescription[], number: number) {
  const byId = new Map(models.map((model) => [model.id, { worker, model, number }]));
  return [...byId.values()];
}
