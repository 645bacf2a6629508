import type { InferenceError } from '@millrace/contracts';
import type { QueueFrame } from '@millrace/contracts/protocol';
import type { StreamReader } from './answer-streams.js';
import type { ControlledAttempt } from './control-writer.js';

/** What the attempt is for: answers, or a reply. */
export interface AttemptContent {
  /** A frame that is about the work itself. @returns whether it was the last. */
  take(frame: QueueFrame): boolean;
  giveUp(error: InferenceError): void;
}

export interface AttemptOptions {
  readonly answerId: string;
  readonly pool: string;
  readonly untilMs: number;
  readonly lost: () => InferenceError;
  /** Nothing more is read of it. `left`: though its worker may go on. Called once. */
  readonly onEnded: (attempt: QueueAttempt, left: boolean) => void;
}

/**
 * One attempt that was sent to a queue, until it is settled, given up, or nobody waits for it any more.
 *
 * Concurrency: everything happens in callbacks, none of which awaits.
 */
export class QueueAttempt implements StreamReader, ControlledAttempt {
  readonly answerId: string;
  readonly pool: string;
  readonly untilMs: number;
  readonly #credit = new Map<number, number>();
  #workerId: string | undefined;
  #ended = false;
  /** When the job was in the queue; undefined: not yet. */
  sentAtMs: number | undefined;
  /** Since when a worker has the job that did not say so; undefined: none has, or it did. */
  unclaimedSinceMs: number | undefined;
  /** At so many looks one after another it was nowhere to be found. */
  missed = 0;

  constructor(
    private readonly options: AttemptOptions,
    private readonly content: AttemptContent,
  ) {
    this.answerId = options.answerId;
    this.pool = options.pool;
    this.untilMs = options.untilMs;
  }

  /** Who has taken it; undefined: nobody yet. */
  get workerId(): string | undefined {
    return this.#workerId;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** @returns the credit of the sequence in all, with so much more. */
  grant(sequenceId: number, tokens: number, before: number): number {
    const total = (this.#credit.get(sequenceId) ?? before) + tokens;
    this.#credit.set(sequenceId, total);
    return total;
  }

  onFrame(frame: QueueFrame): void {
    if (frame.frame?.$case === 'taken') {
      this.#workerId = frame.frame.value.workerId;
      return;
    }
    if (this.content.take(frame)) this.end(false);
  }

  onGap(): void {
    this.giveUp(this.options.lost());
  }

  /** It will not be heard of again. */
  giveUp(error: InferenceError): void {
    if (this.#ended) return;
    this.end(true);
    this.content.giveUp(error);
  }

  /** @param left whether its worker may still be at it. */
  end(left: boolean): void {
    if (this.#ended) return;
    this.#ended = true;
    this.options.onEnded(this, left);
  }
}
