import { InferenceError } from '@millrace/contracts';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { aCall } from '../call.testing.js';
import type { RequestRecord, ValidAnswerRequest } from '../vocabulary.js';
import { OpenRecord } from './open-record.js';

const request = { model: { id: 'demo' }, stream: false } as unknown as ValidAnswerRequest;

describe('OpenRecord', () => {
  const written: RequestRecord[] = [];
  let nowMs = 0;
  beforeEach(() => {
    vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
  });
  afterEach(() => {
    vi.restoreAllMocks();
    written.length = 0;
  });

  function open(): OpenRecord {
    nowMs = 1_000;
    const call = aCall({ arrivedMs: nowMs });
    return new OpenRecord('chat', call, (record) => written.push(record));
  }

  it('counts the wait of a request that was dropped while it waited', () => {
    const record = open();
    nowMs += 5;
    record.concerns(request);
    nowMs += 3; // Its caller's limits are asked.
    record.waits();
    nowMs += 700;
    record.fail(new InferenceError('deadline_exceeded', 'too late'));
    record.close();
    expect(written).toMatchObject([{ outcome: 'dropped', waitedMs: 700, totalMs: 708 }]);
  });

  it('counts a further turn of a call from when it begins, and not from the arrival of the call', () => {
    nowMs = 1_000;
    const call = aCall({ arrivedMs: nowMs, course: {} });
    const turn = () => {
      const record = new OpenRecord('responses', call, (one) => written.push(one));
      record.concerns(request);
      record.admitted();
      record.sentTo('a worker');
      nowMs += 300;
      record.add({ kind: 'begun', index: 0, promptTokens: 1, cachedTokens: 0, waitedMs: 0 });
      record.close();
    };
    nowMs += 20;
    turn();
    nowMs += 2_000;
    turn();
    expect(written.map(({ firstTokenMs, totalMs }) => [firstTokenMs, totalMs])).toEqual([
      [320, 320],
      [300, 300],
    ]);
  });

  it('counts the wait of a request that ran only up to its start', () => {
    const record = open();
    nowMs += 5;
    record.waits(); // For the first worker ever.
    nowMs += 30;
    record.goesOn();
    record.concerns(request);
    nowMs += 2;
    record.waits();
    nowMs += 40;
    record.admitted();
    nowMs += 1;
    record.sentTo('a worker');
    nowMs += 500;
    record.close();
    expect(written).toMatchObject([{ outcome: 'cancelled', waitedMs: 70, overheadMs: 8, totalMs: 578 }]);
  });

  it('takes the first token of several answers once, and the time between two tokens of the same answer', () => {
    const record = open();
    record.concerns({ ...request, prompts: [''], bestOf: 2 } as unknown as ValidAnswerRequest);
    record.admitted();
    const usage = { promptTokens: 3, completionTokens: 5, cachedTokens: 1 };
    for (const index of [0, 1]) {
      nowMs += 10;
      record.add({ kind: 'begun', index, promptTokens: 3, cachedTokens: 1, waitedMs: 0 });
    }
    nowMs += 30;
    for (const index of [0, 1]) record.add({ kind: 'tokens', index, tokens: [1, 2, 3, 4], text: 'a' });
    for (const index of [0, 1]) record.add({ kind: 'finished', index, reason: 'stop', usage });
    record.close();
    const tokens = { promptTokens: 3, completionTokens: 10, cachedTokens: 1 };
    expect(written).toMatchObject([{ outcome: 'served', firstTokenMs: 10, perTokenMs: 10, ...tokens }]);
  });

  it('is cancelled when only some of several answers came to their end', () => {
    const record = open();
    record.concerns({ ...request, prompts: [''], bestOf: 2 } as unknown as ValidAnswerRequest);
    record.admitted();
    const usage = { promptTokens: 3, completionTokens: 5, cachedTokens: 1 };
    record.add({ kind: 'finished', index: 1, reason: 'stop', usage });
    record.close();
    expect(written).toMatchObject([{ outcome: 'cancelled', completionTokens: 5 }]);
  });

  it('knows what was not the gateway’s own time: the wait, and the worker from the first hand-over to its last event', () => {
    const record = open();
    record.concerns(request);
    nowMs += 2;
    record.waits();
    nowMs += 100;
    record.admitted();
    expect(record.elsewhereMs).toBeUndefined();
    record.sentTo('a worker that refuses');
    nowMs += 20;
    record.sentTo('another');
    nowMs += 30;
    record.add({ kind: 'begun', index: 0, promptTokens: 3, cachedTokens: 1, waitedMs: 0 });
    nowMs += 40;
    const usage = { promptTokens: 3, completionTokens: 5, cachedTokens: 1 };
    record.add({ kind: 'finished', index: 0, reason: 'stop', usage });
    nowMs += 4;
    expect(record.elsewhereMs).toBe(100 + 20 + 30 + 40);
    record.close();
    expect(written).toMatchObject([{ overheadMs: 2, totalMs: 196 }]);
  });

  it('counts no wait for a request that was never valid', () => {
    const record = open();
    nowMs += 9;
    record.fail(new InferenceError('invalid_request', 'wrong'));
    record.close();
    expect(written).toMatchObject([{ outcome: 'rejected', waitedMs: 0, totalMs: 9 }]);
  });
});
