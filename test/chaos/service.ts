/** What stands between clients and several gateways: it sends each request to one that says that it is ready, as Kubernetes' Services do. */
import { setTimeout as sleep } from 'node:timers/promises';
import { statusOf } from '../bench/programs.ts';

export interface Endpoint {
  readonly name: string;
  readonly url: string;
}

const WAIT_MS = 20;
const WAIT_MS_MAX = 60_000;

/** Looks at `/readyz` of each every `pollMs`, and repeats no request. Ownership: of its polling, until it is stopped. */
export class Service {
  readonly #endpoints: readonly Endpoint[];
  readonly #pollMs: number;
  readonly #ready = new Set<Endpoint>();
  readonly #polling: Promise<unknown>;
  #stopped = false;
  #turn = 0;

  constructor(endpoints: readonly Endpoint[], pollMs: number) {
    this.#endpoints = endpoints;
    this.#pollMs = pollMs;
    this.#polling = Promise.all(endpoints.map((endpoint) => this.#watch(endpoint)));
  }

  isReady(endpoint: Endpoint): boolean {
    return this.#ready.has(endpoint);
  }

  /** One that was ready when it was looked at last. @throws Error when none is for a minute. */
  async pick(): Promise<Endpoint> {
    for (const endMs = performance.now() + WAIT_MS_MAX; performance.now() < endMs; await sleep(WAIT_MS)) {
      const ready = this.#endpoints.filter((endpoint) => this.#ready.has(endpoint));
      if (ready.length > 0) return ready[this.#turn++ % ready.length]!;
    }
    throw new Error('no gateway was ready for a minute');
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#polling;
  }

  async #watch(endpoint: Endpoint): Promise<void> {
    while (!this.#stopped) {
      if ((await statusOf(`${endpoint.url}/readyz`)) === 200) this.#ready.add(endpoint);
      else this.#ready.delete(endpoint);
      await sleep(this.#pollMs);
    }
  }
}
