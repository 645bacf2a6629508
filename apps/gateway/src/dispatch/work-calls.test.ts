import { describe, expect, it } from 'vitest';
import { type CallEnd, WorkCalls } from './work-calls.js';

/** A call that ends when the test says so. */
function begun(calls: WorkCalls, signal = new AbortController().signal) {
  let cancels = 0;
  let end: CallEnd<string> | undefined;
  const result = calls.run<string>((given) => {
    end = given;
    return () => {
      cancels++;
    };
  }, signal);
  result.catch(() => {});
  return { result, end: end!, cancels: () => cancels };
}

describe('WorkCalls', () => {
  it('gives the result of a call, and what it failed with', async () => {
    const calls = new WorkCalls();
    const [good, bad] = [begun(calls), begun(calls)];
    expect(calls.size).toBe(2);
    good.end.resolve('done');
    bad.end.reject(new Error('failed'));
    expect(await good.result).toBe('done');
    await expect(bad.result).rejects.toThrow('failed');
    expect([calls.size, good.cancels(), bad.cancels()]).toEqual([0, 0, 0]);
  });

  it('cancels a call that nobody wants any more, and hears nothing more of it', async () => {
    const calls = new WorkCalls();
    const leaving = new AbortController();
    const call = begun(calls, leaving.signal);
    leaving.abort(new Error('left'));
    call.end.resolve('too late');
    await expect(call.result).rejects.toThrow('left');
    expect([calls.size, call.cancels()]).toEqual([0, 1]);
  });

  it('does not cancel what has ended', async () => {
    const calls = new WorkCalls();
    const leaving = new AbortController();
    const call = begun(calls, leaving.signal);
    call.end.resolve('done');
    leaving.abort(new Error('left'));
    calls.giveUpAll(new Error('lost'));
    expect(await call.result).toBe('done');
    expect(call.cancels()).toBe(0);
  });

  it('gives up everything that is under way when the worker is lost, and begins anew', async () => {
    const calls = new WorkCalls();
    const all = [begun(calls), begun(calls)];
    calls.giveUpAll(new Error('lost'));
    for (const call of all) {
      await expect(call.result).rejects.toThrow('lost');
      expect(call.cancels()).toBe(1);
    }
    const next = begun(calls);
    next.end.resolve('done');
    expect(await next.result).toBe('done');
  });

  it('begins nothing for a caller that has left, and keeps nothing of what could not begin', async () => {
    const calls = new WorkCalls();
    let begins = 0;
    const failing = () => {
      begins++;
      throw new Error('cannot begin');
    };
    await expect(calls.run(failing, AbortSignal.abort(new Error('left')))).rejects.toThrow('left');
    expect(begins).toBe(0);
    await expect(calls.run(failing, new AbortController().signal)).rejects.toThrow('cannot begin');
    expect(calls.size).toBe(0);
  });
});
