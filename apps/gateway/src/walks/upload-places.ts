import { InferenceError } from '@millrace/contracts';

/** How many uploads are taken in at a time: each holds a connection, and memory where it goes to a bucket. */
export class UploadPlaces {
  #taken = 0;

  constructor(private readonly limits: { readonly fileUploadsMax: number }) {}

  /** Ownership: whoever gets it disposes of it. @throws InferenceError when all are taken. */
  take(): Disposable {
    const { fileUploadsMax } = this.limits;
    if (this.#taken >= fileUploadsMax)
      throw new InferenceError(
        'rate_limit_exceeded',
        `${this.#taken} files are being uploaded, and this server takes ${fileUploadsMax} at a time. Send it again in a moment, or raise fileUploadsMax.`,
        { limit: 'queue' },
      );
    this.#taken++;
    return { [Symbol.dispose]: () => void this.#taken-- };
  }
}
