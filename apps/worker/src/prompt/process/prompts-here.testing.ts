import { PromptDesk } from './prompt-desk.js';
import type { PromptJob, PromptResults, PromptWork } from './prompt-work.js';

/** `PromptWork` in this very process, for tests from sources: the same work, without what guards against its overruns. */
export class PromptsHere implements PromptWork {
  readonly #desk: PromptDesk;

  constructor(timeLimitMs = 10_000) {
    this.#desk = new PromptDesk(timeLimitMs);
  }

  async do<Kind extends PromptJob['kind']>(
    job: Extract<PromptJob, { kind: Kind }>,
    signal: AbortSignal,
  ): Promise<PromptResults[Kind]> {
    signal.throwIfAborted();
    // As it would cross to another process, so that what is no plain data is found out.
    const result = this.#desk.do(JSON.parse(JSON.stringify(job)) as PromptJob);
    return JSON.parse(JSON.stringify(result)) as PromptResults[Kind];
  }

  async close(): Promise<void> {}
}
