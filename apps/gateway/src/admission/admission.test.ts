import { InferenceError } from '@millrace/contracts';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Permit } from '../vocabulary.js';
import type { Admission } from './admission.js';
import { anAdmission, anAsk, FakeServants, LIMITS } from './admission.testing.js';

const staying = () => new AbortController().signal;
const leave = (permit: Permit) => permit[Symbol.dispose]();
/** Long enough for whatever was resolved to be seen. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('Admission', () => {
  it('lets as many run as there are places, and as many wait as the queue is deep', async () => {
    const admission = anAdmission({ maxConcurrentRequests: 2, maxQueueDepth: 1 });
    await admission.admit(anAsk(), staying());
    await admission.admit(anAsk(), staying());
    const third = admission.admit(anAsk({ bytes: 30 }), staying());
    expect([admission.running, admission.waiting, admission.waitingBytes]).toEqual([2, 1, 30]);
    await expect(admission.admit(anAsk(), staying())).rejects.toMatchObject({
      code: 'rate_limit_exceeded',
      message: '2 requests are running (the limit is 2) and 1 are waiting (1). Try again later.',
      details: { limit: 'queue', retryAfterSeconds: 1 },
    });
    void third;
  });

  it('has only so many bytes wait, and says all of the numbers', async () => {
    const admission = anAdmission({ maxQueueBytes: 1_500 });
    await admission.admit(anAsk(), staying());
    void admission.admit(anAsk({ bytes: 1_400 }), staying());
    await expect(admission.admit(anAsk({ bytes: 101 }), staying())).rejects.toMatchObject({
      code: 'rate_limit_exceeded',
      message:
        '1 requests are running (the limit is 1) and 1 are waiting, whose bodies take 1,400 bytes; with the 101 of this one they would take more than 1,500. Try again later.',
      details: { limit: 'queue' },
    });
    void admission.admit(anAsk({ bytes: 100 }), staying());
    expect(admission.waitingBytes).toBe(1_500);
  });

  it('knows for how many of its requests somebody waits, on whatever path they leave', async () => {
    const admission = anAdmission({ maxConcurrentRequests: 2, maxQueueDepth: 5 });
    const counts = () => [admission.interactive.running, admission.interactive.waiting];
    const line = await admission.admit(anAsk({ priority: -1_000 }), staying());
    const chat = await admission.admit(anAsk(), staying());
    expect([admission.running, ...counts()]).toEqual([2, 1, 0]);
    const leaving = new AbortController();
    const left = expect(admission.admit(anAsk(), leaving.signal)).rejects.toThrow('left');
    const next = admission.admit(anAsk(), staying());
    const nextLine = admission.admit(anAsk({ priority: -1_000 }), staying());
    expect([admission.waiting, ...counts()]).toEqual([3, 1, 2]);
    leaving.abort(new Error('left'));
    await left;
    expect(counts()).toEqual([1, 1]);
    leave(line);
    const second = await next;
    expect(counts()).toEqual([2, 0]);
    leave(chat);
    leave(chat);
    leave(second);
    leave(await nextLine);
    expect([admission.running, ...counts()]).toEqual([0, 0, 0]);
  });

  it('refuses at once when nobody may wait', async () => {
    const admission = anAdmission({ maxQueueDepth: 0 });
    const permit = await admission.admit(anAsk(), staying());
    await expect(admission.admit(anAsk(), staying())).rejects.toThrow(InferenceError);
    leave(permit);
    await admission.admit(anAsk(), staying());
  });

  it('tells those who have to wait, and nobody else', async () => {
    const admission = anAdmission({ maxQueueDepth: 1 });
    const told: number[] = [];
    const ask = (number: number) => admission.admit(anAsk({ onWait: () => told.push(number) }), staying());
    await ask(1);
    void ask(2);
    await expect(ask(3)).rejects.toThrow();
    expect(told).toEqual([2]);
  });

  it('has who came last of the key with the most give way, with a 429 of its own', async () => {
    const admission = anAdmission({ maxQueueDepth: 2 });
    await admission.admit(anAsk(), staying());
    void admission.admit(anAsk(), staying());
    const last = admission.admit(anAsk(), staying());
    const other = admission.admit(anAsk({ keyId: 'b' }), staying());
    await expect(last).rejects.toMatchObject({
      code: 'rate_limit_exceeded',
      message: expect.stringMatching(/^\d requests were waiting \(the limit is 2\), and this one gave way to one of a/),
      details: { limit: 'queue', retryAfterSeconds: expect.any(Number) },
    });
    expect(admission.waiting).toBe(2);
    void other;
  });

  it('does not let 1,000 requests of one key hold up the first of another for more than one answer', async () => {
    const admission = anAdmission({ maxQueueDepth: 1_001 });
    const running = await admission.admit(anAsk(), staying());
    for (let number = 0; number < 1_000; number++) void admission.admit(anAsk(), staying());
    let first: Permit | undefined;
    void admission.admit(anAsk({ keyId: 'b' }), staying()).then((permit) => {
      first = permit;
    });
    await settled();
    expect(first).toBeUndefined();
    leave(running);
    await settled();
    expect(first).toBeDefined();
    expect([admission.running, admission.waiting]).toEqual([1, 1_000]);
  });

  it('counts what a key has running, and what it has no longer', async () => {
    const admission = anAdmission({ maxConcurrentRequests: 2 });
    for (let time = 0; time < 2; time++) leave(await admission.admit(anAsk({ keyId: 'a' }), staying()));
    const held = [await admission.admit(anAsk({ keyId: 'c' }), staying())];
    held.push(await admission.admit(anAsk({ keyId: 'b' }), staying()));
    const order: string[] = [];
    for (const keyId of ['b', 'a']) void admission.admit(anAsk({ keyId }), staying()).then(() => order.push(keyId));
    leave(held[0]!);
    await settled();
    expect(order).toEqual(['a']);
  });

  it('takes a place back once, however often its permit is disposed of', async () => {
    const admission = anAdmission({ maxConcurrentRequests: 2, maxQueueDepth: 0 });
    const permit = await admission.admit(anAsk(), staying());
    await admission.admit(anAsk(), staying());
    leave(permit);
    leave(permit);
    expect(admission.running).toBe(1);
  });

  it('forgets a waiting request whose client leaves, and says why', async () => {
    const admission = anAdmission({ maxQueueDepth: 1 });
    await admission.admit(anAsk(), staying());
    const leaving = new AbortController();
    const waiting = admission.admit(anAsk(), leaving.signal);
    leaving.abort(new InferenceError('client_closed_request', 'left'));
    await expect(waiting).rejects.toThrow('left');
    expect([admission.waiting, admission.waitingBytes]).toEqual([0, 0]);
    await expect(admission.admit(anAsk(), leaving.signal)).rejects.toThrow('left');
    void admission.admit(anAsk(), staying()); // Its place in the room is free at once.
    expect(admission.waiting).toBe(1);
  });

  it('hears no more of the workers once it is closed, and lets nobody in, whether they wait or come', async () => {
    const servants = new FakeServants();
    const admission = anAdmission({}, servants);
    expect(servants.watched).toBe(1);
    const running = await admission.admit(anAsk(), staying());
    const waiting = [admission.admit(anAsk(), staying()), admission.admit(anAsk({ model: 'n' }), staying())];
    servants.lose('n');
    admission.close();
    expect(servants.watched).toBe(0);
    for (const one of [...waiting, admission.admit(anAsk({ model: 'n' }), staying())]) {
      await expect(one).rejects.toMatchObject({ code: 'shutting_down' });
    }
    expect([admission.running, admission.waiting]).toEqual([1, 0]);
    leave(running);
    await expect(admission.admit(anAsk(), staying())).rejects.toMatchObject({ code: 'shutting_down' });
    expect(admission.running).toBe(0);
  });

  const act = fc.record({
    act: fc.constantFrom('arrive', 'arrive', 'arrive', 'finish', 'leave', 'lose', 'give up', 'ready'),
    which: fc.nat(20),
    keyId: fc.constantFrom('a', 'b', undefined),
    model: fc.constantFrom('m', 'n'),
    bytes: fc.nat(30),
    priority: fc.nat(2),
  });

  it('keeps every bound, leaves no place free and loses nobody, whatever happens in whatever order', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(4),
        fc.nat(4),
        fc.nat(90),
        fc.array(act, { maxLength: 80 }),
        async (places, depth, bytes, acts) => {
          const limits = { maxConcurrentRequests: places + 1, maxQueueDepth: depth, maxQueueBytes: bytes };
          const servants = new FakeServants();
          const admission = anAdmission({ ...limits, coldStartWaitMs: 60_000 }, servants);
          const held: Permit[] = [];
          const waiting: { readonly leaving: AbortController; readonly model: string }[] = [];
          const endings = new Map<object, number>();
          const arrive = (ask: ReturnType<typeof anAsk>) => {
            const leaving = new AbortController();
            const one = { leaving, model: ask.model };
            const end = () => {
              endings.set(one, endings.get(one)! + 1);
              waiting.splice(waiting.indexOf(one), 1);
            };
            endings.set(one, 0);
            waiting.push(one);
            admission.admit(ask, leaving.signal).then((permit) => {
              held.push(permit);
              end();
            }, end);
          };
          for (const { act, which, keyId, model, bytes, priority } of acts) {
            if (act === 'arrive') arrive(anAsk({ keyId, model, bytes, priority }));
            if (act === 'finish') held.splice(which % (held.length || 1), 1)[0]?.[Symbol.dispose]();
            if (act === 'leave') waiting[which % (waiting.length || 1)]?.leaving.abort(new Error('left'));
            if (act === 'lose') servants.lose(model);
            if (act === 'give up') servants.giveUp(model);
            if (act === 'ready') servants.ready(model);
            await settled();
            expect(admission.running).toBe(held.length);
            expect(admission.waiting).toBe(waiting.length);
            expect(admission.running).toBeLessThanOrEqual(limits.maxConcurrentRequests);
            expect(admission.waiting).toBeLessThanOrEqual(limits.maxQueueDepth);
            expect(admission.waitingBytes).toBeLessThanOrEqual(limits.maxQueueBytes);
            // Nobody waits who could run while a place is free.
            const eligible = waiting.filter((one) => servants.serves(one.model));
            if (eligible.length > 0) expect(admission.running).toBe(limits.maxConcurrentRequests);
          }
          for (const { leaving } of [...waiting]) leaving.abort(new Error('left'));
          await settled();
          for (const permit of held) leave(permit);
          expect([admission.running, admission.waiting, admission.waitingBytes]).toEqual([0, 0, 0]);
          expect([...endings.values()].every((times) => times === 1)).toBe(true);
        },
      ),
    );
  });
});

describe('a request that several models may serve', () => {
  const may = (...fallbacks: string[]) => anAsk({ model: 'first', fallbacks });

  it('is let in where any of them is served', async () => {
    const servants = new FakeServants();
    servants.lose('first');
    const admission = anAdmission({ coldStartWaitMs: 0 }, servants);
    leave(await admission.admit(may('second'), staying()));
    servants.lose('second');
    await expect(admission.admit(may('second'), staying())).rejects.toThrow(
      'No worker can serve the model `first` just now. It is unavailable. Nor can what would stand in for it: `second` is unavailable. Try again shortly',
    );
  });

  it('waits for none that is given up, neither when it comes nor when it waits already', async () => {
    const servants = new FakeServants();
    servants.giveUp('first');
    servants.lose('second');
    const admission = anAdmission({}, servants);
    await expect(admission.admit(anAsk({ model: 'first' }), staying())).rejects.toMatchObject({
      code: 'model_not_ready',
    });
    const waiting = admission.admit(may('second'), staying());
    await settled();
    expect(admission.waiting).toBe(1);
    servants.giveUp('second');
    await expect(waiting).rejects.toThrow(/this request waited \d+ ms for one/);
    expect([admission.running, admission.waiting]).toEqual([0, 0]);
    servants.ready('second');
    leave(await admission.admit(may('second'), staying()));
  });

  it('waits until any of them is served, and on as long as one is', async () => {
    const servants = new FakeServants();
    for (const model of ['first', 'second', 'third']) servants.lose(model);
    const admission = anAdmission({}, servants);
    const permits: Permit[] = [];
    // In whatever order: an alias has another for each conversation.
    for (const fallbacks of [
      ['second', 'third'],
      ['third', 'second'],
    ]) {
      void admission.admit(may(...fallbacks), staying()).then((permit) => permits.push(permit));
    }
    servants.ready('third');
    await settled();
    expect([permits.length, admission.waiting]).toEqual([1, 1]);
    servants.ready('second');
    servants.lose('third');
    leave(permits[0]!);
    await settled();
    expect([permits.length, admission.waiting]).toEqual([2, 0]);
  });

  it('goes before who waits for a model that is not served, and behind who came before', async () => {
    const admission = anAdmission();
    const running = await admission.admit(anAsk(), staying());
    const order: string[] = [];
    const wait = (name: string, ask: ReturnType<typeof anAsk>) =>
      admission.admit(ask, staying()).then((permit) => {
        order.push(name);
        leave(permit);
      });
    const all = [
      wait('one', anAsk({ model: 'second' })),
      wait('several', may('second')),
      wait('last', anAsk({ model: 'first' })),
    ];
    leave(running);
    await Promise.all(all);
    expect(order).toEqual(['one', 'several', 'last']);
  });
});

describe('a request whose model no worker serves just now', () => {
  const lost = (model = 'm') => {
    const servants = new FakeServants();
    servants.lose(model);
    return servants;
  };

  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  /** How it stands with what was asked, without waiting for it. */
  function watched<T>(promise: Promise<T>): { state: string } {
    const seen = { state: 'waits' };
    promise.then(
      () => {
        seen.state = 'admitted';
      },
      ({ message }: Error) => {
        seen.state = message;
      },
    );
    return seen;
  }

  const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

  it('waits without taking a place, and goes on when a worker is ready', async () => {
    const servants = lost();
    const admission = anAdmission({}, servants);
    const cold = watched(admission.admit(anAsk(), staying()));
    const warm = watched(admission.admit(anAsk({ model: 'n' }), staying()));
    await pass(9_999);
    expect([cold.state, warm.state, admission.running, admission.waiting]).toEqual(['waits', 'admitted', 1, 1]);
    servants.ready('m');
    await pass(0);
    expect(cold.state).toBe('waits'); // For the place now, and for that it has no such limit.
    await pass(60_000);
    expect(cold.state).toBe('waits');
  });

  it('goes on in the turn in which a worker becomes ready', async () => {
    const servants = lost();
    const admission = anAdmission({}, servants);
    const cold = watched(admission.admit(anAsk(), staying()));
    servants.ready('m');
    expect(admission.running).toBe(1);
    await pass(0);
    expect(cold.state).toBe('admitted');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is a 503 after coldStartWaitMs that says how long it waited, and how the model stands', async () => {
    const admission = anAdmission({}, lost());
    const refusal = expect(admission.admit(anAsk(), staying())).rejects.toMatchObject({
      code: 'model_not_ready',
      message:
        'No worker can serve the model `m` just now; this request waited 10,000 ms for one. It is unavailable. Try again shortly; /readyz says what is missing.',
      details: { retryAfterSeconds: 2 },
    });
    await pass(10_000);
    await refusal;
    expect(admission.waiting).toBe(0);
  });

  it('is a 503 at once where it may not wait', async () => {
    const admission = anAdmission({ coldStartWaitMs: 0 }, lost());
    await expect(admission.admit(anAsk(), staying())).rejects.toMatchObject({ code: 'model_not_ready' });
    await expect(admission.modelsKnown(anAsk(), 'some', staying())).resolves.toBeUndefined();
  });

  it('counts from when its worker was lost, though it waited for a place before', async () => {
    const servants = new FakeServants();
    const admission = anAdmission({}, servants);
    await admission.admit(anAsk(), staying());
    const second = watched(admission.admit(anAsk(), staying()));
    await pass(8_000);
    servants.lose('m');
    await pass(9_999);
    expect(second.state).toBe('waits');
    await pass(1);
    expect(second.state).toContain('waited 10,000 ms');
  });

  it('is a 503 at once where there is no room to wait in', async () => {
    const admission = anAdmission({ maxQueueDepth: 0 }, lost());
    await expect(admission.admit(anAsk(), staying())).rejects.toMatchObject({ code: 'model_not_ready' });
  });

  it('is bounded by the room like any other', async () => {
    const admission = anAdmission({ maxQueueDepth: 1 }, lost());
    const cold = watched(admission.admit(anAsk(), staying()));
    await expect(admission.admit(anAsk(), staying())).rejects.toMatchObject({ code: 'rate_limit_exceeded' });
    expect(cold.state).toBe('waits');
  });

  it('leaves when its client does', async () => {
    const admission = anAdmission({}, lost());
    const leaving = new AbortController();
    const cold = watched(admission.admit(anAsk(), leaving.signal));
    leaving.abort(new Error('left'));
    await pass(0);
    expect([cold.state, admission.waiting, vi.getTimerCount()]).toEqual(['left', 0, 0]);
  });

  describe('because none has ever said what it serves', () => {
    const silent = () => {
      const servants = new FakeServants();
      servants.modelsKnown = false;
      return servants;
    };

    it('waits within the same bounds, and goes on, all of them, when the first does', async () => {
      const servants = silent();
      const admission = anAdmission({ maxQueueDepth: 2 }, servants);
      const all = [1, 2].map(() => watched(admission.modelsKnown(anAsk(), 'some', staying())));
      await expect(admission.modelsKnown(anAsk(), 'some', staying())).rejects.toMatchObject({
        code: 'rate_limit_exceeded',
      });
      await pass(5_000);
      servants.report();
      await pass(0);
      expect(all.map(({ state }) => state)).toEqual(['admitted', 'admitted']);
      expect([admission.running, admission.waiting]).toEqual([0, 0]);
    });

    it('is a 503 after coldStartWaitMs', async () => {
      const admission = anAdmission({}, silent());
      const refusal = expect(admission.modelsKnown(anAsk(), 'some', staying())).rejects.toMatchObject({
        code: 'model_not_ready',
        message:
          'No worker has reported its models yet; this request waited 10,000 ms for one. Try again shortly; /readyz says what is missing.',
      });
      await pass(10_000);
      await refusal;
      expect(vi.getTimerCount()).toBe(0);
    });

    it('waits for all of them where it is one of theirs that it wants', async () => {
      const servants = silent();
      servants.allHeard = false;
      const admission = anAdmission({}, servants);
      const any = watched(admission.modelsKnown(anAsk(), 'some', staying()));
      const all = watched(admission.modelsKnown(anAsk({ coldSinceMs: performance.now() - 4_000 }), 'all', staying()));
      servants.report();
      await pass(5_999);
      expect([any.state, all.state]).toEqual(['admitted', 'waits']);
      const other = watched(admission.modelsKnown(anAsk(), 'all', staying()));
      await pass(1);
      expect(all.state).toMatch(/^Not every worker has reported its models yet; this request waited 10,000 ms/);
      servants.reportAll();
      await pass(0);
      expect(other.state).toBe('admitted');
    });

    it('counts both waits together', async () => {
      const servants = silent();
      servants.lose('m');
      const admission: Admission = anAdmission({}, servants);
      const coldSinceMs = admission.modelsKnown(anAsk(), 'some', staying());
      await pass(6_000);
      servants.report();
      const then = watched(admission.admit(anAsk({ coldSinceMs: await coldSinceMs }), staying()));
      await pass(3_999);
      expect(then.state).toBe('waits');
      await pass(1);
      expect(then.state).toContain('waited 10,000 ms');
    });
  });
});

