import type { Prompt } from '@millrace/contracts';

/** The beginning of a prompt up to some place, as a number: two prompts that begin alike up to there have the same. */
export interface PrefixPoint {
  /** 53 bits, of which any two different beginnings share all once in many millions of millions. */
  readonly key: number;
  /** How long the beginning is, in characters of the canonical text. */
  readonly chars: number;
  /** Whether it is worth remembering who has read it: a later prompt may well end its common part here. */
  readonly kept: boolean;
}

/** What routing wants to know of a prompt: where it may have a beginning in common with others. */
export interface PromptPrefix {
  /** Beyond the anchor, from the shortest beginning to the longest; empty for a prompt that is too short for it to matter. */
  readonly points: readonly PrefixPoint[];
  /**
   * What prompts of one kind have in common, as 32 bits: tools and system prompt, or the first `MIN_CHARS` where there is less than
   * that. Undefined for a prompt that is too short.
   */
  readonly anchor: number | undefined;
  /** As far as the anchor goes. */
  readonly anchorChars: number;
  /** What tells this conversation from others of its kind, as 32 bits, and stays the same from turn to turn. */
  readonly spread: number;
}

/** About 128 tokens: reading that much again costs less than a busier worker does. */
export const MIN_CHARS = 512;
/** Nothing beyond is looked at: prompts that differ only there count as the same. */
const CHARS_MAX = 256 * 1024;
/** Up to here every character is looked at; further on every fourth, and then every sixteenth. */
const CHARS_READ_WHOLE = 4 * 1024;
const CHARS_READ_BY_FOURS = 16 * 1024;
/** Of the ends of messages only the latest are points: what two turns of a conversation have in common ends at one of them. */
const MESSAGE_ENDS_MAX = 16;
/** The end of a chat is enough to find its next turn. Only of a message that is longer, as with a document in it, more is remembered. */
const LONG_MESSAGE_CHARS = 1_024;
/** Values of one prompt's JSON that are looked at, so that tools of a million small parts cost no more than a long text. */
const VALUES_MAX = 4_096;
const DEPTH_MAX = 32;
/** A token is taken for so many characters. */
export const CHARS_PER_TOKEN = 4;

export const NO_PREFIX: PromptPrefix = { points: [], anchor: undefined, anchorChars: 0, spread: 0 };

/**
 * The beginnings of a prompt. Points lie at fixed places, each a half or a third further than the last, and at the ends of messages:
 * so a turn of a conversation finds the one before it exactly, texts that have no messages find most of what they have in common,
 * and there are only some twenty of them.
 *
 * A chat is taken in the order in which templates put it: tools and what else stands at the top, then the messages. It is no
 * rendering of the template, and need not be: it has to be the same for the same beginning, and cheap. For the same reason only a
 * part of a long text is read. Nothing depends on it but which worker is asked.
 *
 * The keys are the same in every gateway, so that those who know nothing of each other choose alike.
 *
 * @param seed what the beginning is read by: the model's id.
 */
export function prefixOf(prompt: Prompt, seed: string): PromptPrefix {
  const reader = new PrefixReader(seed);
  if (prompt.kind === 'text') reader.readText(prompt.text);
  else if (prompt.kind === 'tokens') reader.readTokens(prompt.tokens);
  else readChat(reader, prompt);
  return reader.finish();
}

function readChat(reader: PrefixReader, prompt: Extract<Prompt, { kind: 'chat' }>): void {
  const { tools, templateVariables, reasoningEffort = '', documents = [], messages } = prompt;
  reader.readText(reasoningEffort);
  reader.readValue(templateVariables);
  reader.readValue(tools);
  reader.readValue(documents);
  let opening = true;
  for (const message of messages) {
    if (reader.full) return;
    const { role, content, ...rest } = message;
    if (opening && role !== 'system' && role !== 'developer') {
      reader.endOpening();
      opening = false;
    }
    reader.readText(String(role));
    reader.readValue(content);
    reader.readValue(rest);
    reader.endMessage();
  }
}

/** Reads a prompt from its beginning on, and notes the points on its way. */
class PrefixReader {
  /** Two sums of 32 bits over the same characters. */
  #a = 0x811c9dc5;
  #b = 0x2f0b4a27;
  #chars = 0;
  #nextMark = MIN_CHARS;
  #values = 0;
  readonly #marks: PrefixPoint[] = [];
  readonly #ends: PrefixPoint[] = [];
  /** Where the message begins that is read now, and where the one before began. */
  #messageFrom = 0;
  #lastMessageFrom = 0;
  #opening: PrefixPoint | undefined;
  /** The first end of a message behind the opening. */
  #firstTurn: PrefixPoint | undefined;
  #openingEnded = false;

  constructor(seed: string) {
    this.#mixText(seed, 0, seed.length, 1);
  }

