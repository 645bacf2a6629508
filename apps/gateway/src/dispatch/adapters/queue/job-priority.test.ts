import { describe, expect, it } from 'vitest';
import { jobPriority } from './job-priority.js';

const NOON_MS = Date.UTC(2026, 10, 22, 12);
const at = (seconds: number, priority = 0) => jobPriority(priority, NOON_MS + seconds * 1_000);

describe('the order of jobs, of which the lowest number runs first', () => {
  it('is that in which they came', () => {
    expect(at(0)).toBeLessThan(at(1));
    expect(at(0)).toBe(at(0.5));
  });

  it('puts each step of priority a second earlier', () => {
    expect(at(0, 10)).toBeLessThan(at(0, 9));
    expect(at(10, 10)).toBe(at(0));
  });

  it('lets nothing wait for ever: what is low goes before what comes much later', () => {
    expect(at(0, -1_000)).toBeGreaterThan(at(999));
    expect(at(0, -1_000)).toBeLessThan(at(1_001));
  });

  it('keeps to what BullMQ takes, whatever it is asked for', () => {
    for (const priority of [-1e9, -1_000, 0, 100, 1_000_000, 1e9]) {
      for (const nowMs of [0, NOON_MS, (2 ** 20 - 1) * 1_000]) {
        const number = jobPriority(priority, nowMs);
        expect(number).toBeGreaterThanOrEqual(1);
        expect(number).toBeLessThanOrEqual(2_097_151);
        expect(Number.isInteger(number)).toBe(true);
      }
    }
  });
});
