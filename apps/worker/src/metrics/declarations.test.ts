import { describe, expect, it } from 'vitest';
import { WORKER_METRICS } from './declarations.js';

describe('WORKER_METRICS', () => {
  it('names each once, under one prefix', () => {
    const names = WORKER_METRICS.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^millrace_worker_[a-z_]+$/);
  });

  it('says of each what to do when it moves', () => {
    for (const { name, help } of WORKER_METRICS) expect(help, name).toContain('→');
  });

  it('gives every histogram buckets in rising order', () => {
    for (const { kind, name, buckets } of WORKER_METRICS) {
      if (kind === 'histogram')
        expect([...(buckets ?? [])], name).toEqual([...(buckets ?? [Number.NaN])].sort((a, b) => a - b));
    }
  });
});
