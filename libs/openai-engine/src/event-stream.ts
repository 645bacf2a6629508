/** What makes an event of a stream longer than anything a model says in one go. */
export class EventTooLong extends Error {
  constructor(readonly bytesMax: number) {
    super(`an event of the stream is longer than ${bytesMax.toLocaleString('en-US')} bytes`);
  }
}

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const COLON = 0x3a;
const SPACE = 0x20;
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);
const DATA = Buffer.from('data');
const HELD_BYTES_KEPT = 65_536;

/**
 * Reads server-sent events out of bytes, however they are cut: lines that end in any of the three ways, comments, a byte
 * order mark, data over several lines, names of events (which are of no interest: the data says what it is).
 *
 * Lines are cut as bytes and decoded whole, so a character that two pieces share comes out right. What is held is at most
 * one event, of at most `eventBytesMax`.
 */
export class EventStream {
  /** The beginning of a line whose end has not come; it grows by doubling, so that single bytes cost no more. */
  #held = Buffer.alloc(0);
  #heldBytes = 0;
  /** Of the event whose end has not come; undefined until it has data. */
  #data: string | undefined;
  /** How much of the limit the event has used. */
  #eventBytes = 0;
  #afterCarriageReturn = false;
  #atStart = true;
  /** Lines so far, comments among them: a sign of life. */
  #lines = 0;

  constructor(private readonly eventBytesMax: number) {}

  get lines(): number {
    return this.#lines;
  }

  /**
   * The data of the events that these bytes complete.
   *
   * @throws EventTooLong
   */
  push(bytes: Buffer): string[] {
    const events: string[] = [];
    let at = 0;
    if (this.#afterCarriageReturn && bytes.length > 0) {
      if (bytes[0] === LINE_FEED) at = 1;
      this.#afterCarriageReturn = false;
    }
    while (at < bytes.length) {
      const end = endOfLine(bytes, at);
      if (end === -1) break;
      this.#line(this.#joined(bytes.subarray(at, end)), events);
      at = end + 1;
      if (bytes[end] !== CARRIAGE_RETURN) continue;
      if (at === bytes.length) this.#afterCarriageReturn = true;
      else if (bytes[at] === LINE_FEED) at++;
    }
    if (at < bytes.length) this.#keep(bytes.subarray(at));
    return events;
  }

  #keep(rest: Buffer): void {
    const bytes = this.#heldBytes + rest.length;
    this.#checkLength(bytes);
    if (bytes > this.#held.length) {
      const larger = Buffer.allocUnsafe(Math.max(256, bytes * 2));
      this.#held.copy(larger, 0, 0, this.#heldBytes);
      this.#held = larger;
    }
    rest.copy(this.#held, this.#heldBytes);
    this.#heldBytes = bytes;
  }

  #joined(last: Buffer): Buffer {
    if (this.#heldBytes === 0) {
      this.#checkLength(last.length);
      return last;
    }
    this.#keep(last);
    const line = this.#held.subarray(0, this.#heldBytes);
    this.#heldBytes = 0;
    // A long one is let go of; it is read before the next is held.
    if (this.#held.length > HELD_BYTES_KEPT) this.#held = Buffer.alloc(0);
    return line;
  }

  #checkLength(bytes: number): void {
    if (this.#eventBytes + bytes > this.eventBytesMax) throw new EventTooLong(this.eventBytesMax);
  }

  #line(bytes: Buffer, events: string[]): void {
    this.#lines++;
    const line = this.#atStart ? withoutMark(bytes) : bytes;
    this.#atStart = false;
    if (line.length === 0) {
      if (this.#data !== undefined) events.push(this.#data);
      this.#data = undefined;
      this.#eventBytes = 0;
      return;
    }
    const data = dataOf(line);
    if (data === undefined) return;
    this.#eventBytes += line.length;
    this.#data = this.#data === undefined ? data : `${this.#data}\n${data}`;
  }
}

function endOfLine(bytes: Buffer, from: number): number {
  const feed = bytes.indexOf(LINE_FEED, from);
  const until = feed === -1 ? bytes.length : feed;
  // Searched for only before the line feed, so that a long piece is not read through for every line.
  const carriage = bytes.subarray(from, until).indexOf(CARRIAGE_RETURN);
  return carriage === -1 ? feed : from + carriage;
}

function withoutMark(line: Buffer): Buffer {
  return line.subarray(0, 3).equals(BYTE_ORDER_MARK) ? line.subarray(3) : line;
}

/** The value of a line `data: …`; of any other, undefined. */
function dataOf(line: Buffer): string | undefined {
  if (line.length < DATA.length || line.compare(DATA, 0, DATA.length, 0, DATA.length) !== 0) return undefined;
  if (line.length === DATA.length) return '';
  if (line[DATA.length] !== COLON) return undefined;
  const from = line[DATA.length + 1] === SPACE ? DATA.length + 2 : DATA.length + 1;
  return line.toString('utf8', from);
}
