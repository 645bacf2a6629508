import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { GatewayFrame, SequenceUpdate, WorkerFrame } from '@millrace/contracts/protocol';

/**
 * Once updates have grown so large together, they go out at once. A message has a limit of some MiB, and only echoes and
 * log-probabilities come near: tokens of a step and their text are a few kilobytes.
 */
const FRAME_BYTES_MAX = 1024 * 1024;

export type ConverseStream = ServerDuplexStream<GatewayFrame, WorkerFrame>;

/** Where frames go: a gateway's stream, or what stands for one. */
export interface FrameSink {
  /** Whether it takes more at once. If not, it says so by `drain`. */
  write(frame: WorkerFrame): boolean;
  on(event: 'drain', listener: () => void): unknown;
}

/**
 * Writes to one gateway: all that one turn of the event loop brought, in one Step frame.
 *
 * A step's tokens are handed out in one turn, so a frame usually is a step; writing a message per sequence instead was
 * measured at two thirds of the throughput.
 *
 * Back-pressure: when the connection takes no more, `blocked` is true until it does. Whoever adds updates waits for
 * `drained` first, so that at most one update per sequence is kept here.
 */
export class StepWriter {
  #frame = 0;
  #updates: SequenceUpdate[] = [];
  /** Of what is in `#updates` beside tokens and their text. */
  #bytes = 0;
  #flushing: NodeJS.Immediate | undefined;
  #drained: PromiseWithResolvers<void> | undefined;
  #closed = false;

  constructor(private readonly sink: FrameSink) {
    sink.on('drain', () => this.#unblock());
  }

  /** The number of the frame that is being filled: an update added to an earlier one has gone. */
  get frame(): number {
    return this.#frame;
  }

  get blocked(): boolean {
    return this.#drained !== undefined;
  }

  /** Resolves when the connection takes more, or is closed. */
  drained(): Promise<void> {
    return this.#drained?.promise ?? Promise.resolve();
  }

  /** `update` goes out at the end of this turn of the event loop; until `frame` changes, more may be put into it. */
  add(update: SequenceUpdate): void {
    if (this.#closed) return;
    this.#updates.push(update);
    this.#flushing ??= setImmediate(() => this.flush());
  }

  /** An update of this frame has grown by so many bytes. What is added next may belong to another frame. */
  grew(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes >= FRAME_BYTES_MAX) this.flush();
  }

  flush(): void {
    clearImmediate(this.#flushing);
    this.#flushing = undefined;
    this.#frame++;
    this.#bytes = 0;
    if (this.#updates.length === 0) return;
    const updates = this.#updates;
    this.#updates = [];
    this.write({ frame: { $case: 'step', value: { updates } } });
  }

  write(frame: WorkerFrame): void {
    if (this.#closed) return;
    if (!this.sink.write(frame)) this.#drained ??= Promise.withResolvers();
  }

  close(): void {
    this.#closed = true;
    clearImmediate(this.#flushing);
    this.#updates = [];
    this.#unblock();
  }

  #unblock(): void {
    this.#drained?.resolve();
    this.#drained = undefined;
  }
}
