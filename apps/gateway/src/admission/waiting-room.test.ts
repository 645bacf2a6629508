import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LIMITS } from './admission.testing.js';
import { type PlaceAsk, type RoomLimits, WaitingRoom } from './waiting-room.js';

const ask = (keyId: string | undefined, changes: Partial<PlaceAsk> = {}): PlaceAsk => ({
  keyId,
  model: 'm',
  bytes: 1,
  priority: 0,
  ...changes,
});

/** A room whose guests are names, with places that tests hand out, and a clock that they set. */
class Desk {
  nowMs = 0;
  readonly room: WaitingRoom<string>;
  readonly names = new Set<string>();

  constructor(limits: Partial<RoomLimits> = {}) {
    this.room = new WaitingRoom({ ...LIMITS, ...limits });
  }

  /** Takes a newcomer in; returns the names of those that gave way, or undefined if it was refused. */
  arrive(name: string, newcomer: PlaceAsk, served = true): string[] | undefined {
    const leaving = this.room.whoGivesWay(newcomer, this.nowMs);
    if (leaving === undefined) return undefined;
    for (const waiter of leaving) this.room.remove(waiter);
    this.room.add(newcomer, served, name, this.nowMs);
    return leaving.map(({ guest }) => guest);
  }

  arriveMany(count: number, name: string, newcomer: PlaceAsk): void {
    for (let number = 1; number <= count; number++) this.arrive(`${name}${number}`, newcomer);
  }

  /** Gives the next one a place. */
  letIn(): { name: string; ask: PlaceAsk } | undefined {
    const next = this.room.next(this.nowMs);
    if (next === undefined) return undefined;
    this.room.remove(next);
    this.room.begin(next.ask);
    return { name: next.guest, ask: next.ask };
  }

  /** One place, each answer of which takes `heldMs`: the order in which `count` of them get it. */
  serve(count: number, heldMs = 1): (string | undefined)[] {
    return Array.from({ length: count }, () => {
      const served = this.letIn();
      this.nowMs += heldMs;
      if (served) this.room.end(served.ask, this.nowMs);
      return served?.name;
    });
  }
}

