import { choosePlace, commonPrefix, type PlaceContents, type Seat } from './choose-place.js';

/** What the plan must know of a sequence. */
export interface PlannedSequence {
  /** Tokens that must be read before the next one can be chosen: 1 while it decodes, more inside its prompt. */
  readonly unread: number;
  /** The most that it may read in one step. */
  readonly readMax: number;
  /** Nobody takes the tokens it has, so it keeps its place and rests. */
  readonly paused: boolean;
  /** Nobody waits for it: see `BACKGROUND_PRIORITY_MAX`. */
  readonly background: boolean;
  /** When it arrived, in milliseconds, moved ahead by its priority: the lower goes first. See `standingOf`. */
  readonly standing: number;
  /** Grows with every arrival. */
  readonly arrival: number;
  /** Where it lies in the engine, once it runs. */
  readonly place: number | undefined;
  /** Its prompt; the same array for answers to the same prompt. */
  readonly prompt: readonly number[];
  /** The prompt, and the tokens of its answer so far. */
  readonly tokens: readonly number[];
  /** How many of `tokens` it may find read already; 0 where each has to be read by itself. */
  readonly reusable: number;
}

export interface StepLimits {
  /** Places of the engine: the most sequences that run. */
  readonly placesMax: number;
  /** Tokens of prompts in one step. */
  readonly prefillChunkTokens: number;
  /** Tokens in one step, of prompts and of decoding sequences together. At least `placesMax`. */
  readonly tokensPerStepMax: number;
  /** As `TokenModel` has them. */
  readonly copyCostTokens: number;
  readonly cutsAnywhere: boolean;
  readonly tileTokens?: number | undefined;
  /** Whether what nobody waits for takes part beside what somebody waits for: see `restingIn`. */
  readonly backgroundTurn?: boolean;
}

export interface StepPlan<S> {
  /** Who takes part, and how many tokens each reads. */
  readonly shares: readonly { readonly sequence: S; readonly tokens: number }[];
  /** Those of them that come from the waiting, in the order in which they are to be seated. */
  readonly joining: readonly ({ readonly sequence: S } & Seat)[];
  /** Those that wait for another to read what they share with it. */
  readonly heldBack: readonly S[];
}

/** One in so many places, at least one of several, is never held by what nobody waits for: whoever comes next need not wait until that ends. */
const PLACES_PER_AWAITED = 8;

/** What a prompt must save, beyond the copy, for it to wait until another has read the beginning that they share. */
const HOLD_BACK_GAIN_TOKENS_MIN = 32;

/**
 * Decides one step: which sequences take part, and how many tokens each reads. Changes nothing.
 *
 * Sequences that decode go first, one token each: their prompt is already paid for, and a stream that stands still is
 * what a user sees. What the step may read beside them, at most `prefillChunkTokens`, goes to prompts: to the one of
 * the best standing, until its prompt is used up; what is left goes to the next. So a long prompt is read in chunks, and
 * no running stream ever waits longer than one chunk takes.
 *
 * The trade: a prompt is read whole before the next one begins. Spreading the chunk over all of them would let short
 * prompts past long ones, but then everybody's first token would come late, and a long prompt could wait for ever
 * behind a steady flow of short ones.
 *
 * A prompt that shares its beginning with one that is being read just now waits for that one and copies: `n` answers to
 * one prompt, or many callers with one system prompt, cost one reading. It keeps its claim to a place while it waits.
 * Where a place can't be cut, a prompt can only be copied while its last token is unread: it is left for the next step.
 *
 * @param places what each place of the engine holds, by its number; of a running one, what was read so far.
 */
export function planStep<S extends PlannedSequence>(
  running: readonly S[],
  waiting: readonly S[],
  places: readonly PlaceContents[],
  limits: StepLimits,
): StepPlan<S> {
  const resting = restingIn(running, waiting, limits);
  const taking = running.filter((sequence) => !resting.has(sequence));
  const shares = taking.filter(decodes).map((sequence) => ({ sequence, tokens: 1 }));
  const prompts = [
    ...taking.filter((sequence) => !decodes(sequence)),
    ...waiting.filter((sequence) => !resting.has(sequence)),
  ].sort(byStanding);
  const seats = new Seats(running, resting, waiting, places, limits);
  const joining: ({ sequence: S } & Seat)[] = [];
  const heldBack: S[] = [];
  let tokensLeft = Math.min(limits.prefillChunkTokens, limits.tokensPerStepMax - shares.length);
  const reading = new Set<S>();
  const read = (sequence: S, unread: number) => {
    if (reading.has(sequence)) return;
    reading.add(sequence);
    const tokens = Math.min(unread - seats.leftForCopies(sequence, unread), sequence.readMax, tokensLeft);
    shares.push({ sequence, tokens });
    tokensLeft -= tokens;
  };

  for (const sequence of prompts) {
    if (tokensLeft <= 0) break;
    if (sequence.place !== undefined) {
      read(sequence, sequence.unread);
      continue;
    }
    if (!seats.claim(sequence)) continue; // Not `break`: prompts that have a place must go on, or nobody's would ever be free.
    const reader = seats.readerFor(sequence);
    if (reader !== undefined) {
      heldBack.push(sequence);
      // It reads for both, so it goes as early as the better of the two: others might pass it for as long as ageing takes.
      read(reader, reader.unread);
      continue;
    }
    const seat = seats.take(sequence);
    joining.push({ sequence, ...seat });
    read(sequence, sequence.unread - seat.kept);
    // It is paid for in the same coin: many copies in one step would keep the streams waiting like a second chunk. Not
    // where a place can't be cut: there, the next step would be too late to copy.
    if (seat.copyFrom !== undefined && limits.cutsAnywhere) tokensLeft -= limits.copyCostTokens;
  }
  return { shares, joining, heldBack };
}

