import { describe, expect, it } from 'vitest';
import type { SequenceEvent } from '../vocabulary.js';
import { LogprobsAllowance } from './logprobs-allowance.js';

const chance = { token: 1, bytes: new Uint8Array([97]), logprob: -1 };
const thousand = new Array(50).fill({ ...chance, top: new Array(19).fill(chance) });
const tokens: SequenceEvent = { kind: 'tokens', index: 0, tokens: [], text: 'a', logprobs: thousand };
const echo: SequenceEvent = { kind: 'echo', index: 1, text: 'a', logprobs: thousand };

function use(request: { stream: boolean; logprobs: number | undefined }, events: number): void {
  const allowance = new LogprobsAllowance(request);
  for (let used = 0; used < events; used++) allowance.use(used % 2 === 0 ? tokens : echo);
}

describe('a whole answer', () => {
  it('collects a quarter of a million log-probabilities and no more, over all of its sequences', () => {
    expect(() => use({ stream: false, logprobs: 19 }, 250)).not.toThrow();
    expect(() => use({ stream: false, logprobs: 19 }, 251)).toThrow(
      'The answer has more than 250,000 log-probabilities, and a whole one may have 250,000. Stream it',
    );
  });

  it('has no such limit when it is streamed, or when they only serve to choose the best', () => {
    expect(() => use({ stream: true, logprobs: 19 }, 1_001)).not.toThrow();
    expect(() => use({ stream: false, logprobs: undefined }, 1_001)).not.toThrow();
  });
});
