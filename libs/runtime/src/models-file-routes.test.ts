import { FALLBACKS_MAX, HEAVIEST_FIRST, ModelRoutes } from '@millrace/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { ConfigurationError } from './configuration-error.js';
import { modelsFileDoubts, parseModelsFile } from './models-file.js';

const problemsOf = (yaml: string) => {
  try {
    parseModelsFile(yaml, 'models.yaml');
    return [];
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    return error.problems;
  }
};
const models = (...entries: string[]) => `models:\n${entries.map((entry) => `  - {${entry}}\n`).join('')}`;
const model = (id: string, more = '') => `id: ${id}, path: ${id}.gguf${more && `, ${more}`}`;
const away = (id: string, preset = 'groq', more = '') =>
  `id: ${id}, engine: openai-compatible, upstream: {preset: ${preset}}${more && `, ${more}`}`;
const aliases = (...entries: string[]) => `aliases:\n${entries.map((entry) => `  - {${entry}}\n`).join('')}`;

describe('a models file with aliases and fallbacks', () => {
  it('is refused where aliases point at each other, with the way they go', () => {
    const round = aliases('name: a, targets: [{model: b}]', 'name: b, targets: [{model: c}, {model: m}]');
    expect(problemsOf(`${models(model('m'))}${round}  - {name: c, targets: [{model: a}]}\n`)).toEqual([
      expect.stringMatching(
        /^models\.yaml, line 4: aliases\[0\]\.targets: aliases stand for each other \(a → b → c → a\); let one of them stand for a model only\./,
      ),
    ]);
    expect(problemsOf(models(model('m')) + aliases('name: a, targets: [{model: a}]'))).toEqual([
      expect.stringContaining('the alias "a" stands for itself (a → a); name a model'),
    ]);
  });

  it('is refused where fallbacks of aliases go round', () => {
    const both =
      models(model('m'), model('n')) +
      aliases('name: a, targets: [{model: m}], fallbacks: [b]', 'name: b, targets: [{model: n}], fallbacks: [a]');
    expect(problemsOf(both)).toEqual([
      expect.stringMatching(
        /line 5: aliases\[0\]\.fallbacks: the fallbacks of aliases go round \(a → b → a\); take one of them out/,
      ),
    ]);
    const own = models(model('m')) + aliases('name: a, targets: [{model: m}], fallbacks: [a]');
    expect(problemsOf(own)).toEqual([expect.stringContaining('go round (a → a)')]);
  });

  it('may have models that stand in for each other, by whatever names; each is asked once', () => {
    const yaml =
      models(model('m', 'aliases: [mm], fallbacks: [n]'), model('n', 'fallbacks: [mm, either]')) +
      aliases('name: either, targets: [{model: m}, {model: n}]');
    const routes = new ModelRoutes(parseModelsFile(yaml, 'models.yaml'));
    expect(routes.of('mm', HEAVIEST_FIRST)).toEqual(['m', 'n']);
    expect(routes.of('n', HEAVIEST_FIRST)).toEqual(['n', 'm']);
    expect(routes.of('either', HEAVIEST_FIRST)).toEqual(['m', 'n']);
    expect(problemsOf(models(model('m', 'aliases: [mm], fallbacks: [mm]')))).toEqual([
      expect.stringMatching(/line 2: models\[0\]\.fallbacks\[0\]: "m" stands in for itself; name another model/),
    ]);
  });

  it('is refused once for a ring that is too long, with who leads into it, or with its first', () => {
    const ids = Array.from({ length: 150 }, (_, index) => `m${index}`);
    const ring = (count: number) =>
      ids.slice(0, count).map((id, index) => model(id, `fallbacks: [m${(index + 1) % count}]`));
    expect(problemsOf(models(...ring(9)))).toEqual([]);
    expect(problemsOf(models(...ring(50)))).toEqual([
      expect.stringMatching(/line 2: models\[0\]\.fallbacks: a request for "m0" could be handed on 49 times/),
    ]);
    expect(problemsOf(models(...ring(150), model('x', 'fallbacks: [m7]')))).toEqual([
      expect.stringMatching(/models\[150\]\.fallbacks: a request for "x" could be handed on 100 or more times/),
    ]);
  });

  it('is refused where a request could be handed on too often, in one list or in a chain', () => {
    const ids = Array.from({ length: 51 }, (_, index) => `m${index}`);
    const list = `models:\n  - {${model('m0', `fallbacks: [${ids.slice(1).join(', ')}]`)}}\n${ids
      .slice(1)
      .map((id) => `  - {${model(id)}}\n`)
      .join('')}`;
    const chain = models(...ids.map((id, index) => model(id, index < 50 ? `fallbacks: [m${index + 1}]` : '')));
    for (const yaml of [list, chain]) {
      expect(problemsOf(yaml)).toEqual([
        expect.stringMatching(
          /line 2: models\[0\]\.fallbacks: a request for "m0" could be handed on 50 times, .*; at most 8 may be\. Take some of them out/,
        ),
      ]);
    }
  });

  it.each([
    [8, 0],
    [9, 1],
  ])('may hand a request on %i times: %i problems', (count, problems) => {
    const ids = Array.from({ length: count }, (_, index) => `f${index}`);
    // What an alias stands for counts, and is counted once.
    const yaml = `${models(model('m'), ...ids.map((id) => model(id)))}${aliases(
      `name: some, targets: [${ids.slice(2).map((id) => `{model: ${id}}`)}]`,
      `name: a, targets: [{model: m}], fallbacks: [${[...ids.slice(0, 2), 'some', ...ids.slice(0, 4)].join(', ')}]`,
    )}`;
    expect(problemsOf(yaml)).toHaveLength(problems);
  });

  it('is refused for a name that it does not have, and says which was meant', () => {
    const yaml =
      models(model('llama-small', 'fallbacks: [qwen-smal]'), model('qwen-small')) +
      aliases('name: chat, targets: [{model: lama-small}], fallbacks: [elsewhere]');
    expect(problemsOf(yaml)).toEqual([
      expect.stringMatching(
        /line 2: models\[0\]\.fallbacks\[0\]: there is no "qwen-smal" in this file\. Did you mean qwen-small\? List it/,
      ),
      expect.stringMatching(/aliases\[0\]\.targets\[0\]\.model: .* Did you mean llama-small\?/),
      expect.stringMatching(/aliases\[0\]\.fallbacks\[0\]: there is no "elsewhere" in this file\. List it/),
    ]);
  });

  it('may name what only workers know, where it lists nothing of theirs', () => {
    const yaml = models(away('groq-llama')) + aliases('name: chat, targets: [{model: qwen}], fallbacks: [groq-lama]');
    const doubts = modelsFileDoubts(parseModelsFile(yaml, 'models.yaml'));
    expect(doubts).toEqual([
      expect.stringMatching(/^aliases\[0\]\.targets\[0\]\.model: there is no "qwen" .* only a worker can have it\./),
      expect.stringContaining('Did you mean groq-llama?'),
    ]);
    expect(modelsFileDoubts(parseModelsFile(aliases('name: chat, targets: [{model: qwen}]'), 'f'))).toHaveLength(1);
  });

  it.each([
    ['an id', models(model('a'), model('a')), 'line 3: models[1]: the name "a" is taken by models[0]'],
    ['a further name', models(model('a'), model('b', 'aliases: [a]')), 'models[1].aliases[0]: the name "a" is taken'],
    ['its own further name', models(model('a', 'aliases: [a]')), 'models[0].aliases[0]: the name "a" is taken'],
    [
      'an alias',
      models(model('a')) + aliases('name: a, targets: [{model: a}]'),
      'line 4: aliases[0].name: the name "a" is taken by models[0]',
    ],
  ])('has no name twice: %s', (_what, yaml, problem) => {
    expect(problemsOf(yaml)).toEqual([expect.stringContaining(problem)]);
  });

  it.each([
    [
      models(model('m')) + aliases('name: a, targets: [{model: m, weight: 0}]'),
      'aliases[0].targets: all targets of "a" have the weight 0',
    ],
    [models(model('m', 'servedBy: gateway')), 'models[0].servedBy: `servedBy` means nothing to engine llama.cpp'],
    [
      models(away('m', 'vllm', 'servedBy: gateway')),
      'models[0].upstream.url: `url` is missing: preset vllm has no address of its own',
    ],
    [models(away('m', 'groq', 'warm: true')), 'models[0].warm: `warm` means nothing to "m", which the gateway itself'],
    [
      models(away('m', 'groq', 'restsAtZero: true')),
      'models[0].restsAtZero: `restsAtZero` means nothing to "m", which the gateway itself',
    ],
    [
      models(model('m', 'defaults: {maxTokens: 513}, caps: {maxTokens: 512}')),
      'models[0].defaults.maxTokens: defaults.maxTokens is 513 and caps.maxTokens 512',
    ],
    [
      models(
        'id: m, engine: openai-compatible, upstream: {capabilities: [embedding], url: "http://a"}, fallbacks: [m2]',
      ),
      'models[0].fallbacks: `fallbacks` means nothing to a model that does embedding only',
    ],
    ['models: []\n', 'there is neither a model nor an alias in it'],
  ])('is refused, %#', (yaml, problem) => {
    expect(problemsOf(yaml)).toEqual(expect.arrayContaining([expect.stringContaining(problem)]));
  });

  it.each([
    models(away('m', 'groq')),
    models(away('m', 'vllm')),
    models(model('m', 'defaults: {maxTokens: 512}, caps: {maxTokens: 512}')),
    models(model('m'), model('n')) + aliases('name: a, targets: [{model: m}, {model: n, weight: 0}]'),
  ])('is taken, %#', (yaml) => {
    expect(problemsOf(yaml)).toEqual([]);
  });
});

