import type { CallDelta, ResumedAnswer } from '@millrace/contracts';
import type { LetOut } from './answer-text.js';

/**
 * Lets through what the caller does not have yet, of an answer that is gone through again.
 *
 * An earlier attempt has delivered a beginning of each kind of content. It may have held something back for its tokens (the
 * beginning of a character, or of a stop text), lost it with a frame, or let out more than they bring by themselves, since
 * its end was near. So what was delivered is counted off from whatever comes, up to the end of the answer.
 */
export class Undelivered {
  readonly #text: Delivered;
  readonly #reasoning: Delivered;
  #citations: number;
  #logprobs: number;
  /** By index: how much of the arguments was delivered; of a call that is here, so was the name. */
  readonly #calls = new Map<number, number>();

  constructor({ text, reasoning = '', calls = [], citations = 0, logprobs = 0 }: ResumedAnswer) {
    this.#text = new Delivered(text);
    this.#reasoning = new Delivered(reasoning);
    this.#citations = citations;
    this.#logprobs = logprobs;
    for (const { index, arguments: more } of calls) {
      this.#calls.set(index, (this.#calls.get(index) ?? 0) + more.length);
    }
  }

  /** Whether what came so far says otherwise than what was delivered. */
  get contradicted(): boolean {
    return this.#text.contradicted || this.#reasoning.contradicted;
  }

  of({ text, reasoning = '', calls = [], citations = [], logprobs }: LetOut): LetOut {
    const unseen = {
      text: this.#text.behind(text),
      reasoning: this.#reasoning.behind(reasoning),
      calls: calls.flatMap((call) => this.#unseenOf(call)),
      citations: citations.slice(this.#citations),
      logprobs: logprobs.slice(this.#logprobs),
    };
    this.#citations = Math.max(0, this.#citations - citations.length);
    this.#logprobs = Math.max(0, this.#logprobs - logprobs.length);
    return unseen;
  }

  #unseenOf(call: CallDelta): CallDelta[] {
    const had = this.#calls.get(call.index);
    if (had === undefined) return [call];
    const rest = call.arguments.slice(had);
    this.#calls.set(call.index, Math.max(0, had - call.arguments.length));
    return rest === '' ? [] : [{ index: call.index, arguments: rest }];
  }
}

/** A text that the caller has, while it comes again. */
class Delivered {
  contradicted = false;
  #seen = 0;

  constructor(private readonly text: string) {}

  /** What of the next piece lies behind it. */
  behind(piece: string): string {
    if (this.#seen === this.text.length) return piece;
    const again = piece.slice(0, this.text.length - this.#seen);
    if (!this.text.startsWith(again, this.#seen)) this.contradicted = true;
    this.#seen += again.length;
    return piece.slice(again.length);
  }
}

/** Pieces of an answer as one. */
export function joined(pieces: readonly LetOut[]): LetOut {
  const calls: { -readonly [K in keyof CallDelta]: CallDelta[K] }[] = [];
  for (const call of pieces.flatMap((piece) => piece.calls ?? [])) {
    const before = calls.find(({ index }) => index === call.index);
    if (before === undefined) calls.push({ ...call });
    else before.arguments += call.arguments;
  }
  return {
    text: pieces.map((piece) => piece.text).join(''),
    reasoning: pieces.map((piece) => piece.reasoning ?? '').join(''),
    calls,
    citations: pieces.flatMap((piece) => piece.citations ?? []),
    logprobs: pieces.flatMap((piece) => piece.logprobs),
  };
}
