import { setTimeout as sleep } from 'node:timers/promises';
import { QueueFrame } from '@millrace/contracts/protocol';
import type { Redis } from 'ioredis';

/** Who reads one stream. Neither may throw. */
export interface StreamReader {
  onFrame(frame: QueueFrame): void;
  /** Something is missing: Redis forgot it, or cut it off. Nothing more comes. */
  onGap(): void;
}

interface OpenStream {
  readonly reader: StreamReader;
  /** Of the frame that was read last. */
  number: number;
}

type Entry = [id: Buffer, fields: Buffer[]];
type Streams = [key: Buffer, entries: Entry[]][];

/** How long one read waits for something to come; then it is asked anew. */
const BLOCK_MS = 5_000;
/** So much later it counts as dead, and another connection is made. */
const LATE_MS_MAX = 5_000;
const RETRY_DELAY_MS = 100;

/**
 * Reads the streams of all answers of this gateway by one connection. It waits on a single stream, to which workers add an entry whenever
 * they have written to any other for this gateway, and then reads all that are open at once: to wait on all of them would cost Redis a
 * list for each, and bring what one step wrote stream by stream. What it has to read, and the next wait, go out together. A read has no
 * limit of its own: what can be unread is bounded by credit, and by what a worker lets a stream hold.
 *
 * While Redis is away nothing comes; then it is read on from where it was. Frames are numbered, so what was lost meanwhile is noticed.
 *
 * Ownership: owns the connection. Concurrency: one loop reads; streams are opened and closed between its turns.
 */
export class AnswerStreams {
  readonly #open = new Map<string, OpenStream>();
  #wakeId = '0-0';
  #closed = false;
  #giveUp = () => {};
  readonly #running: Promise<void>;

  /** @param redis must send again what it was not answered, or a read that was under way when it broke would never end. */
  constructor(
    private readonly redis: Redis,
    private readonly wakeKey: string,
  ) {
    this.#running = this.#run();
  }

  /** How many are read. */
  get size(): number {
    return this.#open.size;
  }

  open(key: string, reader: StreamReader): void {
    this.#open.set(key, { reader, number: 0 });
  }

  close(key: string): void {
    this.#open.delete(key);
  }

  async end(): Promise<void> {
    this.#closed = true;
    this.redis.disconnect();
    this.#giveUp();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      try {
        let woken = this.#woken();
        while (!this.#closed) {
          await this.#inTime(woken);
          const reading = this.#readAll();
          woken = this.#woken();
          // While the read is awaited, nobody listens to what becomes of the wait.
          woken.catch(() => {});
          await this.#inTime(reading);
        }
      } catch {
        if (!this.#closed) await sleep(RETRY_DELAY_MS);
      }
    }
  }

  /** @throws where it takes longer than anything here may. */
  async #inTime<T>(reading: Promise<T>): Promise<T> {
    const late = Promise.withResolvers<never>();
    const watchdog = setTimeout(() => {
      this.redis.disconnect(true);
      late.reject(new Error('no answer'));
    }, BLOCK_MS + LATE_MS_MAX);
    this.#giveUp = () => late.reject(new Error('closed'));
    try {
      return await Promise.race([reading, late.promise]);
    } finally {
      clearTimeout(watchdog);
    }
  }

  /** Resolves when something was written, and now and then without that. */
  async #woken(): Promise<void> {
    const how = ['BLOCK', BLOCK_MS, 'STREAMS', this.wakeKey, this.#wakeId] as const;
    const [wake] = ((await this.redis.xreadBuffer(...how)) ?? []) as Streams;
    // From the beginning where nothing came: after a failover the clock that numbers are made of may be behind what was read before.
    this.#wakeId = wake?.[1].at(-1)?.[0].toString() ?? '0-0';
  }

  async #readAll(): Promise<void> {
    if (this.#open.size === 0) return;
    const streams = [...this.#open];
    const ids = streams.map(([, { number }]) => `${number}-0`);
    const keys = streams.map(([key]) => key);
    const read = (await this.redis.xreadBuffer('STREAMS', ...keys, ...ids)) ?? [];
    // A stream may be closed while the read is on its way, or by a frame of this one.
    for (const [key, entries] of read as Streams) for (const entry of entries) this.#takeEntry(key.toString(), entry);
  }

  #takeEntry(key: string, [id, fields]: Entry): void {
    const stream = this.#open.get(key);
    if (stream === undefined) return;
    const frame = Number.parseInt(id.toString(), 10) === stream.number + 1 ? decoded(fields[1]) : undefined;
    if (frame === undefined) {
      this.#open.delete(key);
      stream.reader.onGap();
      return;
    }
    stream.number++;
    stream.reader.onFrame(frame);
  }
}

function decoded(bytes: Buffer | undefined): QueueFrame | undefined {
  try {
    return bytes && QueueFrame.decode(bytes);
  } catch {
    return undefined;
  }
}
