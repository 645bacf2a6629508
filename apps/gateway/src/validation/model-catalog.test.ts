import type { InferenceError, ModelCapability, ModelDescription, Prompt } from '@millrace/contracts';
import { parseModelsFile } from '@millrace/runtime';
import { describe, expect, it } from 'vitest';
import { conversationChance } from './conversation-chance.js';
import { ModelCatalog, RestingModels } from './model-catalog.js';

const CHAT: readonly ModelCapability[] = ['chat', 'completion'];
const VECTORS: readonly ModelCapability[] = ['embedding', 'rerank'];

function model(id: string, capabilities: readonly ModelCapability[], isDefault = false): ModelDescription {
  const plain = { aliases: [`${id}-alias`], contextLength: 8192, engine: 'none', created: 0, samplingDefaults: {} };
  return { id, capabilities, isDefault, ...plain };
}

const catalog = (...models: ModelDescription[]) => new ModelCatalog(() => models);

describe('a request that names no model', () => {
  it('means the default, if that can do what is asked', () => {
    const models = catalog(model('a', CHAT), model('b', CHAT, true), model('c', VECTORS), model('d', VECTORS, true));
    expect(models.resolve(undefined, 'chat').id).toBe('b');
    expect(models.resolve(null, 'embedding').id).toBe('d');
  });

  it('means the only model that can do what is asked, whatever the default is', () => {
    const models = catalog(model('a', CHAT, true), model('b', VECTORS));
    expect(models.resolve(undefined, 'rerank').id).toBe('b');
    expect(models.resolve('', 'completion').id).toBe('a');
  });

  it('means the default for what every model can do', () => {
    expect(catalog(model('a', VECTORS), model('b', CHAT, true)).resolve(undefined).id).toBe('b');
    expect(() => catalog(model('a', VECTORS), model('b', CHAT)).resolve(undefined)).toThrow(
      '`model` is required: 2 models are served, and none of them is the default. Name one of `a`, `b`.',
    );
  });

  it('is told whom to name when several could be meant', () => {
    const models = catalog(model('a', VECTORS), model('b', CHAT, true), model('c', VECTORS));
    expect(() => models.resolve(undefined, 'embedding')).toThrow(
      '`model` is required: 2 models do embedding, and none of them is the default. Name one of `a`, `c`.',
    );
    const many = catalog(...Array.from({ length: 14 }, (_, index) => model(`m${index}`, CHAT)));
    expect(() => many.resolve(undefined, 'chat')).toThrow(/`m8`, `m9` and 4 more\.$/);
  });

  it('is told what there is when no model can do what is asked', () => {
    expect(() => catalog(model('a', CHAT), model('b', ['chat'])).resolve(undefined, 'embedding')).toThrow(
      'None of the models served does embedding: `a` does chat, completion, `b` does chat. Choose another endpoint, or serve such a model.',
    );
  });
});

describe('a model that cannot do what is asked', () => {
  it.each([
    [CHAT, 'embedding', 'embeddings_not_supported'],
    [['embedding'], 'rerank', 'rerank_not_supported'],
    [VECTORS, 'chat', 'generation_not_supported'],
    [VECTORS, 'completion', 'generation_not_supported'],
    // It does generate, only not this way: a base model without a chat template.
    [['completion'], 'chat', 'invalid_request'],
  ] as const)('that does %j is refused for %s with %s', (capabilities, capability, code) => {
    const models = catalog(model('a', capabilities, true));
    const refusal = expect.objectContaining({ code, details: { param: 'model' } });
    expect(() => models.resolve('a-alias', capability)).toThrow(refusal);
    expect(() => models.resolve(undefined, capability)).toThrow(refusal);
  });

  it('is told of by name, and so is what it can do', () => {
    expect(() => catalog(model('a', VECTORS)).resolve('a', 'chat')).toThrow(
      'The model `a` does not do chat; it does embedding, rerank. Choose another model or endpoint.',
    );
  });
});

describe('the models of somebody who may not use all of them', () => {
  const all = [model('a', CHAT, true), model('b', CHAT), model('c', VECTORS), model('d', VECTORS)];
  const allowed = (...ids: string[]) => catalog(...all).only(({ id }) => ids.includes(id));

  it('are those that a request without a model can mean', () => {
    expect(allowed('b', 'c').resolve(undefined, 'chat').id).toBe('b');
    expect(allowed('a', 'b').resolve(undefined, 'chat').id).toBe('a');
    expect(allowed('b', 'c').resolve(null, 'rerank').id).toBe('c');
  });

  it('are all that is told of', () => {
    expect(() => allowed('c').resolve(undefined, 'chat')).toThrow(/^None of the models served does chat: `c` does/);
    expect(() => allowed('a', 'c', 'd').resolve(undefined, 'embedding')).toThrow(/Name one of `c`, `d`\.$/);
    expect(() => allowed('c').resolve('a-alias', 'embedding')).toThrow(
      expect.objectContaining({ code: 'model_not_allowed', details: { param: 'model' } }),
    );
    expect(() => allowed('c').find('b')).toThrow('This key may not use the model `b`.');
    expect(() => allowed('c').find('e')).toThrow(expect.objectContaining({ code: 'model_not_found' }));
  });

  it('may be none', () => {
    expect(() => allowed().resolve(undefined)).toThrow(expect.objectContaining({ code: 'model_not_allowed' }));
  });
});

