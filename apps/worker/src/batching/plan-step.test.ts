import { describe, expect, it } from 'vitest';
import { type PlannedSequence, planStep } from './plan-step.js';

const limits = { placesMax: 4, prefillChunkTokens: 100, tokensPerStepMax: 200 };
let arrivals = 0;

interface Named extends PlannedSequence {
  readonly name: string;
}

function waiting(name: string, unread: number, priority = 0): Named {
  return { name, unread, priority, paused: false, arrival: arrivals++, place: undefined };
}

function running(name: string, place: number, unread = 1, more: Partial<PlannedSequence> = {}): Named {
  return { ...waiting(name, unread), place, ...more };
}

function named(plan: ReturnType<typeof planStep<Named>>): {
  shares: Record<string, number>;
  joining: Record<string, number>;
} {
  return {
    shares: Object.fromEntries(plan.shares.map(({ sequence, tokens }) => [sequence.name, tokens])),
    joining: Object.fromEntries(plan.joining.map(({ sequence, place }) => [sequence.name, place])),
  };
}

describe('planStep', () => {
  it('plans nothing when there is nobody', () => {
    expect(named(planStep([], [], limits))).toEqual({ shares: {}, joining: {} });
  });

  it('gives every decoding sequence one token before any prompt is read', () => {
    const plan = planStep([running('a', 0), running('b', 1)], [waiting('c', 500)], limits);
    expect(named(plan)).toEqual({ shares: { a: 1, b: 1, c: 100 }, joining: { c: 2 } });
    expect(plan.shares.map(({ sequence }) => sequence.name)).toEqual(['a', 'b', 'c']);
  });

  it('reads a long prompt in chunks, and lets the next share what the last chunk leaves', () => {
    const plan = planStep([running('long', 0, 40)], [waiting('next', 500)], limits);
    expect(named(plan)).toEqual({ shares: { long: 40, next: 60 }, joining: { next: 1 } });
  });

  it('does not let a short prompt overtake a long one that is being read', () => {
    const plan = planStep([running('long', 0, 300)], [waiting('short', 2)], limits);
    expect(named(plan)).toEqual({ shares: { long: 100 }, joining: {} });
  });

  it('does not let a short prompt overtake a long one that waits for a place', () => {
    const full = [0, 1, 2, 3].map((place) => running(`r${place}`, place));
    expect(named(planStep(full, [waiting('long', 300), waiting('short', 2)], limits)).joining).toEqual({});
  });

  it('takes the higher priority first, and among equals the one that came first', () => {
    const low = waiting('low', 60, -1);
    const ordinary = waiting('ordinary', 60);
    const later = waiting('later', 60);
    expect(named(planStep([], [low, ordinary, later], limits)).shares).toEqual({ ordinary: 60, later: 40 });
  });

  it('lets prompts that have a place go on although a higher priority waits for one', () => {
    const reading = [0, 1, 2, 3].map((place) => running(`r${place}`, place, 50, { priority: -1 }));
    expect(named(planStep(reading, [waiting('high', 10, 1)], limits))).toEqual({
      shares: { r0: 50, r1: 50 },
      joining: {},
    });
  });

  it('gives those who join the lowest places that are free', () => {
    const plan = planStep(
      [running('a', 1)],
      [waiting('b', 1), waiting('c', 1), waiting('d', 1), waiting('e', 1)],
      limits,
    );
    expect(named(plan).joining).toEqual({ b: 0, c: 2, d: 3 });
  });

  it('leaves out paused sequences, whose places stay taken', () => {
    const plan = planStep([running('paused', 0, 1, { paused: true })], [waiting('b', 5)], limits);
    expect(named(plan)).toEqual({ shares: { b: 5 }, joining: { b: 1 } });
  });

  it('never plans more tokens than a step takes', () => {
    const narrow = { placesMax: 4, prefillChunkTokens: 100, tokensPerStepMax: 8 };
    const plan = planStep([running('a', 0), running('b', 1)], [waiting('c', 500)], narrow);
    expect(named(plan).shares).toEqual({ a: 1, b: 1, c: 6 });
  });

  it('changes nothing', () => {
    const before = [waiting('low', 5, -1), waiting('high', 5, 1)];
    const names = before.map(({ name }) => name);
    planStep([], before, limits);
    expect(before.map(({ name }) => name)).toEqual(names);
  });
});
