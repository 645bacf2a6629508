import { InferenceError } from '@millrace/contracts';

/** How many files come in or are put together at a time, or go out: each holds a connection, and where they are in a bucket another one there. */
export class FilePlaces {
  #taken = 0;

  constructor(
    private readonly placesMax: number,
    private readonly names: { readonly doing: 'uploaded or put together' | 'downloaded'; readonly setting: string },
  ) {}

  /** Ownership: whoever gets it disposes of it, once. @throws InferenceError when all are taken. */
  take(): Disposable {
    const { doing, setting } = this.names;
    if (this.#taken >= this.placesMax)
      throw new InferenceError(
        'rate_limit_exceeded',
        `${this.#taken} files are being ${doing}, and this server does ${this.placesMax} at a time. Send the request again in a moment, or raise ${setting}.`,
        { limit: 'queue' },
      );
    this.#taken++;
    return { [Symbol.dispose]: () => void this.#taken-- };
  }
}
