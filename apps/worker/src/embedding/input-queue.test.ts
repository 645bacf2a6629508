import { BACKGROUND_PRIORITY_MAX, InferenceError } from '@millrace/contracts';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type EmbeddingObserver, NOBODY_OBSERVES_EMBEDDING } from './embedding-observer.js';
import { InputQueue } from './input-queue.js';

const NEVER = new AbortController().signal;

/** Inputs of one token, its number saying whose it is. */
const inputs = (count: number, whose: number) => Array.from({ length: count }, () => [whose]);

/** One turn in so many is also for those for whom nobody waits. */
const BACKGROUND_STEPS = 4;

function open(concurrentMax = 1, queueMax = 100, observer: EmbeddingObserver = NOBODY_OBSERVES_EMBEDDING) {
  const queue = new InputQueue({ concurrentMax, queueMax, backgroundSteps: BACKGROUND_STEPS }, observer);
  const begun: number[] = [];
  const compute = async ([whose]: readonly number[], signal: AbortSignal) => {
    begun.push(whose!);
    await Promise.resolve();
    signal.throwIfAborted();
    return whose!;
  };
  return { queue, begun, compute };
}

describe('InputQueue', () => {
  it('takes one input of each request in turn, so that a small request need not wait for a large one', async () => {
    const { queue, begun, compute } = open();
    const large = queue.run(inputs(100, 1), compute, NEVER);
    const small = queue.run(inputs(1, 2), compute, NEVER);
    const other = queue.run(inputs(2, 3), compute, NEVER);
    await small;
    expect(begun.length).toBeLessThan(6);
    await other;
    expect(begun.slice(0, 6)).toEqual([1, 1, 2, 3, 1, 3]);
    expect(await large).toHaveLength(100);
  });

  it('gives every request all of its own results, in order, and never computes too many at a time', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 12 }), fc.constantFrom(0, BACKGROUND_PRIORITY_MAX)), {
          maxLength: 8,
        }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 10 }),
        async (requests, concurrentMax, backgroundSteps, pauses) => {
          const queue = new InputQueue({ concurrentMax, queueMax: 100, backgroundSteps }, NOBODY_OBSERVES_EMBEDDING);
          let running = 0;
          let turns = 0;
          const compute = async ([value]: readonly number[]) => {
            expect(++running).toBeLessThanOrEqual(concurrentMax);
            for (let pause = pauses[turns++ % pauses.length]!; pause > 0; pause--) await Promise.resolve();
            running--;
            return value!;
          };
          const wanted = requests.map(([size], whose) => Array.from({ length: size }, (_, at) => whose * 100 + at));
          const got = await Promise.all(
            wanted.map((values, whose) =>
              queue.run(
                values.map((value) => [value]),
                compute,
                NEVER,
                requests[whose]![1],
              ),
            ),
          );
          expect(got).toEqual(wanted);
          expect([queue.running, queue.waiting]).toEqual([0, 0]);
        },
      ),
    );
  });

  describe('of requests for which nobody waits', () => {
    it('computes the rest only once another is done that came meanwhile, and for which somebody waits', async () => {
      const { queue, begun, compute } = open();
      const background = queue.run(inputs(100, 1), compute, NEVER, BACKGROUND_PRIORITY_MAX);
      const [first, second] = [queue.run(inputs(2, 2), compute, NEVER), queue.run(inputs(1, 3), compute, NEVER)];
      await Promise.all([first, second]);
      expect(begun.slice(0, 5)).toEqual([1, 2, 3, 2, 1]);
      expect(await background).toHaveLength(100);
    });

    it('computes one in so many turns however much comes for which somebody waits', async () => {
      const { queue, begun, compute } = open();
      const all = [queue.run(inputs(5, 1), compute, NEVER, BACKGROUND_PRIORITY_MAX)];
      all.push(queue.run(inputs(100, 2), compute, NEVER));
      await all[0];
      expect(begun.slice(0, 17)).toEqual([1, ...Array.from({ length: 4 }, () => [2, 2, 2, 1]).flat()]);
      await Promise.all(all);
    });

    it('takes turns among them as among others', async () => {
      const { queue, begun, compute } = open();
      const all = [1, 2].map((whose) => queue.run(inputs(3, whose), compute, NEVER, BACKGROUND_PRIORITY_MAX));
      await Promise.all(all);
      expect(begun).toEqual([1, 1, 2, 1, 2, 2]);
    });

    it('uses a free lane while the other computes for somebody who waits', async () => {
      const { queue, begun, compute } = open(2);
      const background = queue.run(inputs(3, 1), compute, NEVER, BACKGROUND_PRIORITY_MAX);
      const held = Promise.withResolvers<number>();
      const awaited = queue.run(inputs(1, 2), () => held.promise, NEVER);
      expect(await background).toEqual([1, 1, 1]);
      expect(begun).toEqual([1, 1, 1]);
      held.resolve(2);
      expect(await awaited).toEqual([2]);
    });
  });

  it('lets go of a request whose caller leaves, and goes on with the others', async () => {
    const { queue, begun, compute } = open();
    const leaving = new AbortController();
    const left = queue.run(inputs(1_000, 1), compute, leaving.signal);
    const stays = queue.run(inputs(3, 2), compute, NEVER);
    const reason = new Error('the caller left');
    leaving.abort(reason);
    await expect(left).rejects.toBe(reason);
    expect(await stays).toEqual([2, 2, 2]);
    expect(begun.filter((whose) => whose === 1).length).toBeLessThan(4);
  });

  it('fails a request with its first input that fails, and no other', async () => {
    const { queue, compute } = open(2);
    const broken = queue.run(
      inputs(10, 1),
      async () => {
        throw new Error('broken');
      },
      NEVER,
    );
    const sound = queue.run(inputs(3, 2), compute, NEVER);
    await expect(broken).rejects.toThrow('broken');
    expect(await sound).toEqual([2, 2, 2]);
  });

  it('refuses a request when as many wait as may, and says how many', async () => {
    const { queue, compute } = open(1, 2);
    const first = queue.run(inputs(2, 1), compute, NEVER);
    const second = queue.run(inputs(2, 2), compute, NEVER);
    await expect(queue.run(inputs(1, 3), compute, NEVER)).rejects.toMatchObject({
      code: 'rate_limit_exceeded',
      message: expect.stringMatching(/2 requests wait .* 2 may/),
    });
    await Promise.all([first, second]);
    expect(await queue.run(inputs(1, 3), compute, NEVER)).toEqual([3]);
  });

  it('takes a request that need not wait even where none may wait', async () => {
    const { queue, compute } = open(1, 0);
    const first = queue.run(inputs(1, 1), compute, NEVER);
    await expect(queue.run(inputs(1, 2), compute, NEVER)).rejects.toMatchObject({ code: 'rate_limit_exceeded' });
    expect(await first).toEqual([1]);
  });

  it('fails what waits when it is closed, and takes nothing more', async () => {
    const { queue, compute } = open();
    const error = new InferenceError('shutting_down', 'It stops.');
    const waiting = queue.run(inputs(5, 1), compute, NEVER);
    queue.close(error);
    await expect(waiting).rejects.toBe(error);
    await expect(queue.run(inputs(1, 2), compute, NEVER)).rejects.toBe(error);
  });

  it('counts what became of every input, once', async () => {
    const counts: Record<string, number> = {};
    const observer: EmbeddingObserver = {
      computed: () => undefined,
      settled: (outcome, inputs) => {
        counts[outcome] = (counts[outcome] ?? 0) + inputs;
      },
    };
    const { queue, compute } = open(1, 1, observer);
    const leaving = new AbortController();
    const whole = queue.run(inputs(3, 1), compute, NEVER);
    await expect(queue.run(inputs(7, 2), compute, NEVER)).rejects.toMatchObject({ code: 'rate_limit_exceeded' });
    await whole;
    const left = queue.run(inputs(5, 3), compute, leaving.signal);
    leaving.abort(new Error('left'));
    await expect(left).rejects.toThrow('left');
    const failing = async (): Promise<number> => {
      throw new Error('broken');
    };
    await expect(queue.run(inputs(4, 4), failing, NEVER)).rejects.toThrow('broken');
    expect(counts).toEqual({ computed: 3, refused: 7, dropped: 5 + 3, failed: 1 });
  });
});
