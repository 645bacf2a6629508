import { type ErrorCode, InferenceError } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import { BoundedCounts } from './bounded-counts.js';
import { LineGate } from './line-gate.js';
import { type LineOutcome, NO_USAGE } from './line-outcome.js';
import { runSlice, type SliceWork } from './run-slice.js';

const never = new AbortController().signal;
const BATCH = { id: 'batch_1', endpoint: '/v1/completions', expires_at: new Date(Date.now() + 3_600_000) } as const;

/** What comes of lines of these names; `fates` says how each asking of a line fails, one after another. */
function sliceOf(
  names: readonly string[],
  fates: Readonly<Record<string, readonly ErrorCode[]>>,
  { batchConcurrency = 1 } = {},
) {
  const asked: string[] = [];
  const outcomes: LineOutcome[] = [];
  const gate = new LineGate({ batchConcurrency, batchConcurrencyBeside: 1 }, () => ({ running: 0, waiting: 0 }));
  const run = (changes: Partial<SliceWork> = {}) =>
    runSlice(
      {
        batch: BATCH,
        slice: { duplicates: [] },
        lines: names.map((customId, index) => ({
          number: index + 1,
          read: { kind: 'request', customId, body: { name: customId }, bodyBytes: 10 },
        })),
        answer: async ({ body }) => {
          const { name } = body as { name: string };
          const code = fates[name]?.[asked.filter((one) => one === name).length];
          asked.push(name);
          if (code !== undefined) throw new InferenceError(code, 'x');
          return { json: '{}', usage: NO_USAGE };
        },
        record: async (outcome) => void outcomes.push(outcome),
        failures: new BoundedCounts(100),
        stopping: never,
        leaving: never,
        ...changes,
      },
      gate,
    );
  return { run, asked, told: () => outcomes.map(({ line, answered }) => [line, answered]) };
}

describe('a line of a slice', { timeout: 60_000 }, () => {
  it('that kills each worker is asked three times, and the others are answered', async () => {
    const slice = sliceOf(['poison', 'good'], { poison: Array.from({ length: 99 }, () => 'worker_lost') });
    expect(await slice.run()).toEqual({ kind: 'done' });
    expect(slice.asked.filter((name) => name === 'poison')).toHaveLength(3);
    expect(slice.told()).toEqual([
      [2, true],
      [1, false],
    ]);
  });

  it('that ends its worker takes those beside it along once, and is alone from then on', async () => {
    const names = ['one', 'two', 'poison', 'three', 'four', 'five'];
    const slice = sliceOf(names, {}, { batchConcurrency: 6 });
    let worker = new AbortController();
    const answer: SliceWork['answer'] = async ({ body }) => {
      const { name } = body as { name: string };
      slice.asked.push(name);
      const { signal } = worker;
      const lost = new Promise<never>((_, reject) =>
        signal.addEventListener('abort', () => reject(new InferenceError('worker_lost', 'x')), { once: true }),
      );
      await Promise.race([new Promise((resolve) => setTimeout(resolve, name === 'poison' ? 10 : 40)), lost]);
      if (name !== 'poison') return { json: '{}', usage: NO_USAGE };
      worker.abort();
      worker = new AbortController();
      return lost;
    };
    expect(await slice.run({ answer })).toEqual({ kind: 'done' });
    const told = slice.told().toSorted(([a], [b]) => Number(a) - Number(b));
    expect(told).toEqual(names.map((name, index) => [index + 1, name !== 'poison']));
    expect(slice.asked.filter((name) => name === 'poison')).toHaveLength(3);
  });

  it('is counted on when its slice was given back in between', async () => {
    const slice = sliceOf(['poison'], {});
    const failures = new BoundedCounts(100);
    let asked = 0;
    for (let turn = 0; turn < 2; turn++) {
      const stopping = new AbortController();
      const answer = async () => {
        asked += 1;
        stopping.abort();
        throw new InferenceError('worker_lost', 'x');
      };
      expect(await slice.run({ failures, answer, stopping: stopping.signal })).toEqual({ kind: 'stopped' });
    }
    const answer = () => Promise.reject(new InferenceError('worker_lost', 'x'));
    expect(await slice.run({ failures, answer })).toEqual({ kind: 'done' });
    expect([asked, slice.told()]).toEqual([2, [[1, false]]]);
  });

  it('that was put off is not nearer to its last try for that', async () => {
    const slice = sliceOf(['a'], { a: ['rate_limit_exceeded', 'rate_limit_exceeded', 'upstream_failed'] });
    expect(await slice.run()).toEqual({ kind: 'done' });
    expect(slice.told()).toEqual([[1, true]]);
  });
});
