/** What the plan must know of a sequence. */
export interface PlannedSequence {
  /** Tokens that must be read before the next one can be chosen: 1 while it decodes, more inside its prompt. */
  readonly unread: number;
  /** Nobody takes the tokens it has, so it keeps its place and rests. */
  readonly paused: boolean;
  /** Higher runs sooner. */
  readonly priority: number;
  /** Grows with every arrival. */
  readonly arrival: number;
  /** Where it lies in the engine, once it runs. */
  readonly place: number | undefined;
}

export interface StepLimits {
  /** Places of the engine: the most sequences that run. */
  readonly placesMax: number;
  /** Tokens of prompts in one step. */
  readonly prefillChunkTokens: number;
  /** Tokens in one step, of prompts and of decoding sequences together. At least `placesMax`. */
  readonly tokensPerStepMax: number;
}

export interface StepPlan<S> {
  /** Who takes part, and how many tokens each reads. */
  readonly shares: readonly { readonly sequence: S; readonly tokens: number }[];
  /** Those of them that come from the waiting, with the place each takes. */
  readonly joining: readonly { readonly sequence: S; readonly place: number }[];
}

/**
 * Decides one step: which sequences take part, and how many tokens each reads. Changes nothing.
 *
 * Sequences that decode go first, one token each: their prompt is already paid for, and a stream that stands still is
 * what a user sees. What the step may read beside them, at most `prefillChunkTokens`, goes to prompts: to the one of
 * the highest priority, and among equals to the one that came first, until its prompt is used up; what is left goes to
 * the next. So a long prompt is read in chunks, and no running stream ever waits longer than one chunk takes.
 *
 * The trade: a prompt is read whole before the next one begins. Spreading the chunk over all of them would let short
 * prompts past long ones, but then everybody's first token would come late, and a long prompt could wait for ever
 * behind a steady flow of short ones.
 *
 * Those who join take the lowest places that are free: llama.cpp works over all cells up to the highest one in use.
 */
export function planStep<S extends PlannedSequence>(
  running: readonly S[],
  waiting: readonly S[],
  limits: StepLimits,
): StepPlan<S> {
  const taking = running.filter((sequence) => !sequence.paused);
  const shares = taking.filter(decodes).map((sequence) => ({ sequence, tokens: 1 }));
  const joining: { sequence: S; place: number }[] = [];
  let tokensLeft = Math.min(limits.prefillChunkTokens, limits.tokensPerStepMax - shares.length);

  const prompts = [...taking.filter((sequence) => !decodes(sequence)), ...waiting].sort(bySeniority);
  const places = freePlaces(running, limits.placesMax);
  for (const sequence of prompts) {
    if (tokensLeft <= 0) break;
    if (sequence.place === undefined) {
      const place = places.next();
      if (place.done) continue; // Not `break`: prompts that have a place must go on, or nobody's would ever be free.
      joining.push({ sequence, place: place.value });
    }
    const tokens = Math.min(sequence.unread, tokensLeft);
    shares.push({ sequence, tokens });
    tokensLeft -= tokens;
  }
  return { shares, joining };
}

/** The last token of a prompt costs what a decoding sequence costs, and is treated like one. */
function decodes(sequence: PlannedSequence): boolean {
  return sequence.unread === 1;
}

function bySeniority(a: PlannedSequence, b: PlannedSequence): number {
  return b.priority - a.priority || a.arrival - b.arrival;
}

function* freePlaces(running: readonly PlannedSequence[], placesMax: number): Generator<number, undefined> {
  const taken = new Set(running.map(({ place }) => place));
  for (let place = 0; place < placesMax; place++) if (!taken.has(place)) yield place;
}
