import type { Logger } from '@millrace/runtime';
import type { WorkerClient } from '../../worker-client.js';
import type { QueueLink } from './queue-link.js';
import { QueueWorkerClient, type QueueWorkerClientLimits } from './queue-worker-client.js';

/** Where pools are made known. */
export interface PoolDirectory {
  add(worker: WorkerClient): void;
  remove(worker: WorkerClient): void;
}

/** A pool of which nobody was heard for so long is forgotten, once nobody waits for it. */
const FORGET_MS = 600_000;
/** Names come from Redis: whoever writes there could write without end. */
const POOLS_MAX = 256;

interface Member {
  readonly client: QueueWorkerClient;
  seenAtMs: number;
}

/**
 * A client for every pool whose workers say in Redis that they take from its queue.
 *
 * Ownership: owns the clients and the link.
 */
export class QueuePools {
  readonly #members = new Map<string, Member>();
  readonly #unlisten: () => void;

  constructor(
    private readonly link: QueueLink,
    private readonly directory: PoolDirectory,
    private readonly limits: QueueWorkerClientLimits,
    private readonly onLooked: () => void,
    private readonly logger: Logger,
  ) {
    this.#unlisten = link.onNews(() => this.#look());
    this.#look();
  }

  get trouble(): string | undefined {
    return this.link.trouble;
  }

  /** Jobs that nobody has taken, by pool. */
  get waiting(): ReadonlyMap<string, number> {
    return new Map([...this.#members].map(([pool, { client }]) => [pool, client.waiting]));
  }

  async close(): Promise<void> {
    this.#unlisten();
    await Promise.all([...this.#members.values()].map(({ client }) => client.close()));
    await this.link.close();
  }

  #look(): void {
    if (!this.link.looked) return;
    const nowMs = performance.now();
    for (const { pool } of this.link.watch.workers()) this.#see(pool, nowMs);
    for (const [pool, member] of this.#members) this.#forgetUnseen(pool, member, nowMs);
    this.onLooked();
  }

  #see(pool: string, nowMs: number): void {
    const member = this.#members.get(pool);
    if (member !== undefined) {
      member.seenAtMs = nowMs;
      return;
    }
    if (this.#members.size >= POOLS_MAX) return;
    const client = new QueueWorkerClient(pool, this.link, this.limits, this.logger);
    this.#members.set(pool, { client, seenAtMs: nowMs });
    this.directory.add(client);
    this.logger.info({ pool }, 'a pool that is fed by a queue was found');
  }

  #forgetUnseen(pool: string, { client, seenAtMs }: Member, nowMs: number): void {
    if (nowMs - seenAtMs < FORGET_MS || client.state().outstanding > 0) return;
    this.#members.delete(pool);
    this.directory.remove(client);
    this.logger.info({ pool }, 'a pool is gone');
    void client.close();
  }
}
