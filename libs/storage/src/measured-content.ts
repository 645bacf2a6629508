import { createHash } from 'node:crypto';
import { ObjectTooLarge, type PutLimits, type PutObject } from './object-store.js';

/** It is the content's, and says nothing about the store, though it may look as if: content may come from a file or from another store. */
export class ContentFailure {
  constructor(readonly error: unknown) {}
}

/** Content on its way into a store: counted, hashed, and ended where it is too large or nobody wants it any more. */
export class MeasuredContent {
  #bytes = 0;
  readonly #hash = createHash('sha256');

  constructor(
    private readonly content: AsyncIterable<Uint8Array>,
    private readonly signal: AbortSignal,
    private readonly limits: PutLimits = {},
  ) {}

  /** @throws ContentFailure for ObjectTooLarge, the reason of the signal, and whatever the content throws. */
  async *pieces(): AsyncGenerator<Uint8Array> {
    const pieces = endedBy(this.content, this.signal);
    try {
      for (let next = await this.#next(pieces); !next.done; next = await this.#next(pieces)) {
        if (next.value.byteLength > 0) yield next.value;
      }
    } finally {
      await pieces.return(undefined);
    }
  }

  async #next(pieces: AsyncGenerator<Uint8Array>): Promise<IteratorResult<Uint8Array>> {
    const { bytesMax = Number.POSITIVE_INFINITY } = this.limits;
    try {
      const next = await pieces.next();
      if (next.done) return next;
      this.#bytes += next.value.byteLength;
      if (this.#bytes > bytesMax) throw new ObjectTooLarge(this.#bytes, bytesMax);
      this.#hash.update(next.value);
      return next;
    } catch (error) {
      throw new ContentFailure(error);
    }
  }

  /** Once it was read to its end. */
  measured(): PutObject {
    return { bytes: this.#bytes, sha256: this.#hash.digest('hex') };
  }
}

/** What does not come is not waited for once `signal` is aborted. */
async function* endedBy<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  signal.throwIfAborted();
  const iterator = source[Symbol.asyncIterator]();
  // Not `Promise.race` with one promise for the whole: that would hold everything that ever came until the end.
  let reject: (reason: unknown) => void = () => {};
  const abort = () => reject(signal.reason);
  const next = () =>
    new Promise<IteratorResult<T>>((resolve, rejected) => {
      reject = rejected;
      iterator.next().then(resolve, rejected);
      if (signal.aborted) abort();
    });
  signal.addEventListener('abort', abort, { once: true });
  try {
    for (let { done, value } = await next(); !done; { done, value } = await next()) yield value;
  } finally {
    signal.removeEventListener('abort', abort);
    // Not waited for: a source that is stuck in `next` would never return.
    void iterator.return?.().then(undefined, () => {});
  }
}
