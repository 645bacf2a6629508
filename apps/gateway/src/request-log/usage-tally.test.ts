import { describe, expect, it } from 'vitest';
import type { SequenceEvent } from '../vocabulary.js';
import { UsageTally } from './usage-tally.js';

const begun = (index: number, promptTokens: number, cachedTokens: number): SequenceEvent => ({
  kind: 'begun',
  index,
  promptTokens,
  cachedTokens,
  waitedMs: 0,
});
const tokens = (index: number, count: number): SequenceEvent => ({
  kind: 'tokens',
  index,
  tokens: new Array(count).fill(1),
  text: '',
});
const finished = (
  index: number,
  promptTokens: number,
  completionTokens: number,
  cachedTokens: number,
): SequenceEvent => ({
  kind: 'finished',
  index,
  reason: 'stop',
  usage: { promptTokens, completionTokens, cachedTokens },
});

function tallyOf(prompts: number, bestOf: number, events: readonly SequenceEvent[]): UsageTally {
  const tally = new UsageTally({ prompts: new Array(prompts).fill(''), bestOf });
  for (const event of events) tally.add(event);
  return tally;
}

describe('UsageTally', () => {
  it('counts a prompt once, and as cached only what was so before its first answer', () => {
    const tally = tallyOf(1, 3, [begun(0, 9, 2), begun(1, 9, 9), begun(2, 9, 9)]);
    expect(tally.total()).toEqual({ promptTokens: 9, completionTokens: 0, cachedTokens: 2, reasoningTokens: 0 });
  });

  it('counts every prompt of several, and the tokens of every sequence', () => {
    const events = [finished(0, 5, 1, 4), finished(1, 5, 2, 5), finished(2, 7, 3, 0), finished(3, 7, 4, 7)];
    expect(tallyOf(2, 2, events).total()).toEqual({
      promptTokens: 12,
      completionTokens: 10,
      cachedTokens: 4,
      reasoningTokens: 0,
    });
  });

  it('has counted what came though nothing has ended', () => {
    const events = [begun(1, 5, 0), tokens(1, 2), tokens(1, 3)];
    expect(tallyOf(1, 2, events).total()).toEqual({
      promptTokens: 5,
      completionTokens: 5,
      cachedTokens: 0,
      reasoningTokens: 0,
    });
  });

  it('counts tokens without a number, and those that were thought', () => {
    const events = [
      begun(0, 5, 0),
      { ...tokens(0, 1), unnumbered: 3 } as SequenceEvent,
      begun(1, 5, 0),
      {
        kind: 'finished',
        index: 1,
        reason: 'stop',
        usage: { promptTokens: 5, completionTokens: 9, cachedTokens: 0, reasoningTokens: 6 },
      } as SequenceEvent,
    ];
    expect(tallyOf(1, 2, events).total()).toEqual({
      promptTokens: 5,
      completionTokens: 4 + 9,
      cachedTokens: 0,
      reasoningTokens: 6,
    });
  });

  it('takes the worker’s own count once a sequence has ended', () => {
    const events = [begun(0, 5, 0), tokens(0, 2), finished(0, 5, 4, 0)];
    expect(tallyOf(1, 1, events).total()).toMatchObject({ completionTokens: 4 });
  });

  it('is finished with the last sequence', () => {
    const tally = tallyOf(1, 2, [finished(1, 1, 1, 0)]);
    expect(tally.finished).toBe(false);
    tally.add(finished(0, 1, 1, 0));
    expect(tally.finished).toBe(true);
  });
});
