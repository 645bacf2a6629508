/** Several gateways and several workers, each a process that can be killed, frozen, rolled and started again where it was. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, type Program, residentBytesOf, type Stage, statusOf, until } from '../bench/programs.ts';
import { ROOT } from '../e2e/stack.ts';
import type { Endpoint } from './service.ts';

const START_TIMEOUT_MS = 120_000;
const LOOK_TIMEOUT_MS = 15_000;

export interface FleetPlan {
  readonly gateways: number;
  readonly workers: number;
  readonly gatewayArgs?: readonly string[];
  readonly workerArgs?: readonly string[];
  /** Of all of them. */
  readonly environment?: NodeJS.ProcessEnv;
  /** Workers that a gateway sees, where they are not as many as there are: all of a pool that is fed by a queue are one. */
  readonly seen?: number;
}

/** A place where a program runs, and is started again. */
export interface Member extends Endpoint {
  readonly kind: 'gateway' | 'worker';
  readonly port: number;
  program: Program;
}

/** Ownership: the stage ends every process. */
export class Fleet {
  readonly gateways: readonly Member[];
  readonly workers: readonly Member[];
  readonly #stage: Stage;
  readonly #folder: string;
  readonly #plan: FleetPlan;

  private constructor(stage: Stage, folder: string, plan: FleetPlan, gateways: Member[], workers: Member[]) {
    this.#stage = stage;
    this.#folder = folder;
    this.#plan = plan;
    this.gateways = gateways;
    this.workers = workers;
  }

