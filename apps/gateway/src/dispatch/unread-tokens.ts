import type { CallDelta, Citation, TokenLogprob } from '@millrace/contracts';
import type { TokensPiece } from './content-check.js';

type Unread = { -readonly [K in keyof CallDelta]: CallDelta[K] };

/** Pieces of an answer that nobody has read yet, merged into one: a slow reader costs one piece and no queue of them. */
export class UnreadTokens {
  #any = false;
  #tokens: number[] = [];
  #unnumbered = 0;
  #text = '';
  #reasoning = '';
  #calls: Unread[] = [];
  #citations: Citation[] = [];
  #logprobs: TokenLogprob[] = [];

  get any(): boolean {
    return this.#any;
  }

  add({ tokens, unnumbered = 0, text, reasoning = '', calls, citations, logprobs }: TokensPiece): void {
    this.#any = true;
    append(this.#tokens, tokens);
    this.#unnumbered += unnumbered;
    this.#text += text;
    this.#reasoning += reasoning;
    for (const call of calls ?? []) this.#addCall(call);
    append(this.#citations, citations);
    append(this.#logprobs, logprobs);
  }

  take(): TokensPiece {
    const piece: TokensPiece = {
      tokens: this.#tokens,
      text: this.#text,
      ...(this.#unnumbered > 0 && { unnumbered: this.#unnumbered }),
      ...(this.#reasoning !== '' && { reasoning: this.#reasoning }),
      ...(this.#calls.length > 0 && { calls: this.#calls }),
      ...(this.#citations.length > 0 && { citations: this.#citations }),
      ...(this.#logprobs.length > 0 && { logprobs: this.#logprobs }),
    };
    this.#any = false;
    this.#tokens = [];
    this.#unnumbered = 0;
    this.#text = '';
    this.#reasoning = '';
    this.#calls = [];
    this.#citations = [];
    this.#logprobs = [];
    return piece;
  }

  /** Whatever is unread of a call is one piece; there are never more calls than `ContentCheck` lets through. */
  #addCall(call: CallDelta): void {
    const unread = this.#calls.find(({ index }) => index === call.index);
    if (unread === undefined) this.#calls.push({ ...call });
    else unread.arguments += call.arguments;
  }
}

/** Not spread into a call or a new list: there may be many, and they may come one by one. */
function append<T>(list: T[], more: readonly T[] | undefined): void {
  for (const one of more ?? []) list.push(one);
}
