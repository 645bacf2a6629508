import type { Worker, WorkerPhase } from '../vocabulary.js';
import type { Servant } from './ready-workers.js';
import {
  type ChoiceLimits,
  type Chosen,
  type CircuitListener,
  type Servants,
  type Wanted,
  WorkerChoice,
} from './worker-choice.js';

/** Which way a request should reach its worker. */
export interface DispatchWish {
  readonly way: 'queue' | 'grpc';
  /** No other way will do. */
  readonly strict: boolean;
}

/** Interactive work is sent to a worker; what only a queue serves goes by that. */
export const ORDINARY: DispatchWish = { way: 'grpc', strict: false };

/**
 * The choice of workers, over two kinds of them: those that are sent their work, and the queues from which pools take theirs. Whichever is
 * wished for is chosen from first, and the other only when none is left there, if at all.
 */
export class DispatchChoice<W extends Worker> {
  readonly #sent: WorkerChoice<W>;
  readonly #queues: WorkerChoice<W>;

  constructor(servants: Servants<W>, limits: ChoiceLimits, onCircuit?: CircuitListener) {
    this.#sent = new WorkerChoice(new ServantsOfKind(servants, ({ dispatch }) => dispatch !== 'queue'), limits, {
      onCircuit,
    });
    this.#queues = new WorkerChoice(new ServantsOfKind(servants, ({ dispatch }) => dispatch === 'queue'), limits, {
      counted: false,
      onCircuit,
    });
  }

  choose(
    model: string,
    wanted: Wanted,
    asked: ReadonlySet<number> = new Set(),
    { way, strict }: DispatchWish = ORDINARY,
  ): Chosen<W> | undefined {
    const [first, second] = way === 'queue' ? [this.#queues, this.#sent] : [this.#sent, this.#queues];
    return first.choose(model, wanted, asked) ?? (strict ? undefined : second.choose(model, wanted, asked));
  }

  close(): void {
    this.#sent.close();
    this.#queues.close();
  }
}

/** Of the ready workers those of one kind. A list stays the same for as long as the one that it was made of. */
class ServantsOfKind<W extends Worker> implements Servants<W> {
  readonly #lists = new WeakMap<readonly Servant<W>[], readonly Servant<W>[]>();

  constructor(
    private readonly all: Servants<W>,
    private readonly isOfKind: (worker: W) => boolean,
  ) {}

  readyFor(model: string): readonly Servant<W>[] {
    const all = this.all.readyFor(model);
    const known = this.#lists.get(all);
    if (known !== undefined) return known;
    const own = all.filter(({ worker }) => this.isOfKind(worker));
    // Mostly all of them are: then it is the same list.
    const list = own.length === all.length ? all : own;
    this.#lists.set(all, list);
    return list;
  }

  watchPhases(listener: (worker: W, is: WorkerPhase | undefined, was: WorkerPhase | undefined) => void): () => void {
    return this.all.watchPhases((worker, is, was) => {
      if (this.isOfKind(worker)) listener(worker, is, was);
    });
  }
}
