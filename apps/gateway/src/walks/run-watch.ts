import { RunLost } from '../responses/event-keeper.js';

/**
 * Looks now and then whether a run is to end while it is answered. Who can not tell for so long as a lease lasts gives it up: the queue may be
 * elsewhere than the database, and others may reach both.
 */
export class RunWatch implements Disposable {
  #timer: NodeJS.Timeout;
  #isOver = false;
  #toldMs = performance.now();

  constructor(
    private readonly whyToEnd: () => Promise<Error | undefined>,
    private readonly ending: AbortController,
    private readonly everyMs: number,
    private readonly blindMsMax: number,
  ) {
    this.#timer = setTimeout(() => void this.#look(), everyMs);
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
  }

  async #look(): Promise<void> {
    const why = await this.whyToEnd().then(
      (told) => {
        this.#toldMs = performance.now();
        return told;
      },
      () => (performance.now() - this.#toldMs > this.blindMsMax ? new RunLost('The database is away.') : undefined),
    );
    if (this.#isOver) return;
    if (why !== undefined) this.ending.abort(why);
    else this.#timer = setTimeout(() => void this.#look(), this.everyMs);
  }
}
