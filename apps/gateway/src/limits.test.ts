import { describe, expect, it } from 'vitest';
import type { FakeWorkerOptions } from './dispatch/fake-worker.testing.js';
import { TestBed } from './gateway.testing.js';
import { type Authenticator, EVERYBODY } from './keys/authenticator.js';
import { MemoryRateLimiter } from './limits/adapters/memory-rate-limiter.js';
import { CountedRates } from './limits/counted-rates.js';
import { ask, rule } from './limits/rate-limiter.testing.js';
import { ANYONE } from './vocabulary.js';

const TOKENS = 100_000;
const LIMITS = { tokensPerMinute: TOKENS, concurrentRequests: 20, tokensPerDay: 1_000_000 };
const VECTORS = { id: 'vectors', capabilities: ['embedding'], embeddingLength: 8, contextLength: 512 };
const MODELS = [{ id: 'demo', isDefault: true, contextLength: 4_096 }, VECTORS];
const SILENT: FakeWorkerOptions = { script: () => ({ silent: true }) };
const ENDLESS: FakeWorkerOptions = { stepMs: 2, script: () => ({ endless: 'on ' }) };

const oneCaller: Authenticator = {
  ...EVERYBODY,
  authenticate: () => ({ ...ANYONE, keyId: 'a', keyName: 'a', limits: LIMITS }),
};

/** The real gateway with real limits, of which a test can see what is counted. */
async function startLimited(worker: FakeWorkerOptions = {}, settings = {}, workers = 1) {
  const limiter = new MemoryRateLimiter();
  const rates = new CountedRates(limiter, {
    modelLimits: () => undefined,
    usedTokens: async () => ({ today: 0, thisMonth: 0 }),
    answerTokensEstimate: 256,
  });
  const parts = { authenticator: oneCaller, rates };
  const fakes = Array.from({ length: workers }, () => ({ models: MODELS, ...worker }));
  const bed = await TestBed.start(settings, fakes, true, '127.0.0.1', parts);
  /** Tokens of the minute, tokens of the day, and requests that hold a place. */
  const counted = async () => {
    const kinds = ['tokens_per_minute', 'daily_budget', 'concurrency'] as const;
    const looked = ask([...kinds.map((kind) => rule(kind, TOKENS)), rule('requests_per_minute', 0)], 0);
    const decision = await limiter.take({ ...looked, fromZero: true });
    if (decision.outcome !== 'refused') throw new TypeError('Looking counts nothing.');
    const [minute, day, places] = decision.standings.map(({ used }) => used);
    return { minute, day, places };
  };
  const settledAt = (tokens: number) =>
    expect.poll(counted, { timeout: 5_000 }).toEqual({ minute: tokens, day: tokens, places: 0 });
  return Object.assign(bed, { counted, settledAt });
}

