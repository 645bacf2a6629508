import { describe, expect, it } from 'vitest';
import { hashOf } from './prompt-prefix.js';
import { WorkerRing } from './worker-ring.js';

const WHOLE = { from: 0, narrowing: 0 };
const ones = (count: number) =>
  Array.from({ length: count }, (_, at) => ({ name: `w${at}`, seed: hashOf(`10.0.0.${at}:8100`) }));
const prompts = Array.from({ length: 20_000 }, (_, at) => hashOf(`prompt ${at}`));
const firsts = (count: number, arc = WHOLE) => {
  const ring = new WorkerRing(ones(count));
  return prompts.map((prompt) => ring.nearest(prompt, arc)[0]!.name);
};

describe('the ring of workers', () => {
  it('leads about as many prompts to one as to another', () => {
    const counts = new Map<string, number>();
    for (const name of firsts(100)) counts.set(name, (counts.get(name) ?? 0) + 1);
    expect(counts.size).toBe(100);
    expect(Math.max(...counts.values())).toBeLessThan(1.5 * 200);
  });

  it('moves only what goes to one that joins', () => {
    const [before, after] = [firsts(100), firsts(101)];
    const moved = after.filter((name, at) => name !== before[at]);
    expect(new Set(moved)).toEqual(new Set(['w100']));
    expect(moved.length).toBeLessThan(prompts.length / 50);
  });

  it('keeps prompts of one kind to a part of it, and half of them where that part doubles', () => {
    const narrow = firsts(100, { from: 7e8, narrowing: 3 });
    const wider = firsts(100, { from: 7e8, narrowing: 2 });
    expect(new Set(narrow).size).toBeLessThan(25);
    expect(new Set(wider).size).toBeGreaterThan(new Set(narrow).size);
    expect(wider.filter((name, at) => name === narrow[at]).length).toBeGreaterThan(prompts.length * 0.3);
  });

  it('leads to each once, and to nobody where nobody is', () => {
    const names = new WorkerRing(ones(3)).nearest(5, WHOLE).map(({ name }) => name);
    expect(names.length).toBeGreaterThan(1);
    expect(new Set(names).size).toBe(names.length);
    expect(new WorkerRing([]).nearest(5, WHOLE)).toEqual([]);
    expect(new WorkerRing(ones(50)).nearest(5, { from: 9, narrowing: 32 })).toHaveLength(1);
  });
});
