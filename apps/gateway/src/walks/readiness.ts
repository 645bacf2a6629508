import { type HealthBody, type ReadyzBody, VERSION } from '@millrace/contracts';
import type { WorkerClient } from '../dispatch/worker-client.js';
import type { WorkerDirectory } from '../routing/worker-directory.js';
import type { WorkerState } from '../vocabulary.js';

/** /healthz, /readyz and /health: for the one that restarts, the one that routes, and the one who looks. */
export class Readiness {
  #draining = false;

  constructor(private readonly directory: WorkerDirectory<WorkerClient>) {}

  /** From now on not ready: the process is about to stop. */
  startDraining(): void {
    this.#draining = true;
  }

  get draining(): boolean {
    return this.#draining;
  }

  ready(): ReadyzBody {
    if (this.#draining) return { status: 'not ready', reason: 'The gateway is stopping and takes nothing new.' };
    const states = this.directory.states();
    const ready = states.filter(({ phase }) => phase === 'ready');
    if (ready.length === 0) return { status: 'not ready', reason: whyNot(states) };
    return { status: 'ready', capabilities: modelsByCapability(ready) };
  }

  health(): HealthBody {
    const ready = this.ready();
    return {
      status: ready.status === 'ready' ? 'ok' : 'degraded',
      ready,
      version: VERSION,
      node: process.version,
      workers: this.directory.states().map(workerBody),
    };
  }
}

function whyNot(states: readonly WorkerState[]): string {
  if (states.length === 0) return 'No worker is configured: name one with --workers.';
  const each = states.map(({ address, phase, detail }) => `${address} is ${phase}${detail && ` (${detail})`}`);
  return `No worker is ready: ${each.join('; ')}.`;
}

/** `{ chat: ['model', …], completion: […] }`: what can be asked for, and of which models. */
function modelsByCapability(ready: readonly WorkerState[]): Record<string, string[]> {
  const capabilities: Record<string, string[]> = {};
  for (const model of ready.flatMap(({ models }) => models ?? [])) {
    for (const capability of model.capabilities) {
      const ids = capabilities[capability] ?? [];
      if (!ids.includes(model.id)) capabilities[capability] = [...ids, model.id];
    }
  }
  return capabilities;
}

function workerBody(state: WorkerState): HealthBody['workers'][number] {
  const { address, phase, detail, version, running, waiting, models } = state;
  return { address, state: phase, detail, version, running, waiting, models: (models ?? []).map(({ id }) => id) };
}