  get full(): boolean {
    return this.#chars >= CHARS_MAX;
  }

  readText(text: string): void {
    let at = 0;
    while (at < text.length && !this.full) {
      const end = Math.min(text.length, at + this.#nextMark - this.#chars);
      this.#mixText(text, at, end, this.#stride());
      this.#chars += end - at;
      at = end;
      if (this.#chars === this.#nextMark) this.#mark();
    }
  }

  readTokens(tokens: readonly number[]): void {
    let at = 0;
    while (at < tokens.length && !this.full) {
      const end = Math.min(tokens.length, at + Math.ceil((this.#nextMark - this.#chars) / CHARS_PER_TOKEN));
      const stride = this.#stride();
      for (let index = at; index < end; index += stride) this.#mix(tokens[index]!);
      this.#chars += (end - at) * CHARS_PER_TOKEN;
      at = end;
      if (this.#chars >= this.#nextMark) this.#mark();
    }
  }

  /** Of an object the members in the order in which they came: a client writes them always alike. */
  readValue(value: unknown, depth = 0): void {
    if (++this.#values > VALUES_MAX || depth > DEPTH_MAX || this.full) return;
    if (typeof value === 'string') this.readText(value);
    else if (Array.isArray(value)) for (const item of value) this.readValue(item, depth + 1);
    else if (typeof value === 'object' && value !== null) {
      for (const [name, member] of Object.entries(value)) {
        this.readText(name);
        this.readValue(member, depth + 1);
      }
    } else if (value !== undefined) this.readText(String(value));
    // Else `['a', 'b']` would be the same as `['ab']`.
    this.#mix(depth + 1);
  }

  endOpening(): void {
    this.#openingEnded = true;
    if (this.#chars >= MIN_CHARS) this.#opening = this.#point(true);
  }

  endMessage(): void {
    this.#mix(0xffff);
    this.#lastMessageFrom = this.#messageFrom + LONG_MESSAGE_CHARS;
    this.#messageFrom = this.#chars;
    if (this.full) return;
    const end = this.#point(false);
    if (this.#openingEnded) this.#firstTurn ??= end;
    if (end.chars < MIN_CHARS) return;
    this.#ends.push(end);
    if (this.#ends.length > MESSAGE_ENDS_MAX) this.#ends.shift();
  }

  finish(): PromptPrefix {
    const [first] = this.#marks;
    if (first === undefined) return NO_PREFIX;
    const last = this.#point(true);
    const opening = this.#opening ?? first;
    // An end of a message that is the end of all is there once, as the one that is kept.
    const ends = this.#ends.filter(({ key }) => key !== last.key);
    const marks = this.#marks.map((mark) => ({ ...mark, kept: mark.chars >= this.#lastMessageFrom }));
    return {
      points: [...marks, ...ends, last].filter(({ chars }) => chars > opening.chars).sort((a, b) => a.chars - b.chars),
      anchor: lowBits(opening.key),
      anchorChars: opening.chars,
      spread: lowBits((this.#firstTurn ?? last).key),
    };
  }

  #stride(): number {
    if (this.#chars < CHARS_READ_WHOLE) return 1;
    return this.#chars < CHARS_READ_BY_FOURS ? 4 : 16;
  }

  /** 512, 768, 1024, 1536, 2048, … */
  #mark(): void {
    this.#marks.push(this.#point(true));
    while (this.#nextMark <= this.#chars) {
      const octave = 2 ** Math.floor(Math.log2(this.#nextMark));
      this.#nextMark = this.#nextMark === octave ? octave * 1.5 : octave * 2;
    }
  }

  #point(kept: boolean): PrefixPoint {
    return { key: (scrambled(this.#a) >>> 11) * 2 ** 32 + scrambled(this.#b ^ this.#a), chars: this.#chars, kept };
  }

  #mixText(text: string, from: number, to: number, stride: number): void {
    let a = this.#a;
    let b = this.#b;
    for (let index = from; index < to; index += stride) {
      const code = text.charCodeAt(index);
      a = Math.imul(a ^ code, 0x01000193);
      b = Math.imul(b ^ code, 0x85ebca6b) ^ (b >>> 15);
    }
    this.#a = a;
    this.#b = b;
  }

  #mix(number: number): void {
    this.#a = Math.imul(this.#a ^ number, 0x01000193) ^ (this.#a >>> 13);
    this.#b = Math.imul(this.#b ^ number, 0x85ebca6b) ^ (this.#b >>> 15);
  }
}

function lowBits(key: number): number {
  return key >>> 0;
}

/** MurmurHash3's last step: each bit of what goes in changes half of those that come out. 32 bits, not negative. */
export function scrambled(hash: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/** A text as 32 bits, the same everywhere. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return scrambled(hash);
}
