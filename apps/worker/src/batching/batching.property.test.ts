import type { AnswerEvent } from '@millrace/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { collect, isIdle, NEVER, openBench, type TestBench, textRequest } from './batching.testing.js';

/** What one caller asks for, and how it behaves. */
const caller = fc.record({
  text: fc.string({ unit: fc.constantFrom('a', 'b', 'é'), minLength: 1, maxLength: 90 }),
  maxTokens: fc.integer({ min: 1, max: 60 }),
  priority: fc.integer({ min: -1, max: 1 }),
  seed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  temperature: fc.constantFrom(0, 0, 0.7, 1.5),
  stop: fc.array(fc.string({ unit: fc.constantFrom('a', 'b', ' ', 'é'), minLength: 1, maxLength: 3 }), {
    maxLength: 2,
  }),
  /** Arrives when so many steps have run. */
  arrivesAtStep: fc.integer({ min: 0, max: 60 }),
  /** Leaves after so many events; most stay. */
  leavesAfterEvents: fc.option(fc.integer({ min: 0, max: 30 }), { freq: 3, nil: undefined }),
  leavesBy: fc.constantFrom('signal', 'return'),
  /** Stands still for so many turns of the event loop after every event. */
  pauseTurns: fc.constantFrom(0, 0, 0, 1, 40),
});
type Caller = typeof caller extends fc.Arbitrary<infer T> ? T : never;

function requestOf({ text, maxTokens, priority, seed, temperature, stop }: Caller) {
  return textRequest(text, { maxTokens, priority, sampling: { seed, temperature }, stop });
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}

/** Calls, reads as it is its way, and gives the text it got and whether it stayed to the end. */
async function play(bench: TestBench, caller: Caller): Promise<{ text: string; whole: boolean }> {
  await turns(caller.arrivesAtStep);
  const leaving = new AbortController();
  const answer = bench.engine.answer(requestOf(caller), leaving.signal)[Symbol.asyncIterator]();
  let text = '';
  const left = (): { text: string; whole: boolean } => ({ text, whole: false });
  for (let events = 0; ; events++) {
    if (events === caller.leavesAfterEvents) {
      if (caller.leavesBy === 'return') await answer.return?.();
      else leaving.abort();
      return left();
    }
    const next: IteratorResult<AnswerEvent> = await answer.next();
    if (next.done) return { text, whole: true };
    if (next.value.kind === 'tokens') text += next.value.text;
    await turns(caller.pauseTurns);
  }
}

describe('BatchingEngine, whatever its callers do', () => {
  it('settles everyone once, leaks no place, keeps the limits, and answers as if each were alone', async () => {
    const alone = openBench({ contextLength: 128 }, { maxBatchSize: 1 });
    await fc.assert(
      fc.asyncProperty(fc.array(caller, { minLength: 1, maxLength: 14 }), async (callers) => {
        const placesMax = 4;
        const bench = openBench(
          { contextLength: 128, placesMax, tokensPerStepMax: 24 },
          { maxBatchSize: placesMax, prefillChunkTokens: 16 },
        );
        const answers = await Promise.all(callers.map((each) => play(bench, each)));

        await expect.poll(() => isIdle(bench), { interval: 1 }).toBe(true);
        expect(bench.observer.outcomes.length).toBe(callers.length);
        for (const works of bench.steps) {
          const decoding = works.filter(({ tokens }) => tokens.length === 1).length;
          const read = works.reduce((sum, { tokens }) => sum + tokens.length, 0);
          expect(works.length).toBeLessThanOrEqual(placesMax);
          expect(read).toBeLessThanOrEqual(24);
          expect(read - decoding).toBeLessThanOrEqual(16);
        }
        for (const [index, each] of callers.entries()) {
          const { text } = await collect(alone.engine.answer(requestOf(each), NEVER));
          if (answers[index]!.whole) expect(answers[index]!.text).toBe(text);
          else expect(text.startsWith(answers[index]!.text)).toBe(true);
        }
        await bench.engine.close();
      }),
      { numRuns: 60 },
    );
    await alone.engine.close();
  }, 60_000);
});
