/**
 * Where a process spent its time, from a profile of Node's (`node --cpu-prof`): functions by their own time.
 *
 *   node test/bench/self-times.ts a.cpuprofile [lines]
 */
import { readFileSync } from 'node:fs';

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  /** Microseconds. */
  readonly timeDeltas: readonly number[];
}

/** Not work: the process waits, or the profiler has only just begun. */
const WAITING = new Set(['(idle)', '(root)']);

/** @returns a line of Markdown each, the hottest first: its share of the time that was not idle, and where it is. */
export function hottestFunctions(path: string, linesMax: number): string[] {
  const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(path, 'utf8')) as CpuProfile;
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const micros = new Map<string, number>();
  for (const [index, id] of samples.entries()) {
    const name = names.get(id)!;
    if (!WAITING.has(name)) micros.set(name, (micros.get(name) ?? 0) + timeDeltas[index]!);
  }
  const busy = [...micros.values()].reduce((sum, each) => sum + each, 0);
  const hottest = [...micros].sort((one, other) => other[1] - one[1]).slice(0, linesMax);
  return hottest.map(([name, each]) => `- ${((each / busy) * 100).toFixed(1)} % ${name}`);
}

function nameOf({ functionName, url, lineNumber }: CpuProfile['nodes'][number]['callFrame']): string {
  if (url === '') return functionName || '(unnamed)';
  const file = url.replace(/^.*\/node_modules\/(?!.*\/node_modules\/)/, '').replace(/^.*\/(apps|libs)\//, '$1/');
  return `${functionName || '(unnamed)'} ${file}:${lineNumber + 1}`;
}

if (process.argv[1] === import.meta.filename) {
  for (const line of hottestFunctions(process.argv[2]!, Number(process.argv[3] ?? 40)))
    process.stdout.write(`${line}\n`);
}
