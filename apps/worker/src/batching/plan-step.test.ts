import { describe, expect, it } from 'vitest';
import type { PlaceContents } from './choose-place.js';
import { type PlannedSequence, planStep, type StepLimits, standingOf } from './plan-step.js';

const limits = { placesMax: 4, prefillChunkTokens: 100, tokensPerStepMax: 200, copyCostTokens: 8, cutsAnywhere: true };
const AGEING_MS = 1_000;
const NOTHING: PlaceContents = { tokens: [], held: 0, lastUsed: 0 };
let arrivals = 0;

interface Named extends PlannedSequence {
  readonly name: string;
}

/** Tokens that no other sequence has. */
function ownTokens(count: number): number[] {
  const first = 1_000_000 * arrivals;
  return Array.from({ length: count }, (_, index) => first + index);
}

function waiting(name: string, unread: number, priority = 0, tokens = ownTokens(unread)): Named {
  const arrival = arrivals++;
  return {
    name,
    unread,
    readMax: Number.POSITIVE_INFINITY,
    paused: false,
    background: false,
    standing: standingOf(0, priority, AGEING_MS),
    arrival,
    place: undefined,
    prompt: tokens,
    tokens,
    reusable: tokens.length - 1,
  };
}

function running(name: string, place: number, unread = 1, more: Partial<PlannedSequence> = {}): Named {
  return { ...waiting(name, unread), place, ...more };
}

/** What the places hold when those who run have read everything but what is unread, and the rest is empty. */
function contentsOf(sequences: readonly Named[], left: Readonly<Record<number, readonly number[]>>): PlaceContents[] {
  return Array.from({ length: limits.placesMax }, (_, place) => {
    const sequence = sequences.find((each) => each.place === place);
    if (sequence !== undefined) {
      return { tokens: sequence.tokens, held: sequence.tokens.length - sequence.unread, lastUsed: 99 };
    }
    const tokens = left[place];
    return tokens === undefined ? NOTHING : { tokens, held: tokens.length, lastUsed: place };
  });
}