describe('who is next', () => {
  it('of one key is who came first', () => {
    const desk = new Desk();
    desk.arriveMany(3, 'a', ask('a'));
    expect(desk.serve(4)).toEqual(['a1', 'a2', 'a3', undefined]);
  });

  it('of several keys is each in turn, however many one of them has', () => {
    const desk = new Desk();
    desk.arriveMany(50, 'a', ask('a'));
    desk.arriveMany(2, 'b', ask('b'));
    desk.arriveMany(1, 'c', ask('c'));
    expect(desk.serve(6)).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'a3']);
  });

  it('is the key with the fewest running', () => {
    const desk = new Desk();
    desk.arriveMany(9, 'a', ask('a'));
    const [first, second] = [desk.letIn(), desk.letIn()];
    desk.arrive('b1', ask('b'));
    desk.arrive('b2', ask('b'));
    expect([first?.name, second?.name]).toEqual(['a1', 'a2']);
    expect([desk.letIn()?.name, desk.letIn()?.name]).toEqual(['b1', 'b2']);
    expect(desk.letIn()?.name).toBe('a3');
  });

  it('is not a key that comes back with one request after another, each time anew', () => {
    const desk = new Desk();
    desk.arriveMany(9, 'a', ask('a'));
    desk.arriveMany(9, 'b', ask('b'));
    const order = Array.from({ length: 9 }, (_, number) => {
      desk.arrive(`c${number}`, ask('c'));
      return desk.serve(1)[0]![0];
    });
    // It waits for its turn like the others; those of its requests that are still there are served then.
    expect(order.join('')).toBe('abcabcabc');
  });

  it('is the higher priority, whoever else has waited', () => {
    const desk = new Desk();
    desk.arriveMany(2, 'low', ask('a', { priority: -1 }));
    desk.arriveMany(2, 'high', ask('b', { priority: 3 }));
    expect(desk.serve(4)).toEqual(['high1', 'high2', 'low1', 'low2']);
  });

  it('has not aged while something of its key runs, so a long line is no claim', () => {
    const desk = new Desk({ priorityAgeingMs: 1_000 });
    desk.arriveMany(50, 'a', ask('a'));
    desk.serve(3, 60_000);
    desk.arrive('b1', ask('b'));
    desk.nowMs += 10;
    expect(desk.serve(2, 60_000)).toEqual(['b1', 'a4']);
  });

  it('has not aged while another of its requests runs, however long that takes', () => {
    const desk = new Desk({ priorityAgeingMs: 1_000 });
    desk.arriveMany(3, 'a', ask('a'));
    expect(desk.letIn()?.name).toBe('a1');
    desk.nowMs += 60_000;
    desk.arrive('b1', ask('b'));
    expect([desk.letIn()?.name, desk.letIn()?.name]).toEqual(['b1', 'a2']);
  });

  it('is a low priority once it has waited long enough, in spite of a flood of a higher', () => {
    const desk = new Desk({ priorityAgeingMs: 1_000 });
    desk.arrive('low', ask('a', { priority: -2 }));
    desk.arriveMany(99, 'high', ask('b', { priority: 3 }));
    const order = desk.serve(60, 100);
    // Five priorities are five seconds, and one that is as high as the other has fewer running: at 5,000 ms.
    expect(order.indexOf('low')).toBe(50);
  });

  it('passes over models that are not served, and holds up nobody for them', () => {
    const desk = new Desk();
    desk.arrive('cold1', ask('a', { model: 'cold' }), false);
    desk.arrive('warm1', ask('a'));
    desk.arrive('cold2', ask('b', { model: 'cold' }), false);
    expect(desk.serve(2)).toEqual(['warm1', undefined]);
    expect(desk.room.setServed(['cold'], true)).toBe(true);
    expect(desk.room.setServed(['cold'], true)).toBe(false);
    expect(desk.serve(2)).toEqual(['cold2', 'cold1']); // `a` was served since.
  });

  it('is within a key who came first, whatever its model', () => {
    const desk = new Desk();
    desk.arrive('1', ask('a', { model: 'x' }));
    desk.arrive('2', ask('a', { model: 'y' }));
    desk.arrive('3', ask('a', { model: 'x' }));
    expect(desk.serve(3)).toEqual(['1', '2', '3']);
  });

  it('of equals with one place is no key twice while another waits all the while', () => {
    const arrival = fc.record({ key: fc.constantFrom('a', 'b', 'c', undefined), serves: fc.nat(2) });
    fc.assert(
      fc.property(fc.array(arrival, { minLength: 2, maxLength: 60 }), (arrivals) => {
        const desk = new Desk();
        /** Since each key was served: the others that have waited ever since without being served. */
        const passedOver = new Map<string | undefined, Set<string | undefined>>();
        const serveOne = () => {
          const key = desk.room.next(desk.nowMs)?.ask.keyId;
          if (desk.serve(1)[0] === undefined) return;
          expect([...(passedOver.get(key) ?? [])]).toEqual([]);
          for (const others of passedOver.values()) others.delete(key);
          passedOver.set(key, new Set(desk.room.waitingFor(['m']).map((waiter) => waiter.ask.keyId)));
          passedOver.get(key)!.delete(key);
        };
        for (const { key, serves } of arrivals) {
          desk.arrive('x', ask(key));
          for (let one = 0; one < serves; one++) serveOne();
        }
        while (desk.room.size > 0) serveOne();
      }),
    );
  });

  it('leaves no key without an answer for longer than its age needs, whatever the others ask', () => {
    const rival = fc.record({ key: fc.constantFrom('b', 'c', 'd'), priority: fc.integer({ min: -3, max: 3 }) });
    fc.assert(
      fc.property(
        fc.array(rival, { minLength: 1, maxLength: 4 }),
        fc.integer({ min: -3, max: 3 }),
        (rivals, priority) => {
          const desk = new Desk({ priorityAgeingMs: 100, maxQueueDepth: 10_000 });
          // Every rival always has something waiting.
          const flood = () => {
            for (const one of rivals) desk.arrive('rival', ask(one.key, { priority: one.priority }));
          };
          for (let step = 0; step < 10; step++) flood();
          desk.arrive('mine', ask('a', { priority }));
          const order = [];
          for (let step = 0; step < 60; step++) {
            flood();
            order.push(...desk.serve(1, 20));
          }
          const highest = Math.max(...rivals.map((one) => one.priority), priority);
          // It is as high as the highest after so many answers; then each of the others has at most what aged before it.
          const steps = ((highest - priority + 1) * 100) / 20 + 2 * rivals.length + 1;
          expect(order.indexOf('mine')).toBeGreaterThanOrEqual(0);
          expect(order.indexOf('mine')).toBeLessThanOrEqual(steps);
        },
      ),
    );
  });
});

