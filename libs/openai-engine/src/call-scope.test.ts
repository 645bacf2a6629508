import { getEventListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { CallScope } from './call-scope.js';

describe('the scope of a call', () => {
  it('is known as long as it is open, and leaves nothing behind', () => {
    const open = new Set<CallScope>();
    const caller = new AbortController();
    const scope = new CallScope({ setting: 'requestTimeoutMs', ms: 60_000 }, caller.signal, open);
    expect([...open]).toEqual([scope]);
    scope.close();

    expect(open.size).toBe(0);
    expect(getEventListeners(caller.signal, 'abort')).toEqual([]);
    caller.abort();
    expect(scope.signal.aborted).toBe(false);
  });

  it('ends with whoever asked, for the same reason', () => {
    const reason = new Error('gone');
    const caller = new AbortController();
    const scope = new CallScope({ setting: 'requestTimeoutMs', ms: 60_000 }, caller.signal, new Set());
    caller.abort(reason);
    expect(scope.signal.reason).toBe(reason);
    scope.close();

    const late = new CallScope({ setting: 'requestTimeoutMs', ms: 60_000 }, caller.signal, new Set());
    expect(late.signal.reason).toBe(reason);
    late.close();
  });

  it('ends with its deadline, and with the first reason only', async () => {
    const scope = new CallScope({ setting: 'requestTimeoutMs', ms: 20 }, new AbortController().signal, new Set());
    await sleep(60);
    scope.leave(new Error('later'));
    expect(scope.signal.reason).toMatchObject({ code: 'deadline_exceeded', message: expect.stringMatching(/20 ms/) });
    scope.close();
  });
});
