import { parseArgs } from 'node:util';
import { ARCHITECTURES, type Architecture, adapterTensorsOf, SIZES, type SizeName } from './architectures.ts';
import { float32, string, writeGguf } from './gguf.ts';
import { bytesOf, randomWeights } from './random-weights.ts';

export interface RandomAdapter {
  readonly out: string;
  /** Of the model that it is for. */
  readonly size: SizeName;
  /** Default: `llama`. */
  readonly architecture?: Architecture;
  /** Rows of the thin matrices. Default: 4. */
  readonly rank?: number;
  /** What it adds is multiplied by this over the rank. Default: the rank. */
  readonly alpha?: number;
  /** Default: 1. */
  readonly seed?: number;
}

/**
 * Writes a LoRA adapter with random weights (16-bit floats) for a model of `write-random-model.ts`, of whatever
 * vocabulary: a model with it says something else, and means as little.
 */
export async function writeRandomAdapter(adapter: RandomAdapter): Promise<void> {
  const { out, architecture = 'llama', rank = 4, alpha = rank, seed = 1 } = adapter;
  const metadata = new Map([
    ['general.type', string('adapter')],
    ['general.architecture', string(architecture)],
    ['adapter.type', string('lora')],
    ['adapter.lora.alpha', float32(alpha)],
  ]);
  const shape = { architecture, size: SIZES[adapter.size], vocabularySize: 0, contextLength: 0 };
  const tensors = adapterTensorsOf(shape, rank).map(({ name, dimensions }) => {
    const [rowLength, rows] = dimensions;
    const weights = rowLength * rows!;
    const data = () => randomWeights(name, seed, weights, rowLength, 'f16');
    return { name, dimensions, type: 'f16' as const, bytes: bytesOf(weights, 'f16'), data };
  });
  await writeGguf(out, metadata, tensors);
}

const USAGE = `node tools/random-model/write-random-adapter.ts --out FILE [options]
  --size ${Object.keys(SIZES).join('|')} (135m)   --architecture ${ARCHITECTURES.join('|')} (llama)
  --rank ROWS (4)   --alpha NUMBER (the rank)   --seed NUMBER (1)`;

async function main(): Promise<void> {
  const option = { type: 'string' } as const;
  const { values } = parseArgs({
    options: { out: option, size: option, architecture: option, rank: option, alpha: option, seed: option },
  });
  const { out, size = '135m', architecture = 'llama' } = values;
  const [rank, seed] = [Number(values.rank ?? 4), Number(values.seed ?? 1)];
  const alpha = Number(values.alpha ?? rank);
  const known = Object.hasOwn(SIZES, size) && ARCHITECTURES.some((name) => name === architecture);
  const possible = Number.isSafeInteger(rank) && rank > 0 && Number.isFinite(alpha) && Number.isSafeInteger(seed);
  if (out === undefined || !known || !possible) throw new Error(USAGE);
  await writeRandomAdapter({
    out,
    size: size as SizeName,
    architecture: architecture as Architecture,
    rank,
    alpha,
    seed,
  });
  console.log(`${out}: a LoRA adapter of rank ${rank} for ${architecture} ${size}`);
}

if (import.meta.main) {
  try {
    await main();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
    process.exitCode = 1;
  }
}
