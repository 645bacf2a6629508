import { describe, expect, it } from 'vitest';
import { type InteractiveLoad, LineGate, linesAllowed } from './line-gate.js';

const IDLE = { running: 0, waiting: 0 };

describe('how many lines may run', () => {
  it.each([
    ['nobody waits for an answer, and nobody has for a while', IDLE, 5_000, 0, 8],
    ['somebody was answered a moment ago', IDLE, 100, 0, 1],
    ['somebody is being answered', { running: 1, waiting: 0 }, 0, 0, 1],
    ['somebody waits for a place', { running: 64, waiting: 3 }, 0, 100, 0],
    ['somebody waits for a place, and no line has run for long', { running: 64, waiting: 3 }, 0, 2_000, 1],
  ])('when %s', (_when, load, quietMs, heldBackMs, lines) => {
    expect(linesAllowed(load, quietMs, heldBackMs, { batchConcurrency: 8, batchConcurrencyBeside: 1 })).toBe(lines);
  });
});

describe('the gate', () => {
  const { signal } = new AbortController();

  function gateWith(load: InteractiveLoad = IDLE) {
    const state = { load, nowMs: 0 };
    return {
      state,
      gate: new LineGate(
        { batchConcurrency: 3, batchConcurrencyBeside: 1 },
        () => state.load,
        () => state.nowMs,
      ),
    };
  }

  it('lets in as many as may run, and one for each that ends', async () => {
    const { gate } = gateWith();
    const permits = await Promise.all([1, 2, 3].map(() => gate.enter(signal)));
    let fourth = false;
    const entering = gate.enter(signal).then((permit) => {
      fourth = true;
      return permit;
    });
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect([fourth, gate.running]).toEqual([false, 3]);
    permits[0]![Symbol.dispose]();
    permits[0]![Symbol.dispose]();
    await entering;
    expect(gate.running).toBe(3);
  });

  it('holds lines back while somebody is being answered, and opens again once it is quiet', async () => {
    const { gate, state } = gateWith({ running: 2, waiting: 0 });
    using _first = await gate.enter(signal);
    const second = gate.enter(signal);
    state.load = IDLE;
    state.nowMs = 900;
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(gate.running).toBe(1);
    state.nowMs = 2_000;
    await second;
    expect(gate.running).toBe(2);
  });

  it('lets whoever leaves go, and keeps no place for it', async () => {
    const { gate } = gateWith();
    const permits = await Promise.all([1, 2, 3].map(() => gate.enter(signal)));
    const leaving = new AbortController();
    const entering = gate.enter(leaving.signal);
    leaving.abort(new Error('left'));
    await expect(entering).rejects.toThrow('left');
    for (const permit of permits) permit[Symbol.dispose]();
    expect(gate.running).toBe(0);
  });

  it('lets one that must be alone in once the others have ended, and nobody beside it', async () => {
    const { gate } = gateWith();
    const first = await gate.enter(signal);
    const entered: string[] = [];
    const enter = async (name: string, alone: boolean) => {
      const permit = await gate.enter(signal, { alone });
      entered.push(`${name} beside ${gate.running - 1}`);
      return permit;
    };
    const alone = enter('alone', true);
    const later = [enter('later', false), enter('last', false)];
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(entered).toEqual([]);
    first[Symbol.dispose]();
    const permit = await alone;
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(entered).toEqual(['alone beside 0']);
    permit[Symbol.dispose]();
    await Promise.all(later);
    expect(gate.running).toBe(2);
  });

  it('opens for those behind one that must be alone, and leaves', async () => {
    const { gate } = gateWith();
    using _first = await gate.enter(signal);
    const leaving = new AbortController();
    const alone = gate.enter(leaving.signal, { alone: true });
    const later = gate.enter(signal);
    leaving.abort(new Error('left'));
    await expect(alone).rejects.toThrow('left');
    using _later = await later;
    expect(gate.running).toBe(2);
  });
});
