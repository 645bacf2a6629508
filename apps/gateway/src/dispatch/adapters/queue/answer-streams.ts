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
type Reply = [key: Buffer, entries: Entry[]][] | null;

/** How long one read waits for something to come; then it is asked anew. */
const BLOCK_MS = 5_000;
/** So much later it counts as dead, and another connection is made. */
const LATE_MS_MAX = 5_000;
/** Of each stream at a time. */
const ENTRIES_MAX = 256;
const RETRY_DELAY_MS = 100;

/**
 * Reads the streams of all answers of this gateway by one connection, which waits for whichever comes next. A stream that is opened while
 * it waits is made known to it by an entry in a stream of its own, so that no read has to be broken off.
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

  /**
   * @param redis must send again what it was not answered, or a read that was under way when it broke would never end.
   * @param wake adds an entry to the stream `wakeKey`.
   */
  constructor(
    private readonly redis: Redis,
    private readonly wakeKey: string,
    private readonly wake: () => void,
  ) {
    this.#running = this.#run();
  }

  open(key: string, reader: StreamReader): void {
    this.#open.set(key, { reader, number: 0 });
    this.wake();
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
        this.#take(await this.#readInTime());
      } catch {
        if (!this.#closed) await sleep(RETRY_DELAY_MS);
      }
    }
  }

  async #readInTime(): Promise<Reply> {
    const late = Promise.withResolvers<never>();
    const watchdog = setTimeout(() => {
      this.redis.disconnect(true);
      late.reject(new Error('no answer'));
    }, BLOCK_MS + LATE_MS_MAX);
    this.#giveUp = () => late.reject(new Error('closed'));
    try {
      return await Promise.race([this.#read(), late.promise]);
    } finally {
      clearTimeout(watchdog);
    }
  }

  #read(): Promise<Reply> {
    const streams = [...this.#open];
    const keys = [this.wakeKey, ...streams.map(([key]) => key)];
    const ids = [this.#wakeId, ...streams.map(([, { number }]) => `${number}-0`)];
    return this.redis.xreadBuffer(
      'COUNT',
      ENTRIES_MAX,
      'BLOCK',
      BLOCK_MS,
      'STREAMS',
      ...keys,
      ...ids,
    ) as Promise<Reply>;
  }

  #take(reply: Reply): void {
    for (const [key, entries] of reply ?? []) {
      const name = key.toString();
      if (name === this.wakeKey) {
        this.#wakeId = entries.at(-1)![0].toString();
        continue;
      }
      // Closed while the read was on its way, or by a frame of this one.
      for (const entry of entries) this.#takeEntry(name, entry);
    }
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
