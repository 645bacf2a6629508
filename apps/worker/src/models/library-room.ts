import type { Logger } from '@millrace/runtime';
import { type LibraryEntry, residentOf } from './library-entry.js';
import { NoLongerWanted, NoRoomNow, neverRoom, shuttingDown } from './library-failures.js';
import type { Report } from './library-model.js';
import type { MemoryBudget } from './memory-budget.js';
import { planRoom } from './plan-room.js';

/** What making room asks of the library. */
export interface RoomHost {
  /** Once it is aborted, nothing is loaded any more. */
  readonly stopped: AbortSignal;
  unload(entry: LibraryEntry): Promise<void>;
  /** Lets in everyone whose model takes them again. */
  admitWhoMay(): void;
  /** Resolves when a model is used no longer, a waiter has left, or that time has come. */
  heard(untilMs: number): Promise<void>;
}

/** For whom room is made. */
export interface RoomTerms {
  /** Whether others may be unloaded for it; only those who are asked for take another's room. */
  readonly mayUnload: boolean;
  readonly report: Report;
}

/**
 * Makes room for one model at a time: does what `planRoom` says until there is enough. It alone writes `leaving` of the
 * entries, but for what is unloaded.
 */
export class LibraryRoom {
  constructor(
    private readonly entries: () => readonly LibraryEntry[],
    private readonly budget: MemoryBudget,
    private readonly host: RoomHost,
    private readonly logger: Logger,
  ) {}

  /** @throws NoRoomNow, NoLongerWanted; Error in one sentence with both numbers when there will never be room. */
  async make(entry: LibraryEntry, neededBytes: number, { mayUnload, report }: RoomTerms): Promise<void> {
    while (!this.host.stopped.aborted) {
      const plan = planRoom({
        residents: mayUnload ? this.entries().flatMap((each) => residentOf(each) ?? []) : [],
        neededBytes,
        freeBytes: this.budget.freeBytes,
        usableBytes: this.budget.usableBytes,
        nowMs: performance.now(),
      });
      if (plan.kind === 'fits') return;
      if (plan.kind === 'never') {
        if (!mayUnload && neededBytes <= this.budget.usableBytes)
          throw new NoRoomNow(entry.model.id, neededBytes, plan.mayUseBytes);
        throw new Error(neverRoom(neededBytes, plan.mayUseBytes));
      }
      if (entry.line.length === 0 && mayUnload) throw new NoLongerWanted();
      if (plan.kind === 'unload') await this.#unload(plan.ids);
      else await this.#waitForLeavers(entry, plan.leaving, plan.againAtMs ?? Number.POSITIVE_INFINITY, report);
    }
    throw shuttingDown();
  }

  /** There is room, or nobody wants it any more. */
  letLeaversStay(): void {
    for (const entry of this.entries()) entry.leaving = false;
    this.host.admitWhoMay();
  }

  async #unload(ids: readonly string[]): Promise<void> {
    for (const entry of this.entries()) if (ids.includes(entry.model.id)) await this.host.unload(entry);
  }

  async #waitForLeavers(
    { model }: LibraryEntry,
    leaving: readonly string[],
    againAtMs: number,
    report: Report,
  ): Promise<void> {
    for (const other of this.entries()) {
      const leaves = leaving.includes(other.model.id);
      if (leaves && !other.leaving)
        this.logger.debug({ model: other.model.id, for: model.id }, 'A model takes nobody new.');
      other.leaving = leaves;
    }
    this.host.admitWhoMay();
    const names = leaving.length === 0 ? 'other models' : leaving.join(' and ');
    report(`The model ${model.id} waits for the memory of ${names}.`);
    await this.host.heard(againAtMs);
  }
}
