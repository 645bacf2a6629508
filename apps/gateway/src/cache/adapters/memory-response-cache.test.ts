import { describe, expect, it } from 'vitest';
import { responseCacheContract } from '../response-cache.contract.js';
import { MemoryResponseCache } from './memory-response-cache.js';

describe('MemoryResponseCache', () => {
  responseCacheContract(async (limits) => new MemoryResponseCache(limits));

  it('gives room back for what nobody asks for any more, once its time is up', async () => {
    const cache = new MemoryResponseCache({ bytesMax: 1_000_000, ageMsMax: 50 });
    await cache.put('k', new Uint8Array(1_000));
    expect(cache.bytes).toBeGreaterThan(1_000);
    await expect.poll(() => cache.bytes, { timeout: 5_000 }).toBe(0);
    await cache.close();
  });

  it('holds an entry, and not the memory that small buffers share', async () => {
    const cache = new MemoryResponseCache({ bytesMax: 1_000_000, ageMsMax: 60_000 });
    const entry = Buffer.from('an answer');
    expect(entry.buffer.byteLength).toBeGreaterThan(entry.byteLength);
    await cache.put('k', entry);
    const kept = await cache.get('k');
    expect(Buffer.from(kept!).toString()).toBe('an answer');
    expect(kept?.buffer.byteLength).toBe(entry.byteLength);
    await cache.close();
  });

  it('holds nothing any more once it is closed', async () => {
    const cache = new MemoryResponseCache({ bytesMax: 1_000_000, ageMsMax: 60_000 });
    await cache.put('k', new Uint8Array(1_000));
    await cache.close();
    expect(cache.bytes).toBe(0);
  });
});
