import type { ObjectStore } from '@millrace/storage';

/** So many in a row are no single objects that can't be removed: the store itself is away, and each attempt takes its time. */
const IN_A_ROW_MAX = 100;

/** Some of what was to be removed is still there. */
export class SweepIncomplete extends Error {
  override readonly name = 'SweepIncomplete';

  constructor(failures: number, cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause);
    super(`${failures.toLocaleString('en')} removals failed, and the first for this reason: ${why}`, { cause });
  }
}

/** What one sweep removes: what does not go is passed over, so that everything behind it goes all the same. */
export class SweepRemovals {
  #failures = 0;
  #first: unknown;
  #inARow = 0;

  constructor(
    private readonly objects: ObjectStore,
    private readonly signal: AbortSignal,
  ) {}

  /** One by one where they don't go together. @returns those that are gone. */
  async remove(keys: readonly string[]): Promise<readonly string[]> {
    if (keys.length > 1) {
      const together = await this.objects.remove(keys, this.signal).then(
        () => true,
        () => false,
      );
      if (together) return keys;
    }
    const gone: string[] = [];
    for (const key of keys) if (await this.attempt(() => this.objects.remove([key], this.signal))) gone.push(key);
    return gone;
  }

  /** @returns whether it went well. @throws what it throws where too many have failed in a row, or the sweep is over. */
  async attempt(work: () => Promise<void>): Promise<boolean> {
    this.signal.throwIfAborted();
    if (this.#inARow >= IN_A_ROW_MAX) throw this.#first;
    try {
      await work();
      this.#inARow = 0;
      return true;
    } catch (error) {
      this.signal.throwIfAborted();
      this.#failed(error);
      this.#inARow++;
      return false;
    }
  }

  /** The others take place though this one fails. */
  async step(work: () => Promise<void>): Promise<void> {
    this.signal.throwIfAborted();
    try {
      await work();
    } catch (error) {
      this.signal.throwIfAborted();
      this.#failed(error);
    }
    this.#inARow = 0;
  }

  /** @throws SweepIncomplete where anything failed. */
  end(): void {
    if (this.#failures > 0) throw new SweepIncomplete(this.#failures, this.#first);
  }

  #failed(error: unknown): void {
    if (this.#failures++ === 0) this.#first = error;
  }
}
