import type { InferenceError } from '@millrace/contracts';
import type { Start } from '@millrace/contracts/protocol';
import type { Logger } from '@millrace/runtime';
import { AnswerTrace } from './answer-trace.js';
import { answersTo, type ModelUser } from './answers-to.js';
import { type SequenceEnding, ServedSequence } from './served-sequence.js';
import type { StepWriter } from './step-writer.js';

export interface ServedAnswersOptions {
  readonly stallTimeoutMs: number;
  /** For the log: who asks. */
  readonly gateway: () => string | undefined;
  /** A sequence was settled. */
  readonly onSettled: () => void;
}

/** A sequence was started under a number that another one still has. */
export class StartedTwice extends Error {
  constructor(sequenceId: number) {
    super(`The sequence ${sequenceId} was started twice.`);
  }
}

/**
 * The sequences that one writer writes about, from their Start to their Settled.
 *
 * Ownership: owns them; whoever owns this cancels them when nobody reads the writer any more.
 */
export class ServedAnswers {
  readonly #sequences = new Map<number, ServedSequence>();

  constructor(
    private readonly writer: StepWriter,
    private readonly host: ModelUser,
    private readonly options: ServedAnswersOptions,
    private readonly logger: Logger,
  ) {}

  /** Sequences that are not settled. */
  get size(): number {
    return this.#sequences.size;
  }

  /**
   * Begins the sequences of one Start: its own and its siblings'.
   *
   * @throws StartedTwice
   */
  begin(start: Start): void {
    const members = [start, ...start.siblings];
    const terms = {
      requestId: start.requestId,
      attempt: start.attempt,
      creditTokens: start.creditTokens,
      resumedTokens: start.resumeTokenIds.length + start.resumeUnnumberedTokens,
    };
    // Whoever is asked in turn belongs below our own span, if there is one: of several answers, below that of the first.
    let asked = start;
    for (const { sequenceId } of members) {
      if (this.#sequences.has(sequenceId)) throw new StartedTwice(sequenceId);
      const { stallTimeoutMs } = this.options;
      const spans = AnswerTrace.open(start);
      if (spans !== undefined && asked === start) asked = { ...start, ...spans.context };
      this.#sequences.set(sequenceId, new ServedSequence({ sequenceId, ...terms }, this.writer, stallTimeoutMs, spans));
    }
    const line = lineOf(start);
    const sequences = members.map(({ sequenceId }) => this.#sequences.get(sequenceId)!);
    const signals = sequences.map(({ signal }) => signal);
    const { answers, noteSettled } = answersTo(asked, signals, this.host);
    for (const [index, { sequenceId }] of members.entries()) {
      void sequences[index]!.serve(answers[index]!).then((ending) => {
        noteSettled();
        this.#onSettled(sequenceId, line, ending);
      });
    }
  }

  addCredit(sequenceId: number, tokens: number): void {
    this.#sequences.get(sequenceId)?.addCredit(tokens);
  }

  cancel(sequenceId: number): void {
    this.#sequences.get(sequenceId)?.cancel();
  }

  /** Nobody reads any of it any more. */
  cancelAll(): void {
    for (const sequence of this.#sequences.values()) sequence.cancel();
  }

  /** Gives up every sequence, each with its own Settled. */
  giveUp(error: InferenceError): void {
    for (const sequence of this.#sequences.values()) sequence.giveUp(error);
  }

  /** Gives up the requests that have none of their answers begun: whoever takes them has everything still to do, too. */
  giveUpWaiting(error: InferenceError): void {
    const sequences = [...this.#sequences.values()];
    const begun = new Set(sequences.filter((sequence) => sequence.begun).map(({ requestId }) => requestId));
    for (const sequence of sequences) if (!begun.has(sequence.requestId)) sequence.giveUp(error);
  }

  #onSettled(sequence: number, about: StartLine, { settled, error }: SequenceEnding): void {
    this.#sequences.delete(sequence);
    const { reason, promptTokens, completionTokens, failure } = settled;
    const line = {
      ...about,
      gateway: this.options.gateway(),
      sequence,
      reason,
      promptTokens,
      completionTokens,
      ...(failure && { code: failure.code }),
    };
    // What a caller did wrong is in the gateway's log; here only what is ours to mend stands out.
    if (failure?.code === 'internal_error') this.logger.error({ ...line, error }, 'An answer failed.');
    else this.logger.debug(line, 'An answer is settled.');
    this.options.onSettled();
  }
}

/** What the log says of every sequence of a Start. All that is kept of it: the prompt may be megabytes. */
interface StartLine {
  readonly requestId: string;
  readonly traceparent?: string;
  readonly attempt: number;
}

function lineOf({ requestId, traceparent, attempt }: Start): StartLine {
  return { requestId, ...(traceparent && { traceparent }), attempt };
}
