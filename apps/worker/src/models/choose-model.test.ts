import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ModelsFile, modelsFileSchema, SETTINGS, type Settings } from '@millrace/contracts';
import { ConfigurationError } from '@millrace/runtime';
import { afterAll, describe, expect, it } from 'vitest';
import { type ChoiceSettings, chooseModel, chooseModels, refuseUnusableFile } from './choose-model.js';

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
      engine: 'llama.cpp',
      path: '/home/models/small.gguf',
      context: 4096,
      chatTemplate: undefined,
      lora: [],
      kvCacheType: 'f16',
      sampling: { temperature: 0.7, topP: 1, topK: 0, minP: 0 },
      maxTokens: 512,
      isDefault: true,
      loadsAtStart: true,
      idleUnloadMs: 0,
    });
  });

  it('takes an id or an alias', () => {
    expect(chooseModel(settings({ model: 'large' }), file, '/home')).toMatchObject({ path: '/data/large.gguf' });
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
    expect(() => chooseModel(settings(), { models, aliases: [] }, '/home')).toThrow(
      /several models and no defaultModel: small, large/,
    );
    expect(chooseModel(settings(), { models: [models[1]!], aliases: [] }, '/home').id).toBe('large');
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

  it('puts the warm entries behind the chosen model, and behind them those for later', () => {
    expect(ids({})).toEqual(['small', 'vectors', 'ranks', 'large']);
    expect(ids({ model: 'large' })).toEqual(['large', 'vectors', 'ranks', 'small']);
    expect(ids({ model: './mine.gguf' })).toEqual(['mine', 'vectors', 'ranks', 'small', 'large']);
    const atStart = chooseModels(settings(), warmFile, '/home').map(({ loadsAtStart }) => loadsAtStart);
    expect(atStart).toEqual([true, true, true, false]);
  });

  it('serves an entry once when it is the chosen one, by name or by file', () => {
    expect(ids({ model: 'embed' })).toEqual(['vectors', 'ranks', 'small', 'large']);
    expect(ids({ model: 'models/vectors.gguf' })).toEqual(['vectors', 'ranks', 'small', 'large']);
  });

  it('serves two entries of one file, each in its own way', () => {
    const twice = modelsFileSchema.parse({
      models: [
        { id: 'short', path: 'a.gguf', context: 128 },
        { id: 'long', path: 'a.gguf', context: 4096, warm: true },
      ],
    });
    const chosen = chooseModels(settings({ model: 'configs/a.gguf' }), twice, '/home');
    expect(chosen.map(({ id, context }) => [id, context])).toEqual([
      ['short', 128],
      ['long', 4096],
    ]);
  });

  it('keeps the chosen model’s settings away from the others, and makes it alone the default', () => {
    const chosen = chooseModels(settings({ context: 1024, modelId: 'mine', defaultTopK: 5 }), warmFile, '/home');
    expect(chosen.map(({ id, context, isDefault }) => [id, context, isDefault])).toEqual([
      ['mine', 1024, true],
      ['vectors', 256, false],
      ['ranks', undefined, false],
      ['large', undefined, false],
    ]);
    expect(chosen.map(({ sampling }) => sampling.topK)).toEqual([5, 5, 5, 5]);
  });

  it('has nothing beside the chosen model where there is no list', () => {
    expect(chooseModels(settings({ model: './mine.gguf' }), undefined, '/home').map(({ id }) => id)).toEqual(['mine']);
  });

  it('refuses a name that another model has already, and says what to do', () => {
    expect(() => ids({ model: '/elsewhere/vectors.gguf' })).toThrow(
      '/elsewhere/vectors.gguf would be served as "vectors", which is also a name of the model vectors',
    );
    expect(() => ids({ modelId: 'embed' })).toThrow(/Give it another name with --model-id, or take vectors out/);
  });
});

describe('the engines of models', () => {
  const engines: ModelsFile = modelsFileSchema.parse({
    defaultModel: 'chat/llama-small',
    models: [
      {
        id: 'chat/llama-small',
        engine: 'openai-compatible',
        upstream: { preset: 'groq', model: 'llama-3.1-8b-instant' },
        servedBy: 'worker',
        context: 8192,
        idleUnloadMs: 5_000,
      },
      { id: 'qwen', engine: 'openvino', path: '../models/qwen', openvino: { device: 'GPU' } },
      {
        id: 'tuned',
        path: '../models/base.gguf',
        lora: [{ path: '../adapters/a.gguf', scale: 0.5 }],
        kvCacheType: 'q8_0',
      },
    ],
  });

  it('are what the entries name, with paths that hold anywhere', () => {
    const [upstream, openvino, tuned] = chooseModels(settings({ idleUnloadMs: 60_000 }), engines, '/home');
    expect(upstream).toMatchObject({
      id: 'chat/llama-small',
      engine: 'openai-compatible',
      isDefault: true,
      context: 8192,
      idleUnloadMs: 5_000,
      upstream: { preset: 'groq', model: 'llama-3.1-8b-instant', maxConcurrent: 32 },
    });
    expect(openvino).toMatchObject({
      engine: 'openvino',
      path: '/home/models/qwen',
      device: 'GPU',
      idleUnloadMs: 60_000,
    });
    expect(tuned).toMatchObject({
      engine: 'llama.cpp',
      lora: [{ path: '/home/adapters/a.gguf', scale: 0.5 }],
      kvCacheType: 'q8_0',
    });
  });

  it('may be chosen by name or folder, whatever they are', () => {
    expect(chooseModel(settings({ model: 'qwen' }), engines, '/home')).toMatchObject({ engine: 'openvino' });
    expect(chooseModel(settings({ model: './models/qwen' }), engines, '/home')).toMatchObject({ id: 'qwen' });
  });
});

