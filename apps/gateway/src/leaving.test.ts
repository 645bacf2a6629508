import { connect, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { TestBed } from './gateway.testing.js';
import { scrapedMetric } from './scraped-metric.testing.js';

const endless = { script: () => ({ answer: [], endless: 'more ' }) };
/** Tokens so large that the kernel's buffers between two sockets are full in no time. */
const flood = { script: () => ({ answer: [], endless: 'x'.repeat(50_000) }) };

describe('a client that leaves', () => {
  it('frees its place on the worker before the first token of a stream', async () => {
    await using bed = await TestBed.start({}, [{ script: () => ({ stepsBeforeFirst: 1_000_000 }) }]);
    const leaving = new AbortController();
    const answer = bed.chat({ stream: true }, { signal: leaving.signal });
    await expect.poll(() => bed.worker.running).toBe(1);
    leaving.abort();
    await expect(answer).rejects.toThrow();

    await expect.poll(() => bed.worker.cancelled).toEqual([1]);
    await expect.poll(() => bed.records()).toMatchObject([{ outcome: 'cancelled', code: 'client_closed_request' }]);
  });

  it('frees its place in mid-stream', async () => {
    await using bed = await TestBed.start({}, [endless]);
    const stream = await bed.client.chat.completions.create({
      model: 'demo',
      messages: [{ role: 'user', content: 'go' }],
      stream: true,
    });
    let seen = 0;
    for await (const _chunk of stream) if (++seen === 5) break;

    await expect.poll(() => bed.worker.cancelled).toEqual([1]);
    await expect.poll(() => bed.records()).toMatchObject([{ outcome: 'cancelled' }]);
    expect(bed.records()[0]?.completionTokens).toBeGreaterThan(3);
  });

  it('frees its place while it waits for a whole answer', async () => {
    await using bed = await TestBed.start({}, [endless]);
    const leaving = new AbortController();
    const answer = bed.chat({}, { signal: leaving.signal });
    await expect.poll(() => bed.worker.running).toBe(1);
    leaving.abort();
    await expect(answer).rejects.toThrow();
    await expect.poll(() => bed.worker.cancelled).toEqual([1]);
  });

  it('leaves the waiting room without having run', async () => {
    await using bed = await TestBed.start({ maxConcurrentRequests: 1 }, [endless]);
    const running = new AbortController();
    bed.chat({}, { signal: running.signal }).catch(() => {});
    await expect.poll(() => bed.worker.running).toBe(1);

    const leaving = new AbortController();
    bed.chat({ stream: true }, { signal: leaving.signal }).catch(() => {});
    await expect.poll(async () => scrapedMetric(bed.url, 'millrace_waiting_requests')).toBe(1);
    leaving.abort();
    await expect.poll(async () => scrapedMetric(bed.url, 'millrace_waiting_requests')).toBe(0);
    await expect.poll(() => bed.records()).toMatchObject([{ outcome: 'dropped' }]);
    running.abort();
    await expect.poll(() => bed.worker.running).toBe(0);
    expect(bed.worker.started).toHaveLength(1);
  });

  it('leaves nothing behind, however many leave at random moments', async () => {
    await using bed = await TestBed.start({}, [endless]);
    await Promise.all(
      Array.from({ length: 100 }, async (_, index) => {
        const response = bed.chat(
          { stream: index % 3 > 0 },
          { signal: AbortSignal.timeout(Math.floor(Math.random() * 200)) },
        );
        await response.then((answer) => answer.text()).catch(() => {});
      }),
    );
    // A machine that has much else to do takes its time to tell all of them; none may be left for good.
    const soon = { timeout: 10_000 };
    await expect.poll(() => bed.worker.running, soon).toBe(0);
    await expect.poll(async () => scrapedMetric(bed.url, 'millrace_running_requests'), soon).toBe(0);
    expect(await scrapedMetric(bed.url, 'millrace_waiting_requests')).toBe(0);
  });
});

describe('a client that reads slowly', () => {
  it('pauses its own sequence, and no other', async () => {
    await using bed = await TestBed.start({ creditTokens: 8 }, [flood]);
    const slow = await streamWithoutReading(bed);
    const stopped = await settledCount(() => bed.worker.sent.get(1) ?? 0);
    expect(stopped).toBeGreaterThan(8);

    // Another client of the same worker is not held up.
    const other = await bed.client.chat.completions.create({
      model: 'demo',
      messages: [{ role: 'user', content: 'go' }],
      max_tokens: 50,
    });
    expect(other.usage?.completion_tokens).toBe(51);
    expect(bed.worker.sent.get(1)).toBe(stopped);

    slow.resume();
    await expect.poll(() => bed.worker.sent.get(1)).toBeGreaterThan(stopped + 8);
    slow.destroy();
    await expect.poll(() => bed.worker.cancelled).toEqual([1]);
  });

  it('is dropped when it reads nothing for clientStallTimeoutMs', async () => {
    await using bed = await TestBed.start({ clientStallTimeoutMs: 1_500 }, [flood]);
    const slow = await streamWithoutReading(bed);
    await expect.poll(() => bed.worker.cancelled, { timeout: 15_000 }).toEqual([1]);
    await expect.poll(() => bed.records()).toMatchObject([{ outcome: 'cancelled' }]);
    slow.destroy();
  });
});

/** A connection that asks for a stream and takes not a byte of it from the kernel. */
async function streamWithoutReading(bed: TestBed): Promise<Socket> {
  const body = JSON.stringify({ stream: true, messages: [{ role: 'user', content: 'go' }] });
  const socket = connect({ port: bed.gateway.port, host: '127.0.0.1' });
  socket.pause();
  socket.on('error', () => {});
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  await expect.poll(() => bed.worker.running).toBe(1);
  return socket;
}

/** The figure once it no longer grows. */
async function settledCount(look: () => number): Promise<number> {
  for (let before = -1; ; ) {
    const now = look();
    if (now === before) return now;
    before = now;
    await new Promise((resolve) => setTimeout(resolve, 400));
  }
}
