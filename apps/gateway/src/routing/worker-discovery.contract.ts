import { afterEach, describe, expect, it, vi } from 'vitest';
import type { WorkerDiscovery } from './worker-discovery.js';

/** A discovery under test, and the world that it looks at. */
export interface DiscoveryBed {
  readonly discovery: WorkerDiscovery;
  /** From now on these are the workers: `host:port`. */
  set(addresses: readonly string[]): Promise<void>;
  /** Whoever is asked answers no more; and then again. */
  breakDown(): Promise<void>;
  recover(): Promise<void>;
  end(): Promise<void>;
}

const WAIT = { timeout: 5_000, interval: 10 };
const A = '10.0.0.1:8100';
const B = '10.0.0.2:8100';
const C = '[fd00::3]:8100';

/** What every way of finding workers promises. */
export function discoveryContract(open: (addresses: readonly string[]) => Promise<DiscoveryBed>): void {
  let bed: DiscoveryBed;
  afterEach(() => bed.end());

  async function begin(addresses: readonly string[]): Promise<string[][]> {
    bed = await open(addresses);
    const told: string[][] = [];
    bed.discovery.start((all) => told.push([...all].sort()));
    await vi.waitFor(() => expect(told.length).toBeGreaterThan(0), WAIT);
    return told;
  }

  describe('a discovery of workers', () => {
    it('tells who is there, and then who comes and who goes', async () => {
      const told = await begin([A, B]);
      expect(told).toEqual([[A, B]]);
      await bed.set([B, C]);
      await vi.waitFor(() => expect(told.at(-1)).toEqual([B, C].sort()), WAIT);
      expect(bed.discovery.trouble).toBeUndefined();
    });

    it('tells that nobody is there', async () => {
      expect(await begin([])).toEqual([[]]);
      await bed.set([A]);
    });

    it('tells when the last one goes', async () => {
      const told = await begin([A]);
      await bed.set([]);
      await vi.waitFor(() => expect(told.at(-1)).toEqual([]), WAIT);
    });

    it('keeps what it knows while nobody can be asked, says so, and goes on afterwards', async () => {
      const told = await begin([A]);
      await bed.breakDown();
      await vi.waitFor(() => expect(bed.discovery.trouble).toMatch(/can't be asked for workers .*stay in use/), WAIT);
      expect(told).toEqual([[A]]);
      await bed.recover();
      await bed.set([A, B]);
      await vi.waitFor(() => expect(told.at(-1)).toEqual([A, B]), WAIT);
      expect(bed.discovery.trouble).toBeUndefined();
    });

    it('tells nothing more once it is closed', async () => {
      const told = await begin([A]);
      await bed.discovery.close();
      await bed.set([A, B]);
      await new Promise((resolve) => setTimeout(resolve, 150));
      expect(told).toEqual([[A]]);
    });
  });
}
