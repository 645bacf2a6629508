import { POOL_NAME, PROTOCOL_VERSION, QUEUE_WORKER_FIELDS, type QueueNames } from '@millrace/contracts';
import { Load, WorkerDescription } from '@millrace/contracts/protocol';
import type { Redis } from 'ioredis';

/** A worker that takes from a queue, as it says of itself. */
export interface PoolWorker {
  readonly workerId: string;
  readonly pool: string;
  readonly description: WorkerDescription;
  readonly load: Load;
  /** It was heard within the time that it may be silent. */
  readonly heard: boolean;
}

interface Known {
  readonly workerId: string;
  readonly pool: string;
  beat: string;
  heardAtMs: number;
  told: string;
  description: WorkerDescription;
  load: Load;
}

/** More than any installation has: whoever writes there could write without end. */
const WORKERS_MAX = 4_096;
const { pool: POOL, beat: BEAT, load: LOAD, told: TOLD, description: DESCRIPTION } = QUEUE_WORKER_FIELDS;
const NO_LOAD: Load = { running: 0, waiting: 0, draining: false };

const LOOK = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = {tostring(now)}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], now, '+inf', 'LIMIT', 0, ARGV[1])) do
  local said = redis.call('HMGET', ARGV[2] .. id, '${POOL}', '${BEAT}', '${LOAD}', '${TOLD}')
  if said[1] then found[#found + 1] = {id, said[1], said[2] or '', said[3] or '', said[4] or ''} end
end
return found`;

/**
 * Who takes from which queue, looked up in Redis again and again. A worker counts as heard as long as what it writes changes: neither clock
 * has a say in that, and a Redis that was away is no silence of theirs.
 */
export class PoolWatch {
  readonly #known = new Map<string, Known>();
  /** Redis' clock less ours. */
  #aheadMs = 0;
  /** The last look failed: when it succeeds again, everybody is given the whole time anew. */
  #blind = true;

  constructor(
    private readonly redis: Redis,
    private readonly names: QueueNames,
    private readonly silenceMsMax: number,
  ) {}

  /** What Redis' clock says. */
  redisNowMs(): number {
    return Date.now() + this.#aheadMs;
  }

  workers(): readonly PoolWorker[] {
    const nowMs = performance.now();
    return [...this.#known.values()].map((known) => ({ ...known, heard: this.#isHeard(known, nowMs) }));
  }

  /** Whether that one is still there, as far as anybody knows. */
  hears(workerId: string): boolean {
    const known = this.#known.get(workerId);
    return known !== undefined && this.#isHeard(known, performance.now());
  }

  /** @throws where Redis does not answer: what was known stays. */
  async look(): Promise<void> {
    const askedAtMs = Date.now();
    let found: [Buffer, ...Buffer[][]];
    try {
      found = (await this.redis.callBuffer(
        'EVAL',
        LOOK,
        1,
        this.names.workers,
        WORKERS_MAX,
        this.names.worker(''),
      )) as [Buffer, ...Buffer[][]];
    } catch (error) {
      this.#blind = true;
      throw error;
    }
    const [now, ...workers] = found;
    this.#aheadMs = Number(now.toString()) - (askedAtMs + Date.now()) / 2;
    const nowMs = performance.now();
    if (this.#blind) for (const known of this.#known.values()) known.heardAtMs = nowMs;
    this.#blind = false;
    for (const said of workers) await this.#hear(said, nowMs);
    this.#forget(new Set(workers.map(([id]) => id!.toString())), nowMs);
  }

  async #hear([id, pool, beat, load, told]: Buffer[], nowMs: number): Promise<void> {
    // A worker of another version, or whoever else writes there, may call it anything; names of queues and keys are made of it.
    if (!POOL_NAME.test(pool!.toString())) return;
    const workerId = id!.toString();
    const known = this.#known.get(workerId);
    const description =
      known !== undefined && known.told === told!.toString() ? known.description : await this.#descriptionOf(workerId);
    if (description === undefined || description.protocolVersion !== PROTOCOL_VERSION) return;
    const sameBeat = known?.beat === beat!.toString();
    this.#known.set(workerId, {
      workerId,
      pool: pool!.toString(),
      beat: beat!.toString(),
      heardAtMs: sameBeat ? known!.heardAtMs : nowMs,
      told: told!.toString(),
      description,
      load: decoded(() => Load.decode(load!)) ?? NO_LOAD,
    });
  }

  async #descriptionOf(workerId: string): Promise<WorkerDescription | undefined> {
    const bytes = await this.redis.hgetBuffer(this.names.worker(workerId), DESCRIPTION);
    return bytes === null ? undefined : decoded(() => WorkerDescription.decode(bytes));
  }

  #isHeard({ heardAtMs }: Known, nowMs: number): boolean {
    return nowMs - heardAtMs < this.silenceMsMax;
  }

  /** One that Redis still lists is kept, silent as it is: else it would be new, and heard, at every look. */
  #forget(listed: ReadonlySet<string>, nowMs: number): void {
    for (const known of this.#known.values()) {
      if (!listed.has(known.workerId) && !this.#isHeard(known, nowMs)) this.#known.delete(known.workerId);
    }
  }
}

function decoded<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch {
    return undefined;
  }
}
