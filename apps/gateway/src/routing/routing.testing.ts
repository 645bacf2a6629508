import type { ModelDescription } from '@millrace/contracts';
import type { Worker, WorkerState } from '../vocabulary.js';
import type { ChoiceLimits, Chosen, Wanted, WorkerChoice } from './worker-choice.js';

export const model = (id: string, state?: ModelDescription['state'], detail = ''): ModelDescription => ({
  state,
  detail,
  id,
  aliases: [],
  contextLength: 1,
  capabilities: ['chat'],
  engine: 'none',
  created: 0,
  samplingDefaults: {},
  isDefault: false,
});

/** A worker without a process: it is what it is told to be, and tells those that watch it. */
export class ToldWorker implements Worker {
  #state: WorkerState;
  readonly #watchers = new Set<() => void>();

  constructor(
    readonly address: string,
    state: Partial<WorkerState> = {},
    readonly dispatch?: 'queue',
  ) {
    const idle = { phase: 'ready', detail: '', version: '', running: 0, waiting: 0, outstanding: 0 } as const;
    this.#state = { ...idle, models: [model('m')], address, ...state };
  }

  get models() {
    return this.#state.models;
  }

  get heard() {
    return this.models !== undefined;
  }

  state(): WorkerState {
    return this.#state;
  }

  watch(listener: () => void): () => void {
    this.#watchers.add(listener);
    return () => this.#watchers.delete(listener);
  }

  become(state: Partial<WorkerState>): void {
    this.#state = { ...this.#state, ...state };
    for (const watcher of this.#watchers) watcher();
  }
}

export const CHOICE_LIMITS: ChoiceLimits = {
  affinityLoadPercent: 125,
  affinityEntriesMax: 10_000,
  answerTokensEstimate: 256,
  slowStartMs: 0,
  circuitFailures: 3,
  circuitOpenMs: 5_000,
};

export const WORK: Wanted = { prompt: undefined, promptTokens: 100, sequences: 1, answerTokensMax: undefined };

/** Addresses of all workers of a model, the best first: each is asked, does not answer, and stays busy with nothing. */
export function inOrder(choice: WorkerChoice<Worker>, id = 'm', wanted = WORK): string[] {
  const asked = new Set<number>();
  const addresses: string[] = [];
  for (;;) {
    using chosen: Chosen<Worker> | undefined = choice.choose(id, wanted, asked);
    if (chosen === undefined) return addresses;
    asked.add(chosen.reader);
    addresses.push(chosen.worker.address);
  }
}