describe('the example of docs/concepts/admission.md', () => {
  it('goes as the page says', () => {
    const desk = new Desk();
    const second = (number: number) => {
      desk.nowMs = number * 1_000;
    };
    desk.arriveMany(5, 'app', ask('app'));
    const first = desk.letIn()!;
    second(1);
    desk.arrive('lab1', ask('lab'));
    desk.arriveMany(2, 'night', ask('night', { priority: -1 }));
    second(2);
    desk.room.end(first.ask, desk.nowMs);
    const lab = desk.letIn()!;
    second(3);
    desk.arrive('vip1', ask('vip', { priority: 1 }));
    second(4);
    desk.room.end(lab.ask, desk.nowMs);
    const rest = desk.serve(8, 2_000);
    expect([first.name, lab.name, ...rest]).toEqual([
      'app1',
      'lab1',
      'vip1',
      'app2',
      'app3',
      'app4',
      'app5',
      'night1',
      'night2',
      undefined,
    ]);
  });

  it('goes as it says when one key never stops', () => {
    const desk = new Desk();
    desk.nowMs = 1_000;
    desk.arriveMany(2, 'night', ask('night', { priority: -1 }));
    desk.nowMs = 2_000;
    const order = Array.from({ length: 40 }, () => {
      const atSecond = desk.nowMs / 1_000;
      desk.arrive('app', ask('app'));
      return { name: desk.serve(1, 2_000)[0], atSecond };
    });
    expect(order.filter(({ name }) => name?.startsWith('night'))).toEqual([
      { name: 'night1', atSecond: 32 },
      { name: 'night2', atSecond: 64 },
    ]);
  });
});

