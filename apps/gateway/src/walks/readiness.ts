import { type HealthBody, type ReadyzBody, VERSION } from '@millrace/contracts';
import type { WorkerClient } from '../dispatch/worker-client.js';
import type { ModelStanding, WorkerDirectory } from '../routing/worker-directory.js';
import type { WorkerState } from '../vocabulary.js';

/** How the stores stand, as far as requests depend on them. */
export interface StoreStanding {
  /** Why nobody can be served, as a sentence; undefined: nothing is in the way. */
  obstacle(): string | undefined;
  /** What works, but not as it should: a gateway whose stores are away goes on serving. */
  degraded(): NonNullable<ReadyzBody['degraded']>;
  /** Why there is not a single worker, as a sentence. */
  noWorkers(): string;
}

/** A sentence with thousands of them would be read by nobody. */
const NAMED_WORKERS_MAX = 8;

/** /healthz, /readyz and /health: for the one that restarts, the one that routes, and the one who looks. */
export class Readiness {
  #draining = false;

  constructor(
    private readonly directory: WorkerDirectory<WorkerClient>,
    private readonly settings: { readonly readyWithoutWorkers: boolean },
    private readonly stores: StoreStanding,
  ) {}

  /** From now on not ready: the process is about to stop. */
  startDraining(): void {
    this.#draining = true;
  }

  ready(): ReadyzBody {
    if (this.#draining) return { status: 'not ready', reason: 'The gateway is stopping: send requests elsewhere.' };
    const degraded = this.stores.degraded();
    return { ...this.#served(), ...(degraded.length > 0 && { degraded }) };
  }

  #served(): ReadyzBody {
    const obstacle = this.stores.obstacle();
    if (obstacle !== undefined) return { status: 'not ready', reason: obstacle };
    const standings = this.directory.standings();
    const models = standings.map(modelBody);
    const states = this.directory.states();
    if (!states.some(({ phase }) => phase === 'ready')) return this.#withoutWorkers(this.#whyNot(states), models);
    const failed = standings.filter(({ state }) => state === 'failed');
    const servable = standings.filter((standing) => standing.servable);
    if (failed.length > 0 && servable.length === 0) return { status: 'not ready', reason: whyFailed(failed), models };
    return { status: 'ready', capabilities: modelsByCapability(servable), models };
  }

  /** Requests wait for a worker all the same: whether to send them here is for the one who runs it to say. */
  #withoutWorkers(reason: string, models: ReadyzBody['models']): ReadyzBody {
    if (!this.settings.readyWithoutWorkers) return { status: 'not ready', reason, models };
    return { status: 'ready', reason, capabilities: {}, models };
  }

  #whyNot(states: readonly WorkerState[]): string {
    if (states.length === 0) return this.stores.noWorkers();
    const each = states
      .slice(0, NAMED_WORKERS_MAX)
      .map(({ address, phase, detail }) => `${address} is ${phase}${detail && ` (${detail})`}`);
    const others = states.length - each.length;
    return `No worker is ready: ${each.join('; ')}${others > 0 ? `; and ${others} more` : ''}.`;
  }

  health(): HealthBody {
    const ready = this.ready();
    return {
      status:
        ready.status === 'ready' && ready.reason === undefined && ready.degraded === undefined ? 'ok' : 'degraded',
      ready,
      version: VERSION,
      node: process.version,
      workers: this.directory.states().map(workerBody),
    };
  }
}

function whyFailed(failed: readonly ModelStanding[]): string {
  const each = failed.map(({ model, detail }) => `${model.id}${detail && ` (${detail})`}`);
  return `No model could be loaded: ${each.join('; ')}.`;
}

/** `{ chat: ['model', …], completion: […] }`: what can be asked for, and of which models. */
function modelsByCapability(servable: readonly ModelStanding[]): Record<string, string[]> {
  const capabilities: Record<string, string[]> = {};
  for (const { model } of servable) {
    for (const capability of model.capabilities) {
      capabilities[capability] = [...(capabilities[capability] ?? []), model.id];
    }
  }
  return capabilities;
}

function modelBody({ model, state, detail }: ModelStanding): NonNullable<ReadyzBody['models']>[number] {
  return { id: model.id, state, detail };
}

function workerBody(state: WorkerState): HealthBody['workers'][number] {
  const { address, phase, detail, version, running, waiting, sequencesMax, models } = state;
  return {
    address,
    state: phase,
    detail,
    version,
    running,
    waiting,
    ...(sequencesMax && { running_max: sequencesMax }),
    models: (models ?? []).map(({ id }) => id),
  };
}
