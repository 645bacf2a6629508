import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planRoom, type Resident, type RoomWish } from './plan-room.js';

const resident = (id: string, more: Partial<Resident> = {}): Resident => ({
  id,
  bytes: 100,
  inUse: 0,
  lastUsedAtMs: 0,
  loadedAtMs: 0,
  staysUntilMs: 0,
  ...more,
});

/** Room for two of a hundred bytes each. */
const wish = (residents: readonly Resident[], more: Partial<RoomWish> = {}): RoomWish => ({
  residents,
  neededBytes: 100,
  freeBytes: 200 - residents.reduce((sum, { bytes }) => sum + bytes, 0),
  usableBytes: 200,
  nowMs: 1_000,
  ...more,
});

describe('planRoom', () => {
  it('takes free room first', () => {
    expect(planRoom(wish([resident('a')]))).toEqual({ kind: 'fits' });
    expect(planRoom(wish([resident('a'), resident('b')], { neededBytes: 0 }))).toEqual({ kind: 'fits' });
  });

  it('refuses what would not fit alone, whatever is loaded', () => {
    expect(planRoom(wish([], { neededBytes: 201 }))).toEqual({ kind: 'never', mayUseBytes: 200 });
  });

  it('refuses what the machine does not have, and unloads nothing in vain', () => {
    const residents = [resident('a', { bytes: 50 })];
    expect(planRoom(wish(residents, { freeBytes: 20 }))).toEqual({ kind: 'never', mayUseBytes: 70 });
  });

  it('unloads what was used longest ago, and never what is in use', () => {
    const old = resident('old', { lastUsedAtMs: 10, loadedAtMs: 5 });
    const fresh = resident('fresh', { lastUsedAtMs: 20 });
    expect(planRoom(wish([fresh, old]))).toEqual({ kind: 'unload', ids: ['old'] });
    expect(planRoom(wish([fresh, { ...old, inUse: 1 }]))).toEqual({ kind: 'unload', ids: ['fresh'] });
  });

  it('asks the one to leave that was loaded longest ago, when all are in use', () => {
    const first = resident('first', { inUse: 3, loadedAtMs: 1, lastUsedAtMs: 900 });
    const second = resident('second', { inUse: 1, loadedAtMs: 2, lastUsedAtMs: 100 });
    expect(planRoom(wish([second, first]))).toEqual({ kind: 'wait', leaving: ['first'], againAtMs: undefined });
  });

  it('lets a model stay its time, used or not, and says when to ask again', () => {
    const staying = resident('staying', { staysUntilMs: 1_500 });
    const staysLonger = resident('staysLonger', { staysUntilMs: 1_700, inUse: 1 });
    expect(planRoom(wish([staying, staysLonger]))).toEqual({ kind: 'wait', leaving: [], againAtMs: 1_500 });
    expect(planRoom(wish([staying, staysLonger], { nowMs: 1_500 }))).toEqual({ kind: 'unload', ids: ['staying'] });
  });

  it('leaves alone what would free nothing, and what is not needed beside a larger one', () => {
    const elsewhere = resident('elsewhere', { bytes: 0 });
    const small = resident('small', { bytes: 20, lastUsedAtMs: 1 });
    const large = resident('large', { bytes: 180, lastUsedAtMs: 2 });
    expect(planRoom(wish([elsewhere, small, large]))).toEqual({ kind: 'unload', ids: ['large'] });
  });
});

// ------------------------------------------------------------------------------------------------- over time

interface Model {
  readonly bytes: number;
  loadedAtMs: number;
  lastUsedAtMs: number;
  loaded: boolean;
  leaving: boolean;
  /** When each of its running answers ends. */
  answersEndMs: number[];
  /** Since when its first one waits. */
  waitingSinceMs: number | undefined;
  loads: number;
}

const USABLE_BYTES = 200;
const STAY_MS = 50;
const LOAD_MS = 20;

