import type { CallDelta } from '@millrace/contracts';
import type { RecordedContents, SequenceEvent } from '../vocabulary.js';

/** What a request may have been asked with. */
export interface Asking {
  readonly prompts?: readonly unknown[];
  readonly prompt?: unknown;
  readonly inputs?: readonly unknown[];
  readonly query?: string;
  readonly documents?: readonly unknown[];
}

/** A text of the caller's may be nested deeper than a stack is. */
const DEPTH_MAX = 32;

/** What was asked and answered, as it comes in, where records hold it. Holds little more than `bytesMax` of the answer. */
export class ContentsInTheMaking {
  #text = '';
  /** Tool calls, a line each. */
  #calls = '';
  #answerBytes = 0;

  constructor(private readonly bytesMax: number) {}

  /** Of several answers only the first is kept. */
  add(event: SequenceEvent): void {
    if (event.kind !== 'tokens' || event.index !== 0 || this.#answerBytes > this.bytesMax) return;
    const calls = (event.calls ?? []).map(callText).join('');
    this.#text += event.text;
    this.#calls += calls;
    this.#answerBytes += Buffer.byteLength(event.text) + Buffer.byteLength(calls);
  }

  /** With the question of `request`; undefined: it was never valid, and nothing of it is kept. */
  of(request: Asking | undefined): RecordedContents | undefined {
    if (request === undefined) return undefined;
    const json = boundedJson(questionOf(request), this.bytesMax);
    const question = firstBytes(json, this.bytesMax);
    const whole = this.#text === '' ? this.#calls.trimStart() : this.#text + this.#calls;
    const answer = firstBytes(whole, this.bytesMax);
    return { question, answer, cut: question !== json || answer !== whole };
  }
}

/** A call is told as its name, a blank, and the JSON of its arguments. */
function callText({ name, arguments: text }: CallDelta): string {
  return name === undefined ? text : `\n${name} ${text}`;
}

/** The messages; the prompt or prompts; the inputs; the query and its documents. */
function questionOf({ prompts, prompt, inputs, query, documents }: Asking): unknown {
  if (query !== undefined) return { query, documents };
  if (inputs !== undefined) return inputs.map(bare);
  if (prompts === undefined) return bare(prompt);
  return prompts.length === 1 ? bare(prompts[0]) : prompts.map(bare);
}

/** Without the wrapping that is ours. */
function bare(prompt: unknown): unknown {
  if (typeof prompt !== 'object' || prompt === null) return prompt;
  const { messages, text, tokens } = prompt as Readonly<Record<string, unknown>>;
  return messages ?? text ?? tokens ?? prompt;
}

/** JSON up to a little beyond so many characters, without ever making the rest of it. What is whole is shorter than that. */
export function boundedJson(value: unknown, charsMax: number): string {
  let json = '';
  const write = (part: unknown, depth: number): void => {
    if (json.length > charsMax) return;
    if (typeof part === 'string') json += JSON.stringify(part.slice(0, charsMax + 1 - json.length));
    else if (typeof part !== 'object' || part === null) json += JSON.stringify(part) ?? 'null';
    else if (depth >= DEPTH_MAX) json += '"…"';
    else if (Array.isArray(part)) writeAll('[', part, ']', (item) => write(item, depth + 1));
    else {
      writeAll('{', Object.entries(part), '}', ([name, item]) => {
        json += `${JSON.stringify(name.slice(0, charsMax))}:`;
        write(item, depth + 1);
      });
    }
  };
  const writeAll = <T>(begin: string, items: readonly T[], end: string, each: (item: T) => void) => {
    json += begin;
    for (const [index, item] of items.entries()) {
      if (json.length > charsMax) return;
      if (index > 0) json += ',';
      each(item);
    }
    json += end;
  };
  write(value, 0);
  return json;
}

/** As many whole characters as fit. */
export function firstBytes(text: string, bytesMax: number): string {
  if (Buffer.byteLength(text) <= bytesMax) return text;
  const bytes = Buffer.from(text.slice(0, bytesMax));
  let end = Math.min(bytesMax, bytes.length);
  // A byte 10xxxxxx goes on with a character that began before.
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end);
}
