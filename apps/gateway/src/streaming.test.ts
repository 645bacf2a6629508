import { describe, expect, it } from 'vitest';
import { eventsOf, TestBed } from './gateway.testing.js';

const slow = (stepsBeforeFirst: number) => ({ stepMs: 10, script: () => ({ stepsBeforeFirst }) });

describe('a stream whose first token is late', () => {
  it('keeps an early failure its own status, within statusHoldMs', async () => {
    const failure = { code: 'rate_limit_exceeded', message: 'The worker is full.', retryAfterSeconds: 3 };
    await using bed = await TestBed.start({ statusHoldMs: 5_000 }, [
      { stepMs: 10, script: () => ({ stepsBeforeFirst: 10, failure }) },
    ]);
    const response = await bed.chat({ stream: true });
    expect(response.status).toBe(429);
    expect(response.headers.get('retry-after')).toBe('3');
    expect(response.headers.get('x-millrace-limit')).toBe('queue');
  });

  it('gets its 200 after statusHoldMs, and comments until the first token', async () => {
    const held = { script: () => ({ heldAfterTokens: 0 }) };
    await using bed = await TestBed.start({ statusHoldMs: 50, heartbeatMs: 100 }, [held]);
    const response = await bed.chat({ stream: true });
    expect(response.status).toBe(200);
    setTimeout(() => bed.worker.release(), 500);
    const events = await eventsOf(response);
    expect(events.filter((event) => event.startsWith(':')).length).toBeGreaterThanOrEqual(2);
    expect(events.at(-1)).toBe('data: [DONE]');
  });

  it('tells of a failure after that within the stream', async () => {
    await using bed = await TestBed.start({ statusHoldMs: 20 }, [
      { stepMs: 10, script: () => ({ stepsBeforeFirst: 20, failure: { code: 'deadline_exceeded', message: 'late' } }) },
    ]);
    const response = await bed.chat({ stream: true });
    expect(response.status).toBe(200);
    expect(await eventsOf(response)).toEqual([
      ': heartbeat',
      'data: {"error":{"message":"late","type":"server_error","param":null,"code":"deadline_exceeded"}}',
    ]);
  });

  it('is read by the official client, comments and all', async () => {
    await using bed = await TestBed.start({ statusHoldMs: 10, heartbeatMs: 100 }, [slow(40)]);
    const stream = bed.client.chat.completions.stream({ model: 'demo', messages: [{ role: 'user', content: 'a b' }] });
    expect(await stream.finalContent()).toBe('a b');
  });

  it('sends comments in the middle of an answer that pauses', async () => {
    await using bed = await TestBed.start({ heartbeatMs: 100 }, [{ stepMs: 250 }]);
    const events = await eventsOf(await bed.chat({ stream: true }));
    expect(events.filter((event) => event === ': heartbeat').length).toBeGreaterThanOrEqual(2);
  });
});

describe('the deadline', () => {
  it('ends a request that takes longer than requestTimeoutMs', async () => {
    await using bed = await TestBed.start({ requestTimeoutMs: 150 }, [{ script: () => ({ silent: true }) }]);
    const response = await bed.chat();
    expect(response.status).toBe(504);
    expect(await response.json()).toMatchObject({ error: { code: 'deadline_exceeded', type: 'server_error' } });
    await expect.poll(() => bed.worker.cancelled).toEqual([1]);
    expect(bed.records()).toMatchObject([{ outcome: 'expired' }]);
  });

  it('is another for what nobody waits for: a flex request may take longer than requestTimeoutMs', async () => {
    await using bed = await TestBed.start({ requestTimeoutMs: 200, backgroundTimeoutMs: 60_000 }, [
      { stepMs: 10, script: () => ({ stepsBeforeFirst: 50 }) },
    ]);
    const ordinary = await bed.chat();
    expect(ordinary.status).toBe(504);
    expect(await ordinary.text()).toContain('within 200 ms. Ask for fewer tokens, or raise requestTimeoutMs.');
    expect((await bed.chat({ service_tier: 'flex' })).status).toBe(200);
    expect(bed.records()).toMatchObject([{ outcome: 'expired' }, { outcome: 'served' }]);
  });

  it('of a flex request may be asked to be shorter; and the error says what would help', async () => {
    await using bed = await TestBed.start({ backgroundTimeoutMs: 200 }, [{ script: () => ({ silent: true }) }]);
    const late = await bed.chat({ service_tier: 'flex' });
    expect(late.status).toBe(504);
    expect(await late.text()).toContain('within 200 ms. Ask for fewer tokens, or raise backgroundTimeoutMs.');
    const headers = { 'x-millrace-deadline-ms': '100' };
    const asked = await bed.chat({ service_tier: 'flex' }, { headers });
    expect(await asked.text()).toContain('within 100 ms. Ask for fewer tokens, or allow it more with x-millrace-');
  });

  it('also counts the time in the waiting room', async () => {
    await using bed = await TestBed.start({ maxConcurrentRequests: 1 }, [{ script: () => ({ silent: true }) }]);
    const leaving = new AbortController();
    const first = bed.chat({}, { signal: leaving.signal }).catch(() => 'left');
    await expect.poll(() => bed.worker.started.length).toBe(1);
    const second = await bed.chat({}, { headers: { 'x-millrace-deadline-ms': '200' } });
    expect(second.status).toBe(504);
    expect(bed.worker.started).toHaveLength(1);
    leaving.abort();
    expect(await first).toBe('left');
  });
});

describe('a long prompt', () => {
  it('reaches the worker, up to the largest body', async () => {
    await using bed = await TestBed.start({}, [{ script: () => ({ answer: ['read'] }) }]);
    const content = 'x'.repeat(16 * 1024 * 1024 - 100);
    expect((await bed.chat({ messages: [{ role: 'user', content }] })).status).toBe(200);
    expect(bed.worker.started[0]?.prompt).toMatchObject({ value: { messagesJson: expect.stringContaining(content) } });
  });
});

describe('what 32 clients stream at once', () => {
  it('is for each of them its own answer', async () => {
    await using bed = await TestBed.start();
    const answers = await Promise.all(
      Array.from({ length: 32 }, async (_, index) => {
        const content = Array.from({ length: 20 }, (_, word) => `client${index}word${word}`).join(' ');
        const stream = bed.client.chat.completions.stream({ model: 'demo', messages: [{ role: 'user', content }] });
        return (await stream.finalContent()) === content;
      }),
    );
    expect(answers.every(Boolean)).toBe(true);
    expect(bed.worker.conversations).toBe(1);
  });
});
