import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConfigurationError } from './configuration-error.js';
import { modelNameOf, namesFile, readModelsFile } from './models-file.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-models-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function read(yaml: string) {
  const path = join(folder, 'models.yaml');
  writeFileSync(path, yaml);
  try {
    return readModelsFile(path);
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    return error.problems.map((problem) => problem.replaceAll(`${folder}/`, ''));
  }
}

describe('readModelsFile', () => {
  it('reads a list of models and fills in what was left out', () => {
    expect(read('models:\n  - {id: tiny, path: tiny.gguf}\n')).toEqual({
      models: [
        {
          id: 'tiny',
          path: 'tiny.gguf',
          aliases: [],
          warm: false,
          engine: 'llama.cpp',
          lora: [],
          defaults: {},
          fallbacks: [],
          caps: {},
          cache: { semantic: false },
          limits: {},
          restsAtZero: false,
        },
      ],
      aliases: [],
    });
  });

  it('names file, line and key of each mistake', () => {
    expect(read('models:\n  - id: tiny\n    path: tiny.gguf\n    context: 3\n    colour: red\n')).toEqual([
      expect.stringMatching(/^models\.yaml, line 4: models\[0\]\.context: .*64/),
      expect.stringMatching(/^models\.yaml, line 5: models\[0\]: .*colour/),
    ]);
  });

  it('refuses a name that is taken, and a default that is none of the models', () => {
    expect(read('defaultModel: big\nmodels:\n  - {id: a, path: a}\n  - {id: a, path: b}\n')).toEqual([
      expect.stringContaining('line 4: models[1]: the name "a" is taken by models[0] already'),
      expect.stringContaining('line 1: defaultModel: "big" is none of the models: a'),
    ]);
  });

  it('says so when there is no such file, or nothing in it', () => {
    expect(() => readModelsFile(join(folder, 'absent.yaml'))).toThrow('There is no file');
    expect(read('')).toEqual([expect.stringContaining('models')]);
  });
});

describe('the setting model', () => {
  it.each(['./a', '../a', '/a', 'a.gguf', 'A.GGUF', 'folder/a.Gguf'])('takes %s for a file', (model) => {
    expect(namesFile(model)).toBe(true);
  });

  it.each(['a', 'org/model', 'gguf', '.a'])('takes %s for a name', (model) => {
    expect(namesFile(model)).toBe(false);
  });

  it('names a file without an entry after itself', () => {
    expect(['/m/my.model.gguf', '/m/X.GGUF', '/m/noext'].map(modelNameOf)).toEqual(['my.model', 'X', 'noext']);
  });
});

describe('the keys that an engine needs', () => {
  it('are asked for by name, and those that mean nothing to it are refused', () => {
    expect(read('models:\n  - {id: a}\n')).toEqual([expect.stringMatching(/models\[0\]\.path: .*llama\.cpp needs it/)]);
    expect(read('models:\n  - {id: a, engine: openai-compatible, path: x}\n')).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/models\[0\]\.upstream: .*openai-compatible needs it/),
        expect.stringMatching(/models\[0\]\.path: .*means nothing to engine openai-compatible/),
      ]),
    );
    const lora = 'models:\n  - {id: a, engine: openvino, path: x, lora: [{path: b}]}\n';
    expect(read(lora)).toEqual([expect.stringMatching(/models\[0\]\.lora: .*means nothing to engine openvino/)]);
    const cache = 'models:\n  - {id: a, engine: openvino, path: x, kvCacheType: q8_0}\n';
    expect(read(cache)).toEqual([
      expect.stringMatching(/models\[0\]\.kvCacheType: .*means nothing to engine openvino/),
    ]);
    expect(read('models:\n  - {id: a, path: x, kvCacheType: q5_1}\n')).toEqual([
      expect.stringMatching(/models\[0\]\.kvCacheType: .*f16.*q8_0.*q4_0/),
    ]);
  });

  it('name a variable for a key, never the key itself', () => {
    const key = 'models:\n  - {id: a, engine: openai-compatible, upstream: {apiKeyEnv: gsk-abc.def}}\n';
    expect(read(key)).toEqual([expect.stringMatching(/apiKeyEnv: .*name of an environment variable/)]);
  });
});