describe('the names of a models file', () => {
  const file = parseModelsFile(
    `models:
  - {id: a, path: a, aliases: [a2], fallbacks: [b, v]}
  - {id: b, path: b, defaults: {temperature: 0.5, maxTokens: 50}, caps: {maxTokens: 60}}
  - {id: v, path: v}
  - {id: later, path: l}
aliases:
  - {name: c, targets: [{model: later, weight: 9}, {model: b}]}
  - {name: x, targets: [{model: b}]}
`,
    'models.yaml',
  );
  const served = [model('a', CHAT), model('b', CHAT), model('v', VECTORS), model('x', CHAT), model('y', ['chat'])];
  const models = new ModelCatalog(
    () => served,
    () => file,
  );
  const routeOf = (name: string, capability?: ModelCapability) => {
    const route = models.route(name, capability);
    return [route.model, ...route.fallbacks].map(({ id }) => id);
  };

  it('lead to who answers and who stands in, of those that can do what is asked', () => {
    expect(routeOf('a', 'chat')).toEqual(['a', 'b']);
    expect(routeOf('a2', 'chat')).toEqual(['a', 'b']);
    expect(routeOf('y', 'chat')).toEqual(['y']);
    expect(routeOf('y-alias', 'chat')).toEqual(['y']);
  });

  it('pass over what no worker has told of, and are a 503 where none has', () => {
    expect(routeOf('c', 'chat')).toEqual(['b']);
    expect(() => models.route('later', 'chat')).toThrow(expect.objectContaining({ code: 'model_not_ready' }));
  });

  describe('of which some rest at zero', () => {
    const resting = parseModelsFile(
      `defaultModel: r
models:
  - {id: r, path: r, restsAtZero: true}
  - {id: q, path: q}
  - {id: b, path: b}
aliases:
  - {name: c, targets: [{model: q}], fallbacks: [r]}
  - {name: d, targets: [{model: r}], fallbacks: [b]}
`,
      'models.yaml',
    );
    const asked: string[] = [];
    const catalogOf = (reported: ModelDescription[] | undefined, mayUse = (_id: string) => true) =>
      new ModelCatalog(
        () => reported,
        () => resting,
        ({ id }) => mayUse(id),
        (id) => asked.push(id),
      );
    const refusal = (models: ModelCatalog, name: string | undefined) => {
      try {
        return models.route(name, 'chat').model.id;
      } catch (error) {
        return error as InferenceError;
      }
    };

    it('say so of a request that nobody else answers, those that rest first', () => {
      for (const reported of [undefined, [model('b', CHAT)]]) {
        expect(refusal(catalogOf(reported), 'r')).toMatchObject({ details: { cause: new RestingModels('r', []) } });
        expect(refusal(catalogOf(reported), 'c')).toMatchObject({ details: { cause: new RestingModels('r', ['q']) } });
        const other = refusal(catalogOf(reported), 'q') as InferenceError;
        expect([other.code, other.details.cause]).toEqual(['model_not_ready', undefined]);
      }
      expect(refusal(catalogOf(undefined), undefined)).toMatchObject({
        details: { cause: new RestingModels('r', []) },
      });
    });

    it('are told of when they would have been the first choice, and not by whoever only looks', () => {
      asked.length = 0;
      expect(refusal(catalogOf([model('b', CHAT)]), 'd')).toBe('b');
      expect(asked).toEqual(['r']);
      expect(refusal(catalogOf([model('b', CHAT), model('r', CHAT)]), 'd')).toBe('r');
      expect(refusal(catalogOf([model('q', CHAT)]), 'c')).toBe('q');
      catalogOf([model('b', CHAT)]).list();
      expect(asked).toEqual(['r']);
    });

    it('are no more a key’s to wake than to ask for', () => {
      asked.length = 0;
      const models = catalogOf([model('b', CHAT)], (id) => id === 'b');
      expect(refusal(models, 'r')).toMatchObject({ code: 'model_not_allowed' });
      expect(asked).toEqual([]);
    });
  });

  it('have nobody stand in for what is no answer', () => {
    const without = new ModelCatalog(
      () => served.slice(1),
      () => file,
    );
    expect(without.route('a', 'chat').model.id).toBe('b');
    for (const capability of ['chat', undefined] as const) {
      expect(() => without.resolve('a', capability)).toThrow(expect.objectContaining({ code: 'model_not_ready' }));
      expect(without.resolve('c', capability).id).toBe('b');
    }
  });

  it('come before what a worker calls so', () => {
    expect(routeOf('x', 'chat')).toEqual(['b']);
  });

  it('say of vectors that they are not there, rather than that others are made', () => {
    expect(() => models.resolve('a', 'embedding')).toThrow(
      expect.objectContaining({ code: 'embeddings_not_supported' }),
    );
  });

  it('of the workers stay theirs, without a file', () => {
    expect(catalog(...served).route('a', 'chat').fallbacks).toEqual([]);
    expect(catalog(...served).resolve('x').id).toBe('x');
  });

  it('have the defaults that the file has now, as far as the worker has others', () => {
    expect(models.resolve('b')).toMatchObject({
      samplingDefaults: { temperature: 0.5 },
      maxTokensDefault: 50,
      overrides: { sampling: { temperature: 0.5 }, maxTokens: 50 },
    });
    expect(models.resolve('b')).toBe(models.resolve('b'));
    const same = { ...model('b', CHAT), samplingDefaults: { temperature: Math.fround(0.5) }, maxTokensDefault: 50 };
    expect(
      new ModelCatalog(
        () => [same],
        () => file,
      ).resolve('b').overrides,
    ).toBeUndefined();
    const longer = { ...same, maxTokensDefault: 500 };
    const capped = { ...file, models: file.models.map((entry) => ({ ...entry, defaults: {} })) };
    expect(
      new ModelCatalog(
        () => [longer],
        () => capped,
      ).resolve('b').overrides?.maxTokens,
    ).toBe(60);
  });

  it('are meant by a key that may ask for nothing else and names none', () => {
    const forKey = (...names: string[]) => {
      const yaml = `models:
  - {id: a, path: a.gguf}
  - {id: v, path: v.gguf}
aliases:
  - {name: chat, targets: [{model: a}]}
  - {name: vectors, targets: [{model: v}]}
  - {name: other, targets: [{model: chat}]}
`;
      const own = parseModelsFile(yaml, 'models.yaml');
      const all = new ModelCatalog(
        () => [model('a', CHAT), model('v', VECTORS)],
        () => own,
      );
      return all.only(({ id }) => names.includes(id));
    };
    expect(forKey('chat', 'vectors').route(undefined, 'chat').model.id).toBe('a');
    expect(forKey('chat', 'vectors').resolve(undefined, 'embedding').id).toBe('v');
    expect(() => forKey('chat', 'other').route(undefined, 'chat')).toThrow(
      '`model` is required: 2 models do chat, and none of them is the default. Name one of `chat`, `other`.',
    );
    expect(() => forKey('vectors').route(undefined, 'chat')).toThrow('The model `v` does not do chat');
    expect(() => forKey('elsewhere').route(undefined, 'chat')).toThrow(
      'This key may not use any model that is served.',
    );
  });

  it('tell a key nothing of models that it may not ask for', () => {
    const only = models.only(({ id }) => id === 'a');
    expect(only.route('a', 'chat').fallbacks.map(({ id }) => id)).toEqual(['b']);
    for (const name of ['b', 'c', 'x', 'later', 'y']) {
      expect(() => only.resolve(name)).toThrow(expect.objectContaining({ code: 'model_not_allowed' }));
    }
    expect(() => only.resolve('bb')).toThrow(/does not exist\. GET/);
    expect(() => only.resolve('aa')).toThrow('Did you mean `a2`?');
  });
});

