import { crc32 } from 'node:zlib';
import {
  type CallDelta,
  type Citation,
  FINISH_REASONS,
  type FinishReason,
  type TokenChance,
  type TokenLogprob,
} from '@millrace/contracts';
import type { SequenceEvent } from '../vocabulary.js';
import { charsOfAll, joinedEvents } from './joined-events.js';

/** An answer as it is kept: what was computed, without what belongs to one request alone (ids, time, how it was sent). */
export interface KeptAnswer {
  /** Which model answered, and by which engine: the answer's `model` and `system_fingerprint`. */
  readonly model: string;
  readonly engine: string;
  /** Of all sequences, in the order in which they came, several pieces of text in one event. */
  readonly events: readonly SequenceEvent[];
}

/** The first byte. An entry of another version is none: a newer or an older gateway shares the Redis. */
const VERSION = 1;
const CRC_AT = 1;
const TEXT_AT = 5;

/** Pieces of a kept answer are at least so long, and not many more than so many, however long the answer: each is a chunk of a stream. */
const PIECE_CHARS_MIN = 8;
const PIECES_MAX = 256;

/**
 * An entry: version, checksum, and JSON of lists whose first item says what they are. The JSON has no names, which would be most of it;
 * tokens are counted and their numbers left out, since nobody who reads an answer learns them.
 */
export function encodeAnswer({ model, engine, events }: KeptAnswer): Uint8Array {
  const pieceChars = Math.max(PIECE_CHARS_MIN, Math.ceil(charsOfAll(events) / PIECES_MAX));
  const json = JSON.stringify([model, engine, joinedEvents(events, pieceChars).map(written)]);
  const entry = Buffer.allocUnsafe(TEXT_AT + Buffer.byteLength(json));
  entry.writeUInt8(VERSION, 0);
  entry.write(json, TEXT_AT);
  entry.writeUInt32LE(crc32(entry.subarray(TEXT_AT)), CRC_AT);
  return entry;
}

/**
 * @param sequences how many the request has: an entry that has more, fewer, or one without an end is no answer to it.
 * @returns undefined for an entry that is damaged, of another version, or none at all. Whatever the bytes are, it throws nothing.
 */
export function decodeAnswer(entry: Uint8Array, sequences: number): KeptAnswer | undefined {
  const bytes = Buffer.from(entry.buffer, entry.byteOffset, entry.byteLength);
  if (bytes.length <= TEXT_AT || bytes.readUInt8(0) !== VERSION) return undefined;
  if (bytes.readUInt32LE(CRC_AT) !== crc32(bytes.subarray(TEXT_AT))) return undefined;
  try {
    const [model, engine, items] = JSON.parse(bytes.toString('utf8', TEXT_AT)) as [unknown, unknown, Written[]];
    const events = items.map(readEvent);
    if (typeof model !== 'string' || typeof engine !== 'string' || !isWhole(events, sequences)) return undefined;
    return { model, engine, events };
  } catch {
    return undefined; // JSON of another shape: somebody else's, with the right checksum.
  }
}

/** Every sequence begins once and ends once, with a reason to keep it, and nothing comes before or behind that. */
export function isWhole(events: readonly SequenceEvent[], sequences: number): boolean {
  const begun = new Set<number>();
  const running = new Set<number>();
  for (const { kind, index, ...event } of events) {
    if (kind === 'begun') {
      if (begun.has(index) || !(index >= 0 && index < sequences)) return false;
      begun.add(index);
      running.add(index);
    } else if (!running.has(index)) return false;
    if (kind !== 'finished') continue;
    if ('reason' in event && event.reason === 'content_filter') return false;
    running.delete(index);
  }
  return begun.size === sequences && running.size === 0;
}

type Written = readonly [kind: string, index: number, ...rest: unknown[]];
type WrittenChance = readonly [token: number, bytes: string, logprob: number | null];
type WrittenLogprob = readonly [...WrittenChance, top: readonly WrittenChance[]];
type WrittenCall = readonly [index: number, text: string, name?: string];

