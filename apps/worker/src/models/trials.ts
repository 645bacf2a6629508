import { createHash } from 'node:crypto';
import type { Report } from './library-model.js';
import type { TrialMemory, TrialOutcome } from './trial-memory.js';

/** What is tried. */
export interface TrialSubject {
  /** For sentences. */
  readonly id: string;
  /** All files that are loaded: the model, its further parts, its adapters. */
  readonly files: readonly string[];
  /** What else the outcome depends on, such as the engine's version and the scales of adapters. */
  readonly with: readonly string[];
}

/** How a trial ended; what depends on the moment, such as memory or time, is not to be remembered. */
export type TrialEnding = TrialOutcome & { readonly isLasting: boolean };

/** Loads what is to be tried in a process of its own. @throws the signal's reason. */
export type RunTrial = (signal: AbortSignal) => Promise<TrialEnding>;

/** Tries each model file once, and remembers how that ended. */
export class Trials {
  constructor(private readonly memory: TrialMemory) {}

  /** @throws Error in one sentence when the model can't be loaded. */
  async pass(subject: TrialSubject, run: RunTrial, report: Report, signal: AbortSignal): Promise<void> {
    report(`The file of the model ${subject.id} is being read, to see whether it is known.`);
    const key = await this.#keyOf(subject, signal);
    const known = await this.memory.outcomeOf(key);
    if (known === undefined)
      report(`The model ${subject.id} is not known yet; it is loaded in a process of its own first.`);
    if (known?.passed === false) throw new Error(`${known.sentence} ${this.#fromBefore()}`);
    const outcome = known ?? (await this.#run(key, run, signal));
    if (!outcome.passed) throw new Error(outcome.sentence);
  }

  #fromBefore(): string {
    return `So an earlier trial ended; to have the same file tried again, delete ${this.memory.path}.`;
  }

  async #run(key: string, run: RunTrial, signal: AbortSignal): Promise<TrialOutcome> {
    const { isLasting, ...outcome } = await run(signal);
    if (isLasting) await this.memory.note(key, outcome);
    return outcome;
  }

  async #keyOf({ files, with: others }: TrialSubject, signal: AbortSignal): Promise<string> {
    const digests: string[] = [];
    for (const file of files) digests.push(await this.memory.digestOf(file, signal));
    return createHash('sha256')
      .update(JSON.stringify([digests, others]))
      .digest('hex');
  }
}
