import { PROMPTS } from './prompts.js';
import { type Added, addedBy, type Figures, figuresOf } from './statistics.js';
import type { Sample, Target } from './target.js';

export interface Load {
  readonly clients: number;
  /** For each target. */
  readonly requests: number;
  readonly maxTokens: number;
}

export interface Targets {
  readonly gateway: Target;
  /** Absent where the worker cannot be reached from here. */
  readonly worker: Target | undefined;
}

export interface LevelFigures {
  readonly clients: number;
  readonly gateway: Figures;
  readonly worker: Figures | undefined;
  /** What the gateway took more than the worker alone, request by request. */
  readonly added: Added | undefined;
}

/** Requests in a block, for each client: with one client, gateway and worker take turns request by request. */
const BLOCK_REQUESTS_PER_CLIENT = 4;

/**
 * Measures one level of load on gateway and worker.
 *
 * The two take turns in short blocks of the same requests, and who begins changes from block to block: whatever else
 * the machine does falls on both alike. Both reach the worker over gRPC, so their difference is what the gateway adds:
 * HTTP, validation, admission and routing. What a gRPC hop costs is measured by `WorkerTarget.roundTripMs`.
 */
export async function measureLevel(targets: Targets, load: Load): Promise<LevelFigures> {
  const tracks = [targets.gateway, ...(targets.worker ? [targets.worker] : [])].map((target) => ({
    target,
    samples: [] as Sample[],
    busyMs: 0,
  }));
  const blockSize = load.clients === 1 ? 1 : load.clients * BLOCK_REQUESTS_PER_CLIENT;
  for (const { target } of tracks) await runBlock(target, load, 0, Math.max(PROMPTS.length, load.clients * 2)); // warm-up

  for (let from = 0, block = 0; from < load.requests; from += blockSize, block++) {
    const count = Math.min(blockSize, load.requests - from);
    for (const track of block % 2 === 0 ? tracks : tracks.toReversed()) {
      const startedMs = performance.now();
      track.samples.push(...(await runBlock(track.target, load, from, count)));
      track.busyMs += performance.now() - startedMs;
    }
  }
  const [gateway, worker] = tracks;
  return {
    clients: load.clients,
    gateway: figuresOf(gateway!.samples, gateway!.busyMs),
    worker: worker && figuresOf(worker.samples, worker.busyMs),
    added: worker && addedBy(gateway!.samples, worker.samples),
  };
}

/** `count` requests by so many clients, each of which sends its next when it has its answer. In the requests' order. */
async function runBlock(target: Target, load: Load, from: number, count: number): Promise<Sample[]> {
  const samples: Sample[] = [];
  let next = 0;
  const client = async () => {
    while (next < count) {
      const index = next++;
      const prompt = PROMPTS[(from + index) % PROMPTS.length]!;
      samples[index] = await target.ask({ prompt, maxTokens: load.maxTokens });
    }
  };
  await Promise.all(Array.from({ length: load.clients }, client));
  return samples;
}
