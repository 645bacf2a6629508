import { describe, expect, it } from 'vitest';
import { DatabaseUnavailable } from '../stores/sql-database.js';
import { type LineOutcome, NO_USAGE } from './line-outcome.js';
import { OutcomeBuffer } from './outcome-buffer.js';

const { signal } = new AbortController();
const outcome = (line: number, text = 'x'): LineOutcome => ({ line, answered: true, text, usage: NO_USAGE });

describe('outcomes of lines', () => {
  it('are kept in few statements, and soon', async () => {
    const kept: number[][] = [];
    const buffer = new OutcomeBuffer(async (outcomes) => void kept.push(outcomes.map(({ line }) => line)), signal);
    for (let line = 1; line <= 40; line++) await buffer.add(outcome(line));
    expect(kept.map(({ length }) => length)).toEqual([32]);
    await expect.poll(() => kept.flat().length).toBe(40);
  });

  it('are kept at once when they are large', async () => {
    const kept: number[] = [];
    const buffer = new OutcomeBuffer(async (outcomes) => void kept.push(outcomes.length), signal);
    await buffer.add(outcome(1, 'x'.repeat(2 * 1024 * 1024)));
    expect(kept).toEqual([1]);
  });

  it('are kept once the database is back, and nobody brings more meanwhile than it may hold', async () => {
    const kept: number[] = [];
    let isAway = true;
    const buffer = new OutcomeBuffer(async (outcomes) => {
      if (isAway) throw new DatabaseUnavailable('away');
      kept.push(...outcomes.map(({ line }) => line));
    }, signal);
    let brought = 0;
    const bringing = Promise.all(
      Array.from({ length: 4 }, async () => {
        for (let times = 0; times < 50; times++) await buffer.add(outcome(++brought));
      }),
    );
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(brought).toBeLessThan(80);
    isAway = false;
    await bringing;
    await buffer.flush();
    expect(new Set(kept).size).toBe(200);
    expect(kept).toHaveLength(200);
  });

  it('that the database will never take are told to whoever brought them', async () => {
    const buffer = new OutcomeBuffer(async () => {
      throw new Error('refused');
    }, signal);
    await buffer.add(outcome(1));
    await expect(buffer.flush()).rejects.toThrow('refused');
  });
});
