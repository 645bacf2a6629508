import { createHash } from 'node:crypto';
import { ObjectTooLarge, type PutLimits, type PutObject } from './object-store.js';

/** Content on its way into a store: counted, hashed, and ended where it is too large or nobody wants it any more. */
export class MeasuredContent {
  #bytes = 0;
  readonly #hash = createHash('sha256');

  constructor(
    private readonly content: AsyncIterable<Uint8Array>,
    private readonly signal: AbortSignal,
    private readonly limits: PutLimits = {},
  ) {}

  /** @throws ObjectTooLarge, the reason of the signal, and whatever the content throws. */
  async *pieces(): AsyncGenerator<Uint8Array> {
    const { bytesMax = Number.POSITIVE_INFINITY } = this.limits;
    for await (const piece of endedBy(this.content, this.signal)) {
      if (piece.byteLength === 0) continue;
      this.#bytes += piece.byteLength;
      if (this.#bytes > bytesMax) throw new ObjectTooLarge(this.#bytes, bytesMax);
      this.#hash.update(piece);
      yield piece;
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
