import type { AnswerEvent, TokenLogprob } from '@millrace/contracts';
import type { SequenceEvent } from '../vocabulary.js';
import type { ContentCheck, TokensPiece } from './content-check.js';
import { UnreadTokens } from './unread-tokens.js';

/** What an inbox asks of the connection that fills it. */
export interface SequenceControls {
  /** The consumer has read so many tokens more. */
  read(tokens: number): void;
  /** Nobody waits for the rest. Called at most once; the worker may have settled the sequence just now. */
  cancel(): void;
}

type Begun = Extract<AnswerEvent, { kind: 'begun' }>;
type Finished = Extract<AnswerEvent, { kind: 'finished' }>;

/**
 * What one sequence has brought and nobody has read yet.
 *
 * Tokens that nobody has asked for yet are merged into one event, and so are pieces of an echo: a slow reader costs one
 * string and no queue of events, and a fast one gets what arrived in one frame as one event. Content that breaks the
 * promises of `AnswerEvent` fails the sequence, and cancels it.
 *
 * Ownership: the connection writes (`begin`, `echo`, `add`, `finish`, `fail`) until the sequence is settled; the answer's
 * inbox takes.
 */
export class SequenceInbox {
  #begun: Begun | undefined;
  #hasBegun = false;
  #echo: { text: string; logprobs: readonly TokenLogprob[] } | undefined;
  readonly #unread = new UnreadTokens();
  #finished: Finished | undefined;
  #failure: { readonly error: unknown } | undefined;
  #settled = false;
  #ended = false;

  /** `index` is the sequence's place among those of its request. */
  constructor(
    readonly index: number,
    private readonly controls: SequenceControls,
    private readonly check: ContentCheck,
  ) {}

  /** The worker has nothing more to say. */
  get settled(): boolean {
    return this.#settled;
  }

  /** All that there will ever be was taken. */
  get ended(): boolean {
    return this.#ended;
  }

  // ------------------------------------------------------------------------------------------- the connection's side

  begin(event: Begun): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    this.#begun = event;
  }

  echo(text: string, logprobs: readonly TokenLogprob[]): void {
    this.#unlessMalformed(() => {
      this.check.admitEcho(text, logprobs.length);
      const before = this.#echo;
      this.#echo = before
        ? { text: before.text + text, logprobs: joined(before.logprobs, logprobs) }
        : { text, logprobs };
    });
  }

  add(piece: TokensPiece): void {
    this.#unlessMalformed(() => this.#unread.add(this.check.admit(piece)));
  }

  finish(event: Finished): void {
    if (this.#settled) return;
    const { promptTokens, cachedTokens } = event.usage;
    // An answer that ends with its first token need not have begun; its reader relies on it all the same.
    if (!this.#hasBegun) this.begin({ kind: 'begun', promptTokens, cachedTokens, waitedMs: 0 });
    this.#settled = true;
    this.#finished = event;
  }

  fail(error: unknown): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#failure = { error };
  }

  #unlessMalformed(take: () => void): void {
    if (this.#settled) return;
    try {
      take();
    } catch (error) {
      this.fail(error);
      this.controls.cancel();
    }
  }

  // ------------------------------------------------------------------------------------------------ the answer's side

  /** The oldest event that is there; undefined if none is. Throws the failure once everything before it was taken. */
  take(): SequenceEvent | undefined {
    if (this.#begun) {
      const event = { ...this.#begun, index: this.index };
      this.#begun = undefined;
      return event;
    }
    if (this.#echo) return this.#takeEcho(this.#echo);
    if (this.#unread.any) return this.#takeTokens();
    if (this.#finished && !this.#ended) {
      this.#ended = true;
      return { ...this.#finished, index: this.index };
    }
    if (this.#failure && !this.#ended) {
      this.#ended = true;
      throw this.#failure.error;
    }
    return undefined;
  }

  /** What was not taken yet is of no use to anybody. */
  abandon(): void {
    this.#ended = true;
    if (this.#settled) return;
    this.#settled = true;
    this.controls.cancel();
  }

  #takeEcho({ text, logprobs }: { readonly text: string; readonly logprobs: readonly TokenLogprob[] }): SequenceEvent {
    this.#echo = undefined;
    if (!this.#settled) this.controls.read(logprobs.length);
    return { kind: 'echo', index: this.index, text, logprobs };
  }

  #takeTokens(): SequenceEvent {
    const piece = this.#unread.take();
    if (!this.#settled) this.controls.read(piece.tokens.length + (piece.unnumbered ?? 0));
    return { kind: 'tokens', index: this.index, ...piece };
  }
}

function joined<T>(before: readonly T[], more: readonly T[]): readonly T[] {
  return more.length === 0 ? before : [...before, ...more];
}
