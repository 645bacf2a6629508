import { type ModelsFile, modelsFileSchema, SETTINGS, type Settings } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import { chooseModel, chooseModels } from './choose-model.js';

const defaults = Object.fromEntries(Object.entries(SETTINGS).map(([name, { default: value }]) => [name, value]));

function settings(given: Partial<Settings> = {}): Settings {
  return { ...defaults, ...given } as Settings;
}

const file: ModelsFile = modelsFileSchema.parse({
  defaultModel: 'small',
  models: [
    { id: 'small', path: '../models/small.gguf', context: 4096, defaults: { temperature: 0.7, maxTokens: 512 } },
    { id: 'large', aliases: ['big'], path: '/data/large.gguf' },
  ],
});

describe('chooseModel', () => {
  it("takes the file's default model, with its path relative to the file", () => {
    expect(chooseModel(settings(), file, '/home')).toEqual({
      id: 'small',
      aliases: [],
      path: '/home/models/small.gguf',
      context: 4096,
      chatTemplate: undefined,
      sampling: { temperature: 0.7, topP: 1, topK: 0, minP: 0 },
      maxTokens: 512,
      isDefault: true,
    });
  });

  it('takes an id or an alias', () => {
    expect(chooseModel(settings({ model: 'large' }), file, '/home').path).toBe('/data/large.gguf');
    expect(chooseModel(settings({ model: 'big' }), file, '/home').id).toBe('large');
  });

  it('takes a path, named after the file unless it is given a name', () => {
    expect(chooseModel(settings({ model: './my.model.gguf' }), undefined, '/home')).toMatchObject({
      id: 'my.model',
      path: '/home/my.model.gguf',
      context: undefined,
      sampling: { temperature: 1 },
    });
    expect(chooseModel(settings({ model: 'X.GGUF' }), undefined, '/home')).toMatchObject({
      id: 'X',
      path: '/home/X.GGUF',
    });
    expect(chooseModel(settings({ model: './x.gguf', modelId: 'mine' }), undefined, '/home').id).toBe('mine');
  });

  it('knows an entry by the path of its file', () => {
    expect(chooseModel(settings({ model: 'models/small.gguf' }), file, '/home')).toMatchObject({
      id: 'small',
      context: 4096,
    });
  });

  it("lets the setting context win over the entry's, and the entry's defaults over the settings'", () => {
    const chosen = chooseModel(settings({ context: 1024, defaultTemperature: 0.1, defaultTopK: 5 }), file, '/home');
    expect(chosen.context).toBe(1024);
    expect(chosen.sampling).toMatchObject({ temperature: 0.7, topK: 5 });
  });

  it('lists the ids when the id is unknown', () => {
    expect(() => chooseModel(settings({ model: 'medium' }), file, '/home')).toThrow(
      'configs/models.yaml has no model "medium"; it has: small, large. Choose one of these, or give the path of a .gguf file.',
    );
  });

  it('asks which one when there are several and no default', () => {
    const { models } = file;
    expect(() => chooseModel(settings(), { models }, '/home')).toThrow(
      /several models and no defaultModel: small, large/,
    );
    expect(chooseModel(settings(), { models: [models[1]!] }, '/home').id).toBe('large');
  });
});

describe('chooseModels', () => {
  const warmFile: ModelsFile = modelsFileSchema.parse({
    defaultModel: 'small',
    models: [
      { id: 'small', path: '../models/small.gguf', context: 4096 },
      { id: 'vectors', aliases: ['embed'], path: '../models/vectors.gguf', context: 256, warm: true },
      { id: 'large', path: '/data/large.gguf' },
      { id: 'ranks', path: '/data/ranks.gguf', warm: true },
    ],
  });
  const ids = (given: Partial<Settings>) => chooseModels(settings(given), warmFile, '/home').map(({ id }) => id);

  it('puts the warm entries behind the chosen model, also when that is a file outside the list', () => {
    expect(ids({})).toEqual(['small', 'vectors', 'ranks']);
    expect(ids({ model: 'large' })).toEqual(['large', 'vectors', 'ranks']);
    expect(ids({ model: './mine.gguf' })).toEqual(['mine', 'vectors', 'ranks']);
  });

  it('loads a warm entry once when it is the chosen one, by name or by file', () => {
    expect(ids({ model: 'embed' })).toEqual(['vectors', 'ranks']);
    expect(ids({ model: 'models/vectors.gguf' })).toEqual(['vectors', 'ranks']);
  });

  it('keeps the chosen model’s settings away from the others, and makes it alone the default', () => {
    const chosen = chooseModels(settings({ context: 1024, modelId: 'mine', defaultTopK: 5 }), warmFile, '/home');
    expect(chosen.map(({ id, context, isDefault }) => [id, context, isDefault])).toEqual([
      ['mine', 1024, true],
      ['vectors', 256, false],
      ['ranks', undefined, false],
    ]);
    expect(chosen.map(({ sampling }) => sampling.topK)).toEqual([5, 5, 5]);
  });

  it('has nothing beside the chosen model where there is no list', () => {
    expect(chooseModels(settings({ model: './mine.gguf' }), undefined, '/home').map(({ id }) => id)).toEqual(['mine']);
  });

  it('refuses a name that a warm model has already, and says what to do', () => {
    expect(() => ids({ model: '/elsewhere/vectors.gguf' })).toThrow(
      '/elsewhere/vectors.gguf would be served as "vectors", which is also a name of the model vectors',
    );
    expect(() => ids({ modelId: 'embed' })).toThrow(/Give it another name with --model-id, or set `warm: false`/);
  });
});
