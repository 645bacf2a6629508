import { describe, expect, it } from 'vitest';
import { openTestLibrary, type TestModelTerms, testModel } from './library.testing.js';

const states = (library: { models(): readonly { id: string; state?: string | undefined }[] }) =>
  library.models().map(({ id, state }) => `${id}: ${state}`);

/** A model whose files are somewhere else, as those of a bucket are. */
function distantModel(id: string, terms: TestModelTerms & { readonly bring?: () => Promise<void> } = {}) {
  const log = { brought: 0, held: 0 };
  const model = testModel(id, terms);
  const bring = async () => {
    await terms.bring?.();
    log.brought++;
    log.held++;
    return { [Symbol.dispose]: () => void log.held-- };
  };
  return Object.assign(model, { bring, log });
}

describe('models that come and go', () => {
  it('are served as soon as they are offered, and no more once they are not', async () => {
    await using test = openTestLibrary([testModel('chat', { loadsAtStart: true })]);
    await test.library.load();
    const late = distantModel('late');
    test.library.offer([late]);
    expect(states(test.library)).toEqual(['chat: loaded', 'late: idle']);
    const lease = await test.use('late');
    expect(states(test.library)).toEqual(['chat: loaded', 'late: loaded']);
    test.library.offer([]);
    // Whoever is being answered is answered to the end.
    expect(states(test.library)).toEqual(['chat: loaded']);
    expect(late.engine!.closed).toBe(false);
    await expect(test.use('late')).rejects.toThrow(/This worker serves chat/);
    lease[Symbol.dispose]();
    await expect.poll(() => late.engine!.closed).toBe(true);
    await expect.poll(() => late.log.held).toBe(0);
    test.library.offer([distantModel('late')]);
    using _again = await test.use('late');
  });

  it('do not take the name of a model of the models file', async () => {
    const own = testModel('chat', { loadsAtStart: true, aliases: ['talk'] });
    await using test = openTestLibrary([own]);
    await test.library.load();
    test.library.offer([distantModel('chat'), distantModel('talk'), distantModel('other')]);
    expect(states(test.library)).toEqual(['chat: loaded', 'other: idle']);
    using _used = await test.use('talk');
    expect(own.opens).toBe(1);
  });

  it('are brought when they are asked for and not before, and kept while they are loaded', async () => {
    await using test = openTestLibrary([testModel('chat', { loadsAtStart: true })]);
    await test.library.load();
    const late = distantModel('late', { idleUnloadMs: 20 });
    test.library.offer([late]);
    expect(late.log).toEqual({ brought: 0, held: 0 });
    (await test.use('late'))[Symbol.dispose]();
    expect(late.log.brought).toBe(1);
    await expect.poll(() => late.log.held).toBe(0);
    using _again = await test.use('late');
    expect(late.log).toEqual({ brought: 2, held: 1 });
  });

  it('do not hold up others while they are brought', async () => {
    const gate = Promise.withResolvers<void>();
    await using test = openTestLibrary([testModel('chat', { loadsAtStart: true }), testModel('near')]);
    await test.library.load();
    const far = distantModel('far', { bring: () => gate.promise });
    test.library.offer([far]);
    const waits = test.use('far');
    await expect.poll(() => states(test.library)).toContain('far: loading');
    using _near = await test.use('near');
    gate.resolve();
    using _far = await waits;
  });

  it('fail alone where they can not be brought, with the reason', async () => {
    await using test = openTestLibrary([testModel('chat', { loadsAtStart: true })]);
    await test.library.load();
    const gone = distantModel('gone', { bring: () => Promise.reject(new Error('The bucket is not there.')) });
    test.library.offer([gone]);
    await expect(test.use('gone')).rejects.toThrow(/The model gone can't be loaded: The bucket is not there/);
    using _used = await test.use('chat');
    expect(states(test.library)).toEqual(['chat: loaded', 'gone: failed']);
  });

  it('are let go of where nobody waits for them any more', async () => {
    const gate = Promise.withResolvers<void>();
    await using test = openTestLibrary([testModel('chat', { loadsAtStart: true })]);
    await test.library.load();
    const far = distantModel('far', { bring: () => gate.promise });
    test.library.offer([far]);
    const left = new AbortController();
    const waits = test.library.use('far', { deadlineMs: 60_000, signal: left.signal });
    await expect.poll(() => states(test.library)).toContain('far: loading');
    left.abort(new Error('left'));
    await expect(waits).rejects.toThrow('left');
    gate.resolve();
    await expect.poll(() => far.log).toEqual({ brought: 1, held: 0 });
    expect(far.opens).toBe(0);
  });

  it('refuse who waits for one that is taken away', async () => {
    const gate = Promise.withResolvers<void>();
    await using test = openTestLibrary([testModel('chat', { loadsAtStart: true })]);
    await test.library.load();
    test.library.offer([distantModel('far', { bring: () => gate.promise })]);
    const waits = test.use('far');
    const refused = expect(waits).rejects.toThrow(/far was taken out of the registry/);
    await expect.poll(() => states(test.library)).toContain('far: loading');
    test.library.offer([]);
    await refused;
    gate.resolve();
  });
});