function written(event: SequenceEvent): Written {
  const { index } = event;
  switch (event.kind) {
    case 'begun':
      return ['b', index, event.promptTokens, event.cachedTokens];
    case 'echo':
      return ['e', index, event.text, event.logprobs.map(writtenLogprob)];
    case 'tokens':
      return writtenTokens(event);
    case 'finished': {
      const { promptTokens, completionTokens, cachedTokens, reasoningTokens = 0 } = event.usage;
      const { reason, stopText } = event;
      const told = ['f', index, reason, promptTokens, completionTokens, cachedTokens, reasoningTokens] as const;
      return stopText === undefined ? told : [...told, stopText];
    }
  }
}

/** What it mostly has not comes last: where it has none of these, it ends before them. */
function writtenTokens(event: Extract<SequenceEvent, { kind: 'tokens' }>): Written {
  const { index, text, unnumbered = 0, reasoning, calls, citations, logprobs } = event;
  const rare = [
    reasoning ?? 0,
    calls?.map(writtenCall) ?? 0,
    citations ?? 0,
    logprobs?.map(writtenLogprob) ?? 0,
  ] as const;
  const end = rare.findLastIndex((one) => one !== 0) + 1;
  return ['t', index, unnumbered, text, ...rare.slice(0, end)];
}

function readEvent([kind, index, ...rest]: Written): SequenceEvent {
  switch (kind) {
    case 'b': {
      const [promptTokens, cachedTokens] = rest.map(wholeNumber);
      return { kind: 'begun', index, promptTokens: promptTokens!, cachedTokens: cachedTokens!, waitedMs: 0 };
    }
    case 'e':
      return { kind: 'echo', index, text: textOf(rest[0]), logprobs: (rest[1] as WrittenLogprob[]).map(readLogprob) };
    case 't': {
      const [count, text, reasoning = 0, calls = 0, citations = 0, logprobs = 0] = rest;
      return {
        kind: 'tokens',
        index,
        tokens: [],
        unnumbered: wholeNumber(count),
        text: textOf(text),
        ...(reasoning !== 0 && { reasoning: textOf(reasoning) }),
        ...(calls !== 0 && { calls: (calls as WrittenCall[]).map(readCall) }),
        ...(citations !== 0 && { citations: citations as Citation[] }),
        ...(logprobs !== 0 && { logprobs: (logprobs as WrittenLogprob[]).map(readLogprob) }),
      };
    }
    case 'f': {
      const [reason, ...more] = rest;
      const [promptTokens, completionTokens, cachedTokens, reasoningTokens] = more.slice(0, 4).map(wholeNumber);
      const stopText = more[4];
      const usage = {
        promptTokens: promptTokens!,
        completionTokens: completionTokens!,
        cachedTokens: cachedTokens!,
        reasoningTokens: reasoningTokens!,
      };
      const finished = { kind: 'finished', index, reason: reasonOf(reason), usage } as const;
      return stopText === undefined ? finished : { ...finished, stopText: textOf(stopText) };
    }
    default:
      throw new TypeError(`An entry has an event "${kind}".`);
  }
}

function writtenCall({ index, name, arguments: text }: CallDelta): WrittenCall {
  return name === undefined ? [index, text] : [index, text, name];
}

function readCall([index, text, name]: WrittenCall): CallDelta {
  return { index: wholeNumber(index), ...(name !== undefined && { name: textOf(name) }), arguments: textOf(text) };
}

function writtenLogprob({ top, ...chance }: TokenLogprob): WrittenLogprob {
  return [...writtenChance(chance), top.map(writtenChance)];
}

/** JSON has neither bytes nor NaN: a byte becomes a character, and the probability of what follows nothing is null. */
function writtenChance({ token, bytes, logprob }: TokenChance): WrittenChance {
  return [token, Buffer.from(bytes).toString('latin1'), Number.isNaN(logprob) ? null : logprob];
}

function readLogprob([token, bytes, logprob, top]: WrittenLogprob): TokenLogprob {
  return { ...readChance([token, bytes, logprob]), top: top.map(readChance) };
}

function readChance([token, bytes, logprob]: WrittenChance): TokenChance {
  return { token: wholeNumber(token), bytes: Buffer.from(textOf(bytes), 'latin1'), logprob: logprob ?? Number.NaN };
}

function wholeNumber(value: unknown): number {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  throw new TypeError('An entry has something in place of a number.');
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  throw new TypeError('An entry has something in place of a text.');
}

function reasonOf(value: unknown): FinishReason {
  const reason = FINISH_REASONS.find((one) => one === value);
  if (reason === undefined) throw new TypeError('An entry has something in place of a reason.');
  return reason;
}
