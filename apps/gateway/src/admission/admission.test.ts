import { InferenceError } from '@millrace/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Permit } from '../vocabulary.js';
import { Admission } from './admission.js';

const ASK = { keyId: undefined, model: 'm', bytes: 1, priority: 0 };
const staying = () => new AbortController().signal;

describe('Admission', () => {
  it('lets as many run as there are places, and as many wait as the queue is deep', async () => {
    const admission = new Admission({ maxConcurrentRequests: 2, maxQueueDepth: 1 });
    await admission.admit(ASK, staying());
    await admission.admit(ASK, staying());
    const third = admission.admit(ASK, staying());
    expect([admission.running, admission.waiting]).toEqual([2, 1]);
    await expect(admission.admit(ASK, staying())).rejects.toMatchObject({
      code: 'rate_limit_exceeded',
      message: '2 requests are running (the limit is 2) and 1 are waiting (1). Try again later.',
      details: { limit: 'queue', retryAfterSeconds: 1 },
    });
    void third;
  });

  it('refuses at once when nobody may wait', async () => {
    const admission = new Admission({ maxConcurrentRequests: 1, maxQueueDepth: 0 });
    const permit = await admission.admit(ASK, staying());
    await expect(admission.admit(ASK, staying())).rejects.toThrow(InferenceError);
    permit[Symbol.dispose]();
    await admission.admit(ASK, staying());
  });

  it('lets in first who came first', async () => {
    const admission = new Admission({ maxConcurrentRequests: 1, maxQueueDepth: 9 });
    const first = await admission.admit(ASK, staying());
    const order: number[] = [];
    const waiting = [1, 2, 3].map(async (number) => {
      using _permit = await admission.admit(ASK, staying());
      order.push(number);
    });
    first[Symbol.dispose]();
    await Promise.all(waiting);
    expect(order).toEqual([1, 2, 3]);
    expect(admission.running).toBe(0);
  });

  it('takes a place back once, however often its permit is disposed of', async () => {
    const admission = new Admission({ maxConcurrentRequests: 2, maxQueueDepth: 0 });
    const permit = await admission.admit(ASK, staying());
    await admission.admit(ASK, staying());
    permit[Symbol.dispose]();
    permit[Symbol.dispose]();
    expect(admission.running).toBe(1);
  });

  it('forgets a waiting request whose client leaves, and says why', async () => {
    const admission = new Admission({ maxConcurrentRequests: 1, maxQueueDepth: 1 });
    await admission.admit(ASK, staying());
    const leaving = new AbortController();
    const waiting = admission.admit(ASK, leaving.signal);
    leaving.abort(new InferenceError('client_closed_request', 'left'));
    await expect(waiting).rejects.toThrow('left');
    expect(admission.waiting).toBe(0);
    await expect(admission.admit(ASK, leaving.signal)).rejects.toThrow('left');
  });

  it('never runs or keeps more than it may, and ends empty, whatever happens in whatever order', async () => {
    const step = fc.record({ act: fc.constantFrom('arrive', 'finish', 'leave'), which: fc.nat(20) });
    await fc.assert(
      fc.asyncProperty(fc.nat(4), fc.nat(4), fc.array(step, { maxLength: 60 }), async (places, depth, steps) => {
        const limits = { maxConcurrentRequests: places + 1, maxQueueDepth: depth };
        const admission = new Admission(limits);
        const held: Permit[] = [];
        const waiting: AbortController[] = [];
        for (const { act, which } of steps) {
          if (act === 'arrive') {
            const leaving = new AbortController();
            waiting.push(leaving);
            const gone = () => void waiting.splice(waiting.indexOf(leaving), 1);
            admission.admit(ASK, leaving.signal).then((permit) => {
              held.push(permit);
              gone();
            }, gone);
          }
          if (act === 'finish') held.splice(which % (held.length || 1), 1)[0]?.[Symbol.dispose]();
          if (act === 'leave') waiting[which % (waiting.length || 1)]?.abort(new Error('left'));
          await Promise.resolve().then(() => Promise.resolve());
          expect(admission.running).toBeLessThanOrEqual(limits.maxConcurrentRequests);
          expect(admission.waiting).toBeLessThanOrEqual(limits.maxQueueDepth);
          // Nobody waits while a place is free.
          if (admission.waiting > 0) expect(admission.running).toBe(limits.maxConcurrentRequests);
        }
        for (const leaving of [...waiting]) leaving.abort(new Error('left'));
        await new Promise((resolve) => setImmediate(resolve));
        for (const permit of held) permit[Symbol.dispose]();
        expect([admission.running, admission.waiting]).toEqual([0, 0]);
      }),
    );
  });
});
