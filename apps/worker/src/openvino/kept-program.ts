import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '@millrace/runtime';
import type { OpenVinoProgram, ProgramEnd } from './openvino-program.js';
import { type Health, loaded, type ProgramAddress, silent } from './program-health.js';

export interface KeptProgramOptions {
  /** Starts a run on a port; 0 is any free one. */
  readonly spawn: (port: number) => OpenVinoProgram;
  /** What the runs must be told. */
  readonly key: string;
  readonly restartDelayMsMin: number;
  readonly restartDelayMsMax: number;
  /** Restarts in a row, none of which lived for `healthyAfterMs`, until it is given up. */
  readonly restartsMax: number;
  readonly healthyAfterMs: number;
  readonly loadMsMax: number;
  readonly stopMsMax: number;
  /** One that has not answered for so long, and for as long again as its model took to load, is killed. */
  readonly silentMsMax: number;
  readonly logger: Logger;
  /** It is given up; only opening the model anew can mend that. */
  readonly onBroken: (error: Error) => void;
}

export type ProgramState =
  | { readonly kind: 'running' }
  | { readonly kind: 'restarting' | 'failed' | 'stopped'; readonly sentence: string };

/**
 * The program, started again whenever it dies, on the port it had: who speaks to it need not learn another.
 *
 * Ownership: owns at most one run at a time. After `stop` none is started any more.
 */
export class KeptProgram {
  #program: OpenVinoProgram | undefined;
  #port = 0;
  #state: ProgramState = { kind: 'restarting', sentence: 'OpenVINO is being started.' };
  #restarts = 0;
  readonly #stop = new AbortController();
  #keeping: Promise<void> = Promise.resolve();

  constructor(private readonly options: KeptProgramOptions) {}

  get state(): ProgramState {
    return this.#state;
  }

  get port(): number {
    return this.#port;
  }

  /** Of the run of this moment. */
  get pid(): number | undefined {
    return this.#program?.pid;
  }

  /**
   * The first run, up to the moment when its model is loaded. From then on a death is mended rather than reported.
   *
   * @throws Error in one sentence when it can't start or load; what `signal` was aborted with. Nothing runs then.
   */
  async start(report: (sentence: string) => void, signal: AbortSignal): Promise<Health> {
    try {
      const health = await this.#run(report, AbortSignal.any([signal, this.#stop.signal]));
      this.#keeping = this.#keep(performance.now());
      return health;
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('OpenVINO is being stopped.'));
    this.#state = { kind: 'stopped', sentence: 'OpenVINO is being stopped.' };
    await this.#program?.stop(this.options.stopMsMax);
    await this.#keeping;
  }

  async #run(report: (sentence: string) => void, signal: AbortSignal): Promise<Health> {
    signal.throwIfAborted();
    const program = this.options.spawn(this.#port);
    this.#program = program;
    const died = new AbortController();
    void program.ended.then(({ sentence }) => died.abort(new Error(sentence)));
    const either = AbortSignal.any([signal, died.signal]);
    this.#port = await program.listening(either);
    report('OpenVINO is up and loads the model.');
    const address: ProgramAddress = { port: this.#port, key: this.options.key };
    const sinceMs = performance.now();
    const health = await loaded(address, this.options.loadMsMax, report, either);
    this.#state = { kind: 'running' };
    // It may load its model anew, and then says nothing for as long.
    const silentMsMax = Math.ceil(this.options.silentMsMax + performance.now() - sinceMs);
    void this.#watch(program, address, silentMsMax);
    return health;
  }

  /** A program that hangs has not died, so nothing else would be seen of it. */
  async #watch(program: OpenVinoProgram, address: ProgramAddress, silentMsMax: number): Promise<void> {
    const over = new AbortController();
    void program.ended.then(() => over.abort());
    try {
      await silent(address, silentMsMax, over.signal);
      program.kill(`it had not answered for ${silentMsMax} ms`);
    } catch (error) {
      if (!over.signal.aborted) this.options.logger.error({ error }, 'OpenVINO is not watched any more.');
    }
  }

  /** Runs until `stop`, or until it gives up. */
  async #keep(startedAtMs: number): Promise<void> {
    const { logger, healthyAfterMs, restartsMax, onBroken } = this.options;
    // Undefined where the last run did not come so far as to have its model.
    for (let aliveSinceMs: number | undefined = startedAtMs; ; ) {
      const end = await this.#program!.ended;
      if (this.#stop.signal.aborted) return;
      const wasHealthy = aliveSinceMs !== undefined && performance.now() - aliveSinceMs >= healthyAfterMs;
      if (wasHealthy) this.#restarts = 0;
      if (end.hopeless || this.#restarts >= restartsMax) return this.#giveUp(end, onBroken);
      const delayMs = this.#delayMs();
      this.#restarts++;
      this.#state = { kind: 'restarting', sentence: `${end.sentence} It is being started again.` };
      logger.warn({ delayMs, restarts: this.#restarts }, this.#state.sentence);
      const isUp = await this.#again(delayMs);
      aliveSinceMs = isUp ? performance.now() : undefined;
      if (isUp) logger.info('OpenVINO is up again.');
    }
  }

  /** Another run; false when it did not come so far as to have its model. */
  async #again(delayMs: number): Promise<boolean> {
    const { signal } = this.#stop;
    try {
      await sleep(delayMs, undefined, { signal });
      await this.#run(() => undefined, signal);
      return true;
    } catch (error) {
      if (!signal.aborted) this.options.logger.warn({ error }, 'OpenVINO did not come up.');
      // One that lives and can't load is of no use; its end is seen by `#keep`.
      await this.#program?.stop(this.options.stopMsMax);
      return false;
    }
  }

  /** Twice as long after each restart. */
  #delayMs(): number {
    const { restartDelayMsMin, restartDelayMsMax } = this.options;
    return Math.min(restartDelayMsMax, restartDelayMsMin * 2 ** this.#restarts);
  }

  #giveUp(end: ProgramEnd, onBroken: (error: Error) => void): void {
    const sentence = `${end.sentence} It was started ${this.#restarts} times in vain and is given up.`;
    this.#state = { kind: 'failed', sentence };
    this.options.logger.error(sentence);
    onBroken(new Error(sentence));
  }
}