describe('models that the gateway serves itself', () => {
  const groq = { id: 'groq', engine: 'openai-compatible', upstream: { preset: 'groq' } };
  const own = { id: 'own', engine: 'openai-compatible', upstream: { preset: 'vllm', url: 'http://127.0.0.1:1/v1' } };
  const chosen = (models: object[], more: object = {}, changes: Partial<ChoiceSettings> = {}) =>
    chooseModels(settings(changes), modelsFileSchema.parse({ models, ...more }), '/home').map(
      ({ id, isDefault, loadsAtStart }) => ({ id, isDefault, loadsAtStart }),
    );

  it('are none of a worker’s', () => {
    const ours = { id: 'demo', path: 'demo.gguf' };
    const itself = { ...own, servedBy: 'gateway' };
    expect(chosen([groq, ours, itself], { defaultModel: 'demo' })).toEqual([
      { id: 'demo', isDefault: true, loadsAtStart: true },
    ]);
    expect(chosen([groq, ours])).toEqual([{ id: 'demo', isDefault: true, loadsAtStart: true }]);
  });

  it('may be the default, and then none of the worker’s is', () => {
    const models = [groq, { id: 'demo', path: 'demo.gguf' }, { id: 'warm', path: 'warm.gguf', warm: true }];
    const expected = [
      { id: 'warm', isDefault: false, loadsAtStart: true },
      { id: 'demo', isDefault: false, loadsAtStart: false },
    ];
    expect(chosen(models, { defaultModel: 'groq' })).toEqual(expected);
    expect(chosen(models, {}, { model: 'groq' })).toEqual(expected);
  });

  it('alone leave a worker nothing to do, and it says so', () => {
    expect(() => chosen([groq])).toThrow(/has no model for a worker: the gateway serves all of them itself/);
    expect(() => chosen([groq, { ...groq, id: 'other' }])).toThrow(/Start the gateway alone, or add a model/);
  });
});

describe('models of the registry', () => {
  const file = modelsFileSchema.parse({
    models: [
      { id: 'demo', path: 'demo.gguf' },
      { id: 'named', registry: 'stored', context: 512, defaults: { temperature: 0.2 }, warm: true },
    ],
    defaultModel: 'demo',
  });

  it('may stand in the models file, with a context and defaults of their own', () => {
    expect(chooseModels(settings({}), file, '/home')[1]).toMatchObject({
      ...{ id: 'named', engine: 'registry', registry: 'stored', context: 512, loadsAtStart: true },
      sampling: { temperature: 0.2 },
    });
    const both = { models: [{ id: 'a', path: 'a.gguf', registry: 'b' }] };
    expect(modelsFileSchema.safeParse(both).error?.issues[0]?.message).toMatch(/leave one of them out/);
    expect(modelsFileSchema.safeParse({ models: [{ id: 'a', registry: '../x' }] }).success).toBe(false);
  });

  it('may be chosen by their id, unless the models file has one of that name', () => {
    const chosen = (model: string) => chooseModels(settings({ model }), file, '/home', ['stored', 'demo'])[0];
    expect(chosen('stored')).toMatchObject({ engine: 'registry', registry: 'stored', isDefault: true });
    expect(chosen('demo')).toMatchObject({ engine: 'llama.cpp' });
    expect(() => chosen('none')).toThrow(/has no model "none"; it has: demo, named. The registry has: stored, demo/);
  });
});

describe('refuseUnusableFile', () => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-choose-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const refuse = (path: string) => refuseUnusableFile(chooseModel(settings({ model: path }), undefined, folder));

  it('says at the start that the chosen file is missing or no model, and lets a good one pass', async () => {
    await expect(refuse('./absent.gguf')).rejects.toThrow(/absent\.gguf can't be read\. Check the path\./);
    await expect(refuse('./absent.gguf')).rejects.toBeInstanceOf(ConfigurationError);
    writeFileSync(join(folder, 'text.gguf'), 'this is not a model, and quite long for what it is');
    await expect(refuse('./text.gguf')).rejects.toThrow(/text\.gguf is no GGUF file that can be read: it begins with/);
    const demo = readFileSync(new URL('../../../../models/millrace-demo.gguf', import.meta.url));
    writeFileSync(join(folder, 'cut.gguf'), demo.subarray(0, 1_000_000));
    await expect(refuse('./cut.gguf')).rejects.toThrow(
      /cut\.gguf is damaged: it ends too early, after 1,000,000 bytes/,
    );
    writeFileSync(join(folder, 'good.gguf'), demo);
    await refuse('./good.gguf');
  });
});
