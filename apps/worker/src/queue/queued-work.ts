import { EventEmitter } from 'node:events';
import type { InferenceError, QueueJobData } from '@millrace/contracts';
import { type QueueControl, QueueFrame, type QueueJob, type WorkerFrame } from '@millrace/contracts/protocol';
import type { Logger } from '@millrace/runtime';
import type { ModelUser } from '../serving/answers-to.js';
import { ServedAnswers } from '../serving/served-answers.js';
import { type FrameSink, StepWriter } from '../serving/step-writer.js';
import type { WorkCaller, WorkCalls } from '../serving/work-calls.js';
import type { FrameStream, FrameWriter } from './frame-writer.js';

export interface QueuedWorkOptions {
  readonly data: QueueJobData;
  /** The stream that its frames go to; the first was written when the job was taken. */
  readonly stream: FrameStream;
  readonly stallTimeoutMs: number;
  /** A sequence or a call was settled. */
  readonly onSettled: () => void;
  /** All of it is settled, and what there is to read of it is on its way. Called once. */
  readonly onEnded: () => void;
}

type Frame = Exclude<QueueFrame['frame'], undefined>;

/**
 * One job that was taken: the answers of an attempt, or other work, between the engine and a stream in Redis.
 *
 * Ownership: owns its sequences or its call, which are settled or cancelled before `onEnded`.
 */
export class QueuedWork implements FrameSink, WorkCaller {
  readonly #events = new EventEmitter<{ cancelled: [] }>();
  readonly #writer: StepWriter;
  readonly #answers: ServedAnswers;
  /** By sequence: what it was granted in all. Told again and again, it counts once. */
  readonly #granted = new Map<number, number>();
  #number = 1;
  #calling = false;
  #ended = false;
  cancelled = false;

  constructor(
    private readonly options: QueuedWorkOptions,
    private readonly frames: FrameWriter,
    host: ModelUser,
    private readonly calls: WorkCalls,
    logger: Logger,
  ) {
    this.#writer = new StepWriter(this);
    const { data, stallTimeoutMs } = options;
    const onSettled = () => {
      options.onSettled();
      this.#endIfSettled();
    };
    this.#answers = new ServedAnswers(
      this.#writer,
      host,
      { stallTimeoutMs, gateway: () => data.gateway, onSettled },
      logger,
    );
  }

  get data(): QueueJobData {
    return this.options.data;
  }

  /** What is not settled of it. */
  get size(): number {
    return this.#answers.size + (this.#calling ? 1 : 0);
  }

  /** @param leftMs until nobody wants it any more: what it waited in the queue is gone. */
  begin({ starts, work }: QueueJob, leftMs: number): void {
    for (const start of starts) {
      for (const { sequenceId } of [start, ...start.siblings]) this.#granted.set(sequenceId, start.creditTokens);
    }
    for (const start of starts) this.#answers.begin({ ...start, deadlineMs: leftMs });
    if (work !== undefined) void this.#call(work, leftMs);
    // A job that asks for nothing, as a newer gateway's might to an older worker.
    this.#endIfSettled();
  }

  /** What its gateway says of it; saying it again changes nothing. */
  obey({ granted, cancelled }: Pick<QueueControl, 'granted' | 'cancelled'>): void {
    for (const { sequenceId, tokens } of granted) {
      const before = this.#granted.get(sequenceId) ?? 0;
      if (tokens <= before) continue;
      this.#granted.set(sequenceId, tokens);
      this.#answers.addCredit(sequenceId, tokens - before);
    }
    for (const sequenceId of cancelled) {
      if (sequenceId === 0) this.cancel();
      else this.#answers.cancel(sequenceId);
    }
  }

  /** Nobody reads it any more. */
  cancel(): void {
    if (this.cancelled) return;
    this.cancelled = true;
    this.#answers.cancelAll();
    this.#events.emit('cancelled');
  }

  /** The worker gives it up, and says so; its gateway asks another. */
  giveUp(error: InferenceError): void {
    this.#answers.giveUp(error);
  }

  /** As `giveUp`, if nothing of it has begun. */
  giveUpWaiting(error: InferenceError): void {
    this.#answers.giveUpWaiting(error);
  }

  // ------------------------------------------------------------------------------------- what stands for a gRPC stream

  write({ frame }: WorkerFrame): boolean {
    if (frame?.$case !== 'step') return true;
    return this.#send({ $case: 'step', value: frame.value });
  }

  on(event: 'drain' | 'cancelled', listener: () => void): void {
    if (event === 'drain') this.frames.on('drain', listener);
    else this.#events.on('cancelled', listener);
    this.#undo.push(() => this.frames.off('drain', listener));
  }

  readonly #undo: (() => void)[] = [];

  #send(frame: Frame, more = false): boolean {
    if (this.cancelled) return true;
    this.#number++;
    return this.frames.add(this.options.stream, this.#number, QueueFrame.encode({ frame, more }).finish());
  }

  async #call(work: Exclude<QueueJob['work'], undefined>, leftMs: number): Promise<void> {
    this.#calling = true;
    const frame = await this.#reply(withinTime(work, leftMs));
    this.#send(frame);
    this.#calling = false;
    this.options.onSettled();
    this.#endIfSettled();
  }

  async #reply(work: Exclude<QueueJob['work'], undefined>): Promise<Frame> {
    switch (work.$case) {
      case 'embed': {
        const value = await this.calls.embed(work.value, this, async (part) => {
          if (!this.#send({ $case: 'embed', value: part }, true)) await this.#drained();
        });
        return { $case: 'embed', value };
      }
      case 'rerank':
        return { $case: 'rerank', value: await this.calls.rerank(work.value, this) };
      case 'tokenize':
        return { $case: 'tokenize', value: await this.calls.tokenize(work.value, this) };
      case 'detokenize':
        return { $case: 'detokenize', value: await this.calls.detokenize(work.value, this) };
      case 'renderPrompt':
        return { $case: 'renderPrompt', value: await this.calls.renderPrompt(work.value, this) };
    }
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => this.frames.once('drain', resolve));
  }

  #endIfSettled(): void {
    if (this.#ended || this.size > 0) return;
    this.#ended = true;
    this.#writer.flush();
    this.#writer.close();
    for (const undo of this.#undo) undo();
    if (this.cancelled) this.frames.forget(this.options.stream.key);
    this.options.onEnded();
  }
}

/** A copy whose heading allows no more than what is left. */
function withinTime<W extends Exclude<QueueJob['work'], undefined>>(work: W, deadlineMs: number): W {
  const { heading } = work.value;
  if (heading === undefined) return work;
  return { ...work, value: { ...work.value, heading: { ...heading, deadlineMs } } };
}
