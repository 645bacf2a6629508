import { existsSync, readFileSync } from 'node:fs';
import { freemem } from 'node:os';
import { describe, expect, it } from 'vitest';
import { machineMemory } from './machine-memory.js';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

describe('machineMemory', () => {
  const readings = {
    platform: 'linux' as const,
    total: 32 * GIB,
    free: 20 * GIB,
    limit: 0,
    availableUnderLimit: 20 * GIB,
  };

  it.each([
    ['what is free, without a limit', {}, 20],
    ['what is free, when the limit is a number beyond the machine', { limit: 2 ** 64 }, 20],
    ['what the control group leaves', { limit: 8 * GIB, availableUnderLimit: 3 * GIB }, 3],
    ['no more than the machine has, whatever the control group leaves', { limit: 30 * GIB, free: 2 * GIB }, 2],
    ['half of a Mac, which counts little as free', { platform: 'darwin' as const, free: 1 * GIB }, 16],
  ])('is %s', (_what, change, gibibytes) => {
    expect(machineMemory({ ...readings, ...change })).toBe(gibibytes * GIB);
  });

  it('reads this machine', () => {
    expect(machineMemory()).toBeGreaterThan(100 * MIB);
  });

  it.runIf(existsSync('/proc/meminfo'))('counts the file cache as free on Linux, as Node does', () => {
    const kib = Number(/^MemAvailable:\s+(\d+) kB/m.exec(readFileSync('/proc/meminfo', 'utf8'))![1]);
    expect(Math.abs(freemem() - kib * 1024)).toBeLessThan(GIB); // The machine does other things meanwhile.
  });
});
