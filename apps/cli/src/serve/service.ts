import type { LoadedSettings, Logger } from '@millrace/runtime';
import { CommandError } from '../command.js';
import { gatewayUrl, hostAndPort } from '../gateway-address.js';
import { noSuchAddress, portProblem, probePort } from '../port-probe.js';
import { programs } from './programs.js';
import { askReadiness } from './readiness.js';
import { type ProcessPlan, SupervisedProcess } from './supervised-process.js';

export interface ServiceOptions {
  readonly loaded: Pick<LoadedSettings, 'settings' | 'sources' | 'flagsFor' | 'secretsFromFlags'>;
  readonly logger: Logger;
  /** Where the gateway serves every model itself: no worker is started. */
  readonly withoutWorker?: boolean;
  /** Called whenever what the gateway still waits for changes. */
  readonly onProgress?: (reason: string) => void;
  /** The packages' own unless a test has others. */
  readonly programs?: ReturnType<typeof programs>;
  /** Throws away what the processes print. */
  readonly quiet?: boolean;
  /** How long after its own deadline a process that drains may take before it is killed. */
  readonly killGraceMs?: number;
}

/** Last words to clients, and last records to the database. */
const KILL_GRACE_MS = 8_000;
const READINESS_POLL_MS = 50;

/**
 * One gateway and one worker, as two processes: a native crash in the engine must not take the gateway down. No worker
 * where the gateway serves all models itself.
 *
 * Ownership: it owns both processes. `stop` ends them in order; `kill` ends them at once and may be called at any time.
 */
export class Service {
  readonly #options: ServiceOptions;
  #worker: SupervisedProcess | undefined;
  #gateway: SupervisedProcess | undefined;
  #stopped = false;

  constructor(options: ServiceOptions) {
    this.#options = options;
  }

  get gatewayPid(): number | undefined {
    return this.#gateway?.pid;
  }

  get workerPid(): number | undefined {
    return this.#worker?.pid;
  }

  /**
   * Resolves when the gateway is ready to answer. `workerAddress` is undefined where there is no worker.
   *
   * @throws CommandError when a process ends before that.
   */
  async start(): Promise<{ url: string; workerAddress: string | undefined }> {
    const { settings } = this.#options.loaded;
    // Before the worker loads gigabytes, what can be known at once.
    const problem =
      settings.port === 0 ? undefined : portProblem(settings.host, settings.port, await this.#gatewayPort());
    if (problem !== undefined) throw new CommandError(problem);

    const workerAddress = this.#options.withoutWorker ? undefined : await this.#startWorker();
    this.#refuseWhenStopped();
    const gatewayArgs = (portBefore: number | undefined) => [
      ...this.#options.loaded.flagsFor(['workers', 'port']),
      `--workers=${workerAddress ?? ''}`,
      `--port=${portBefore ?? settings.port}`,
    ];
    const gateway = this.#supervise({ name: 'gateway', ...this.#programs.gateway, args: gatewayArgs });
    this.#gateway = gateway;
    const workerBroken = this.#worker === undefined ? [] : [this.#worker.broken];
    const port = await Promise.race([gateway.start(), ...workerBroken]);
    const url = gatewayUrl({ ...settings, port });
    await Promise.race([this.#ready(url), gateway.broken, ...workerBroken]);
    this.#worker?.keepAlive();
    gateway.keepAlive();
    return { url, workerAddress };
  }

  /** Its address, which it may not listen at yet. */
  async #startWorker(): Promise<string> {
    const { workerHost } = this.#options.loaded.settings;
    const workerPort = await this.#workerPort();
    // `stop` ended what there was; what is started from here on would outlive it.
    this.#refuseWhenStopped();
    const args = (portBefore: number | undefined) => [
      ...this.#options.loaded.flagsFor(['workerPort']),
      `--worker-port=${portBefore ?? workerPort}`,
    ];
    const worker = this.#supervise({ name: 'worker', ...this.#programs.worker, args });
    this.#worker = worker;
    const listens = worker.start();
    // Where the port is known, the gateway need not wait for it: it goes on knocking until the worker opens. Starting
    // both at once makes a second shorter what people wait for.
    return hostAndPort(workerHost, workerPort === 0 ? await listens : workerPort);
  }

  get #programs() {
    return this.#options.programs ?? programs();
  }

  /**
   * The gateway first, so that its running answers can finish, and so can those that it takes in the delay; then the worker. Told at the
   * same time, the worker would take nothing new.
   */
  async stop(): Promise<void> {
    this.#stopped = true;
    const { drainDelayMs, drainTimeoutMs } = this.#options.loaded.settings;
    const { killGraceMs = KILL_GRACE_MS } = this.#options;
    const allowedMs = drainDelayMs + drainTimeoutMs + killGraceMs;
    const killAtMs = performance.now() + allowedMs;
    // Ctrl-C reaches the worker too, which may have nothing more to do long before the gateway.
    this.#worker?.restartNoMore();
    await this.#gateway?.stop(allowedMs);
    // Nobody is left to ask the worker anything, so it needs no more than a moment.
    await this.#worker?.stop(Math.max(killGraceMs, killAtMs - performance.now()));
  }

  kill(): void {
    this.#stopped = true;
    this.#gateway?.kill();
    this.#worker?.kill();
  }

  #refuseWhenStopped(): void {
    if (this.#stopped) throw new CommandError('Stopped before it was ready.');
  }

  async #ready(url: string): Promise<void> {
    let told: string | undefined;
    while (!this.#stopped) {
      const readiness = await askReadiness(url);
      if (readiness.ready) return;
      if (readiness.reason !== undefined && readiness.reason !== told) this.#options.onProgress?.(readiness.reason);
      told = readiness.reason ?? told;
      await new Promise((resolve) => setTimeout(resolve, READINESS_POLL_MS));
    }
  }

  #supervise(plan: ProcessPlan): SupervisedProcess {
    const { settings, secretsFromFlags: secrets } = this.#options.loaded;
    const { restartDelayMsMin, restartDelayMsMax } = settings;
    const { logger, quiet = false } = this.#options;
    return new SupervisedProcess({ ...plan, secrets }, { restartDelayMsMin, restartDelayMsMax, logger, quiet });
  }

  #gatewayPort() {
    const { host, port } = this.#options.loaded.settings;
    return probePort(host, port);
  }

  /** The usual one where it is free, so that it is easily found; else any, so that a second service needs no flag. */
  async #workerPort(): Promise<number> {
    const { settings, sources } = this.#options.loaded;
    const { workerHost, workerPort } = settings;
    const state = await probePort(workerHost, workerPort);
    if (state === 'no such address') throw new CommandError(noSuchAddress(workerHost, '--worker-host'));
    return state === 'free' || sources.workerPort !== 'default' ? workerPort : 0;
  }
}
