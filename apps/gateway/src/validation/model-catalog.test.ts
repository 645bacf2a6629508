import type { ModelCapability, ModelDescription } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import { ModelCatalog } from './model-catalog.js';

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
