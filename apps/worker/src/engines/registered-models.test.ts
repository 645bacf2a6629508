import type { RegistryEntry } from '@millrace/storage';
import { describe, expect, it } from 'vitest';
import type { LlamaCppModel, OpenVinoModel, RegisteredModel } from '../models/choose-model.js';
import type { BroughtModel, RegisteredModels } from '../models/registered-models.js';
import { registeredModel } from './registered-models.js';

const never = new AbortController().signal;
const nothing = () => {};
const MODEL = { engine: 'registry', id: 'm', registry: 'm', aliases: [], lora: [] } as unknown as RegisteredModel;
const ENTRY = { digest: 'a'.repeat(64), format: 'gguf', template: null, added: '2026-01-01T00:00:00Z' };

/** A registry with one model, which a test changes. */
function aRegistry() {
  const has = { entry: ENTRY as RegistryEntry, path: '/models/m.gguf' };
  const registered = {
    get listed() {
      return new Map([['m', { entry: has.entry, isHere: true }]]);
    },
    bring: async (): Promise<BroughtModel> => ({ ...has, [Symbol.dispose]: nothing }),
  } as unknown as RegisteredModels;
  const built: (LlamaCppModel | OpenVinoModel)[] = [];
  const model = registeredModel(MODEL, registered, (one) => {
    built.push(one);
    return { stamp: async () => 'as it was' } as never;
  });
  return { has, built, model, bring: () => model.bring!(nothing, never) };
}

describe('a model of the registry', () => {
  it('is read where it lies now, though it is the same as before', async () => {
    const { has, built, bring } = aRegistry();
    await bring();
    await bring();
    expect(built).toMatchObject([{ path: '/models/m.gguf' }]);
    has.path = '/cache/m.gguf';
    await bring();
    expect(built).toMatchObject([{ path: '/models/m.gguf' }, { path: '/cache/m.gguf' }]);
  });

  it('is another once it was added anew, such as with another template', async () => {
    const { has, built, model, bring } = aRegistry();
    await bring();
    const before = await model.stamp();
    has.entry = { ...has.entry, template: 'another', added: '2026-01-02T00:00:00Z' };
    expect(await model.stamp()).not.toBe(before);
    await bring();
    expect(built).toMatchObject([{ chatTemplate: undefined }, { chatTemplate: 'another' }]);
  });
});
