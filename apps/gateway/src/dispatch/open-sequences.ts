import { InferenceError } from '@millrace/contracts';
import type { GatewayFrame, SequenceUpdate } from '@millrace/contracts/protocol';
import type { Logger } from '@millrace/runtime';
import type { SequenceEvent } from '../vocabulary.js';
import { AnswerInbox } from './answer-inbox.js';
import { ContentCheck } from './content-check.js';
import { malformed } from './malformed.js';
import { failureOf, finishedOf, logprobOf, pieceOf, startBytes, startFrames } from './protocol-frames.js';
import { type SequenceControls, SequenceInbox } from './sequence-inbox.js';
import type { AnswerAttempt } from './worker-client.js';

export interface OpenSequencesLimits {
  /** How far the worker may run ahead of a consumer. */
  readonly creditTokens: number;
  /** The largest request sent: a body, and what the protocol adds. One that is larger is refused alone. */
  readonly sentBytesMax: number;
}

/** What is told the worker of a sequence. */
export interface SequenceWay {
  credit(sequenceId: number, tokens: number): void;
  cancel(sequenceId: number): void;
}

/** What the worker may still send of a sequence. */
interface Credit {
  left: number;
}

interface Sequence {
  readonly inbox: SequenceInbox;
  readonly answer: AnswerInbox;
  /** Which of the request's prompts it answers; undefined if there is only one. */
  readonly prompt: number | undefined;
  readonly attempt: number;
  readonly credit: Credit;
  readonly way: SequenceWay;
}

/** Answers that were asked for, and what to send for them. */
export interface BegunAnswer {
  readonly answer: AsyncIterable<SequenceEvent>;
  readonly starts: readonly GatewayFrame[];
}

/**
 * The sequences that are open with a worker, whatever the way to it: what it says of them becomes events, what is read of them becomes
 * credit, and what breaks the protocol ends the sequence.
 *
 * Ownership: a sequence is open until it is settled, cancelled or given up. Concurrency: everything happens in callbacks, none of which
 * awaits.
 */
export class OpenSequences {
  readonly #open = new Map<number, Sequence>();
  #nextSequenceId = 1;

  constructor(
    private readonly address: string,
    private readonly limits: OpenSequencesLimits,
    private readonly logger: Logger,
  ) {}

  get size(): number {
    return this.#open.size;
  }

  /** @throws InferenceError `request_too_large` */
  begin(request: AnswerAttempt, way: SequenceWay, signal: AbortSignal): BegunAnswer {
    const { creditTokens, sentBytesMax } = this.limits;
    const sequenceIds = request.sequences.map(() => this.#takeSequenceId());
    const starts = startFrames(request, sequenceIds, creditTokens);
    const bytes = startBytes(starts, sentBytesMax);
    if (bytes > sentBytesMax) throw tooLarge(bytes, sentBytesMax);
    const credits = request.sequences.map((): Credit => ({ left: creditTokens }));
    const inboxes = request.sequences.map(
      ({ index, prompt, resume }, at) =>
        new SequenceInbox(
          index,
          this.#controlsOf(sequenceIds[at]!, way, credits[at]!),
          new ContentCheck(prompt, resume),
        ),
    );
    const answer = new AnswerInbox(inboxes, signal);
    for (const [at, { promptIndex }] of request.sequences.entries()) {
      const { attempt } = request;
      const [inbox, credit] = [inboxes[at]!, credits[at]!];
      this.#open.set(sequenceIds[at]!, { inbox, answer, prompt: promptIndex, attempt, credit, way });
    }
    return { answer, starts };
  }

  /** What the worker says of one; of one that is open no more, it is not heard. */
  update(update: SequenceUpdate): void {
    const { sequenceId, begun, echo, settled } = update;
    const sequence = this.#open.get(sequenceId);
    if (sequence === undefined) return; // Settled here already; the frame crossed our Cancel.
    const { inbox, answer } = sequence;
    const misuse = misuseOf(update, sequence);
    if (misuse !== undefined) {
      this.#open.delete(sequenceId);
      if (!settled) sequence.way.cancel(sequenceId);
      this.logger.warn({ worker: this.address, error: misuse.details.cause }, 'A worker broke the protocol.');
      inbox.fail(misuse);
      answer.deliver();
      return;
    }
    if (begun) inbox.begin({ kind: 'begun', ...begun });
    if (echo) inbox.echo(echo.text, echo.logprobs.map(logprobOf));
    const piece = pieceOf(update);
    if (settled) this.#open.delete(sequenceId);
    if (piece) inbox.add(piece);
    if (settled) {
      const finished = finishedOf(settled);
      if (finished) inbox.finish(finished);
      else inbox.fail(failureOf(settled, sequence.prompt));
    }
    answer.deliver();
  }

  /** None of them will be heard of again. */
  giveUpAll(error: InferenceError): void {
    const sequences = [...this.#open.values()];
    this.#open.clear();
    for (const { inbox } of sequences) inbox.fail(error);
    for (const { answer } of sequences) answer.deliver();
  }

  #controlsOf(sequenceId: number, way: SequenceWay, credit: Credit): SequenceControls {
    const { creditTokens } = this.limits;
    let unreturned = 0;
    return {
      // Half the credit at a time: one frame for many tokens, and the worker never comes to its end.
      read: (tokens) => {
        unreturned += tokens;
        if (unreturned * 2 < creditTokens) return;
        way.credit(sequenceId, unreturned);
        credit.left += unreturned;
        unreturned = 0;
      },
      cancel: () => {
        const open = this.#open.delete(sequenceId);
        if (open) way.cancel(sequenceId);
      },
    };
  }

  /** Ids have 32 bits and start again after four thousand million; what is then still running has long met its deadline. */
  #takeSequenceId(): number {
    const id = this.#nextSequenceId;
    this.#nextSequenceId = id === 0xffff_ffff ? 1 : id + 1;
    return id;
  }
}

/** What of an update breaks the protocol; undefined if nothing does. It takes the credit that the update costs. */
function misuseOf(update: SequenceUpdate, { attempt, credit }: Sequence): InferenceError | undefined {
  if (update.attempt !== attempt) {
    return malformed(`an update of attempt ${update.attempt} for a sequence of attempt ${attempt}`);
  }
  credit.left -= update.tokenIds.length + update.unnumberedTokens + (update.echo?.logprobs.length ?? 0);
  return credit.left < 0 ? malformed(`${-credit.left} tokens more than it had credit for`) : undefined;
}

/** A body within `bodyBytesMax` can still be larger as the worker gets it: `1e20` is sent on with all of its digits. */
export function tooLarge(bytes: number, bytesMax: number): InferenceError {
  const [given, limit] = [bytes, bytesMax].map((number) => number.toLocaleString('en'));
  return new InferenceError(
    'request_too_large',
    `The request takes ${given} bytes on its way to the worker; ${limit} are allowed. Send less, or raise bodyBytesMax.`,
  );
}

export function workerLost(cause?: unknown): InferenceError {
  const sentence = 'The worker went away while it was answering. Send the request again.';
  return new InferenceError('worker_lost', sentence, { cause });
}
