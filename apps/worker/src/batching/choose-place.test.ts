import { describe, expect, it } from 'vitest';
import { choosePlace, commonPrefix, type PlaceContents } from './choose-place.js';

const costs = { copyCostTokens: 10, cutsAnywhere: true };
const NOTHING: PlaceContents = { tokens: [], held: 0, lastUsed: 0 };

const tokens = (count: number, from = 0) => Array.from({ length: count }, (_, index) => from + index);
const joining = (all: readonly number[]) => ({ tokens: all, reusable: all.length - 1 });

function shelf(size: number, held: Readonly<Record<number, readonly number[]>>, lastUsed: readonly number[] = []) {
  return Array.from({ length: size }, (_, place): PlaceContents => {
    const all = held[place];
    return all === undefined ? NOTHING : { tokens: all, held: all.length, lastUsed: lastUsed.indexOf(place) };
  });
}

describe('choosePlace', () => {
  it('takes the first place when nothing is held', () => {
    expect(choosePlace(joining(tokens(5)), shelf(4, {}), new Set(), costs)).toEqual({
      place: 0,
      copyFrom: undefined,
      kept: 0,
    });
  });

  it('finds the place of a conversation that goes on', () => {
    const conversation = tokens(500);
    const places = shelf(4, { 0: tokens(400, 9_000), 2: conversation });
    const seat = choosePlace(joining([...conversation, 1, 2, 3]), places, new Set(), costs);
    expect(seat).toEqual({ place: 2, copyFrom: undefined, kept: 500 });
  });

  it('copies a shared beginning to an empty place, and leaves the conversation where it is', () => {
    const system = tokens(500);
    const places = shelf(4, { 0: [...system, ...tokens(300, 7_000)] });
    const seat = choosePlace(joining([...system, ...tokens(20, 8_000)]), places, new Set(), costs);
    expect(seat).toEqual({ place: 1, copyFrom: 0, kept: 500 });
  });

  it('copies from a place that somebody runs in', () => {
    const system = tokens(500);
    const places = shelf(4, { 1: [...system, 5] });
    const seat = choosePlace(joining([...system, 6, 7]), places, new Set([1]), costs);
    expect(seat).toEqual({ place: 0, copyFrom: 1, kept: 500 });
  });

  it('does not copy what is read sooner than copied', () => {
    const seat = choosePlace(joining(tokens(9)), shelf(4, { 1: tokens(8) }), new Set([1]), costs);
    expect(seat).toEqual({ place: 0, copyFrom: undefined, kept: 0 });
  });

  it('overwrites what was used longest ago when every place holds something', () => {
    const places = shelf(3, { 0: tokens(50, 100), 1: tokens(50, 200), 2: tokens(50, 300) }, [1, 0, 2]);
    expect(choosePlace(joining(tokens(20)), places, new Set(), costs).place).toBe(1);
  });

  it('stays in a row with those who run, between them if it can', () => {
    expect(choosePlace(joining(tokens(5)), shelf(8, {}), new Set([3]), costs).place).toBe(2);
    expect(choosePlace(joining(tokens(5)), shelf(8, {}), new Set([2, 3, 5]), costs).place).toBe(4);
  });

  it('gives up a little that was held rather than lie apart', () => {
    const places = shelf(16, { 12: tokens(60) });
    expect(choosePlace(joining(tokens(60)), places, new Set([0, 1]), costs)).toMatchObject({ place: 2, copyFrom: 12 });
    expect(choosePlace(joining(tokens(8)), places, new Set([0, 1]), costs)).toMatchObject({ place: 2, kept: 0 });
  });

  it('keeps all of a place or nothing where the engine can forget no part', () => {
    const whole = { copyCostTokens: 10, cutsAnywhere: false };
    const places = shelf(2, { 0: tokens(100) });
    expect(choosePlace(joining([...tokens(100), 5]), places, new Set(), whole)).toMatchObject({ place: 0, kept: 100 });
    expect(choosePlace(joining([...tokens(99), 5]), places, new Set(), whole)).toMatchObject({ kept: 0 });
  });

  it('fills a tile where the engine reads a whole one sooner than a part', () => {
    const tiles = { ...costs, tileTokens: 64 };
    const places = shelf(2, { 0: tokens(1_000) });
    const kept = (more: number) =>
      choosePlace(joining([...tokens(1_000), ...tokens(more, 5_000)]), places, new Set(), tiles).kept;
    expect(kept(12)).toBe(1_012 - 65);
    expect(kept(64)).toBe(1_064 - 65);
    expect(kept(65)).toBe(1_000);
    expect(kept(2)).toBe(1_000);
    expect(choosePlace(joining([...tokens(100), ...tokens(12, 5_000)]), places, new Set(), tiles).kept).toBe(100);
  });

  it('finds nothing for a prompt of which each token has to be read', () => {
    const places = shelf(2, { 0: tokens(100) });
    expect(choosePlace({ tokens: tokens(100), reusable: 0 }, places, new Set(), costs).kept).toBe(0);
  });
});

describe('commonPrefix', () => {
  it('counts only what is held', () => {
    expect(commonPrefix([1, 2, 3, 4], 2, [1, 2, 3, 4])).toBe(2);
    expect(commonPrefix([1, 2, 3], 3, [1, 2, 9])).toBe(2);
    expect(commonPrefix([], 0, [1])).toBe(0);
  });
});
