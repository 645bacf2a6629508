/**
 * Measures how many inputs a second an embedding model computes, by the contexts that compute side by side and the
 * threads they share.
 *
 *     node apps/worker/dist/token-engine/adapters/llama-cpp/measure-vectors.js model.gguf [tokens of an input …]
 *
 * The figures in docs/concepts/engine.md come from it. Every way is measured in turn, and again, and the best round of
 * each counts: on a machine that others use, the best is what the machine can do. In brackets: inputs per second of
 * processor time, which others disturb less.
 */
import { memoryUsage } from 'node:process';
import { createLogger } from '@millrace/runtime';
import type { VectorEngine } from '../../vector-engine.js';
import { openLlamaCppVectors } from './open-llama-cpp-vectors.js';
import { readModelFile } from './read-model-file.js';

const WAYS = [
  { contexts: 1, threads: 1 },
  { contexts: 1, threads: 2 },
  { contexts: 2, threads: 2 },
  { contexts: 4, threads: 2 },
] as const;
const ROUNDS = 7;
const ROUND_MS = 400;
const LENGTHS = [8, 32, 128, 510];

const [path, ...lengths] = process.argv.slice(2);
if (path === undefined) throw new Error('Give the path of a model that makes vectors.');

const logger = createLogger({ name: 'measure', level: 'warn', format: 'text' });
const file = await readModelFile(path);
const contextLength = Math.min(file.contextTrained, 512);
const engines: { readonly name: string; readonly engine: VectorEngine }[] = [];
for (const { contexts, threads } of WAYS) {
  const before = memoryUsage.rss();
  const engine = await openLlamaCppVectors({ path, contextLength, contexts, threads, gpu: 'off', logger });
  await inputsPerSecond(engine, contextLength, contexts);
  const mebibytes = Math.round((memoryUsage.rss() - before) / 1024 / 1024);
  engines.push({ name: `${contexts} contexts, ${Math.max(1, Math.floor(threads / contexts))} threads each`, engine });
  process.stderr.write(`${contexts} contexts of ${contextLength} tokens: ${mebibytes} MiB more\n`);
}

process.stderr.write(`| ${['inputs a second', ...engines.map(({ name }) => name)].join(' | ')} |\n`);
for (const tokens of lengths.length > 0 ? lengths.map(Number) : LENGTHS) {
  const best = engines.map(() => ({ perSecond: 0, perCpuSecond: 0 }));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [index, { engine }] of engines.entries()) {
      const measured = await inputsPerSecond(engine, tokens, engine.model.concurrentMax);
      const so = best[index]!;
      so.perSecond = Math.max(so.perSecond, measured.perSecond);
      so.perCpuSecond = Math.max(so.perCpuSecond, measured.perCpuSecond);
    }
  }
  const cells = best.map(({ perSecond, perCpuSecond }) => `${figure(perSecond)} (${figure(perCpuSecond)})`);
  process.stderr.write(`| ${[`${tokens} tokens`, ...cells].join(' | ')} |\n`);
}
for (const { engine } of engines) await engine.close();

/** As many inputs side by side as there are contexts, for `ROUND_MS`. */
async function inputsPerSecond(
  engine: VectorEngine,
  tokens: number,
  sideBySide: number,
): Promise<{ perSecond: number; perCpuSecond: number }> {
  const input = Array.from({ length: tokens }, (_, at) => 10 + ((at * 37) % (file.vocabularySize - 10)));
  const { signal } = new AbortController();
  const startedAtMs = performance.now();
  const cpuBefore = process.cpuUsage();
  let done = 0;
  const lane = async () => {
    while (performance.now() - startedAtMs < ROUND_MS) {
      await engine.embed(input, signal);
      done++;
    }
  };
  await Promise.all(Array.from({ length: sideBySide }, lane));
  const { user, system } = process.cpuUsage(cpuBefore);
  return {
    perSecond: (done * 1_000) / (performance.now() - startedAtMs),
    perCpuSecond: (done * 1_000_000) / (user + system),
  };
}

function figure(value: number): string {
  return value.toFixed(value < 100 ? 1 : 0);
}