const NAMES = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l'];
const name = fc.constantFrom(...NAMES);
const someNames = fc.array(name, { maxLength: 4 });
const aModel = fc.record({
  id: name,
  path: fc.constant('m.gguf'),
  aliases: fc.array(name, { maxLength: 1 }),
  fallbacks: someNames,
});
const anAlias = fc.record({
  name,
  targets: fc.array(fc.record({ model: name, weight: fc.nat(3) }), { minLength: 1, maxLength: 3 }),
  fallbacks: someNames,
});
const randomFile = fc.record({
  models: fc.uniqueArray(aModel, { selector: ({ id }) => id, maxLength: 12 }),
  aliases: fc.array(anAlias, { maxLength: 4 }),
});

describe('any models file', () => {
  it('is taken or refused with sentences, and what is taken leads every name to a few models, each once', () => {
    let taken = 0;
    fc.assert(
      fc.property(
        randomFile,
        fc.infiniteStream(fc.double({ min: 0.001, max: 0.999, noNaN: true })),
        (file, chances) => {
          try {
            const read = parseModelsFile(stringify(file), 'models.yaml');
            const routes = new ModelRoutes(read);
            for (const one of routes.names()) {
              const route = routes.of(one, () => chances.next().value);
              expect(new Set(route).size).toBe(route.length);
              expect(route.length).toBeLessThanOrEqual(1 + FALLBACKS_MAX);
              expect(new Set(route)).toEqual(new Set(routes.of(one, HEAVIEST_FIRST)));
              expect(read.models.length === 0 || route.every((id) => routes.modelOf(id) === id)).toBe(true);
            }
            taken++;
          } catch (error) {
            expect(error).toBeInstanceOf(ConfigurationError);
            for (const problem of (error as ConfigurationError).problems) expect(problem).toMatch(/^models\.yaml.*\.$/);
          }
        },
      ),
      { numRuns: 500 },
    );
    expect(taken).toBeGreaterThan(5);
  });

  it('is taken or refused, whatever stands in it', () => {
    const anything = fc.oneof(
      fc.string(),
      fc.jsonValue().map((value) => stringify({ models: value, aliases: value })),
    );
    fc.assert(
      fc.property(anything, (text) => void problemsOf(text)),
      { numRuns: 500 },
    );
  });

  it('is walked to its end, whatever goes round in it', () => {
    fc.assert(
      fc.property(randomFile, (file) => {
        const routes = new ModelRoutes(file as never);
        for (const one of NAMES) {
          const route = routes.of(one, HEAVIEST_FIRST);
          expect(new Set(route).size).toBe(route.length);
          expect(route.length).toBeLessThanOrEqual(1 + FALLBACKS_MAX);
        }
      }),
    );
  });
});

