import { randomHex } from '@millrace/runtime';
import type { ObjectStore } from '@millrace/storage';
import type { BatchStore, Segments } from './batch-store.js';

/** Of objects that are listed or removed at a time. */
const PAGE = 1_000;

/** Answers and errors of slices that are closed, until all of them are put together into files. */
export class SegmentStore {
  constructor(
    private readonly objects: ObjectStore,
    private readonly store: Pick<BatchStore, 'lines'>,
  ) {}

  /** What is known of a slice's lines, as objects. @returns how many lines there are in them, too. */
  async write(batchId: string, slice: number, signal: AbortSignal): Promise<Segments & { readonly lines: number }> {
    // Another may be at the same, and neither may change what the other has written.
    const key = `${prefixOf(batchId)}${slice}-${randomHex(8)}`;
    const output = await this.#put(`${key}.output`, this.store.lines(batchId, slice, true), signal);
    const errors = await this.#put(`${key}.errors`, this.store.lines(batchId, slice, false), signal);
    return { outputKey: output.key, errorKey: errors.key, lines: output.lines + errors.lines };
  }

  /** One behind another. @throws SegmentGone */
  async *read(keys: readonly (string | null)[], signal: AbortSignal): AsyncGenerator<Uint8Array> {
    for (const key of keys) {
      if (key === null) continue;
      await using object = await this.objects.open(key, signal);
      if (object === undefined) throw new SegmentGone(`The object ${key} is gone, which holds answers of a batch.`);
      yield* object.content;
    }
  }

  async discard({ outputKey, errorKey }: Segments, signal: AbortSignal): Promise<void> {
    await this.objects.remove(
      [outputKey, errorKey].filter((key) => key !== null),
      signal,
    );
  }

  /** Also those that nobody knows of, since whoever wrote them was killed. */
  async discardAll(batchId: string, signal: AbortSignal): Promise<void> {
    for (;;) {
      const found = await this.objects.list(prefixOf(batchId), { limit: PAGE }, signal);
      if (found.length > 0)
        await this.objects.remove(
          found.map(({ key }) => key),
          signal,
        );
      if (found.length < PAGE) return;
    }
  }

  async #put(key: string, lines: AsyncGenerator<string>, signal: AbortSignal) {
    const first = await lines.next();
    if (first.done) return { key: null, lines: 0 };
    let count = 0;
    async function* content(): AsyncGenerator<Uint8Array> {
      for (let next: IteratorResult<string> = first; !next.done; next = await lines.next()) {
        count += 1;
        yield Buffer.from(`${next.value}\n`);
      }
    }
    await this.objects.put(key, content(), signal);
    return { key, lines: count };
  }
}

/** Not away, but gone for good: somebody has removed it, or has put an older copy of the object store in place. */
export class SegmentGone extends Error {
  override readonly name = 'SegmentGone';
}

function prefixOf(batchId: string): string {
  return `batches/${batchId}/`;
}
