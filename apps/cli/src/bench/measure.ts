import { freshPrompt, PROMPTS } from './prompts.js';
import { type Added, addedBy, type Figures, figuresOf } from './statistics.js';
import type { BenchRequest, Sample, Target } from './target.js';

export interface Load {
  readonly clients: number;
  /** For each target. */
  readonly requests: number;
  /** Of each client, before another target has its turn. With one client, always 1. */
  readonly requestsPerTurn: number;
  /** What all requests have in common. */
  readonly request: Omit<BenchRequest, 'prompt'>;
}

export interface Targets {
  readonly gateway: Target;
  /** Absent where the worker cannot be reached from here. */
  readonly worker: Target | undefined;
  /** Another server with the same model. */
  readonly beside?: Target | undefined;
}

export type TargetName = keyof Targets;

export interface LevelFigures {
  readonly clients: number;
  readonly gateway: Figures;
  readonly worker: Figures | undefined;
  readonly beside?: Figures | undefined;
  /** What the gateway took more than the worker alone, request by request. */
  readonly added: Added | undefined;
  /** Turn by turn. */
  readonly rounds: readonly Round[];
}

/** One turn of each target, close to each other in time. */
export type Round = Readonly<Partial<Record<TargetName, Turn>>>;

export interface Turn {
  readonly tokensPerSecond: number;
  /** Of the server's own processor time; absent where the system does not tell, or its processes are not known. */
  readonly tokensPerCpuSecond: number | undefined;
}

/** What each server has used of the processors so far, in seconds. */
export type CpuClocks = Readonly<Partial<Record<TargetName, () => number | undefined>>>;

interface Track {
  readonly name: TargetName;
  readonly target: Target;
  readonly cpuSeconds: () => number | undefined;
  readonly samples: Sample[];
  busyMs: number;
}

/**
 * Measures one level of load on gateway, worker and whatever is beside them.
 *
 * They take turns in short blocks of the same requests, and who begins changes from block to block: whatever else the
 * machine does falls on all alike. Gateway and worker both reach the engine over gRPC, so their difference is what the
 * gateway adds: HTTP, validation, admission and routing. What a gRPC hop costs is measured by `WorkerTarget.roundTripMs`.
 */
export async function measureLevel(targets: Targets, load: Load, clocks: CpuClocks = {}): Promise<LevelFigures> {
  const tracks = tracksOf(targets, clocks);
  const blockSize = load.clients === 1 ? 1 : load.clients * load.requestsPerTurn;
  for (const [salt, { target }] of tracks.entries()) {
    await runBlock(target, load, WARM_UP_FROM, Math.max(PROMPTS.length, load.clients), salt);
  }

  const rounds: Round[] = [];
  for (let from = 0, block = 0; from < load.requests; from += blockSize, block++) {
    const count = Math.min(blockSize, load.requests - from);
    const first = block % tracks.length;
    const round: Partial<Record<TargetName, Turn>> = {};
    for (const track of [...tracks.slice(first), ...tracks.slice(0, first)]) {
      round[track.name] = await runTurn(track, load, from, count, tracks.indexOf(track));
    }
    rounds.push(round);
  }
  const [gateway, worker, beside] = (['gateway', 'worker', 'beside'] as const).map((wanted) =>
    tracks.find(({ name }) => name === wanted),
  );
  return {
    clients: load.clients,
    gateway: figuresOf(gateway!.samples, gateway!.busyMs),
    worker: worker && figuresOf(worker.samples, worker.busyMs),
    beside: beside && figuresOf(beside.samples, beside.busyMs),
    added: worker && addedBy(gateway!.samples, worker.samples),
    rounds,
  };
}

/** Far from the numbers of measured requests, so that fresh prompts are fresh. */
const WARM_UP_FROM = 1_000_000;

function tracksOf(targets: Targets, clocks: CpuClocks): Track[] {
  return (['gateway', 'worker', 'beside'] as const).flatMap((name) => {
    const target = targets[name];
    const cpuSeconds = clocks[name] ?? (() => undefined);
    return target === undefined ? [] : [{ name, target, cpuSeconds, samples: [], busyMs: 0 }];
  });
}

async function runTurn(track: Track, load: Load, from: number, count: number, salt: number): Promise<Turn> {
  const startedMs = performance.now();
  const cpuBefore = track.cpuSeconds();
  const samples = await runBlock(track.target, load, from, count, salt);
  const cpuAfter = track.cpuSeconds();
  const busyMs = performance.now() - startedMs;
  track.samples.push(...samples);
  track.busyMs += busyMs;
  const tokens = samples.reduce((sum, sample) => sum + sample.tokens, 0);
  return {
    tokensPerSecond: tokens / (busyMs / 1000),
    tokensPerCpuSecond: cpuBefore === undefined || cpuAfter === undefined ? undefined : tokens / (cpuAfter - cpuBefore),
  };
}

/** `count` requests by so many clients, each of which sends its next when it has its answer. In the requests' order. */
async function runBlock(target: Target, load: Load, from: number, count: number, salt: number): Promise<Sample[]> {
  const { request } = load;
  const samples: Sample[] = [];
  let next = 0;
  const client = async () => {
    while (next < count) {
      const index = next++;
      const number = from + index;
      const prompt = request.completion ? freshPrompt(number, salt) : PROMPTS[number % PROMPTS.length]!;
      samples[index] = await target.ask({ ...request, prompt });
    }
  };
  await Promise.all(Array.from({ length: load.clients }, client));
  return samples;
}
