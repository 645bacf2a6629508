import { describe, expect, it } from 'vitest';
import { modelCacheFolder } from './model-cache-folder.js';

describe('the folder of cached models', () => {
  it.each(['/data/registry', '/data', '/data/models-of-mine', '/data/..models', '/'])(
    'is another than the registry, as where that is in %s',
    (modelsDir) => expect(modelCacheFolder({ cacheFolder: '/data', modelsDir })).toBe('/data/models'),
  );

  it.each(['/data/models', '/data/models/', '/data/x/../models', '/data/models/mine'])(
    'is never one that has the registry, as where that is in %s',
    (modelsDir) =>
      expect(() => modelCacheFolder({ cacheFolder: '/data', modelsDir })).toThrow(
        /modelsDir is .* and \/data\/models is where models of the bucket are kept.*Choose another/,
      ),
  );
});
