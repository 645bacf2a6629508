import { describe, expect, it } from 'vitest';
import { Company } from './company.js';

describe('Company', () => {
  it('lets a lone user begin at once, every time', () => {
    const company = new Company(10);
    for (const nowMs of [0, 500, 1_000, 1_500]) {
      company.noteArrival(nowMs, true);
      expect(company.waitMs(nowMs)).toBe(0);
    }
  });

  it('waits once company came the last time, and no longer than its limit', () => {
    const company = new Company(10);
    company.noteArrival(0, true);
    company.noteArrival(3, false);
    company.noteArrival(1_000, true);
    expect(company.waitMs(1_000)).toBe(2.5);
    for (let atMs = 1_002; atMs <= 1_008; atMs += 2) company.noteArrival(atMs, false);
    expect(company.waitMs(1_008)).toBe(2);
    expect(company.waitMs(1_010)).toBe(0);
  });

  it('remembers company although more have come since, to a worker that was busy', () => {
    const company = new Company(10);
    company.noteArrival(0, true);
    company.noteArrival(3, false);
    company.noteArrival(200, false);
    company.noteArrival(1_000, true);
    expect(company.waitMs(1_000)).toBe(2.5);
  });

  it('begins when nobody new has come for a while', () => {
    const company = new Company(10);
    company.noteArrival(0, true);
    company.noteArrival(1, false);
    company.noteArrival(1_000, true);
    expect(company.waitMs(1_002.5)).toBe(0);
  });

  it('expects nobody any more after somebody came alone', () => {
    const company = new Company(10);
    company.noteArrival(0, true);
    company.noteArrival(1, false);
    company.noteArrival(1_000, true);
    company.noteArrival(2_000, true);
    expect(company.waitMs(2_000)).toBe(0);
  });

  it('takes several answers to one request for one', () => {
    const company = new Company(10);
    for (const nowMs of [0, 500]) {
      company.noteArrival(nowMs, true);
      company.noteArrival(nowMs + 0.1, false);
      company.noteArrival(nowMs + 0.2, false);
      expect(company.waitMs(nowMs + 0.2)).toBe(0);
    }
  });

  it('never waits when told so', () => {
    const company = new Company(0);
    company.noteArrival(0, true);
    company.noteArrival(1, false);
    company.noteArrival(1_000, true);
    expect(company.waitMs(1_000)).toBe(0);
  });
});