describe('what a request counts in the end', () => {
  it('is its prompt and its answer, streamed or not, with usage or without', async () => {
    await using bed = await startLimited();
    await (await bed.chat()).text();
    await bed.settledAt(3 + 4);
    await (await bed.chat({ stream: true })).text();
    await bed.settledAt(14);
  });

  it('is one prompt and each of its answers, also those of best_of that nobody sees', async () => {
    await using bed = await startLimited();
    await (await bed.chat({ n: 3 })).text();
    await bed.settledAt(3 + 3 * 4);
    await (await bed.post('/v1/completions', { model: 'demo', prompt: ['a b', 'c'], best_of: 2 })).text();
    await bed.settledAt(15 + 3 + 2 * 3 + 2 * 2);
  });

  it('is what was read for vectors', async () => {
    await using bed = await startLimited();
    expect((await bed.post('/v1/embeddings', { model: 'vectors', input: ['one two', 'three'] })).status).toBe(200);
    await bed.settledAt(3);
  });

  it('is what had come when its client left in the middle of a stream', async () => {
    await using bed = await startLimited(ENDLESS);
    const leaving = new AbortController();
    const response = await bed.chat({ stream: true, max_tokens: 4_000 }, { signal: leaving.signal });
    await response.body!.getReader().read();
    expect((await bed.counted()).minute).toBeGreaterThan(4_000);
    leaving.abort();
    await expect.poll(async () => (await bed.counted()).places, { timeout: 5_000 }).toBe(0);
    const { minute, day } = await bed.counted();
    expect(minute).toBeGreaterThan(3);
    expect(minute).toBeLessThan(4_000);
    expect(day).toBe(minute);
  });

  it('is what had come when its worker died', async () => {
    const script = () => ({ endless: 'on ', dieAfterTokens: 4 });
    await using bed = await startLimited({ script }, { coldStartWaitMs: 0 }); // Nobody will go on with it.
    await (await bed.chat({ stream: true, max_tokens: 2_000 })).text().catch(() => {});
    await expect.poll(async () => (await bed.counted()).places, { timeout: 5_000 }).toBe(0);
    const { minute, day } = await bed.counted();
    expect(minute).toBeGreaterThanOrEqual(3);
    expect(minute).toBeLessThan(100);
    expect(day).toBe(minute);
  });

  it('is nothing where it never came to a worker: refused by the waiting room, left while waiting, out of time', async () => {
    await using bed = await startLimited(SILENT, { maxConcurrentRequests: 1, maxQueueDepth: 1 });
    const [leaving, staying] = [new AbortController(), new AbortController()];
    const running = bed.chat({ max_tokens: 100 }, { signal: staying.signal }).catch(() => {});
    await expect.poll(() => bed.worker.started.length).toBe(1);
    const waiting = bed.chat({ max_tokens: 100 }, { signal: leaving.signal }).catch(() => {});
    await expect.poll(async () => (await bed.counted()).places).toBe(2);

    const refused = await bed.chat({ max_tokens: 100 });
    expect([refused.status, refused.headers.get('x-millrace-limit')]).toEqual([429, 'queue']);
    expect((await bed.counted()).places).toBe(2);
    leaving.abort();
    await waiting;
    await expect.poll(async () => (await bed.counted()).places).toBe(1);

    const late = await bed.chat({ max_tokens: 100 }, { headers: { 'x-millrace-deadline-ms': '50' } });
    expect(late.status).toBe(504);
    await expect.poll(async () => (await bed.counted()).places).toBe(1);
    staying.abort();
    await running;
    await bed.settledAt(0);
  });

  it('is nothing for what is no valid request', async () => {
    await using bed = await startLimited();
    for (const wrong of [{ max_tokens: -1 }, { model: 'nobody' }, { messages: [] }]) {
      const response = await bed.chat(wrong);
      expect(response.status).toBeGreaterThanOrEqual(400);
      expect(response.headers.get('x-ratelimit-limit-tokens')).toBeNull();
    }
    await bed.settledAt(0);
  });
});

describe('what a request reserves', () => {
  const reserved = async (changes: Record<string, unknown>) => {
    await using bed = await startLimited(SILENT);
    const leaving = new AbortController();
    const asked = bed.chat(changes, { signal: leaving.signal }).catch(() => {});
    await expect.poll(() => bed.worker.started.length).toBeGreaterThan(0);
    const { minute } = await bed.counted();
    leaving.abort();
    await asked;
    return minute;
  };

  it('is no more than its model can answer, whatever it asks for', async () => {
    expect(await reserved({ max_tokens: 1_000_000 })).toBeLessThan(4_096 + 100);
    expect(await reserved({ max_tokens: 1_000_000, n: 3 })).toBeLessThan(3 * 4_096 + 100);
    expect(await reserved({ max_tokens: 1_000 })).toBeGreaterThan(1_000);
  });

  it('refuses what could never pass, and names no time to wait for', async () => {
    await using bed = await startLimited();
    const { status, headers } = await bed.chat({ max_tokens: 4_096, n: 32 });
    expect([status, headers.get('x-millrace-limit'), headers.get('x-should-retry')]).toEqual([
      429,
      'tokens_per_minute',
      'false',
    ]);
    expect(headers.get('retry-after')).toBeNull();
  });
});
