import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { ResponseCache, ResponseCacheLimits } from './response-cache.js';

const KIB = 1024;
const LIMITS: ResponseCacheLimits = { bytesMax: 256 * KIB, ageMsMax: 60_000 };

/** What every cache of answers must do. */
export function responseCacheContract(open: (limits: ResponseCacheLimits) => Promise<ResponseCache>): void {
  const opened: ResponseCache[] = [];
  const cacheWith = async (limits: Partial<ResponseCacheLimits> = {}) => {
    const one = await open({ ...LIMITS, ...limits });
    opened.push(one);
    return one;
  };
  let cache: ResponseCache;
  beforeEach(async () => {
    cache = await cacheWith();
  });
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((one) => one.close()));
  });
  const bytes = (length: number, value = 7) => new Uint8Array(length).fill(value);
  const found = async (keys: readonly string[], where = cache) => {
    const entries = await Promise.all(keys.map((key) => where.get(key)));
    return keys.filter((_, index) => entries[index] !== undefined);
  };

  it('knows nothing of a key under which nothing was put', async () => {
    expect(await cache.get('absent')).toBeUndefined();
  });

  it('gives back byte for byte what was put, whatever the bytes are', async () => {
    const every = Uint8Array.from({ length: 512 }, (_, index) => index);
    await cache.put('every', every);
    expect(Buffer.from((await cache.get('every'))!)).toEqual(Buffer.from(every));
  });

  it('gives back a part of a larger buffer, and not its neighbours', async () => {
    await cache.put('part', Buffer.from('before entry behind').subarray(7, 12));
    expect(Buffer.from((await cache.get('part'))!).toString()).toBe('entry');
  });

  it('gives back what was put last under a key', async () => {
    await cache.put('k', bytes(10, 1));
    await cache.put('k', bytes(20, 2));
    expect(Buffer.from((await cache.get('k'))!)).toEqual(Buffer.from(bytes(20, 2)));
  });

  it('tells keys apart that are alike', async () => {
    await cache.put('k', bytes(1, 1));
    await cache.put('K', bytes(1, 2));
    await cache.put('k ', bytes(1, 3));
    expect((await cache.get('k'))?.[0]).toBe(1);
    expect((await cache.get('K'))?.[0]).toBe(2);
  });

  it('forgets an entry once its time is up, though it was asked for meanwhile', async () => {
    const brief = await cacheWith({ ageMsMax: 200 });
    await brief.put('brief', bytes(8));
    expect(await found(['brief'], brief)).toEqual(['brief']);
    await expect.poll(() => brief.get('brief'), { timeout: 5_000 }).toBeUndefined();
  });

  it('never takes more than it was given, whatever the sizes', async () => {
    for (let round = 0; round < 200; round++) {
      await cache.put(`k${round}`, bytes(1 + ((round * 7_919) % (60 * KIB))));
      expect(cache.bytes).toBeLessThanOrEqual(LIMITS.bytesMax);
    }
    expect(cache.bytes).toBeGreaterThan(LIMITS.bytesMax / 2);
  });

  it('counts what an entry takes beside its bytes', async () => {
    for (let round = 0; round < 2_000; round++) await cache.put(`k${round}`, bytes(1));
    expect((await found(Array.from({ length: 2_000 }, (_, round) => `k${round}`))).length).toBeLessThan(2_000);
  });

  it('counts an entry that replaces another once', async () => {
    await cache.put('k', bytes(100 * KIB));
    const { bytes: once } = cache;
    for (let round = 0; round < 20; round++) await cache.put('k', bytes(100 * KIB));
    expect(cache.bytes).toBe(once);
    expect(await found(['k'])).toEqual(['k']);
  });

  it('throws out first what was not asked for in the longest time', async () => {
    const pause = () => new Promise((resolve) => setTimeout(resolve, 5));
    for (const key of ['first', 'second', 'third']) {
      await cache.put(key, bytes(70 * KIB));
      await pause();
    }
    await cache.get('first');
    await pause();
    await cache.put('fourth', bytes(70 * KIB));
    expect(await found(['first', 'second', 'third', 'fourth'])).toEqual(['first', 'third', 'fourth']);
  });

  it('keeps nothing of an entry that is larger than all it may keep, and throws out nothing for it but the one in its place', async () => {
    await cache.put('small', bytes(10));
    await cache.put('large', bytes(10));
    await cache.put('large', bytes(LIMITS.bytesMax));
    expect(await found(['small', 'large'])).toEqual(['small']);
  });

  it('keeps each of many that are put and asked for at once, whole', async () => {
    const keys = Array.from({ length: 100 }, () => randomUUID());
    await Promise.all(keys.flatMap((key, index) => [cache.put(key, bytes(1 + index, index)), cache.get(key)]));
    const entries = await Promise.all(keys.map((key) => cache.get(key)));
    expect(entries.map((entry) => entry?.length)).toEqual(keys.map((_, index) => 1 + index));
    expect(entries.every((entry, index) => entry!.every((byte) => byte === index))).toBe(true);
  });
}
