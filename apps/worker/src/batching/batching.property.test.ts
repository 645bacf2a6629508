import { type AnswerEvent, BACKGROUND_PRIORITY_MAX, type Prompt } from '@millrace/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { collect, isIdle, NEVER, openBench, type TestBench, textRequest } from './batching.testing.js';

/** What one caller asks for, and how it behaves. */
const caller = fc.record({
  /** Many share a beginning, of which some is then found in the engine. */
  text: fc
    .tuple(
      fc.constantFrom('', '', 'a'.repeat(50), 'ab'.repeat(30)),
      fc.string({ unit: fc.constantFrom('a', 'b', 'é'), minLength: 1, maxLength: 20 }),
    )
    .map(([beginning, rest]) => beginning + rest),
  answers: fc.constantFrom(1, 1, 1, 3),
  logprobs: fc.constantFrom(undefined, undefined, 0, 2),
  echo: fc.constantFrom(false, false, true),
  maxTokens: fc.integer({ min: 1, max: 60 }),
  priority: fc.constantFrom(-1, 0, 0, 1, BACKGROUND_PRIORITY_MAX),
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

/** The requests of one caller: as many as it wants answers, all to one prompt. */
function requestsOf({ text, answers, maxTokens, priority, seed, temperature, stop, logprobs, echo }: Caller) {
  const prompt: Prompt = { kind: 'text', text };
  return Array.from({ length: answers }, (_, index) =>
    textRequest('', {
      prompt,
      maxTokens,
      priority,
      sampling: { seed: seed + index, temperature },
      stop,
      logprobs,
      echo,
    }),
  );
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}

interface Played {
  readonly text: string;
  readonly told: string;
  readonly tokens: number;
  /** Absent when the caller left. */
  readonly finished: Extract<AnswerEvent, { kind: 'finished' }> | undefined;
}

/** Calls, and reads each answer as it is its way. */
async function play(bench: TestBench, caller: Caller): Promise<Played[]> {
  await turns(caller.arrivesAtStep);
  const leaving = new AbortController();
  const answers = requestsOf(caller).map((request) => bench.engine.answer(request, leaving.signal));
  return Promise.all(answers.map((answer) => read(answer[Symbol.asyncIterator](), caller, leaving)));
}

async function read(answer: AsyncIterator<AnswerEvent>, caller: Caller, leaving: AbortController): Promise<Played> {
  let text = '';
  let tokens = 0;
  const told: Uint8Array[] = [];
  let finished: Played['finished'];
  for (let events = 0; ; events++) {
    if (leaving.signal.aborted) break;
    if (events === caller.leavesAfterEvents) {
      if (caller.leavesBy === 'return') await answer.return?.();
      else leaving.abort(new Error('left'));
      break;
    }
    const next = await answer.next().catch(() => LEFT);
    if (next.done) break;
    const event = next.value;
    if (event.kind === 'tokens') {
      text += event.text;
      tokens += event.tokens.length;
      for (const { bytes } of event.logprobs ?? []) told.push(bytes);
    }
    if (event.kind === 'finished') finished = event;
    await turns(caller.pauseTurns);
  }
  return { text, told: Buffer.concat(told).toString('utf8'), tokens, finished };
}

const LEFT = { done: true, value: undefined } as const;

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
        const played = await Promise.all(callers.map((each) => play(bench, each)));

        await expect.poll(() => isIdle(bench), { interval: 1 }).toBe(true);
        expect(bench.observer.outcomes.length).toBe(played.flat().length);
        for (const works of bench.steps) {
          const decoding = works.filter(({ tokens }) => tokens.length === 1).length;
          const read = works.reduce((sum, { tokens }) => sum + tokens.length, 0);
          expect(works.length).toBeLessThanOrEqual(placesMax);
          expect(read).toBeLessThanOrEqual(24);
          expect(read - decoding).toBeLessThanOrEqual(16);
        }
        for (const [index, each] of callers.entries()) {
          for (const [answer, request] of requestsOf(each).entries()) {
            const { text, told, tokens, finished } = played[index]![answer]!;
            const expected = await collect(alone.engine.answer(request, NEVER));
            for (const stop of each.stop) for (const out of [text, told]) expect(out).not.toContain(stop);
            if (finished === undefined) {
              expect(expected.text.startsWith(text)).toBe(true);
              continue;
            }
            expect(text).toBe(expected.text);
            expect(finished.reason).toBe(expected.finished!.reason);
            const { promptTokens, completionTokens, cachedTokens } = finished.usage;
            expect(promptTokens).toBe(Buffer.byteLength(each.text));
            expect(completionTokens).toBe(tokens + (finished.reason === 'stop' ? 1 : 0));
            expect(cachedTokens).toBeLessThan(promptTokens);
            if (each.logprobs !== undefined && finished.reason === 'length') expect(told).toBe(text);
          }
        }
        await bench.engine.close();
      }),
      { numRuns: 150 },
    );
    await alone.engine.close();
  }, 60_000);
});
