import { InferenceError } from '@millrace/contracts';

/**
 * How many files come in or are put together at a time, or go out: each holds a connection, and where they are in a bucket another one there.
 * One key has at most half of the places, so that there is always one for somebody else.
 */
export class FilePlaces {
  #taken = 0;
  /** By key; those that have none are not in it. */
  readonly #takenOf = new Map<string, number>();
  readonly #placesOfKeyMax: number;

  constructor(
    private readonly placesMax: number,
    private readonly names: { readonly doing: 'uploaded or put together' | 'downloaded'; readonly setting: string },
  ) {
    this.#placesOfKeyMax = Math.max(1, Math.floor(placesMax / 2));
  }

  /**
   * Ownership: whoever gets it disposes of it, once.
   *
   * @param keyId undefined: there are no keys, and whoever asks is anybody.
   * @throws InferenceError when all are taken, or all that this key may have.
   */
  take(keyId: string | undefined): Disposable {
    const ofKey = keyId === undefined ? 0 : (this.#takenOf.get(keyId) ?? 0);
    if (this.#taken >= this.placesMax) throw this.#full(this.#taken, `this server does ${this.placesMax} at a time`);
    if (ofKey >= this.#placesOfKeyMax) throw this.#full(ofKey, this.#ofKeyLimit(), ' for this key');
    this.#count(keyId, 1);
    return { [Symbol.dispose]: () => this.#count(keyId, -1) };
  }

  #count(keyId: string | undefined, more: 1 | -1): void {
    this.#taken += more;
    if (keyId === undefined) return;
    const ofKey = (this.#takenOf.get(keyId) ?? 0) + more;
    if (ofKey === 0) this.#takenOf.delete(keyId);
    else this.#takenOf.set(keyId, ofKey);
  }

  #ofKeyLimit(): string {
    return `one key may have ${this.#placesOfKeyMax} of the ${this.placesMax} that this server does at a time`;
  }

  #full(taken: number, limit: string, whose = ''): InferenceError {
    const { doing, setting } = this.names;
    return new InferenceError(
      'rate_limit_exceeded',
      `${taken} files are being ${doing}${whose}, and ${limit}. Send the request again in a moment, or raise ${setting}.`,
      { limit: 'queue' },
    );
  }
}
