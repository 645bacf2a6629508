import { type CallDelta, type Citation, InferenceError, type TokenLogprob } from '@millrace/contracts';
import { JsonEnd } from '@millrace/runtime';
import type { SequenceEvent } from '../vocabulary.js';

type Tokens = Extract<SequenceEvent, { kind: 'tokens' }>;

export interface ThoughtPart {
  readonly kind: 'thought';
  readonly text: string;
}
/** May be empty, where something is only said of the text before. */
export interface TextPart {
  readonly kind: 'text';
  readonly text: string;
  readonly logprobs: readonly TokenLogprob[];
  readonly citations: readonly Citation[];
}
/** A piece of a call. With its name it begins one. */
export interface CallPart extends CallDelta {
  readonly kind: 'call';
  /** With this piece its arguments are whole, or they were before. */
  readonly whole: boolean;
}
export type Part = ThoughtPart | TextPart | CallPart;

type Held =
  | (Omit<ThoughtPart, 'text'> & { text: string })
  | { readonly kind: 'text'; text: string; readonly logprobs: TokenLogprob[]; readonly citations: Citation[] }
  | { readonly kind: 'call'; readonly index: number; readonly name: string; arguments: string };

/** Of one answer. Beyond it what is open is taken to have ended: arguments that never become JSON hold nothing back for ever. */
export const HELD_BACK_BYTES_MAX = 16 * 1024 * 1024;
/** Of each part that waits, whatever is in it. */
const PART_BYTES = 64;
/** Of a token that might have stood in the text, at a guess. */
const CHANCE_BYTES = 64;

/**
 * An answer as formats want it that tell one part after another: thoughts, text and calls, none of which goes on when another has begun. Some
 * engines mix the pieces of several calls, and write text between them, so what comes in the midst of a call is held back until that has
 * ended, which shows in its arguments: they are JSON. Parts stand in the order in which they began.
 *
 * It does nothing but compute. What it holds back is one piece for each part, so that many small ones cost no more.
 */
export class PartsInOrder {
  /** The call that is being told. */
  #open: number | undefined;
  readonly #ends = new Map<number, JsonEnd>();
  #held: Held[] = [];
  #heldBytes = 0;

  constructor(private readonly heldBackBytesMax = HELD_BACK_BYTES_MAX) {}

  /**
   * In the order in which a model writes them, but that an open call is gone on with first: pieces that were unread for a while come as
   * one, which doesn't tell that it ended before a text began.
   *
   * @returns what can be told now.
   * @throws InferenceError for a call that goes on when it was taken to have ended.
   */
  add({ reasoning = '', text, calls = [], citations = [], logprobs = [] }: Tokens): readonly Part[] {
    const told: Part[] = [];
    const goOn = calls.filter((call) => this.#goesOn(call));
    for (const call of goOn) this.#takeCall(call, told);
    if (reasoning !== '') this.#take({ kind: 'thought', text: reasoning }, told);
    // Those of thoughts and calls belong to no text.
    const chances = text !== '' || (reasoning === '' && calls.length === 0) ? logprobs : [];
    if (text !== '' || chances.length > 0 || citations.length > 0)
      this.#take({ kind: 'text', text, logprobs: chances, citations }, told);
    for (const call of calls) if (!goOn.includes(call)) this.#takeCall(call, told);
    if (this.#heldBytes > this.heldBackBytesMax) this.#letGoOfAll(told);
    return told;
  }

  /** What is held back: the answer is over. */
  end(): readonly Part[] {
    const told: Part[] = [];
    this.#letGoOfAll(told);
    return told;
  }

  #letGoOfAll(told: Part[]): void {
    while (this.#held.length > 0) {
      this.#open = undefined;
      this.#letGo(told);
    }
  }

  #goesOn({ name, index }: CallDelta): boolean {
    return name === undefined && index === this.#open;
  }

  #takeCall(call: CallDelta, told: Part[]): void {
    const { index, name } = call;
    if (name !== undefined) this.#ends.set(index, new JsonEnd());
    const end = this.#ends.get(index);
    // Space behind the end says nothing, and may come when others were told.
    if (end === undefined || (end.reached && call.arguments.trim() === '')) return;
    end.push(call.arguments);
    if (name !== undefined) this.#take({ ...call, kind: 'call', whole: end.reached }, told);
    else if (index === this.#open) this.#goOn(call, end.reached, told);
    else this.#holdMore(call);
  }

  #goOn(call: CallDelta, whole: boolean, told: Part[]): void {
    told.push({ ...call, kind: 'call', whole });
    this.#letGo(told);
  }

  #take(part: Part, told: Part[]): void {
    if (this.#isInCall()) {
      this.#hold(part);
      return;
    }
    if (part.kind === 'call') this.#open = part.index;
    else if (part.text !== '') this.#open = undefined;
    told.push(part);
  }

  /** Up to a call that goes on. */
  #letGo(told: Part[]): void {
    if (this.#isInCall()) return;
    let next = 0;
    for (; next < this.#held.length && !this.#isInCall(); next++) {
      const held = this.#held[next]!;
      this.#heldBytes -= PART_BYTES + bytesOf(held);
      this.#take(held.kind === 'call' ? { ...held, whole: this.#ends.get(held.index)!.reached } : held, told);
    }
    this.#held = this.#held.slice(next);
    if (this.#held.length === 0) this.#heldBytes = 0; // Halves of a character count for more than both together.
  }

  #isInCall(): boolean {
    return this.#open !== undefined && !this.#ends.get(this.#open)!.reached;
  }

  #hold(part: Part): void {
    this.#heldBytes += bytesOf(part);
    const last = this.#held.at(-1);
    if (last?.kind === 'text' && part.kind === 'text') {
      last.text += part.text;
      for (const one of part.logprobs) last.logprobs.push(one);
      for (const one of part.citations) last.citations.push(one);
    } else if (last?.kind === 'thought' && part.kind === 'thought') {
      last.text += part.text;
    } else {
      this.#heldBytes += PART_BYTES;
      this.#held.push(heldOf(part));
    }
  }

  #holdMore({ index, arguments: more }: CallDelta): void {
    const held = this.#held.find((one) => one.kind === 'call' && one.index === index);
    if (held?.kind !== 'call') throw wentBack(index, this.heldBackBytesMax);
    held.arguments += more;
    this.#heldBytes += Buffer.byteLength(more);
  }
}

function heldOf(part: Part): Held {
  if (part.kind === 'thought') return { ...part };
  if (part.kind === 'text') return { ...part, logprobs: [...part.logprobs], citations: [...part.citations] };
  const { kind, index, name, arguments: begun } = part;
  return { kind, index, name: name!, arguments: begun };
}

function bytesOf(part: Part | Held): number {
  if (part.kind === 'call') return Buffer.byteLength((part.name ?? '') + part.arguments);
  if (part.kind === 'thought') return Buffer.byteLength(part.text);
  const chances = (part.logprobs as readonly TokenLogprob[]).reduce((sum, { top }) => sum + 1 + top.length, 0);
  return Buffer.byteLength(part.text) + CHANCE_BYTES * (chances + part.citations.length);
}

function wentBack(call: number, bytesMax: number): InferenceError {
  return new InferenceError(
    'internal_error',
    `The worker went on with call ${call} of the answer, which had ended: its arguments were whole, or more than ${bytesMax.toLocaleString('en')} bytes of others had come since. Send the request again.`,
  );
}
