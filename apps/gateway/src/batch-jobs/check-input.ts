import { createHash } from 'node:crypto';
import type { BatchEndpoint } from '@millrace/contracts';
import { type BatchLine, readBatchLine } from './read-batch-line.js';
import { type FileLine, readLines } from './read-lines.js';
import { isStorable } from './storable.js';

export interface InputLimits {
  readonly batchLinesMax: number;
  readonly lineBytesMax: number;
}

/** A part of the input that is run as one: lines that follow each other. */
export interface Slice {
  readonly slice: number;
  readonly firstLine: number;
  readonly byteFrom: number;
  readonly bytes: number;
  /** Numbers of its lines whose `custom_id` an earlier line has. */
  readonly duplicates: readonly number[];
}

/** What is wrong with a batch as a whole, in OpenAI's shape. */
export interface BatchError {
  readonly code: string;
  readonly message: string;
  readonly line: number | null;
  readonly param: string | null;
}

export type CheckedInput =
  | { readonly kind: 'valid'; readonly slices: readonly Slice[]; readonly lines: number; readonly model: string | null }
  | { readonly kind: 'invalid'; readonly errors: readonly BatchError[] };

/** A slice is what may be computed twice after a kill, at most, and what two gateways share a batch by. */
export const SLICE_LINES_MAX = 200;
/** The same with the blank ones, which are read again with it. */
export const SLICE_FILE_LINES_MAX = 10_000;
/** A slice is held in memory while it runs; a line that is larger is a slice by itself. */
export const SLICE_BYTES_MAX = 4 * 1024 * 1024;
/** Of lines, where none of them is a request. */
const ERRORS_TOLD_MAX = 20;
/** Enough that two of 50,000 ids are never taken for one. */
const DIGEST_BYTES = 16;

/**
 * Reads the whole input once, before anything is run: what is wrong with the file fails the batch, what is wrong with a line is that
 * line's affair, and is found again when its slice is run. Only what takes all lines to know is kept: their number, the slices, and
 * which ids come twice. A million lines would take 100 MB here, of digests; no line is held longer than it takes to read.
 */
export async function checkInput(
  content: AsyncIterable<Uint8Array>,
  endpoint: BatchEndpoint,
  limits: InputLimits,
): Promise<CheckedInput> {
  const { batchLinesMax, lineBytesMax } = limits;
  const check = new InputCheck(batchLinesMax);
  for await (const line of readLines(content, { lineBytesMax })) {
    check.add(line, readBatchLine(line, endpoint, lineBytesMax));
    if (check.lines > batchLinesMax) break;
  }
  return check.result();
}

class InputCheck {
  lines = 0;
  readonly #slices: OpenSlice[] = [];
  readonly #ids = new Set<string>();
  readonly #errors: BatchError[] = [];
  #anyJson = false;
  /** Undefined: no line was there yet; null: they name none, or several. */
  #model: string | null | undefined;

  constructor(private readonly linesMax: number) {}

  add(line: FileLine, read: BatchLine): void {
    const slice = this.#sliceFor(line);
    slice.bytes += line.bytes;
    slice.fileLines += 1;
    if (read.kind === 'blank') return;
    slice.lines += 1;
    this.lines += 1;
    if (read.kind === 'request') this.#note(modelOf(read.body));
    else this.#complain(line.number, read);
    this.#anyJson ||= read.kind === 'request' || read.isJson;
    if (read.customId !== null && this.#isKnown(read.customId)) slice.duplicates.push(line.number);
  }

  result(): CheckedInput {
    if (this.lines === 0)
      return invalid([fileError('empty_file', 'The input file has no lines. Write a request into each.')]);
    if (this.lines > this.linesMax)
      return invalid([
        fileError(
          'too_many_lines',
          `The input file has more than ${inEnglish(this.linesMax)} lines, which is what a batch may have. Make several batches of it, or raise batchLinesMax.`,
        ),
      ]);
    if (!this.#anyJson) return invalid(this.#errors);
    const slices = this.#slices
      .filter(({ lines }) => lines > 0)
      .map(({ lines: _, fileLines: __, ...slice }, index) => ({ ...slice, slice: index }));
    return { kind: 'valid', slices, lines: this.lines, model: this.#model ?? null };
  }

  #sliceFor({ number, byteFrom, bytes }: FileLine): OpenSlice {
    const last = this.#slices.at(-1);
    if (last !== undefined && hasRoomFor(last, bytes)) return last;
    // One of blank lines alone is none.
    if (last?.lines === 0) this.#slices.pop();
    const next = { firstLine: number, byteFrom, bytes: 0, lines: 0, fileLines: 0, duplicates: [] };
    this.#slices.push(next);
    return next;
  }

  #note(model: string | null): void {
    if (this.#model === undefined) this.#model = model;
    else if (this.#model !== model) this.#model = null;
  }

  #complain(line: number, { error }: Extract<BatchLine, { kind: 'broken' }>): void {
    if (this.#errors.length < ERRORS_TOLD_MAX) this.#errors.push({ ...error, line });
  }

  /** By a digest, since ids may be as long as they like; of UTF-16, in which halves of a character differ, too. */
  #isKnown(customId: string): boolean {
    const digest = createHash('sha256').update(customId, 'utf16le').digest().toString('latin1', 0, DIGEST_BYTES);
    if (this.#ids.has(digest)) return true;
    this.#ids.add(digest);
    return false;
  }
}

interface OpenSlice {
  readonly firstLine: number;
  readonly byteFrom: number;
  bytes: number;
  lines: number;
  /** Blank ones included. */
  fileLines: number;
  readonly duplicates: number[];
}

function hasRoomFor(slice: OpenSlice, bytes: number): boolean {
  return (
    slice.lines < SLICE_LINES_MAX && slice.fileLines < SLICE_FILE_LINES_MAX && slice.bytes + bytes <= SLICE_BYTES_MAX
  );
}

function modelOf(body: object): string | null {
  const { model } = body as { readonly model?: unknown };
  return typeof model === 'string' && model.length <= 500 && isStorable(model) ? model : null;
}

function invalid(errors: readonly BatchError[]): CheckedInput {
  return { kind: 'invalid', errors };
}

export function fileError(code: string, message: string, param: string | null = null): BatchError {
  return { code, message, line: null, param };
}

function inEnglish(number: number): string {
  return number.toLocaleString('en');
}
