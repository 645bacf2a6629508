import type { AnswerEvent } from '@millrace/contracts';

type Result = IteratorResult<AnswerEvent, undefined>;
type Answer = AsyncIterableIterator<AnswerEvent, undefined>;

const DONE: Result = { done: true, value: undefined };

/**
 * An answer whose prompt is still being prepared. By hand rather than as an async generator, for the reason that
 * `AnswerBuffer` gives: a reader that leaves is let go at once.
 *
 * Ownership: owns the answer once it is open, and returns it when the reader left meanwhile.
 */
export class LateAnswer implements Answer {
  #answer: Answer | undefined;
  #failure: { readonly error: unknown } | undefined;
  #left = false;
  #pending: { resolve(result: Result | Promise<Result>): void; reject(error: unknown): void } | undefined;

  /** @param onLeft called when the reader leaves before the answer is open. */
  constructor(
    opening: Promise<Answer>,
    private readonly onLeft: () => void,
  ) {
    opening.then(
      (answer) => this.#open(answer),
      (error: unknown) => this.#fail(error),
    );
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Result> {
    if (this.#answer !== undefined) return this.#answer.next();
    if (this.#failure !== undefined) return this.#throw(this.#failure.error);
    if (this.#left) return Promise.resolve(DONE);
    if (this.#pending !== undefined) return Promise.reject(new Error('An answer has one reader, which reads in turn.'));
    return new Promise((resolve, reject) => {
      this.#pending = { resolve, reject };
    });
  }

  return(): Promise<Result> {
    if (this.#answer !== undefined) return this.#answer.return!();
    if (!this.#left) {
      this.#left = true;
      this.#pending?.resolve(DONE);
      this.#pending = undefined;
      this.onLeft();
    }
    return Promise.resolve(DONE);
  }

  #open(answer: Answer): void {
    if (this.#left) {
      void answer.return!();
      return;
    }
    this.#answer = answer;
    this.#pending?.resolve(answer.next());
    this.#pending = undefined;
  }

  #fail(error: unknown): void {
    if (this.#left) return;
    if (this.#pending === undefined) this.#failure = { error };
    else this.#pending.reject(error);
    this.#left = true;
    this.#pending = undefined;
  }

  /** Once; then it is at its end. */
  #throw(error: unknown): Promise<Result> {
    this.#failure = undefined;
    return Promise.reject(error);
  }
}
