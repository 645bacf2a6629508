import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type MemoryWish, planMemory } from './plan-memory.js';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

/** The built-in model: 3,840 bytes per token, so 32 × 8,192 tokens make 960 MiB. */
const demo = {
  weightsBytes: 5 * MIB,
  cacheBytesPerToken: 3840,
  contextTrained: 8192,
  embeddingLength: 192,
  vocabularySize: 1376,
};

/** A model of eight thousand million parameters in four bits, with grouped queries. */
const large = {
  weightsBytes: 4.6 * GIB,
  cacheBytesPerToken: 131_072,
  contextTrained: 131_072,
  embeddingLength: 4096,
  vocabularySize: 128_256,
};

const wish: MemoryWish = {
  model: demo,
  sequences: 32,
  tokensPerStepMax: 512,
  availableBytes: 16 * GIB,
  reserveBytes: 512 * MIB,
};

describe('planMemory', () => {
  it('takes what the model was made for when there is room, and says all the numbers', () => {
    const plan = planMemory(wish);
    expect(plan).toMatchObject({ fits: true, contextLength: 8192, weightsBytes: 5 * MIB, cacheBytes: 960 * MIB });
    expect(plan.sentence).toBe(
      'Memory: weights 5 MiB, cache 960 MiB (32 sequences × 8,192 tokens), computing about 15 MiB; ' +
        '16,384 MiB free, 512 MiB of it reserved. Chosen: context 8,192 tokens.',
    );
  });

  it.each([
    ['the memory holds less', { availableBytes: 1 * GIB }, 4096],
    ['the model was made for an odd number', { model: { ...demo, contextTrained: 1000 } }, 768],
    ['the model was made for very little', { model: { ...demo, contextTrained: 100 } }, 100],
    ['the file does not say', { model: { ...demo, contextTrained: 0 } }, 512],
    ['a context is asked for', { context: 1000 }, 1000],
    ['it is the most that the model holds', { context: 8192 }, 8192],
    ['a large model shares the machine', { model: large, sequences: 4 }, 21_504],
  ])('chooses the context when %s', (_when, change, contextLength) => {
    expect(planMemory({ ...wish, ...change })).toMatchObject({ fits: true, contextLength });
  });

  it('says when memory kept the context below what the model was made for', () => {
    expect(planMemory({ ...wish, availableBytes: 1 * GIB }).sentence).toContain(
      'Chosen: context 4,096 tokens (of 8,192 tokens; a lower --max-batch-size allows more).',
    );
  });

  it('refuses with both numbers, and names values that fit', () => {
    const tight = { ...wish, context: 8192, availableBytes: 900 * MIB };
    expect(planMemory(tight)).toEqual({
      fits: false,
      sentence:
        'The model needs 980 MiB of memory (weights 5 MiB, cache 960 MiB for 32 sequences × 8,192 tokens), ' +
        'but it may use 388 MiB (900 MiB are free, 512 MiB of them reserved). ' +
        'Use --context 3072 or --max-batch-size 12, or a smaller model.',
    });
    expect(planMemory({ ...tight, context: 3072 }).fits).toBe(true);
    expect(planMemory({ ...tight, sequences: 12 }).fits).toBe(true);
    expect(planMemory({ ...tight, sequences: 13 }).fits).toBe(false);
  });

  it('refuses a context that nobody asked for only below 512 tokens', () => {
    const plan = planMemory({ ...wish, model: large, availableBytes: 6 * GIB });
    expect(plan.fits).toBe(false);
    expect(plan.sentence).toMatch(/Use --max-batch-size \d+, or a smaller model\.$/);
  });

  it('recommends neither setting when the weights alone are too large', () => {
    expect(planMemory({ ...wish, model: large, availableBytes: 4 * GIB }).sentence).toMatch(
      /weights 4,711 MiB.*may use 3,584 MiB.*Use a smaller model, or free some memory\.$/,
    );
  });

  it('names the key of the models file to a model that --context is not about', () => {
    const beside = { ...wish, isBeside: true };
    expect(planMemory({ ...beside, context: 8193 }).sentence).toContain(
      'Use `context: 8192` in the models file or less.',
    );
    expect(planMemory({ ...beside, context: 8192, availableBytes: 900 * MIB }).sentence).toMatch(
      /Use `context: \d+` in the models file or --max-batch-size \d+, or a smaller model\.$/,
    );
  });

  it('refuses a context beyond what the model was made for', () => {
    expect(planMemory({ ...wish, context: 8193 })).toEqual({
      fits: false,
      sentence:
        'A context of 8,193 tokens was asked for, but the model was made for 8,192 tokens. Use --context 8192 or less.',
    });
  });

  it('never plans more than there is, and recommends nothing that does not fit', () => {
    const wishes = fc.record({
      model: fc.constantFrom(demo, large),
      sequences: fc.integer({ min: 1, max: 256 }),
      context: fc.option(fc.integer({ min: 64, max: 8192 }), { nil: undefined }),
      tokensPerStepMax: fc.integer({ min: 32, max: 2048 }),
      availableBytes: fc.integer({ min: 0, max: 64 * 1024 }).map((mebibytes) => mebibytes * MIB),
      reserveBytes: fc.constant(512 * MIB),
    });
    fc.assert(
      fc.property(wishes, (wish) => {
        const plan = planMemory(wish);
        if (plan.fits) {
          const usable = wish.availableBytes - wish.reserveBytes;
          expect(plan.weightsBytes + plan.cacheBytes + plan.computeBytes).toBeLessThanOrEqual(usable);
          return;
        }
        const context = /--context (\d+)/.exec(plan.sentence)?.[1];
        const sequences = /--max-batch-size (\d+)/.exec(plan.sentence)?.[1];
        if (context) expect(planMemory({ ...wish, context: Number(context) }).fits).toBe(true);
        if (sequences) expect(planMemory({ ...wish, sequences: Number(sequences) }).fits).toBe(true);
      }),
    );
  });
});
