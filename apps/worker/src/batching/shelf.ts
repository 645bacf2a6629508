import type { TokenEngine } from '../token-engine/token-engine.js';
import type { PlaceContents, Seat } from './choose-place.js';
import type { Sequence } from './sequence.js';

const NOTHING: PlaceContents = { tokens: [], held: 0, lastUsed: 0 };

/**
 * What the engine's places hold: those of running sequences, and what settled ones have left there for others to find.
 *
 * Ownership: the scheduler's; it alone touches the engine's places, through this. Nothing is cleared when a sequence
 * leaves: only what is about to be overwritten goes.
 */
export class Shelf {
  readonly #left: PlaceContents[];
  readonly #sitting: (Sequence | undefined)[];
  #uses = 0;

  constructor(
    private readonly engine: Pick<TokenEngine, 'copy' | 'cutBack' | 'model'>,
    placesMax: number,
  ) {
    this.#left = Array.from({ length: placesMax }, () => NOTHING);
    this.#sitting = Array.from({ length: placesMax }, () => undefined);
  }

  at(place: number): Sequence | undefined {
    return this.#sitting[place];
  }

  /** By place; of running ones, what they have read so far. */
  contents(): readonly PlaceContents[] {
    return this.#left.map((left, place) => {
      const sequence = this.#sitting[place];
      return sequence === undefined
        ? left
        : { tokens: sequence.tokens, held: sequence.position, lastUsed: Number.MAX_SAFE_INTEGER };
    });
  }

  /**
   * Seats a sequence, and makes its place hold what it keeps and no more.
   *
   * @throws what the engine threw; the sequence is seated, but what its place holds is unknown until it is cleared.
   */
  async seat(sequence: Sequence, { place, copyFrom, kept }: Seat): Promise<void> {
    const { held } = this.#left[place]!;
    this.#left[place] = NOTHING;
    this.#sitting[place] = sequence;
    if (copyFrom !== undefined) await this.engine.copy(copyFrom, place, kept);
    else if (held > kept) this.engine.cutBack(place, kept);
  }

  clear(place: number): void {
    this.engine.cutBack(place, 0);
  }

  /** A settled sequence leaves; what it has read stays. */
  leave(place: number): void {
    const sequence = this.#sitting[place]!;
    this.#sitting[place] = undefined;
    const held = sequence.position;
    this.#left[place] = held === 0 ? NOTHING : { tokens: sequence.tokens, held, lastUsed: ++this.#uses };
  }

  /** The engine broke: nobody knows what its places hold. */
  forgetAll(): void {
    this.#left.fill(NOTHING);
    this.#sitting.fill(undefined);
    for (const place of this.#left.keys()) this.clear(place);
  }
}