/** Models under requests that come and end as `arrivals` say: the library's rules, with a clock of its own. */
function simulate(
  bytes: readonly number[],
  arrivals: readonly (readonly [model: number, forMs: number])[],
  everyMs: number,
) {
  const models = bytes.map(
    (size): Model => ({
      bytes: size,
      loadedAtMs: 0,
      lastUsedAtMs: 0,
      loaded: false,
      leaving: false,
      answersEndMs: [],
      waitingSinceMs: undefined,
      loads: 0,
    }),
  );
  let longestWaitMs = 0;
  let loadingUntilMs = 0;
  let [nowMs, arrived] = [0, 0];
  const end = () => arrived >= arrivals.length && models.every(({ waitingSinceMs }) => waitingSinceMs === undefined);
  for (; !end(); nowMs += 5) {
    if (nowMs > arrivals.length * everyMs + 1_000_000) throw new Error('Somebody waits for ever.');
    for (const model of models) model.answersEndMs = model.answersEndMs.filter((endMs) => endMs > nowMs);
    while (arrived < arrivals.length && arrived * everyMs <= nowMs) {
      const [index, forMs] = arrivals[arrived++]!;
      const model = models[index % models.length]!;
      if (model.loaded && !model.leaving) {
        model.answersEndMs.push(nowMs + forMs);
        model.lastUsedAtMs = nowMs;
      } else model.waitingSinceMs ??= nowMs;
    }
    if (nowMs < loadingUntilMs) continue;
    for (const model of models) {
      if (!model.loaded || model.leaving || model.waitingSinceMs === undefined) continue;
      model.answersEndMs.push(nowMs + 10);
      model.waitingSinceMs = undefined;
    }
    const waiting = models.filter(({ loaded, waitingSinceMs }) => !loaded && waitingSinceMs !== undefined);
    const next = waiting.sort((one, other) => one.waitingSinceMs! - other.waitingSinceMs!)[0];
    if (next === undefined) continue;
    const loaded = models.filter((model) => model.loaded);
    const plan = planRoom({
      residents: loaded.map((model) => ({
        id: String(models.indexOf(model)),
        bytes: model.bytes,
        inUse: model.answersEndMs.length,
        lastUsedAtMs: model.lastUsedAtMs,
        loadedAtMs: model.loadedAtMs,
        staysUntilMs: model.loadedAtMs + STAY_MS,
      })),
      neededBytes: next.bytes,
      freeBytes: USABLE_BYTES - loaded.reduce((sum, model) => sum + model.bytes, 0),
      usableBytes: USABLE_BYTES,
      nowMs,
    });
    for (const [index, model] of models.entries())
      model.leaving = plan.kind === 'wait' && plan.leaving.includes(String(index));
    if (plan.kind === 'unload') {
      for (const id of plan.ids) {
        const going = models[Number(id)]!;
        if (going.answersEndMs.length > 0) throw new Error('A model in use was unloaded.');
        if (nowMs < going.loadedAtMs + STAY_MS) throw new Error('A model did not stay its time.');
        going.loaded = false;
      }
    } else if (plan.kind === 'fits') {
      loadingUntilMs = nowMs + LOAD_MS;
      longestWaitMs = Math.max(longestWaitMs, nowMs - next.waitingSinceMs!);
      Object.assign(next, {
        loaded: true,
        loadedAtMs: loadingUntilMs,
        lastUsedAtMs: loadingUntilMs,
        loads: next.loads + 1,
      });
      const used = loaded.reduce((sum, model) => sum + model.bytes, next.bytes);
      if (used > USABLE_BYTES) throw new Error('More was loaded than there is room for.');
    }
  }
  return { models, longestWaitMs, nowMs };
}

describe('planRoom over time', () => {
  const size = fc.integer({ min: 1, max: USABLE_BYTES });
  const arrival = fc.tuple(fc.nat(9), fc.integer({ min: 1, max: 200 }));

  it('lets everyone in sooner or later, unloads nothing in use, and never loads more than fits', () => {
    fc.assert(
      fc.property(
        fc.array(size, { minLength: 1, maxLength: 6 }),
        fc.array(arrival, { maxLength: 300 }),
        fc.integer({ min: 1, max: 40 }),
        (sizes, arrivals, everyMs) => void simulate(sizes, arrivals, everyMs),
      ),
      { numRuns: 300 },
    );
  });

  it('gives a third its turn under steady load on two, within the longest answer and the turns before it', () => {
    const arrivals = Array.from({ length: 4_000 }, (_, at) => [at % 50 === 49 ? 2 : at % 2, 100] as const);
    const { models, longestWaitMs, nowMs } = simulate([100, 100, 100], arrivals, 5);
    expect(models[2]!.loads).toBeGreaterThan(10);
    // Two turns: stay, drain and load, for itself and for the one before it.
    expect(longestWaitMs).toBeLessThan(2 * (STAY_MS + 100 + LOAD_MS) + 50);
    // No thrash: at most one load for every stay.
    expect(models.reduce((sum, { loads }) => sum + loads, 0)).toBeLessThan(nowMs / STAY_MS);
  });
});