/**
 * Those who rest, in their places or waiting for one: whose reader takes nothing; and what nobody waits for, in all but one step in `backgroundSteps`,
 * while somebody waits for another answer. A step takes longer with each that takes part, so the one who waits has it to itself; where more
 * wait than places are free, those who hold them go on, so that they end.
 */
function restingIn<S extends PlannedSequence>(
  running: readonly S[],
  waiting: readonly S[],
  { placesMax, backgroundTurn = false }: StepLimits,
): ReadonlySet<S> {
  const awaited = (sequence: S) => !sequence.background && !sequence.paused;
  const comes = waiting.filter(awaited).length;
  const givesWay = !backgroundTurn && comes <= placesMax - running.length && (comes > 0 || running.some(awaited));
  return new Set([...running, ...waiting].filter(({ paused, background }) => paused || (background && givesWay)));
}

/** Places that what nobody waits for may hold at a time. */
function backgroundPlacesMax(placesMax: number): number {
  return Math.max(1, placesMax - Math.ceil(placesMax / PLACES_PER_AWAITED));
}

/** The last token of a prompt costs what a decoding sequence costs, and is treated like one. */
function decodes(sequence: PlannedSequence): boolean {
  return sequence.unread === 1;
}

/** Nobody should wait for a prompt that is read in small pieces, and only as fast as its reader takes what is told. */
function readsOn(sequence: PlannedSequence): boolean {
  return sequence.readMax === Number.POSITIVE_INFINITY;
}

function byStanding(a: PlannedSequence, b: PlannedSequence): number {
  return a.standing - b.standing || a.arrival - b.arrival;
}

/**
 * By when a sequence counts as having arrived. Each priority is worth `ageingMs` of waiting: a higher one goes ahead of
 * all that came within that time before it, and nobody waits for ever behind a flow of higher ones. Within a priority it
 * is first come, first served.
 */
export function standingOf(arrivedAtMs: number, priority: number, ageingMs: number): number {
  return arrivedAtMs - priority * ageingMs;
}

/** The places during one plan: what they will hold as those who join are seated one after another. */
class Seats<S extends PlannedSequence> {
  readonly #contents: PlaceContents[];
  readonly #taken: Set<number>;
  /** Those whose prompt is being read, or begins to be in this step. */
  readonly #readers: S[];
  readonly #prompts: Set<readonly number[]>;
  #unclaimed: number;
  /** Of those that are not claimed, how many may go to what nobody waits for. */
  #unclaimedInBackground: number;

  constructor(
    running: readonly S[],
    resting: ReadonlySet<S>,
    private readonly waiting: readonly S[],
    places: readonly PlaceContents[],
    private readonly limits: StepLimits,
  ) {
    this.#contents = places.slice(0, limits.placesMax);
    this.#taken = new Set(running.map(({ place }) => place!));
    this.#readers = running.filter((sequence) => !decodes(sequence) && !resting.has(sequence) && readsOn(sequence));
    this.#prompts = new Set(running.map(({ prompt }) => prompt));
    this.#unclaimed = limits.placesMax - running.length;
    const heldInBackground = running.filter(({ background }) => background).length;
    this.#unclaimedInBackground = backgroundPlacesMax(limits.placesMax) - heldInBackground;
  }

  /** Whether there is a place for this one. Also claimed by those who are held back, so that nobody takes theirs. */
  claim({ background }: S): boolean {
    if (this.#unclaimed === 0 || (background && this.#unclaimedInBackground <= 0)) return false;
    this.#unclaimed--;
    if (background) this.#unclaimedInBackground--;
    return true;
  }

  /** Who is reading so much of this sequence's prompt that it should wait and copy. */
  readerFor(sequence: S): S | undefined {
    if (this.#readers.length === 0 || sequence.reusable === 0) return undefined;
    return this.#readers.find((reader) => {
      const siblings = reader.prompt === sequence.prompt;
      if (!siblings && !this.limits.cutsAnywhere) return false;
      // Answers to one prompt wait for each other however little it saves: it is to be read once.
      const gainMin = siblings ? 1 : this.limits.copyCostTokens + HOLD_BACK_GAIN_TOKENS_MIN;
      const soon = Math.min(commonPrefix(reader.tokens, reader.tokens.length, sequence.tokens), sequence.reusable);
      return soon >= gainMin && !this.#holds(sequence, soon - gainMin + 1);
    });
  }

  /** Whether a place holds the first `count` tokens of a sequence. Most that do not, differ in the last of them. */
  #holds({ tokens }: S, count: number): boolean {
    const last = count - 1;
    return this.#contents.some(
      (place) =>
        place.held >= count &&
        place.tokens[last] === tokens[last] &&
        commonPrefix(place.tokens, count, tokens) === count,
    );
  }

  /** How many of its unread tokens a sequence should leave for the next step, so that others can copy before them. */
  leftForCopies(sequence: S, unread: number): 0 | 1 {
    if (this.limits.cutsAnywhere || unread === 1 || sequence.reusable === 0) return 0;
    return this.waiting.some((other) => other !== sequence && other.prompt === sequence.prompt) ? 1 : 0;
  }

  take(sequence: S): Seat {
    // Answers to one prompt always share its reading, however short it is.
    const copyCostTokens = this.#prompts.has(sequence.prompt) ? 0 : this.limits.copyCostTokens;
    const seat = choosePlace(sequence, this.#contents, this.#taken, { ...this.limits, copyCostTokens });
    this.#taken.add(seat.place);
    this.#contents[seat.place] = { tokens: sequence.tokens, held: seat.kept, lastUsed: Number.MAX_SAFE_INTEGER };
    if (readsOn(sequence)) this.#readers.push(sequence);
    return seat;
  }
}