describe('a request for a model of which no worker tells, but one comes for whoever waits', () => {
  const resting = () => {
    const servants = new FakeServants();
    servants.rest('b');
    return servants;
  };
  const forB = (changes: Parameters<typeof anAsk>[0] = {}) => anAsk({ model: 'b', ...changes });

  it('is counted as waiting for it, takes no place, and goes on when a worker tells of it, though that loads still', async () => {
    const servants = resting();
    const admission = anAdmission({}, servants);
    await admission.admit(anAsk(), staying());
    const held = admission.modelComes(forB(), staying());
    expect([...admission.byModel.waiting]).toEqual([['b', 1]]);
    expect([admission.running, admission.waiting]).toEqual([1, 1]);
    servants.come('b');
    const sinceMs = await held;
    expect(sinceMs).toEqual(expect.any(Number));
    expect(admission.waiting).toBe(0);
    // What it waited counts on.
    const admitted = admission.admit(forB({ coldSinceMs: performance.now() - LIMITS.coldStartWaitMs }), staying());
    await expect(admitted).rejects.toMatchObject({ code: 'model_not_ready' });
  });

  it('does not wait where a worker tells of it or of what stands in for it', async () => {
    const admission = anAdmission({}, resting());
    expect(await admission.modelComes(forB({ fallbacks: ['m'] }), staying())).toBeUndefined();
    expect(admission.waiting).toBe(0);
  });

  it('is gone from the room when its client leaves, when its time is up, and when the gateway stops', async () => {
    const admission = anAdmission({ coldStartWaitMs: 20 }, resting());
    const leaving = new AbortController();
    const left = expect(admission.modelComes(forB({ bytes: 7 }), leaving.signal)).rejects.toThrow('left');
    expect(admission.waitingBytes).toBe(7);
    leaving.abort(new Error('left'));
    await left;
    expect([admission.waiting, admission.waitingBytes]).toEqual([0, 0]);
    await expect(admission.modelComes(forB(), staying())).rejects.toMatchObject({
      code: 'model_not_ready',
      message: expect.stringMatching(
        /^No worker has come for the model `b`: this request waited \d+ ms for one, and the most is 20 \(coldStartWaitMs\)\. Try again/,
      ),
      details: { retryAfterSeconds: 2 },
    });
    const stopped = expect(admission.modelComes(forB(), staying())).rejects.toMatchObject({ code: 'shutting_down' });
    admission.close();
    await stopped;
    expect(admission.waiting).toBe(0);
  });

  it('is refused at once where nobody may wait', async () => {
    const admission = anAdmission({ coldStartWaitMs: 0 }, resting());
    await expect(admission.modelComes(forB(), staying())).rejects.toMatchObject({
      code: 'model_not_ready',
      message: expect.stringContaining('nobody may wait for one: coldStartWaitMs is 0'),
    });
  });

  it('leaves as much room to others as it takes: to those that are served, and to the next model that is to wake', async () => {
    const servants = resting();
    servants.rest('c');
    const admission = anAdmission({ maxQueueDepth: 9 }, servants);
    await admission.admit(anAsk(), staying());
    const held = (model: string) => admission.modelComes(anAsk({ model }), staying());
    for (let number = 0; number < 4; number++) void held('b').catch(() => {});
    await expect(held('b')).rejects.toMatchObject({
      code: 'rate_limit_exceeded',
      message: expect.stringContaining('4 requests wait for a worker of the model `b`, 4 wait in all (the limit is 9)'),
      details: { limit: 'queue', retryAfterSeconds: expect.any(Number) },
    });
    for (let number = 0; number < 2; number++) void held('c').catch(() => {});
    await expect(held('c')).rejects.toMatchObject({ code: 'rate_limit_exceeded' });
    for (let number = 0; number < 3; number++) void admission.admit(anAsk(), staying()).catch(() => {});
    expect(Object.fromEntries(admission.byModel.waiting)).toEqual({ b: 4, c: 2, m: 3 });
  });

  it('takes no more than its share of the bytes', async () => {
    const admission = anAdmission({ maxQueueBytes: 100 }, resting());
    void admission.modelComes(forB({ bytes: 40 }), staying());
    await expect(admission.modelComes(forB({ bytes: 20 }), staying())).rejects.toMatchObject({
      code: 'rate_limit_exceeded',
    });
    void admission.modelComes(forB({ bytes: 10 }), staying());
    expect(admission.waitingBytes).toBe(50);
  });

  it('does not keep work back that nobody waits for: it waits for no place', async () => {
    const servants = resting();
    const admission = anAdmission({}, servants);
    void admission.modelComes(forB(), staying()).catch(() => {});
    servants.lose('a');
    void admission.admit(anAsk({ model: 'a' }), staying()).catch(() => {});
    expect([admission.waiting, admission.interactive.waiting]).toEqual([2, 0]);
    await admission.admit(anAsk(), staying());
    void admission.admit(anAsk(), staying());
    expect([admission.waiting, admission.interactive.waiting]).toEqual([3, 1]);
    servants.ready('a');
    expect(admission.interactive.waiting).toBe(2);
  });
});
