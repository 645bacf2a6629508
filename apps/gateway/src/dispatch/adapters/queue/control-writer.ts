import { QUEUE_CONTROL_FIELDS, type QueueNames } from '@millrace/contracts';
import { QueueControl } from '@millrace/contracts/protocol';
import type { Redis } from 'ioredis';

/** An attempt, as far as its worker is told of it. */
export interface ControlledAttempt {
  readonly answerId: string;
  readonly pool: string;
  /** Who has taken it; undefined: nobody has, as far as is known. */
  readonly workerId: string | undefined;
  /** On the clock of `performance.now()`: nobody cares any more then. */
  readonly untilMs: number;
}

interface News {
  readonly attempt: ControlledAttempt;
  /** Sequences, each with its credit in all. */
  readonly granted: Map<number, number>;
  readonly cancelled: Set<number>;
}

const RETRY_DELAY_MS = 250;
/** What is written down stays so much longer than anybody cares. */
const KEPT_MS = 60_000;

/**
 * Tells workers what their readers have read, and what nobody waits for any more: by publish, and written down beside the stream for a
 * worker that did not hear it. What one turn of the event loop brings goes out together; while Redis is away it is kept, and what is
 * told of one attempt is never more than its last word.
 */
export class ControlWriter {
  #news = new Map<string, News>();
  #scheduled: NodeJS.Immediate | NodeJS.Timeout | undefined;
  /** One at a time: of two, the older might fail and be written again over what the newer has said. */
  #writing = false;
  #closed = false;

  constructor(
    private readonly redis: Redis,
    private readonly names: QueueNames,
  ) {}

  /** @param tokens in all, from the start on. */
  grant(attempt: ControlledAttempt, sequenceId: number, tokens: number): void {
    this.#newsOf(attempt).granted.set(sequenceId, tokens);
  }

  /** @param sequenceId 0: all of it. */
  cancel(attempt: ControlledAttempt, sequenceId: number): void {
    this.#newsOf(attempt).cancelled.add(sequenceId);
  }

  close(): void {
    this.#closed = true;
    void this.#write();
  }

  #newsOf(attempt: ControlledAttempt): News {
    const known = this.#news.get(attempt.answerId);
    if (known !== undefined) return known;
    const news = { attempt, granted: new Map<number, number>(), cancelled: new Set<number>() };
    this.#news.set(attempt.answerId, news);
    this.#schedule();
    return news;
  }

  #schedule(): void {
    if (!this.#writing) this.#scheduled ??= setImmediate(() => void this.#write());
  }

  async #write(): Promise<void> {
    this.#scheduled = undefined;
    const nowMs = performance.now();
    const news = [...this.#news.values()].filter(({ attempt }) => attempt.untilMs > nowMs);
    this.#news = new Map();
    if (news.length === 0) return;
    const pipeline = this.redis.pipeline();
    for (const one of news) this.#tell(pipeline, one, nowMs);
    this.#writing = true;
    try {
      await pipeline.exec().then((replies) => throwFirst(replies ?? []));
      this.#writing = false;
      if (this.#news.size > 0) this.#schedule();
    } catch {
      this.#writing = false;
      this.#keep(news);
    }
  }

  #tell(pipeline: ReturnType<Redis['pipeline']>, { attempt, granted, cancelled }: News, nowMs: number): void {
    const { answerId, pool, workerId, untilMs } = attempt;
    const key = this.names.control(answerId);
    pipeline.hset(key, fieldsOf(granted, cancelled));
    pipeline.pexpire(key, Math.ceil(untilMs - nowMs) + KEPT_MS);
    const told = QueueControl.encode({
      answerId,
      granted: [...granted].map(([sequenceId, tokens]) => ({ sequenceId, tokens })),
      cancelled: [...cancelled],
    }).finish();
    const channel = workerId === undefined ? this.names.controlOfPool(pool) : this.names.controlOf(workerId);
    pipeline.publish(channel, Buffer.from(told));
  }

  /** What was said since is newer. */
  #keep(news: readonly News[]): void {
    if (this.#closed) return;
    for (const { attempt, granted, cancelled } of news) {
      const newer = this.#newsOf(attempt);
      for (const [id, tokens] of granted) newer.granted.set(id, Math.max(tokens, newer.granted.get(id) ?? 0));
      for (const id of cancelled) newer.cancelled.add(id);
    }
    clearImmediate(this.#scheduled as NodeJS.Immediate);
    this.#scheduled = setTimeout(() => void this.#write(), RETRY_DELAY_MS);
  }
}

function fieldsOf(granted: ReadonlyMap<number, number>, cancelled: ReadonlySet<number>): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const [id, tokens] of granted) fields[QUEUE_CONTROL_FIELDS.granted + id] = String(tokens);
  for (const id of cancelled) {
    fields[id === 0 ? QUEUE_CONTROL_FIELDS.cancelled : QUEUE_CONTROL_FIELDS.cancelledSequence + id] = '1';
  }
  return fields;
}

function throwFirst(replies: readonly (readonly [Error | null, unknown])[]): void {
  const failed = replies.find(([error]) => error !== null);
  if (failed) throw failed[0];
}
