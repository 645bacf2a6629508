import type { Logger } from '@millrace/runtime';
import type { Worker } from '../vocabulary.js';
import { isWorkerAddress } from './worker-address.js';
import type { WorkerDirectory } from './worker-directory.js';
import type { WorkerDiscovery } from './worker-discovery.js';

/** One that is connected with, and can be closed for good. */
export interface Closable {
  close(): Promise<void>;
}

export interface MembersLimits {
  /** How long a worker stays that is no longer found but still connected: whoever forgot it may be wrong, and it says itself when it stops. */
  readonly forgetMs: number;
  /** How long one that has left may go on with the answers it has. */
  readonly drainTimeoutMs: number;
}

/** More than any installation has: a discovery that tells of more tells nonsense, and each costs a connection. */
const WORKERS_MAX = 4_096;
const IDLE_CHECK_MS = 250;
/** Of what is no address, for a sentence. */
const SHOWN_CHARACTERS_MAX = 60;

interface Leaving {
  readonly sinceMs: number;
  /** Of the directory: it gets nothing new. */
  removed: boolean;
}

/**
 * Keeps the directory's workers as discovery tells of them: connects with who is new, and lets go of who is gone once its answers are.
 *
 * Ownership: owns the clients of the workers that it has connected with, and the discovery.
 * Concurrency: everything happens in callbacks, none of which awaits.
 */
export class WorkerMembers<W extends Worker & Closable> {
  readonly #members = new Map<string, W>();
  readonly #leaving = new Map<string, Leaving>();
  #timer: NodeJS.Timeout | undefined;
  #excess = 0;
  /** One of those told that are no addresses, and how many there are. */
  #refused: { readonly example: string; readonly count: number } | undefined;
  #told: string | undefined;
  #closed = false;

  constructor(
    private readonly discovery: WorkerDiscovery,
    private readonly directory: WorkerDirectory<W>,
    private readonly connect: (address: string) => W,
    private readonly limits: MembersLimits,
    private readonly logger: Logger,
    private readonly clock: () => number = () => performance.now(),
  ) {}

  /** Until the first addresses are told, the directory counts as one of which not every worker has been heard. */
  start(): void {
    this.directory.expectMore(true);
    this.discovery.start((addresses) => this.#onAddresses(addresses));
  }

  get trouble(): string | undefined {
    return [this.discovery.trouble, this.#nonsense].filter((one) => one !== undefined).join(' ') || undefined;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.discovery.close();
    await Promise.all([...this.#members.values()].map((worker) => worker.close()));
  }

  #onAddresses(all: readonly string[]): void {
    if (this.#closed) return;
    const wanted = this.#usable(all);
    for (const address of wanted) this.#join(address);
    for (const address of this.#members.keys()) if (!wanted.has(address)) this.#leave(address);
    this.directory.expectMore(false);
  }

  #usable(all: readonly string[]): ReadonlySet<string> {
    const addresses = [...new Set(all)];
    const usable = addresses.filter(isWorkerAddress);
    const [example] = addresses.filter((address) => !isWorkerAddress(address));
    this.#refused = example === undefined ? undefined : { example, count: addresses.length - usable.length };
    this.#excess = Math.max(0, usable.length - WORKERS_MAX);
    const nonsense = this.#nonsense;
    if (nonsense !== undefined && nonsense !== this.#told) this.logger.error(nonsense);
    this.#told = nonsense;
    return new Set(usable.slice(0, WORKERS_MAX));
  }

  /** What discovery told that can't be true. */
  get #nonsense(): string | undefined {
    const sentences: string[] = [];
    if (this.#excess > 0) {
      const most = WORKERS_MAX;
      sentences.push(
        `Discovery tells of ${most + this.#excess} workers; ${most} is the most, and the others are not used.`,
      );
    }
    if (this.#refused !== undefined) {
      const { example, count } = this.#refused;
      const others = count === 1 ? '' : ` and ${count - 1} more`;
      sentences.push(
        `${JSON.stringify(example.slice(0, SHOWN_CHARACTERS_MAX))}${others} told by discovery can't be the address of a worker, which is host:port.`,
      );
    }
    return sentences.join(' ') || undefined;
  }

  #join(address: string): void {
    const known = this.#members.get(address);
    const leaving = this.#leaving.get(address);
    this.#leaving.delete(address);
    if (known !== undefined) {
      if (leaving?.removed) this.directory.add(known);
      return;
    }
    const worker = this.connect(address);
    this.#members.set(address, worker);
    this.directory.add(worker);
    this.logger.info({ worker: address }, 'a worker was found');
  }

  #leave(address: string): void {
    if (this.#leaving.has(address)) return;
    this.#leaving.set(address, { sinceMs: this.clock(), removed: false });
    this.#look();
    this.#timer ??= setInterval(() => this.#look(), IDLE_CHECK_MS).unref();
  }

  #look(): void {
    for (const [address, leaving] of this.#leaving) this.#letGo(address, leaving);
    if (this.#leaving.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #letGo(address: string, leaving: Leaving): void {
    const worker = this.#members.get(address)!;
    const { phase, outstanding } = worker.state();
    const forMs = this.clock() - leaving.sinceMs;
    if (phase === 'ready' && forMs < this.limits.forgetMs) return;
    if (!leaving.removed) {
      leaving.removed = true;
      this.directory.remove(worker);
      this.logger.info({ worker: address }, 'a worker is gone');
    }
    if (outstanding > 0 && forMs < this.limits.forgetMs + this.limits.drainTimeoutMs) return;
    this.#leaving.delete(address);
    this.#members.delete(address);
    void worker.close();
  }
}
