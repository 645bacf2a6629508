import type { Usage } from '@millrace/contracts';
import type { SequenceEvent } from '../vocabulary.js';

/** Of sequences without any, the reasoning tokens are 0. */
export type TotalUsage = Usage & { readonly reasoningTokens: number };

export const NO_USAGE: TotalUsage = { promptTokens: 0, completionTokens: 0, cachedTokens: 0, reasoningTokens: 0 };

/** What a tally wants to know of a request. */
export interface Tallied {
  readonly prompts: readonly unknown[];
  readonly bestOf: number;
}

/** Tokens of all sequences of one request, as far as they have come. */
export class UsageTally {
  readonly #sequences: ({ -readonly [K in keyof Usage]: Usage[K] } | undefined)[] = [];
  #running: number;

  constructor(private readonly request: Tallied) {
    this.#running = request.prompts.length * request.bestOf;
  }

  /** Every sequence has ended with a reason. */
  get finished(): boolean {
    return this.#running === 0;
  }

  add(event: SequenceEvent): void {
    const { index } = event;
    if (event.kind === 'begun') {
      const { promptTokens, cachedTokens } = event;
      this.#sequences[index] = { promptTokens, cachedTokens, completionTokens: 0 };
    }
    if (event.kind === 'tokens') {
      this.#sequences[index] ??= { promptTokens: 0, completionTokens: 0, cachedTokens: 0 };
      this.#sequences[index].completionTokens += event.tokens.length + (event.unnumbered ?? 0);
    }
    if (event.kind === 'finished') {
      this.#sequences[index] = event.usage;
      this.#running--;
    }
  }

  /**
   * Each prompt counts once, however many answers it gets. So do its cached tokens, by the sequence that found the fewest:
   * it was the one to read the prompt, and what its siblings found is what it had just left there.
   */
  total(): TotalUsage {
    const total = { ...NO_USAGE };
    for (let first = 0; first < this.#sequences.length; first += this.request.bestOf) {
      const begun = this.#sequences.slice(first, first + this.request.bestOf).filter((one) => one !== undefined);
      if (begun.length === 0) continue;
      total.promptTokens += Math.max(...begun.map(({ promptTokens }) => promptTokens));
      total.cachedTokens += Math.min(...begun.map(({ cachedTokens }) => cachedTokens));
      for (const { completionTokens, reasoningTokens = 0 } of begun) {
        total.completionTokens += completionTokens;
        total.reasoningTokens += reasoningTokens;
      }
    }
    return total;
  }
}
