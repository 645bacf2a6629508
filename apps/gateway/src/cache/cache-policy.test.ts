import type { ModelCache, ModelDescription, Sampling, Settings } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import type { CacheAsk } from '../vocabulary.js';
import { cacheUse, isRepeatable } from './cache-policy.js';

const model = (samplingDefaults: Sampling = {}, engine = 'llama.cpp') =>
  ({ id: 'demo', engine, samplingDefaults }) as ModelDescription;
const asking = (sampling: Sampling = {}, of = model()) => ({ model: of, sampling });

describe('isRepeatable', () => {
  it.each([
    [true, { temperature: 0 }, {}],
    [true, { temperature: -0 }, {}],
    [true, { seed: 0 }, {}],
    [true, { seed: 7, temperature: 1.5 }, {}],
    [true, {}, { temperature: 0 }],
    [false, {}, {}],
    [false, { temperature: 0.01 }, {}],
    [false, { temperature: 1 }, { temperature: 0 }],
    [false, {}, { temperature: 0.7 }],
    [false, { topK: 1 }, {}],
  ])('is %s for %j where the model says %j', (repeatable, sampling, defaults) => {
    expect(isRepeatable(asking(sampling, model(defaults)))).toBe(repeatable);
  });
});

describe('cacheUse', () => {
  const both = { lookUp: true, semantic: false };
  const refreshed = { lookUp: false, semantic: false };
  const alike = { lookUp: true, semantic: true };
  type Row = [Settings['cache'], ModelCache['mode'], CacheAsk | undefined, Sampling, object | undefined];
  const greedy = { temperature: 0 };

  it.each<Row>([
    ['auto', undefined, undefined, greedy, both],
    ['auto', undefined, undefined, {}, undefined],
    ['auto', undefined, 'on', {}, both],
    ['auto', undefined, 'off', greedy, undefined],
    ['auto', undefined, 'refresh', {}, refreshed],
    ['auto', undefined, 'semantic', {}, alike],
    ['asked', undefined, undefined, greedy, undefined],
    ['asked', undefined, 'on', {}, both],
    ['asked', undefined, 'refresh', greedy, refreshed],
    ['off', undefined, undefined, greedy, undefined],
    ['off', undefined, 'on', greedy, undefined],
    ['off', undefined, 'refresh', greedy, undefined],
    ['off', undefined, 'semantic', greedy, undefined],
    ['off', 'auto', undefined, greedy, both],
    ['off', 'asked', 'on', {}, both],
    ['auto', 'off', 'on', greedy, undefined],
    ['auto', 'asked', undefined, greedy, undefined],
    ['asked', 'auto', undefined, greedy, both],
  ])('with setting %s, model %s, header %s and %j is %j', (mode, ofModel, ask, sampling, use) => {
    expect(cacheUse(asking(sampling), ask, { mode, model: { mode: ofModel } })).toEqual(use);
  });

  it('looks for what means the same where the model wants it, and the cache is a concern at all', () => {
    const rules = { mode: 'auto', model: { semantic: true } } as const;
    expect(cacheUse(asking(greedy), undefined, rules)).toEqual(alike);
    expect(cacheUse(asking({}), 'on', rules)).toEqual(alike);
    expect(cacheUse(asking({}), undefined, rules)).toBeUndefined();
    expect(cacheUse(asking(greedy), 'refresh', rules)).toEqual(refreshed);
  });

  it('leaves a model alone of which nobody knows yet which file it is', () => {
    expect(cacheUse(asking(greedy, model({}, '')), 'on', { mode: 'auto', model: undefined })).toBeUndefined();
  });
});