describe('a full room', () => {
  it('refuses a newcomer while nobody holds more than it would', () => {
    const desk = new Desk({ maxQueueDepth: 2 });
    desk.arriveMany(1, 'a', ask('a'));
    desk.arriveMany(1, 'b', ask('b'));
    expect(desk.arrive('a2', ask('a'))).toBeUndefined();
    expect(desk.arrive('c1', ask('c'))).toBeUndefined();
    expect(desk.room.size).toBe(2);
  });

  it('has the newest of the key that holds the most give way, down to equal shares', () => {
    const desk = new Desk({ maxQueueDepth: 6 });
    desk.arriveMany(6, 'a', ask('a'));
    expect(desk.arrive('b1', ask('b'))).toEqual(['a6']);
    expect(desk.arrive('b2', ask('b'))).toEqual(['a5']);
    expect(desk.arrive('b3', ask('b'))).toEqual(['a4']);
    expect(desk.arrive('b4', ask('b'))).toBeUndefined();
    expect(desk.arrive('c1', ask('c'))).toEqual(['b3']); // The newest of two that hold as much.
    expect(desk.arrive('c2', ask('c'))).toEqual(['a3']);
    expect(desk.arrive('c3', ask('c'))).toBeUndefined();
    expect(desk.serve(7)).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'c2', undefined]);
  });

  it('lets in nobody at the cost of a higher priority, though its key holds everything', () => {
    const desk = new Desk({ maxQueueDepth: 4 });
    desk.arriveMany(4, 'a', ask('a', { priority: 1 }));
    expect(desk.arrive('b1', ask('b'))).toBeUndefined();
  });

  it('does not mind how long those of the largest key have waited', () => {
    const desk = new Desk({ maxQueueDepth: 4 });
    desk.arriveMany(4, 'a', ask('a'));
    desk.nowMs += 1_000_000;
    expect(desk.arrive('b1', ask('b'))).toEqual(['a4']);
  });

  it('has a low priority give way to a higher, whose key may have its share and no more', () => {
    const desk = new Desk({ maxQueueDepth: 4 });
    for (const key of ['a', 'b', 'c', 'd']) desk.arrive(key, ask(key, { priority: -1 }));
    expect(desk.arrive('high1', ask('e'))).toEqual(['d']);
    expect(desk.arrive('high2', ask('e'))).toBeUndefined();
    expect(desk.arrive('other', ask('f', { priority: -1 }))).toBeUndefined();
  });

  it('measures that share in bytes where bytes are short', () => {
    const desk = new Desk({ maxQueueBytes: 100 });
    for (const key of ['a', 'b']) desk.arrive(key, ask(key, { priority: -1, bytes: 50 }));
    expect(desk.arrive('high1', ask('c', { bytes: 35 }))).toBeUndefined(); // A third is 34.
    expect(desk.arrive('high2', ask('c', { bytes: 34 }))).toEqual(['b']);
  });

  it('has whoever has nothing yet give way to answers that have begun, whatever the share of their key', () => {
    const desk = new Desk({ maxQueueDepth: 4 });
    desk.arriveMany(2, 'b', ask('b'));
    desk.arriveMany(2, 'c', ask('c'));
    const begun = ask('a', { priority: 1_000_000, begun: true });
    for (const name of ['a1', 'a2', 'a3', 'a4']) expect(desk.arrive(name, begun)).toHaveLength(1);
    expect(desk.arrive('a5', begun)).toBeUndefined();
    expect([...Array(4)].map(() => desk.letIn()?.name)).toEqual(['a1', 'a2', 'a3', 'a4']);
  });

  it('has none give way to a higher priority that has aged as high itself', () => {
    const desk = new Desk({ maxQueueDepth: 2, priorityAgeingMs: 1_000 });
    desk.arrive('a1', ask('a', { priority: -1 }));
    desk.nowMs += 1_000;
    desk.arrive('b1', ask('b', { priority: -1 }));
    expect(desk.arrive('c1', ask('c'))).toEqual(['b1']);
    expect(desk.arrive('d1', ask('d'))).toBeUndefined();
  });

  it('has what a key wants less give way to what it wants more', () => {
    const desk = new Desk({ maxQueueDepth: 3 });
    desk.arriveMany(3, 'batch', ask('a', { priority: -5 }));
    expect(desk.arrive('asked', ask('a'))).toEqual(['batch3']);
  });

  it('counts bytes as it counts requests: several small ones may give way to one that is larger', () => {
    const desk = new Desk({ maxQueueBytes: 100 });
    desk.arriveMany(10, 'a', ask('a', { bytes: 10 }));
    expect(desk.arrive('b1', ask('b', { bytes: 25 }))).toEqual(['a10', 'a9', 'a8']);
    expect(desk.room.bytes).toBe(95);
    expect(desk.arrive('b2', ask('b', { bytes: 25 }))).toEqual(['a7', 'a6']);
    expect(desk.arrive('b3', ask('b', { bytes: 10 }))).toBeUndefined();
    expect(desk.arrive('c1', ask('c', { bytes: 101 }))).toBeUndefined();
    expect(desk.arrive('c2', ask('c', { bytes: 0 }))).toEqual([]);
  });

  it('does not cost a crowd its turn for one large body', () => {
    const desk = new Desk({ maxQueueBytes: 100 });
    desk.arriveMany(100, 'a', ask('a', { bytes: 1 }));
    expect(desk.arrive('b1', ask('b', { bytes: 16 }))).toHaveLength(16);
    expect(desk.arrive('c1', ask('c', { bytes: 17 }))).toBeUndefined();
    expect(desk.room.size).toBe(85);
  });

  it('keeps both bounds, and never has a better give way to a worse, whoever comes', () => {
    const newcomer = fc.record({
      keyId: fc.constantFrom('a', 'b', 'c', undefined),
      model: fc.constantFrom('m', 'n'),
      bytes: fc.nat(40),
      priority: fc.integer({ min: -2, max: 2 }),
    });
    const step = fc.oneof({ weight: 4, arbitrary: newcomer }, { weight: 1, arbitrary: fc.constant('serve' as const) });
    fc.assert(
      fc.property(fc.nat(6), fc.nat(80), fc.array(step, { maxLength: 60 }), (maxQueueDepth, maxQueueBytes, steps) => {
        const desk = new Desk({ maxQueueDepth, maxQueueBytes, priorityAgeingMs: 50 });
        for (const one of steps) {
          desk.nowMs += 7;
          if (one === 'serve') {
            desk.serve(1);
            continue;
          }
          const before = [...desk.room.waitingFor(['m']), ...desk.room.waitingFor(['n'])];
          const heldBy = (keyId: string | undefined) => before.filter((waiter) => waiter.ask.keyId === keyId).length;
          const leaving = desk.room.whoGivesWay(one, desk.nowMs);
          for (const waiter of leaving ?? []) {
            expect(waiter.ask.priority).toBeLessThanOrEqual(one.priority);
            if (waiter.ask.priority === one.priority) expect(waiter.ask.keyId).not.toBe(one.keyId);
            desk.room.remove(waiter);
          }
          if (leaving) desk.room.add(one, true, 'x', desk.nowMs);
          // Whoever was refused for its number found nobody with two more than its own and no better claim.
          else if (maxQueueDepth > 0 && before.length === maxQueueDepth && one.bytes === 0) {
            const larger = before.filter(({ ask: { keyId, priority } }) => {
              return keyId !== one.keyId && priority <= one.priority && heldBy(keyId) >= heldBy(one.keyId) + 2;
            });
            expect(larger).toEqual([]);
          }
          expect(desk.room.size).toBeLessThanOrEqual(maxQueueDepth);
          expect(desk.room.bytes).toBeLessThanOrEqual(maxQueueBytes);
          const after = [...desk.room.waitingFor(['m']), ...desk.room.waitingFor(['n'])];
          expect(after.length).toBe(desk.room.size);
          expect(after.reduce((sum, { ask: { bytes } }) => sum + bytes, 0)).toBe(desk.room.bytes);
        }
      }),
    );
  });
});
