import { setImmediate as nextTurn } from 'node:timers/promises';

/** A line of a file, and where it stands there. */
export interface FileLine {
  /** From 1. */
  readonly number: number;
  readonly byteFrom: number;
  /** All of it, its end of line included: lines lie one behind another without a gap. */
  readonly bytes: number;
  /** Without its end; undefined: it is longer than is read. */
  readonly content: Uint8Array | undefined;
}

export interface LineTerms {
  /** A longer line is passed over, and none of it kept. */
  readonly lineBytesMax: number;
  /** Where the content begins in its file, and with which line; absent: at its beginning. */
  readonly byteFrom?: number;
  readonly number?: number;
}

const NEW_LINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];
/** Short lines come by the ten thousand in a chunk, and whoever waits for an answer has a turn in between. */
const LINES_PER_TURN = 2_000;

/**
 * The lines of a file, as it comes: never more than one of them in memory, and of one that is too long not even that. Ends are `\n` or
 * `\r\n`; the last line may have none. A byte order mark at the beginning is no part of the first line.
 */
export async function* readLines(content: AsyncIterable<Uint8Array>, terms: LineTerms): AsyncGenerator<FileLine> {
  const { lineBytesMax, byteFrom = 0, number = 1 } = terms;
  const line = new LineInTheMaking(lineBytesMax, byteFrom, number);
  for await (const chunk of content) {
    let from = 0;
    for (let end = chunk.indexOf(NEW_LINE); end !== -1; end = chunk.indexOf(NEW_LINE, from)) {
      line.add(chunk.subarray(from, end + 1));
      from = end + 1;
      const taken = line.take();
      yield taken;
      if (taken.number % LINES_PER_TURN === 0) await nextTurn();
    }
    if (from < chunk.length) line.add(chunk.subarray(from));
  }
  if (line.bytes > 0) yield line.take();
}

/** Room for the end of a line, which is not counted. */
const END_BYTES = 2;

class LineInTheMaking {
  bytes = 0;
  #pieces: Uint8Array[] = [];

  constructor(
    private readonly bytesMax: number,
    private byteFrom: number,
    private number: number,
  ) {}

  add(piece: Uint8Array): void {
    this.bytes += piece.length;
    if (this.bytes > this.bytesMax + END_BYTES) this.#pieces = [];
    else this.#pieces.push(piece);
  }

  take(): FileLine {
    const { byteFrom, number, bytes } = this;
    const whole = bytes > this.bytesMax + END_BYTES ? undefined : this.#content();
    this.byteFrom += bytes;
    this.number += 1;
    this.bytes = 0;
    this.#pieces = [];
    return { number, byteFrom, bytes, content: whole && whole.length > this.bytesMax ? undefined : whole };
  }

  /** Copied, so that a short line does not keep the chunk that it came with. */
  #content(): Uint8Array {
    const all = Buffer.concat(this.#pieces);
    const hasMark = this.byteFrom === 0 && BYTE_ORDER_MARK.every((byte, index) => all[index] === byte);
    let end = all.length;
    if (all[end - 1] === NEW_LINE) end -= all[end - 2] === CARRIAGE_RETURN ? 2 : 1;
    return all.subarray(hasMark ? Math.min(BYTE_ORDER_MARK.length, end) : 0, end);
  }
}
