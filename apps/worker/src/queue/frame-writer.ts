import { EventEmitter, once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { QUEUE_FRAME_FIELD, QUEUE_KEYS_TTL_MS } from '@millrace/contracts';

/** What the writer needs of Redis. */
export interface FrameRedis {
  eval(script: string, keys: number, ...args: (string | Buffer | number)[]): Promise<unknown>;
}

/** Where the frames of an answer go. */
export interface FrameStream {
  readonly key: string;
  /** The stream that whoever reads it waits on. */
  readonly wakeKey: string;
}

interface Frame extends FrameStream {
  readonly number: number;
  readonly bytes: Uint8Array;
}

/** So that its reader reads. */
const WAKE = "redis.call('XADD', %, 'MAXLEN', 1, '*', 'w', '')\nredis.call('PEXPIRE', %, ARGV[2])";

/** The line of a script that wakes the reader who waits on the stream of that name. ARGV[2] is how long it is kept. */
export function wakeScript(key: string): string {
  return WAKE.replaceAll('%', key);
}

/**
 * Frames of many streams at a time. The number is the entry's id, so a frame that was written already, by a call of which the answer
 * was lost, is refused by Redis and does no harm.
 */
const APPEND = `
local frames = tonumber(ARGV[3])
for i = 1, frames do
  local done = redis.pcall('XADD', KEYS[i], 'MAXLEN', '~', ARGV[1], ARGV[2 + 2 * i], '${QUEUE_FRAME_FIELD}', ARGV[3 + 2 * i])
  if type(done) == 'table' and done.err and not string.find(done.err, 'equal or smaller', 1, true) then
    return redis.error_reply(done.err)
  end
  redis.call('PEXPIRE', KEYS[i], ARGV[2])
end
for i = frames + 1, #KEYS do
  ${wakeScript('KEYS[i]')}
end
return frames`;

/**
 * More than can be unread: credit bounds tokens, and each entry has one or more; pieces of an echo may come without. Entries that were
 * read are of no use, and a gateway that finds one cut off that it has not read asks for the answer again.
 */
const STREAM_ENTRIES_MAX = 2_048;
/** Of one call of the script, during which Redis does nothing else. */
const BATCH_FRAMES_MAX = 256;
const BATCH_BYTES_MAX = 1024 * 1024;
/** What may wait to be written before those who write are asked to pause: a Redis that is away must not fill the memory. */
const UNWRITTEN_BYTES_MAX = 4 * 1024 * 1024;
const RETRY_DELAY_MS_MIN = 50;
const RETRY_DELAY_MS_MAX = 1_000;

/**
 * Writes frames to the streams of all answers that run here.
 *
 * One call is on its way at a time, and what comes meanwhile goes with the next: a step of 32 sequences is one call, and while Redis is
 * slow or away there are fewer and larger ones. A call that fails is made again until it succeeds or nobody wants its frames.
 *
 * Ownership: owns the frames until they are written. `drain` is emitted when it takes more again.
 */
export class FrameWriter extends EventEmitter<{ drain: []; written: [] }> {
  #unwritten: Frame[] = [];
  #bytes = 0;
  #blocked = false;
  #writing = false;
  #scheduled: NodeJS.Immediate | undefined;
  #closed = false;

  constructor(private readonly redis: FrameRedis) {
    super();
    this.setMaxListeners(0); // One for each answer that runs.
  }

  /** @returns whether it takes more at once. */
  add({ key, wakeKey }: FrameStream, number: number, bytes: Uint8Array): boolean {
    if (this.#closed) return true;
    this.#unwritten.push({ key, wakeKey, number, bytes });
    this.#bytes += bytes.length;
    this.#blocked ||= this.#bytes >= UNWRITTEN_BYTES_MAX;
    // In the next turn: all that this one brings for other streams goes with it.
    if (!this.#writing) this.#scheduled ??= setImmediate(() => void this.#write());
    return !this.#blocked;
  }

  /** Resolves when everything that was added to the stream is written, or is no longer wanted. */
  async written(key: string): Promise<void> {
    while (!this.#closed && this.#unwritten.some((frame) => frame.key === key)) await once(this, 'written');
  }

  /** Nobody reads that stream any more. */
  forget(key: string): void {
    this.#keep((frame) => frame.key !== key);
    this.emit('written');
  }

  close(): void {
    this.#closed = true;
    clearImmediate(this.#scheduled);
    this.#keep(() => false);
    this.emit('written');
  }

  async #write(): Promise<void> {
    this.#scheduled = undefined;
    this.#writing = true;
    let delayMs = RETRY_DELAY_MS_MIN;
    while (this.#unwritten.length > 0) {
      const batch = this.#batch();
      try {
        await this.#append(batch);
        delayMs = RETRY_DELAY_MS_MIN;
      } catch {
        await sleep(delayMs);
        delayMs = Math.min(RETRY_DELAY_MS_MAX, 2 * delayMs);
        continue;
      }
      const written = new Set(batch);
      this.#keep((frame) => !written.has(frame));
      this.emit('written');
    }
    this.#writing = false;
  }

  /** The oldest, as many as one call takes. */
  #batch(): readonly Frame[] {
    let bytes = 0;
    const end = this.#unwritten.findIndex((frame, at) => {
      bytes += frame.bytes.length;
      return at > 0 && (at >= BATCH_FRAMES_MAX || bytes > BATCH_BYTES_MAX);
    });
    return end < 0 ? [...this.#unwritten] : this.#unwritten.slice(0, end);
  }

  async #append(frames: readonly Frame[]): Promise<void> {
    const keys = [...frames.map(({ key }) => key), ...new Set(frames.map(({ wakeKey }) => wakeKey))];
    const args = frames.flatMap(({ number, bytes }) => [`${number}-0`, asBuffer(bytes)]);
    const limits = [STREAM_ENTRIES_MAX, QUEUE_KEYS_TTL_MS, frames.length];
    await this.redis.eval(APPEND, keys.length, ...keys, ...limits, ...args);
  }

  #keep(wanted: (frame: Frame) => boolean): void {
    this.#unwritten = this.#unwritten.filter(wanted);
    this.#bytes = this.#unwritten.reduce((sum, { bytes }) => sum + bytes.length, 0);
    if (!this.#blocked || this.#bytes >= UNWRITTEN_BYTES_MAX / 2) return;
    this.#blocked = false;
    this.emit('drain');
  }
}

function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
