/** A hot beginning is carried by several workers; those that read it last are enough to find one. */
const READERS_MAX = 16;

/**
 * Which workers have read which beginning of a prompt, for the beginnings that were last used.
 *
 * A worker is known by a number that it loses when its connection does: one that came back has read nothing, and costs nobody a search.
 */
export class AffinityMemory {
  /** A Map iterates in insertion order, so putting back what is used keeps the oldest first. */
  readonly #readers = new Map<number, number[]>();

  /** @param entriesMax beginnings that are remembered. */
  constructor(private readonly entriesMax: number) {}

  get size(): number {
    return this.#readers.size;
  }

  /** Those that have read it, the latest first. */
  readersOf(key: number): readonly number[] {
    return this.#readers.get(key) ?? [];
  }

  hasRead(key: number, reader: number): void {
    const readers = this.#readers.get(key) ?? [];
    this.#readers.delete(key);
    this.#readers.set(key, readers);
    moveToFront(readers, reader);
    if (this.#readers.size > this.entriesMax) this.#readers.delete(this.#readers.keys().next().value!);
  }

  /**
   * It has read further: a later turn finds that. Without this the memory would hold each conversation once for each of its turns, and
   * forget those that pause.
   */
  hasReadOn(key: number, reader: number): void {
    const readers = this.#readers.get(key);
    const at = readers?.indexOf(reader) ?? -1;
    if (readers === undefined || at < 0) return;
    if (readers.length === 1) this.#readers.delete(key);
    else readers.splice(at, 1);
  }
}

function moveToFront(readers: number[], reader: number): void {
  if (readers[0] === reader) return;
  const at = readers.indexOf(reader);
  if (at > 0) readers.splice(at, 1);
  readers.unshift(reader);
  if (readers.length > READERS_MAX) readers.pop();
}
