import { LOGPROB_MIN } from '@millrace/contracts';
import type { Logprob } from '../../token-engine.js';
import type { AddonContext, AddonSampler } from './addon.js';

/** What is to be told of one position of the batch: the token there, and how many of the likeliest beside it. */
export interface WantedLogprob {
  /** The addon's index into the batch. */
  readonly at: number;
  readonly token: number;
  readonly top: number;
}

/** Samplers that change nothing. One call at a time may use a pair. */
interface Lane {
  readonly plain: AddonSampler;
  readonly ranked: AddonSampler;
}

/** As many as Node's pool has threads, unless somebody changed that; more would only wait. */
const LANES = 4;

/**
 * Log-probabilities as the model gives them.
 *
 * The addon can tell the logits only behind a chain of samplers, so these have chains of their own that change none:
 * one takes the likeliest token and tells the sum over all, the other sorts the first few out (with greedy sampling the
 * addon would sort the whole vocabulary). Whatever chose the token has no part in it.
 */
export class LogprobReader {
  readonly #lanes: Lane[] = [];

  constructor(
    private readonly context: AddonContext,
    private readonly createSampler: () => AddonSampler,
  ) {}

  /** In the order of `wanted`. Only between a decode and the next. */
  async read(wanted: readonly WantedLogprob[]): Promise<Logprob[]> {
    const results: Logprob[] = [];
    let next = 0;
    const run = async (lane: Lane) => {
      while (next < wanted.length) {
        const index = next++;
        results[index] = await this.#readOne(lane, wanted[index]!);
      }
    };
    // All must have ended before the next decode, also when one fails.
    const lanes = Array.from({ length: Math.min(LANES, wanted.length) }, (_, index) => this.#lane(index));
    const outcomes = await Promise.allSettled(lanes.map(run));
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    return results;
  }

  dispose(): void {
    for (const { plain, ranked } of this.#lanes) {
      plain.dispose();
      ranked.dispose();
    }
  }

  /** Made when first needed: each holds 12 bytes per token of the vocabulary, twice. */
  #lane(index: number): Lane {
    this.#lanes[index] ??= { plain: this.createSampler(), ranked: this.createSampler() };
    return this.#lanes[index];
  }

  async #readOne({ plain, ranked }: Lane, { at, token, top }: WantedLogprob): Promise<Logprob> {
    plain.applyConfig({ temperature: 0, seed: 0 });
    // [the token that is told about, not the highest, not the lowest, the selected one: the highest, no top]
    const [, , , pairs = [], weight = 0] = await this.context.sampleToken(
      at,
      plain,
      false,
      false,
      [[token], false, false, true, 0],
      true,
    );
    const logits = chances(pairs);
    // The sum of e to the power of each logit less the highest, as its logarithm.
    const total = Math.max(...logits.map(({ logit }) => logit)) + Math.log(weight);
    const own = logits.find((each) => each.token === token);
    return { logprob: difference(own?.logit, total), top: top > 0 ? await this.#top(ranked, at, top, total) : [] };
  }

  async #top(sampler: AddonSampler, at: number, top: number, total: number): Promise<Logprob['top']> {
    // Dividing by 1 changes nothing, and the draw that follows is not looked at.
    sampler.applyConfig({ temperature: 1, topK: top, seed: 0 });
    const answer = await this.context.sampleToken(at, sampler, false, false, [[], false, false, false, top], false);
    return chances(answer[3] ?? []).map(({ token, logit }) => ({ token, logprob: difference(logit, total) }));
  }
}

function chances(pairs: readonly number[]): { token: number; logit: number }[] {
  return Array.from({ length: pairs.length / 2 }, (_, index) => ({
    token: pairs[2 * index]!,
    logit: pairs[2 * index + 1]!,
  }));
}

/** Rounding may lift a certain token above certainty; what is no number at all is all but impossible. */
function difference(logit: number | undefined, total: number): number {
  const logprob = logit === undefined ? Number.NaN : logit - total;
  return Number.isNaN(logprob) ? LOGPROB_MIN : Math.max(LOGPROB_MIN, Math.min(0, logprob));
}
