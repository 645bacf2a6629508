import { Admission, type AdmissionAsk, type AdmissionLimits, type Servants } from './admission.js';

/** Room for everybody, and ageing that no test runs into, but for what a test says. */
export const LIMITS: AdmissionLimits = {
  maxConcurrentRequests: 1,
  maxQueueDepth: 100,
  maxQueueBytes: 1_000_000,
  priorityAgeingMs: 30_000,
  coldStartWaitMs: 10_000,
};

/** Workers that come and go as a test says, and tell of it as the real ones do. */
export class FakeServants implements Servants {
  modelsKnown = true;
  allHeard = true;
  servesAny = true;
  readonly #unknown = new Set<string>();
  readonly #away = new Set<string>();
  readonly #givenUp = new Set<string>();
  readonly #listeners = new Set<() => void>();

  serves(model: string): boolean {
    return this.modelsKnown && !this.#away.has(model) && this.knows(model);
  }

  knows(model: string): boolean {
    return !this.#unknown.has(model);
  }

  comesBack(model: string): boolean {
    return !this.#givenUp.has(model);
  }

  standingOf(model: string): string {
    return this.serves(model) ? 'loaded' : 'unavailable';
  }

  watch(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Its workers went, and nothing of them is left. */
  rest(model: string): void {
    this.#unknown.add(model);
    this.#tell();
  }

  /** One of its workers has come, and loads it still. */
  come(model: string): void {
    this.#away.add(model);
    this.#unknown.delete(model);
    this.#tell();
  }

  lose(model: string): void {
    this.#away.add(model);
    this.#tell();
  }

  /** As `lose`, and nobody knows until when. */
  giveUp(model: string): void {
    this.#givenUp.add(model);
    this.lose(model);
  }

  ready(model: string): void {
    this.#away.delete(model);
    this.#givenUp.delete(model);
    this.#tell();
  }

  /** The first that any worker ever says. */
  report(): void {
    this.modelsKnown = true;
    this.#tell();
  }

  /** The last that had not said anything yet. */
  reportAll(): void {
    this.allHeard = true;
    this.report();
  }

  get watched(): number {
    return this.#listeners.size;
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

export const anAdmission = (limits: Partial<AdmissionLimits> = {}, servants = new FakeServants()): Admission =>
  new Admission({ ...LIMITS, ...limits }, servants);

/** A request of key `a` for model `m`, but for what a test says. */
export const anAsk = (changes: Partial<AdmissionAsk> = {}): AdmissionAsk & { readonly model: string } => ({
  keyId: 'a',
  bytes: 1,
  priority: 0,
  ...changes,
  model: changes.model ?? 'm',
});