describe('the choice for a conversation', () => {
  const said = (role: string, content: unknown) => ({ role, content });
  const chanceOf = (...messages: object[]) =>
    conversationChance({ kind: 'chat', messages } as unknown as Prompt)('alias', 'target');
  const system = said('system', 's'.repeat(10_000));

  it('is the same for all that begins alike up to its user’s first words', () => {
    const first = chanceOf(system, said('user', 'hello'));
    expect(chanceOf(system, said('user', 'hello'), said('assistant', 'hi'), said('user', 'bye'))).toBe(first);
    expect(chanceOf(system, said('user', 'hullo'))).not.toBe(first);
    expect(chanceOf(said('system', 'other'), said('user', 'hello'))).not.toBe(first);
  });

  it('is a number between 0 and 1, evenly, whatever the prompt is', () => {
    const prompts: Prompt[] = Array.from({ length: 2_000 }, (_, index) =>
      index % 2 === 0 ? { kind: 'text', text: `prompt ${index}` } : { kind: 'tokens', tokens: [1, index] },
    );
    const drawn = prompts.map((prompt) => conversationChance(prompt)('alias', 'target'));
    expect(drawn.every((one) => one > 0 && one < 1)).toBe(true);
    expect(drawn.filter((one) => one < 0.25).length / drawn.length).toBeCloseTo(0.25, 1);
    expect(chanceOf(said('user', [{ type: 'image_url', image_url: { url: 'data:' } }]))).toBeLessThan(1);
    expect(chanceOf()).toBeLessThan(1);
  });
});
