import type { RequestRecord } from '../vocabulary.js';
import { isDay } from './record-days.js';

/** A record as the database has it: its columns are the fields of the JSON that goes through spool and statement. */
export interface RecordRow {
  /** UTC, of the arrival: the partition that it belongs to. */
  readonly day: string;
  readonly record_id: string;
  readonly key_id: string | null;
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  /** Its tokens were computed for another request, or for an earlier one: they are told, and in no total. */
  readonly cached: boolean;
  readonly [column: string]: unknown;
}

/** Longer ones are cut: an index takes no more than 2,700 bytes, and a name that long is none. */
const NAME_CHARS_MAX = 500;
const PARAMETERS_CHARS_MAX = 8_192;
/** Postgres's `integer`. */
const INTEGER_MAX = 2_147_483_647;
const ARRIVAL_MS_MIN = Date.UTC(2001, 0, 1);
const ARRIVAL_MS_MAX = Date.UTC(2199, 0, 1);

/** Whatever the record holds, what comes out is a row that Postgres takes. */
export function rowOf(record: RequestRecord): RecordRow {
  const arrivedAt = new Date(arrivalMs(record.arrivedAtMs)).toISOString();
  const { contents } = record;
  return {
    day: arrivedAt.slice(0, 10),
    record_id: record.recordId,
    arrived_at: arrivedAt,
    request_id: record.requestId.slice(0, NAME_CHARS_MAX),
    trace_id: name(record.traceId),
    key_id: name(record.keyId),
    key_name: name(record.keyName),
    endpoint: record.endpoint,
    model: name(record.model),
    worker: name(record.worker),
    attempts: whole(record.attempts),
    stream: record.stream,
    parameters: record.parameters,
    outcome: record.outcome,
    code: record.code ?? null,
    status: whole(record.status),
    prompt_tokens: whole(record.promptTokens),
    cached_tokens: whole(record.cachedTokens),
    completion_tokens: whole(record.completionTokens),
    reasoning_tokens: whole(record.reasoningTokens),
    waited_ms: milliseconds(record.waitedMs) ?? 0,
    first_token_ms: milliseconds(record.firstTokenMs),
    per_token_ms: milliseconds(record.perTokenMs),
    total_ms: milliseconds(record.totalMs) ?? 0,
    overhead_ms: milliseconds(record.overheadMs),
    cached: record.cached,
    continued: record.continued,
    ...(contents && { question: contents.question, answer: contents.answer, contents_cut: contents.cut }),
  };
}

/** What `jsonb` refuses: the character NUL, and half a surrogate pair. Also matches where a text only speaks of them. */
const REFUSED = /\\u(?:0000|d[89a-f])/;

/** One line of JSON without a line break, that Postgres reads as `jsonb`. */
export function lineOfRow(row: RecordRow): string {
  const line = JSON.stringify(row);
  const tidied = REFUSED.test(line) ? JSON.stringify(row, (_name, value) => acceptable(value)) : line;
  if (tidied.length <= PARAMETERS_CHARS_MAX || JSON.stringify(row.parameters).length <= PARAMETERS_CHARS_MAX)
    return tidied;
  return lineOfRow({ ...row, parameters: { left_out: 'too long' } });
}

function acceptable(value: unknown): unknown {
  return typeof value === 'string' ? value.toWellFormed().replaceAll('\0', '\uFFFD') : value;
}

/**
 * The row of a line that lay on a disk; undefined when it is none: half a line, of a process that was killed while it wrote, or
 * zeros, of a machine that lost its power.
 */
export function rowOfLine(line: string): RecordRow | undefined {
  try {
    const row: unknown = JSON.parse(line);
    return isRow(row) ? row : undefined;
  } catch {
    return undefined;
  }
}

function isRow(value: unknown): value is RecordRow {
  if (typeof value !== 'object' || value === null) return false;
  const { day, record_id: recordId } = value as Partial<RecordRow>;
  return typeof day === 'string' && isDay(day) && typeof recordId === 'string';
}

function arrivalMs(ms: number): number {
  return ms >= ARRIVAL_MS_MIN && ms < ARRIVAL_MS_MAX ? ms : Date.now();
}

function name(text: string | undefined): string | null {
  return text === undefined ? null : text.slice(0, NAME_CHARS_MAX);
}

function whole(value: number): number {
  return value > 0 ? Math.min(INTEGER_MAX, Math.trunc(value)) : 0;
}

/** To the microsecond; what is no number of milliseconds is null. */
function milliseconds(value: number | undefined): number | null {
  if (value === undefined || !(Math.abs(value) < 1e15)) return null;
  return Math.round(value * 1_000) / 1_000;
}