function plan(
  runningOnes: readonly Named[],
  waitingOnes: readonly Named[],
  more: Partial<StepLimits> = {},
  left: Readonly<Record<number, readonly number[]>> = {},
) {
  return planStep(runningOnes, waitingOnes, contentsOf(runningOnes, left), { ...limits, ...more });
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
    expect(named(plan([], []))).toEqual({ shares: {}, joining: {} });
  });

  it('gives every decoding sequence one token before any prompt is read', () => {
    const planned = plan([running('a', 0), running('b', 1)], [waiting('c', 500)]);
    expect(named(planned)).toEqual({ shares: { a: 1, b: 1, c: 100 }, joining: { c: 2 } });
    expect(planned.shares.map(({ sequence }) => sequence.name)).toEqual(['a', 'b', 'c']);
  });

  it('reads a long prompt in chunks, and lets the next share what the last chunk leaves', () => {
    const planned = plan([running('long', 0, 40)], [waiting('next', 500)]);
    expect(named(planned)).toEqual({ shares: { long: 40, next: 60 }, joining: { next: 1 } });
  });

  it('does not let a short prompt overtake a long one that is being read', () => {
    const planned = plan([running('long', 0, 300)], [waiting('short', 2)]);
    expect(named(planned)).toEqual({ shares: { long: 100 }, joining: {} });
  });

  it('does not let a short prompt overtake a long one that waits for a place', () => {
    const full = [0, 1, 2, 3].map((place) => running(`r${place}`, place));
    expect(named(plan(full, [waiting('long', 300), waiting('short', 2)])).joining).toEqual({});
  });

  it('takes the higher priority first, and among equals the one that came first', () => {
    const low = waiting('low', 60, -1);
    const ordinary = waiting('ordinary', 60);
    const later = waiting('later', 60);
    expect(named(plan([], [low, ordinary, later])).shares).toEqual({ ordinary: 60, later: 40 });
  });

  it('lets prompts that have a place go on although a higher priority waits for one', () => {
    const reading = [0, 1, 2, 3].map((place) => running(`r${place}`, place, 50));
    expect(named(plan(reading, [waiting('high', 10, 1)]))).toEqual({
      shares: { r0: 50, r1: 50 },
      joining: {},
    });
  });

  it('gives those who join the lowest places that are free', () => {
    const planned = plan([running('a', 1)], [waiting('b', 1), waiting('c', 1), waiting('d', 1), waiting('e', 1)]);
    expect(named(planned).joining).toEqual({ b: 0, c: 2, d: 3 });
  });

  it('leaves out paused sequences, whose places stay taken', () => {
    const planned = plan([running('paused', 0, 1, { paused: true })], [waiting('b', 5)]);
    expect(named(planned)).toEqual({ shares: { b: 5 }, joining: { b: 1 } });
  });

  it('never plans more tokens than a step takes', () => {
    const planned = plan([running('a', 0), running('b', 1)], [waiting('c', 500)], { tokensPerStepMax: 8 });
    expect(named(planned).shares).toEqual({ a: 1, b: 1, c: 6 });
  });

  it('changes nothing', () => {
    const before = [waiting('low', 5, -1), waiting('high', 5, 1)];
    const names = before.map(({ name }) => name);
    plan([], before);
    expect(before.map(({ name }) => name)).toEqual(names);
  });

  it('lets one who has waited long enough go before a later one of higher priority', () => {
    const low = { ...waiting('low', 60), standing: standingOf(0, -1, AGEING_MS) };
    const soon = { ...waiting('soon', 60), standing: standingOf(1_900, 1, AGEING_MS) };
    const later = { ...waiting('later', 60), standing: standingOf(2_100, 1, AGEING_MS) };
    expect(Object.keys(named(plan([], [low, soon, later])).shares)).toEqual(['soon', 'low']);
    expect(Object.keys(named(plan([], [low, later])).shares)).toEqual(['low', 'later']);
  });

  it('reads only what the place does not hold already', () => {
    const prompt = ownTokens(80);
    const planned = plan([], [waiting('again', 80, 0, prompt)], {}, { 2: [...prompt.slice(0, 70), 7, 7] });
    expect(planned.joining).toEqual([expect.objectContaining({ place: 2, copyFrom: undefined, kept: 70 })]);
    expect(named(planned).shares).toEqual({ again: 10 });
  });

  it('always reads the last token of a prompt, since the choice follows from it', () => {
    const prompt = ownTokens(80);
    const planned = plan([], [waiting('same', 80, 0, prompt)], {}, { 1: prompt });
    expect(named(planned).shares).toEqual({ same: 1 });
  });

  it('lets answers to one prompt wait for the first to read it, and then copy it', () => {
    const prompt = ownTokens(10);
    const three = ['first', 'second', 'third'].map((name) => waiting(name, 10, 0, prompt));
    const now = plan([], three);
    expect(named(now)).toEqual({ shares: { first: 10 }, joining: { first: 0 } });
    expect(now.heldBack.map(({ name }) => name)).toEqual(['second', 'third']);

    const first = { ...three[0]!, place: 0, tokens: [...prompt, 5], unread: 1 };
    const then = plan([first], three.slice(1));
    expect(named(then).shares).toEqual({ first: 1, second: 1, third: 1 });
    for (const { copyFrom, kept } of then.joining) expect({ copyFrom, kept }).toEqual({ copyFrom: 0, kept: 9 });
  });

  it('lets a prompt wait for another that is reading a long beginning of it, and keeps its place for it', () => {
    const system = ownTokens(300);
    const reader = running('reader', 0, 200, { tokens: [...system, 1, 2] });
    const same = waiting('same', 303, 0, [...system, 3, 4, 5]);
    const others = [waiting('b', 5), waiting('c', 5), waiting('d', 5)];
    const planned = plan([reader], [same, ...others], { prefillChunkTokens: 500, tokensPerStepMax: 600 });
    expect(planned.heldBack).toEqual([same]);
    expect(Object.keys(named(planned).joining)).toEqual(['b', 'c']);
  });

  it('does not let a prompt wait for a few tokens, nor for one that nobody reads on', () => {
    const system = ownTokens(300);
    const short = running('reader', 0, 20, { tokens: system.slice(0, 20) });
    expect(plan([short], [waiting('a', 300, 0, system)]).heldBack).toEqual([]);
    const paused = running('paused', 0, 200, { tokens: system, paused: true });
    expect(plan([paused], [waiting('b', 300, 0, system)]).heldBack).toEqual([]);
  });

  it('reads no more of a prompt in a step than it may', () => {
    const scored = { ...waiting('scored', 90), readMax: 32, reusable: 0 };
    expect(named(plan([], [scored, waiting('next', 90)])).shares).toEqual({ scored: 32, next: 68 });
  });

  it('does not let a prompt wait for one that is read in small pieces, as its reader takes them', () => {
    const system = ownTokens(300);
    const scored = running('scored', 0, 290, { tokens: system, readMax: 32, reusable: 0 });
    const planned = plan([scored], [waiting('a', 300, 0, system)]);
    expect(planned.heldBack).toEqual([]);
    expect(named(planned).shares).toEqual({ scored: 32, a: 68 });
  });

  it('lets the prompt that one of high priority waits for go before all that it goes before', () => {
    const system = ownTokens(300);
    const low = { ...running('low', 0, 250, { tokens: system }), standing: standingOf(0, -1, AGEING_MS) };
    const high = waiting('high', 305, 1, [...system, 1, 2, 3, 4, 5]);
    const planned = plan([low], [waiting('ordinary', 500), high]);
    expect(planned.heldBack).toEqual([high]);
    expect(named(planned).shares).toEqual({ low: 100 });
  });

  it('counts copies as what they cost, so that many of them make no step longer than a chunk', () => {
    const system = ownTokens(300);
    const reader = running('reader', 0, 1, { tokens: [...system, 1] });
    const three = ['a', 'b', 'c'].map((name, index) => waiting(name, 305, 0, [...system, ...Array(5).fill(-index)]));
    const planned = plan([reader], three, { prefillChunkTokens: 20 });
    expect(named(planned).shares).toEqual({ reader: 1, a: 5, b: 5 });
  });

  it('reads a prompt once for several answers also where a place can only be copied whole', () => {
    const prompt = ownTokens(10);
    const three = ['first', 'second', 'third'].map((name) => waiting(name, 10, 0, prompt));
    const now = plan([], three, { cutsAnywhere: false });
    expect(named(now).shares).toEqual({ first: 9 });
    expect(now.heldBack.map(({ name }) => name)).toEqual(['second', 'third']);

    const then = plan([{ ...three[0]!, place: 0, unread: 1 }], three.slice(1), { cutsAnywhere: false });
    expect(named(then).shares).toEqual({ first: 1, second: 1, third: 1 });
    for (const { copyFrom, kept } of then.joining) expect({ copyFrom, kept }).toEqual({ copyFrom: 0, kept: 9 });
  });

  it('does not let different prompts wait for each other where a place can only be copied whole', () => {
    const system = ownTokens(300);
    const reader = running('reader', 0, 200, { tokens: [...system, 1, 2] });
    const more = { cutsAnywhere: false, prefillChunkTokens: 500, tokensPerStepMax: 600 };
    expect(plan([reader], [waiting('a', 303, 0, [...system, 3, 4, 5])], more).heldBack).toEqual([]);
  });

  describe('what nobody waits for', () => {
    const unawaited = { background: true };

    it('takes part like any other while nobody waits for anything', () => {
      const planned = plan([running('line', 0, 1, unawaited)], [{ ...waiting('next', 10), ...unawaited }]);
      expect(named(planned).shares).toEqual({ line: 1, next: 10 });
    });

    it('rests beside what somebody waits for, and keeps its place', () => {
      const planned = plan(
        [running('line', 0, 1, unawaited), running('chat', 1)],
        [{ ...waiting('next', 10), ...unawaited }],
      );
      expect(named(planned)).toEqual({ shares: { chat: 1 }, joining: {} });
      const comes = plan(
        [running('line', 0, 1, unawaited), running('prompt', 1, 50, unawaited)],
        [waiting('chat', 10)],
      );
      expect(named(comes)).toEqual({ shares: { chat: 10 }, joining: { chat: 2 } });
    });

    it('goes on in its turn, so that it ends some day', () => {
      const planned = plan([running('line', 0, 1, unawaited), running('chat', 1)], [], { backgroundTurn: true });
      expect(named(planned).shares).toEqual({ line: 1, chat: 1 });
    });

    it('goes on where somebody waits for a place that it has', () => {
      const lines = [0, 1, 2].map((place) => running(`line ${place}`, place, 1, unawaited));
      const planned = plan([...lines, running('chat', 3)], [waiting('next', 10)]);
      expect(planned.shares).toHaveLength(4);
    });

    it.each([
      [1, 1],
      [2, 1],
      [4, 3],
      [8, 7],
      [32, 28],
    ])('leaves a place in eight for whoever comes next: of %i it has %i', (placesMax, held) => {
      const lines = Array.from({ length: placesMax }, (_, index) => ({ ...waiting(`line ${index}`, 1), ...unawaited }));
      const more = { placesMax, tokensPerStepMax: 2 * placesMax };
      const places = Array.from({ length: placesMax }, () => NOTHING);
      const planned = planStep<Named>([], lines, places, { ...limits, ...more });
      expect(planned.joining).toHaveLength(held);
      const begun = planned.joining.map(({ sequence, place }) => ({ ...sequence, place }));
      const then = planStep<Named>(begun, lines.slice(held), places, { ...limits, ...more });
      expect(then.joining).toEqual([]);
      const comes = planStep<Named>(begun, [...lines.slice(held), waiting('chat', 10)], places, { ...limits, ...more });
      expect(comes.joining.map(({ sequence }) => sequence.name)).toEqual(placesMax === 1 ? [] : ['chat']);
    });

    it('has the last place where all others are held by what is waited for', () => {
      const chats = [0, 1, 2].map((place) => running(`chat ${place}`, place));
      const planned = plan(chats, [{ ...waiting('line', 10), ...unawaited }], { backgroundTurn: true });
      expect(named(planned).joining).toEqual({ line: 3 });
    });

    it('goes on beside somebody who takes nothing of what there is', () => {
      const planned = plan([running('line', 0, 1, unawaited), running('stalled', 1, 1, { paused: true })], []);
      expect(named(planned).shares).toEqual({ line: 1 });
    });
  });
});
