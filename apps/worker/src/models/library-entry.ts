import type { Engine, InferenceError, ModelDescription } from '@millrace/contracts';
import type { LibraryModel, LookedAt } from './library-model.js';
import type { Resident } from './plan-room.js';
import type { WaitingLine } from './waiting-line.js';

/** The right to use a loaded model: it is not unloaded before the lease is disposed of. */
export interface Lease extends Disposable {
  readonly engine: Engine;
}

/** A model and how far it is. The library alone writes it. */
export interface LibraryEntry {
  readonly model: LibraryModel;
  readonly line: WaitingLine<Lease>;
  state: 'idle' | 'loading' | 'loaded';
  /** How far loading is. */
  detail: string;
  /** Its files, when they were last looked at. */
  stamp: string | undefined;
  /** What was found then; absent where that failed. */
  looked: LookedAt | undefined;
  failure: LoadFailure | undefined;
  loaded: LoadedModel | undefined;
  /** It takes nobody new, since another needs its room. */
  leaving: boolean;
  /** Its files, which are here; absent: they have to be brought first, if that is its way. */
  brought: Disposable | undefined;
  /** Whether it comes from the registry, and may go again. */
  readonly isOffered: boolean;
  /** It is not offered any more: it takes nobody new, and goes once nobody uses it. */
  isGone: boolean;
  /** When its engine broke. This and all other times: by `performance.now()`. */
  breaksAtMs: readonly number[];
}

export interface LoadFailure {
  readonly error: InferenceError;
  /** Of the files that could not be loaded. */
  readonly stamp: string | undefined;
  readonly untilMs: number;
  /** `untilMs` is past, and it was told. */
  isPast: boolean;
}

/** A model whose engine is open. */
export interface LoadedModel {
  readonly engine: Engine;
  readonly description: ModelDescription;
  readonly bytes: number;
  readonly atMs: number;
  readonly staysUntilMs: number;
  inUse: number;
  lastUsedAtMs: number;
  brokenAtMs: number | undefined;
}

/** A model stays loaded for as long as loading took, within these bounds, so that at most half of the time is loading. */
const STAY_MS_MIN = 100;
const STAY_MS_MAX = 10_000;

export function loadedNow(engine: Engine, bytes: number, startedAtMs: number): LoadedModel {
  const nowMs = performance.now();
  return {
    engine,
    description: engine.describe(),
    bytes,
    atMs: nowMs,
    staysUntilMs: nowMs + Math.min(Math.max(STAY_MS_MIN, nowMs - startedAtMs), STAY_MS_MAX),
    inUse: 0,
    lastUsedAtMs: nowMs,
    brokenAtMs: undefined,
  };
}

/** Whose first waiter has waited longest, of those that nobody loads yet; undefined when nobody waits. */
export function longestWaiting(entries: readonly LibraryEntry[]): LibraryEntry | undefined {
  let longest: LibraryEntry | undefined;
  for (const entry of entries) {
    if (entry.state !== 'idle' || entry.line.sinceMs === undefined) continue;
    if (longest === undefined || entry.line.sinceMs < longest.line.sinceMs!) longest = entry;
  }
  return longest;
}

/** Whether its files have to be brought here before anything else. */
export function isAway({ model, brought }: LibraryEntry): boolean {
  return model.bring !== undefined && brought === undefined;
}

/** What may be used now by whoever asks. */
export function usableNow({ loaded, leaving }: LibraryEntry): LoadedModel | undefined {
  return leaving || loaded?.brokenAtMs !== undefined ? undefined : loaded;
}

export function residentOf({ model, loaded }: LibraryEntry): Resident | undefined {
  if (loaded === undefined) return undefined;
  const { bytes, inUse, lastUsedAtMs, atMs, staysUntilMs } = loaded;
  return { id: model.id, bytes, inUse, lastUsedAtMs, loadedAtMs: atMs, staysUntilMs };
}

/** When it has been without use for too long; Infinity where that is no matter. */
export function idleEndMs({ model, loaded }: LibraryEntry): number {
  if (loaded === undefined || loaded.inUse > 0 || model.idleUnloadMs === 0) return Number.POSITIVE_INFINITY;
  return loaded.lastUsedAtMs + model.idleUnloadMs;
}

/** When a model that failed counts as one that may be loaded again; Infinity where that is no matter. */
export function failureEndMs({ failure }: LibraryEntry): number {
  return failure === undefined || failure.isPast ? Number.POSITIVE_INFINITY : failure.untilMs;
}

/** Whether it could not be loaded, and is not to be tried again yet. */
export function hasFailed({ state, failure }: LibraryEntry): boolean {
  return state === 'idle' && failure !== undefined && !failure.isPast;
}

/** Whether it is loaded, or may be: nothing speaks against it so far. */
export function mayAnswer({ state, failure }: LibraryEntry): boolean {
  return state !== 'idle' || failure === undefined;
}

export function descriptionOf(entry: LibraryEntry): ModelDescription {
  const { state, detail, failure } = entry;
  const facts =
    entry.loaded?.description ?? entry.looked?.description ?? entry.model.foreseen ?? unknownFacts(entry.model);
  if (state !== 'idle' || failure === undefined) return { ...facts, state, detail };
  return { ...facts, state: failure.isPast ? 'idle' : 'failed', detail: failure.error.message };
}

/** Nobody has looked at it yet, or it can't be read. */
function unknownFacts({ id, aliases, isDefault }: LibraryModel): ModelDescription {
  return { id, aliases, isDefault, contextLength: 0, capabilities: [], engine: '', created: 0, samplingDefaults: {} };
}
