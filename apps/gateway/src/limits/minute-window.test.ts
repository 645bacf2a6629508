import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MinuteWindow } from './minute-window.js';

const MINUTE_MS = 60_000;
const BEGIN_MS = Date.UTC(2026, 10, 21, 12);

/** Every use with its time: what is right, and what no gateway can afford. */
class ExactLog {
  readonly uses: { readonly atMs: number; count: number }[] = [];

  used(nowMs: number, windowMs = MINUTE_MS): number {
    return this.uses.reduce((sum, { atMs, count }) => (atMs > nowMs - windowMs ? sum + count : sum), 0);
  }
}

const someUses = fc.array(
  fc.record({
    afterMs: fc.oneof(
      fc.integer({ min: 0, max: 50 }),
      fc.integer({ min: 0, max: 9_000 }),
      fc.integer({ min: 59_000, max: 61_000 }),
    ),
    count: fc.integer({ min: 0, max: 40 }),
  }),
  { maxLength: 200 },
);

function letThrough(window: MinuteWindow, nowMs: number, count: number, limit: number): boolean {
  if (window.used(nowMs) + count > limit) return false;
  window.add(nowMs, count);
  return true;
}

describe('MinuteWindow', () => {
  it('never lets more than the limit through in any 60 seconds', () => {
    fc.assert(
      fc.property(someUses, fc.integer({ min: 1, max: 100 }), (uses, limit) => {
        const window = new MinuteWindow();
        const log = new ExactLog();
        let nowMs = BEGIN_MS;
        for (const { afterMs, count } of uses) {
          nowMs += afterMs;
          if (letThrough(window, nowMs, count, limit)) log.uses.push({ atMs: nowMs, count });
          expect(log.used(nowMs)).toBeLessThanOrEqual(limit);
        }
      }),
    );
  });

  it('counts at least what an exact log does, and no more than it would if a minute were a second longer', () => {
    fc.assert(
      fc.property(someUses, (uses) => {
        const window = new MinuteWindow();
        const log = new ExactLog();
        let nowMs = BEGIN_MS;
        for (const { afterMs, count } of uses) {
          nowMs += afterMs;
          window.add(nowMs, count);
          log.uses.push({ atMs: nowMs, count });
          expect(window.used(nowMs)).toBeGreaterThanOrEqual(log.used(nowMs));
          expect(window.used(nowMs)).toBeLessThanOrEqual(log.used(nowMs, MINUTE_MS + 1_000));
        }
      }),
    );
  });

  it('stays so when uses are corrected up and down', () => {
    const corrections = fc.array(fc.tuple(fc.nat(199), fc.integer({ min: -40, max: 80 })), { maxLength: 100 });
    fc.assert(
      fc.property(someUses, corrections, (uses, changes) => {
        const window = new MinuteWindow();
        const log = new ExactLog();
        let nowMs = BEGIN_MS;
        const due = [...changes];
        for (const { afterMs, count } of uses) {
          nowMs += afterMs;
          window.add(nowMs, count);
          log.uses.push({ atMs: nowMs, count });
          const [place, by] = due.pop() ?? [0, 0];
          const use = log.uses[place];
          if (use === undefined) continue;
          const change = Math.max(-use.count, by);
          window.correct(use.atMs, change);
          use.count += change;
          expect(window.used(nowMs)).toBeGreaterThanOrEqual(log.used(nowMs));
          expect(window.used(nowMs)).toBeLessThanOrEqual(log.used(nowMs, MINUTE_MS + 1_000));
        }
      }),
    );
  });

  it('says exactly how long to wait', () => {
    fc.assert(
      fc.property(someUses, fc.integer({ min: 0, max: 100 }), (uses, target) => {
        const window = new MinuteWindow();
        let nowMs = BEGIN_MS;
        for (const { afterMs, count } of uses) {
          nowMs += afterMs;
          window.add(nowMs, count);
        }
        const waitMs = window.waitMs(nowMs, target);
        expect(waitMs).toBeLessThanOrEqual(MINUTE_MS);
        if (waitMs > 0) expect(window.used(nowMs + waitMs - 1)).toBeGreaterThan(target);
        expect(window.used(nowMs + waitMs)).toBeLessThanOrEqual(target);
      }),
    );
  });

  it('is empty when it says that it will be', () => {
    const window = new MinuteWindow();
    window.add(BEGIN_MS, 3);
    window.add(BEGIN_MS + 10_400, 3);
    window.add(BEGIN_MS + 20_000, 0);
    expect(window.resetMs(BEGIN_MS + 20_000)).toBe(50_400);
    expect(window.used(BEGIN_MS + 70_399)).toBe(3);
    expect(window.used(BEGIN_MS + 70_400)).toBe(0);
  });

  it('bears a clock that is put back, by a little or by hours', () => {
    const window = new MinuteWindow();
    window.add(BEGIN_MS, 5);
    window.add(BEGIN_MS - 3_000, 5);
    expect(window.used(BEGIN_MS - 3_000)).toBe(10);
    expect(window.waitMs(BEGIN_MS - 3_000, 0)).toBeLessThanOrEqual(MINUTE_MS);
    expect(window.used(BEGIN_MS - 3_600_000)).toBe(0);
  });
});