describe('the route of a request', () => {
  const file = parseModelsFile(
    models(model('m', 'fallbacks: [x]'), ...['n', 'x', 'y', 'z'].map((id) => model(id))) +
      aliases(
        'name: inner, targets: [{model: n}, {model: y, weight: 0}], fallbacks: [z]',
        'name: outer, targets: [{model: m, weight: 9}, {model: inner, weight: 1}], fallbacks: [x]',
      ),
    'models.yaml',
  );
  const routes = new ModelRoutes(file);

  it('is what its name stands for, then the name’s fallbacks, then theirs, each once', () => {
    expect(routes.of('outer', HEAVIEST_FIRST)).toEqual(['m', 'n', 'y', 'x', 'z']);
    expect(routes.of('m', HEAVIEST_FIRST)).toEqual(['m', 'x']);
    expect(routes.of('only-a-worker-knows', HEAVIEST_FIRST)).toEqual(['only-a-worker-knows']);
  });

  it('begins as often with a target as its weight says', () => {
    const of10000 = Array.from({ length: 10_000 }, () => routes.of('outer', Math.random)[0]);
    expect(of10000.filter((first) => first === 'n').length / 10_000).toBeCloseTo(0.1, 1);
    expect(of10000.filter((first) => first === 'y')).toEqual([]);
  });

  it('changes for no more conversations than a changed weight must', () => {
    const grown = new ModelRoutes({
      ...file,
      aliases: [
        {
          name: 'outer',
          targets: [
            { model: 'm', weight: 9 },
            { model: 'inner', weight: 3 },
          ],
          fallbacks: [],
        },
        file.aliases[0]!,
      ],
    });
    for (let conversation = 0; conversation < 2_000; conversation++) {
      const drawn = [0, 1].map((_, at) => ((conversation * 7_919 + at * 104_729 + 1) % 99_991) / 99_991);
      const chance = (_alias: string, target: string) => drawn[target === 'm' ? 0 : 1]!;
      const [before, after] = [routes.of('outer', chance)[0], grown.of('outer', chance)[0]];
      if (before === 'n') expect(after).toBe('n');
    }
  });
});
