import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planVectorMemory, type VectorMemoryWish } from './plan-vector-memory.js';

const MIB = 1024 * 1024;

/** As large as the common small encoders. */
const small = {
  weightsBytes: 64 * MIB,
  cacheBytesPerToken: 18_432,
  contextTrained: 512,
  embeddingLength: 384,
  vocabularySize: 30_522,
};

const wish: VectorMemoryWish = {
  model: small,
  contexts: 2,
  batchSize: (contextLength) => contextLength,
  keepsCache: false,
  availableBytes: 4_096 * MIB,
  reserveBytes: 512 * MIB,
};

describe('planVectorMemory', () => {
  it('takes what the model was made for when there is room, and says all the numbers', () => {
    const plan = planVectorMemory(wish);
    expect(plan).toMatchObject({ fits: true, contextLength: 512 });
    expect(plan.sentence).toBe(
      'Memory: weights 64 MiB, 2 contexts of 512 tokens about 147 MiB; 4,096 MiB free, 512 MiB of it reserved.',
    );
  });

  it.each([
    ['the memory holds less', { availableBytes: 660 * MIB }, 256],
    ['the model was made for very long texts', { model: { ...small, contextTrained: 131_072 } }, 8_192],
    ['the model was made for very little', { model: { ...small, contextTrained: 100 } }, 100],
    ['the file does not say', { model: { ...small, contextTrained: 0 } }, 256],
    ['a context is asked for', { context: 300 }, 300],
  ])('chooses the context when %s', (_when, change, contextLength) => {
    expect(planVectorMemory({ ...wish, ...change })).toMatchObject({ fits: true, contextLength });
  });

  it('refuses with both numbers, and says what to change', () => {
    expect(planVectorMemory({ ...wish, context: 512, availableBytes: 600 * MIB })).toEqual({
      fits: false,
      sentence:
        'The model needs 211 MiB of memory (weights 64 MiB, 2 contexts of 512 tokens about 147 MiB), but it may use 88 MiB (600 MiB free, 512 MiB of it reserved). ' +
        "Lower --embedding-contexts or the model's `context`, or choose a smaller model.",
    });
    expect(planVectorMemory({ ...wish, context: 513 }).sentence).toMatch(/513 tokens was asked for.*made for 512/);
  });

  it('never plans more than there is', () => {
    const wishes = fc.record({
      contexts: fc.integer({ min: 1, max: 64 }),
      context: fc.option(fc.integer({ min: 64, max: 512 }), { nil: undefined }),
      keepsCache: fc.boolean(),
      availableBytes: fc.integer({ min: 0, max: 16 * 1024 }).map((mebibytes) => mebibytes * MIB),
    });
    fc.assert(
      fc.property(wishes, (change) => {
        const plan = planVectorMemory({ ...wish, ...change });
        if (plan.fits) expect(plan.bytes).toBeLessThanOrEqual(change.availableBytes - wish.reserveBytes);
      }),
    );
  });
});
