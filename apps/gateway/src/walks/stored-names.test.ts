import { InferenceError } from '@millrace/contracts';
import { ModelProblem, type StoredModel } from '@millrace/storage';
import { describe, expect, it } from 'vitest';
import { UnknownModel } from '../validation/model-catalog.js';
import { StoredNames } from './stored-names.js';

/** A store that counts how often it is looked into, and a clock that is set. */
function setUp() {
  const stored = new Set<string>();
  const looks: string[] = [];
  const clock = { nowMs: 0 };
  const find = async (id: string): Promise<StoredModel> => {
    looks.push(id);
    await Promise.resolve();
    if (!stored.has(id)) throw new ModelProblem('not_found', 'It is not there.');
    return { id } as StoredModel;
  };
  const names = new StoredNames({ find }, () => clock.nowMs);
  const ask = async (name: string) => {
    const error = new InferenceError('model_not_found', 'It is not served.', { cause: new UnknownModel(name) });
    return ((await names.insteadOf(error)) as InferenceError).code;
  };
  return { stored, looks, clock, ask };
}

describe('a name that no worker serves', () => {
  it('is looked for once, by however many and however often it is asked for in five seconds', async () => {
    const { looks, clock, ask } = setUp();
    for (clock.nowMs = 0; clock.nowMs < 5_000; clock.nowMs += 100)
      expect(new Set(await Promise.all(Array.from({ length: 8 }, () => ask('none'))))).toEqual(
        new Set(['model_not_found']),
      );
    expect(looks).toEqual(['none']);
  });

  it('is found within five seconds of being added, and forgotten within five of being removed', async () => {
    const { stored, clock, ask } = setUp();
    expect(await ask('new')).toBe('model_not_found');
    stored.add('new');
    clock.nowMs = 5_000;
    expect(await ask('new')).toBe('model_not_ready');
    stored.delete('new');
    clock.nowMs = 10_000;
    expect(await ask('new')).toBe('model_not_found');
  });

  it('has the bucket asked no more than twenty times a second, whatever the names are', async () => {
    const { stored, looks, clock, ask } = setUp();
    stored.add('new');
    for (let at = 0; at < 500; at++) await ask(`none-${at}`);
    expect(looks).toHaveLength(20);
    expect(await ask('new')).toBe('model_not_found');
    clock.nowMs = 1_000;
    expect(await ask('new')).toBe('model_not_ready');
  });

  it('is not looked for at all where it could be the name of no model', async () => {
    const { looks, ask } = setUp();
    for (const name of ['../../etc/passwd', 'x'.repeat(1_000_000), '']) expect(await ask(name)).toBe('model_not_found');
    expect(looks).toEqual([]);
  });
});