  static async start(stage: Stage, plan: FleetPlan): Promise<Fleet> {
    const [gateways, workers]: Member[][] = [[], []];
    const fleet = new Fleet(stage, stage.folder('fleet'), plan, gateways!, workers!);
    for (let number = 1; number <= plan.workers; number++) workers!.push(await fleet.#place('worker', number));
    for (let number = 1; number <= plan.gateways; number++) gateways!.push(await fleet.#place('gateway', number));
    for (const member of [...fleet.workers, ...fleet.gateways]) member.program = await fleet.#run(member);
    await fleet.allReady();
    return fleet;
  }

  /** Starts it where it was; it must have ended. */
  async startAgain(member: Member): Promise<void> {
    member.program = await this.#run(member);
  }

  /** SIGTERM. @returns how long it took to end. @throws Error when it ends otherwise than it should, or not in time. */
  async stopGently(member: Member, timeoutMs: number): Promise<number> {
    const { program, name } = member;
    const startedMs = performance.now();
    program.signal('SIGTERM');
    await until(() => program.hasEnded, timeoutMs, `${name} ends after SIGTERM`);
    const { exitCode, signalCode } = program.child;
    if (exitCode !== 0) throw new Error(`${name} ended with ${exitCode ?? signalCode}. It wrote:\n${program.output}`);
    return performance.now() - startedMs;
  }

  /** Every gateway has every worker. */
  async allReady(): Promise<void> {
    const wanted = this.#plan.seen ?? this.workers.length;
    const ready = async () => {
      const states = await Promise.all(this.gateways.map((gateway) => this.#workersOf(gateway)));
      return states.every((workers) => workers.filter(({ state }) => state === 'ready').length === wanted);
    };
    await until(ready, START_TIMEOUT_MS, 'every gateway has every worker');
  }

  /** No gateway asks it any more. */
  async lostToAll({ port }: Member): Promise<boolean> {
    const states = await Promise.all(this.gateways.map((gateway) => this.#workersOf(gateway)));
    return states.every((workers) =>
      workers.some(({ address, state }) => address.endsWith(`:${port}`) && state === 'lost'),
    );
  }

  /** Sequences that workers have, as they say themselves. */
  async sequences(): Promise<number> {
    const each = this.workers.map(({ url }) =>
      metric(url, 'millrace_worker_running_sequences', 'millrace_worker_waiting_sequences'),
    );
    return sum(await Promise.all(each));
  }

  /** Sequences that a worker has ever settled. */
  settledBy({ url }: Member): Promise<number> {
    return metric(url, 'millrace_worker_sequences_total');
  }

  /** Requests that gateways keep, as they say themselves. */
  async requests(): Promise<number> {
    const each = this.gateways.map(({ url }) => metric(url, 'millrace_running_requests', 'millrace_waiting_requests'));
    return sum(await Promise.all(each));
  }

  gatewayBytes(): number {
    return sum(this.gateways.map(({ program }) => residentBytesOf(program.pid)));
  }

  workerBytes(): number {
    return sum(this.workers.map(({ program }) => residentBytesOf(program.pid)));
  }

  /** Records of requests whose ids begin with `prefix`, of all starts of all gateways. */
  records(prefix: string): InteractionRecord[] {
    const files = this.gateways.flatMap(({ name }) => {
      const folder = this.#runsFolder(name);
      return readdirSync(folder).map((run) => join(folder, run, 'interactions.jsonl'));
    });
    return files
      .flatMap((file) => readFileSync(file, 'utf8').split('\n'))
      .filter((line) => line.includes(`"request_id":"${prefix}-`))
      .map((line) => JSON.parse(line) as InteractionRecord);
  }

  async #place(kind: Member['kind'], number: number): Promise<Member> {
    const port = await freePort();
    // Of a worker, where it tells its metrics: gateways talk to it otherwise.
    const tells = kind === 'worker' ? await freePort() : port;
    const unset = undefined as unknown as Program;
    return { kind, name: `${kind} ${number}`, port, url: `http://127.0.0.1:${tells}`, program: unset };
  }

  #run(member: Member): Promise<Program> {
    return member.kind === 'worker' ? this.#runWorker(member) : this.#runGateway(member);
  }

  #runWorker({ name, port, url }: Member): Promise<Program> {
    const own = [`--worker-port=${port}`, `--worker-metrics-port=${new URL(url).port}`];
    return this.#stage.start(name, join(ROOT, 'apps/worker/dist/main.js'), {
      args: [...own, '--log-level=warn', ...(this.#plan.workerArgs ?? [])],
      environment: { ...this.#plan.environment, MALLOC_ARENA_MAX: '2' }, // As `millrace serve` starts it.
    });
  }

  async #runGateway({ name, port, url }: Member): Promise<Program> {
    const own = [
      `--port=${port}`,
      `--data-folder=${join(this.#folder, name)}`,
      `--runs-folder=${this.#runsFolder(name)}`,
    ];
    const workers = this.workers.map((worker) => `127.0.0.1:${worker.port}`).join(',');
    const program = await this.#stage.start(name, join(ROOT, 'apps/gateway/dist/main.js'), {
      args: [...own, `--workers=${workers}`, '--log-level=warn', ...(this.#plan.gatewayArgs ?? [])],
      environment: this.#plan.environment ?? {},
    });
    await until(async () => (await statusOf(`${url}/readyz`)) === 200, START_TIMEOUT_MS, `${name} is ready`);
    return program;
  }

  #runsFolder(name: string): string {
    return join(this.#folder, `${name} runs`);
  }

  /** None where the gateway does not answer: whoever asks will ask again. */
  async #workersOf({ url }: Member): Promise<readonly WorkerHealth[]> {
    try {
      const response = await fetch(`${url}/health`, { signal: AbortSignal.timeout(LOOK_TIMEOUT_MS) });
      return ((await response.json()) as { workers: WorkerHealth[] }).workers;
    } catch {
      return [];
    }
  }
}

interface WorkerHealth {
  readonly address: string;
  readonly state: string;
}

export interface InteractionRecord {
  readonly request_id: string;
  readonly outcome: string;
  readonly error_code: string | null;
  readonly attempts: number;
  readonly continued: boolean | number;
  readonly worker: string | null;
}

/** The sum of all series of these names. */
async function metric(url: string, ...names: string[]): Promise<number> {
  const response = await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(LOOK_TIMEOUT_MS) });
  const lines = (await response.text()).split('\n').filter((line) => names.includes(/^\w+/.exec(line)?.[0] ?? ''));
  return sum(lines.map((line) => Number(line.split(' ').at(-1))));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
