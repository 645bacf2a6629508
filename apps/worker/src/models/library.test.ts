import { setTimeout as sleep } from 'node:timers/promises';
import { InferenceError } from '@millrace/contracts';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openTestLibrary, testModel } from './library.testing.js';

const release = (lease: Disposable) => lease[Symbol.dispose]();
const states = (library: { models(): readonly { id: string; state?: string | undefined }[] }) =>
  library.models().map(({ id, state }) => `${id}: ${state}`);

describe('a library', () => {
  it('loads what is to be there from the start, one at a time, and says how far it is', async () => {
    const gates = new Map(['chat', 'vectors'].map((id) => [id, Promise.withResolvers<void>()]));
    const gated = (id: string) =>
      testModel(id, {
        loadsAtStart: true,
        open: async ({ report }) => {
          report(`${id} is half loaded.`);
          await gates.get(id)!.promise;
        },
      });
    const [chat, vectors, later] = [gated('chat'), gated('vectors'), testModel('later')];
    await using test = openTestLibrary([chat, vectors, later], { bytes: 300 });
    const { library, told } = test;
    expect(library).toMatchObject({ state: 'loading', detail: 'The model chat is about to be loaded.' });
    const whole = library.load();
    await expect.poll(() => library.detail).toBe('chat is half loaded.');
    expect(library.models()[0]).toMatchObject({ id: 'chat', state: 'loading', detail: 'chat is half loaded.' });
    expect(vectors.opens).toBe(0);
    gates.get('chat')!.resolve();
    await expect.poll(() => library.detail).toBe('vectors is half loaded.');
    using _used = await test.use('chat');
    expect(library.state).toBe('loading');
    gates.get('vectors')!.resolve();
    await whole;
    expect(library).toMatchObject({ state: 'ready', detail: '', engineLoad: { running: 4, waiting: 2 } });
    expect(states(library)).toEqual(['chat: loaded', 'vectors: loaded', 'later: idle']);
    // It was looked at, so that it can be described.
    expect(library.models()[2]).toMatchObject({ contextLength: 100, capabilities: ['chat'] });
    expect(told).toEqual(['loaded chat', 'loaded vectors']);
  });

  it('does not call a model failed that was loaded while its file was looked at', async () => {
    const slow = Promise.withResolvers<void>();
    let looks = 0;
    const later = testModel('later', {
      look: async () => {
        looks++;
        if (looks > 1) return;
        await slow.promise;
        throw new Error('It was not there.');
      },
    });
    await using test = openTestLibrary([testModel('chat', { loadsAtStart: true }), later]);
    await test.library.load(); // It does not wait for ever until all are looked at.
    using _used = await test.use('later');
    slow.resolve();
    await sleep(10);
    expect(states(test.library)).toEqual(['chat: loaded', 'later: loaded']);
    expect({ told: test.told, detail: test.library.detail }).toEqual({
      told: ['loaded chat', 'loaded later'],
      detail: '',
    });
  });

  it('loads a model on first use, by its name or an alias, once for all who wait', async () => {
    const gate = Promise.withResolvers<void>();
    const later = testModel('later', { aliases: ['late'], open: () => gate.promise });
    await using test = openTestLibrary([testModel('chat', { loadsAtStart: true }), later]);
    await test.library.load();
    const waiting = [test.use('later'), test.use('late'), test.use('later')];
    await expect.poll(() => later.opens).toBe(1);
    expect(test.library.engineLoad.waiting).toBe(4);
    gate.resolve();
    const leases = await Promise.all(waiting);
    expect(leases.map(({ engine }) => engine)).toEqual([later.engine, later.engine, later.engine]);
    expect(later.opens).toBe(1);
    for (const lease of leases) release(lease);
    await expect(test.use('other')).rejects.toThrow('This worker serves chat, later, not "other".');
  });

  it('unloads what was used longest ago for one that is asked for, and closes its engine', async () => {
    const [a, b, c] = [testModel('a'), testModel('b'), testModel('c')];
    await using test = openTestLibrary([a, b, c]);
    await test.library.load();
    for (const id of ['a', 'b', 'a']) release(await test.use(id));
    await sleep(200); // Both have stayed as long as they may.
    release(await test.use('c'));
    expect(states(test.library)).toEqual(['a: loaded', 'b: idle', 'c: loaded']);
    expect(test.told).toEqual(['loaded a', 'loaded b', 'unloaded b: room', 'loaded c']);
    expect(b.engine!.closed).toBe(true);
    expect(test.budget.takenBytes).toBe(200);
  });

  it('unloads nothing that is in use: it takes nobody new, and goes after its last answer', async () => {
    const [a, b, c] = [testModel('a'), testModel('b'), testModel('c')];
    await using test = openTestLibrary([a, b, c]);
    await test.library.load();
    const [useA, useB] = [await test.use('a'), await test.use('b')];
    const waits = test.use('c');
    await expect.poll(() => test.library.models()[2]?.detail).toBe('The model c waits for the memory of a.');
    // b, whose turn began later, takes more; a takes nobody new.
    release(await test.use('b'));
    const lateForA = test.use('a');
    await sleep(20);
    expect([a.engine!.closed, a.opens, c.opens]).toEqual([false, 1, 0]);
    release(useA);
    release(await waits);
    expect(a.engine!.closed).toBe(true);
    // Now it is the turn of those who wait for a: c has none, b has.
    release(await lateForA);
    expect(test.told.slice(2)).toEqual(['unloaded a: room', 'loaded c', 'unloaded c: room', 'loaded a']);
    release(useB);
  });

  it('lets a model stay when nobody waits for its room any more, and lets in who waited for it', async () => {
    const [a, b, c] = [testModel('a'), testModel('b'), testModel('c')];
    await using test = openTestLibrary([a, b, c]);
    await test.library.load();
    const held = [await test.use('a'), await test.use('b')];
    const leaving = new AbortController();
    const waits = test.use('c', { signal: leaving.signal });
    waits.catch(() => undefined);
    await expect.poll(() => test.library.models()[2]?.detail).toContain('waits for the memory of a');
    const lateForA = test.use('a');
    leaving.abort(new Error('gone'));
    await expect(waits).rejects.toThrow('gone');
    release(await lateForA);
    expect([a.opens, c.opens]).toEqual([1, 0]);
    expect(states(test.library)).toEqual(['a: loaded', 'b: loaded', 'c: idle']);
    for (const lease of held) release(lease);
  });

  it('counts a lease once, however often it is disposed of', async () => {
    const [a, b] = [testModel('a'), testModel('b')];
    await using test = openTestLibrary([a, b], { bytes: 100 });
    await test.library.load();
    const [first, second] = [await test.use('a'), await test.use('a')];
    release(first);
    release(first);
    const waits = test.use('b');
    await sleep(150);
    expect(a.engine!.closed).toBe(false);
    release(second);
    release(await waits);
  });

  it('refuses further ones when too many wait, those whose time is up, and those who left', async () => {
    const gate = Promise.withResolvers<void>();
    const a = testModel('a', { open: () => gate.promise });
    await using test = openTestLibrary([a], { queueMax: 2 });
    await test.library.load();
    const late = test.use('a', { deadlineMs: 20 });
    const left = new AbortController();
    const leaving = test.use('a', { signal: left.signal });
    await expect(test.use('a')).rejects.toMatchObject({
      code: 'rate_limit_exceeded',
      message: '2 requests wait for a model of this worker to be loaded; 2 may. a is not loaded now: retry shortly.',
    });
    await expect(late).rejects.toMatchObject({ code: 'deadline_exceeded' });
    left.abort(new Error('gone'));
    await expect(leaving).rejects.toThrow('gone');
    await expect(test.use('a', { signal: left.signal })).rejects.toThrow('gone');
    const again = test.use('a');
    gate.resolve();
    release(await again);
  });

  it('opens what is elsewhere beside a model that waits for memory', async () => {
    const [a, b] = [testModel('a'), testModel('b')];
    const away = testModel('away', { bytes: 0, isElsewhere: true });
    await using test = openTestLibrary([a, b, away], { bytes: 100 });
    await test.library.load();
    const held = await test.use('a');
    const waits = test.use('b');
    await expect.poll(() => test.library.models()[1]?.detail).toContain('waits for the memory of a');
    release(await test.use('away'));
    release(held);
    release(await waits);
    // It takes no room, so it leaves for nobody.
    expect(states(test.library)).toEqual(['a: idle', 'b: loaded', 'away: loaded']);
  });

  it('is ready with what can answer, while a server elsewhere still loads its own', async () => {
    const gate = Promise.withResolvers<void>();
    const away = testModel('away', { bytes: 0, isElsewhere: true, loadsAtStart: true, open: () => gate.promise });
    await using test = openTestLibrary([testModel('a', { loadsAtStart: true }), away]);
    await test.library.load();
    expect(test.library.state).toBe('ready');
    expect(states(test.library)).toEqual(['a: loaded', 'away: loading']);
    gate.resolve();
    release(await test.use('away'));
  });

  it('keeps a leaving model closed to newcomers, whatever is opened beside it', async () => {
    const [a, b] = [testModel('a'), testModel('b')];
    const away = testModel('away', { bytes: 0, isElsewhere: true });
    await using test = openTestLibrary([a, b, away], { bytes: 100 });
    await test.library.load();
    const held = await test.use('a');
    const waits = test.use('b');
    await expect.poll(() => test.library.models()[1]?.detail).toContain('waits for the memory of a');
    release(await test.use('away'));
    let gotA = false;
    const lateForA = test.use('a').then((lease) => {
      gotA = true;
      return lease;
    });
    await sleep(20);
    expect(gotA).toBe(false);
    release(held);
    release(await waits);
    release(await lateForA);
  });

  it('does not unload others for what is to be there from the start, and loads it when it is asked for', async () => {
    const [chat, big] = [
      testModel('chat', { loadsAtStart: true }),
      testModel('big', { loadsAtStart: true, bytes: 150 }),
    ];
    await using test = openTestLibrary([chat, big]);
    await test.library.load();
    expect(states(test.library)).toEqual(['chat: loaded', 'big: idle']);
    expect(test.lines.join()).toContain('It is loaded when it is asked for, in place of others.');
    release(await test.use('big'));
    expect(states(test.library)).toEqual(['chat: idle', 'big: loaded']);
  });

  it('closes everything, also in the middle of loading, and refuses who waits', async () => {
    const [a, b] = [
      testModel('a', { loadsAtStart: true }),
      testModel('b', {
        open: ({ signal }) =>
          new Promise((_resolve, reject) =>
            signal.addEventListener('abort', () => reject(new Error('no longer wanted'))),
          ),
      }),
    ];
    const test = openTestLibrary([a, b]);
    await test.library.load();
    const waits = test.use('b');
    waits.catch(() => undefined);
    await expect.poll(() => b.opens).toBe(1);
    await test.library.close();
    await expect(waits).rejects.toMatchObject({ code: 'shutting_down' });
    await expect(test.use('a')).rejects.toMatchObject({ code: 'shutting_down' });
    expect(a.engine!.closed).toBe(true);
    expect(test.lines).toEqual([]);
  });

  it('unloads what nobody used for long, and loads it again', async () => {
    const a = testModel('a', { loadsAtStart: true, idleUnloadMs: 40 });
    const b = testModel('b', { loadsAtStart: true });
    await using test = openTestLibrary([a, b]);
    await test.library.load();
    const held = await test.use('a');
    await sleep(80);
    expect(states(test.library)).toEqual(['a: loaded', 'b: loaded']);
    release(held);
    await expect.poll(() => states(test.library)).toEqual(['a: idle', 'b: loaded']);
    expect(test.told.at(-1)).toBe('unloaded a: idle');
    release(await test.use('a'));
    expect(a.opens).toBe(2);
  });
});

describe('a library whose models fail', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('lives on, says why, and tries again after a while or when the files change', async () => {
    let problem: string | undefined = 'The file is cut short. Copy it again.';
    const open = async () => {
      if (problem !== undefined) throw new Error(problem);
    };
    const [good, bad] = [testModel('good', { loadsAtStart: true }), testModel('bad', { open })];
    await using test = openTestLibrary([good, bad]);
    await test.library.load();
    const refusal = {
      code: 'model_failed',
      message: "The model bad can't be loaded: The file is cut short. Copy it again.",
    };
    await expect(test.use('bad')).rejects.toMatchObject(refusal);
    await expect(test.use('bad')).rejects.toMatchObject(refusal);
    expect(bad.opens).toBe(1);
    expect(test.library.models()[1]).toMatchObject({ state: 'failed', detail: refusal.message });
    expect(test.library).toMatchObject({ state: 'ready', detail: refusal.message });
    release(await test.use('good'));
    expect(test.budget.takenBytes).toBe(100);

    await vi.advanceTimersByTimeAsync(30_000);
    expect(test.library.models()[1]).toMatchObject({ state: 'idle', detail: refusal.message });
    await expect(test.use('bad')).rejects.toMatchObject(refusal);
    expect(bad.opens).toBe(2);

    problem = undefined;
    bad.files = 'copied again';
    release(await test.use('bad'));
    expect(states(test.library)).toEqual(['good: loaded', 'bad: loaded']);
    expect(test.library.detail).toBe('');
    expect(test.told).toEqual(['loaded good', 'failed bad', 'failed bad', 'loaded bad']);
  });

  it('is closed though an engine never is, or fails to be', async () => {
    const [stuck, failing] = [testModel('stuck', { loadsAtStart: true }), testModel('failing', { loadsAtStart: true })];
    const test = openTestLibrary([stuck, failing]);
    await test.library.load();
    stuck.engine!.close = () => new Promise(() => undefined);
    failing.engine!.close = async () => {
      throw new Error('It is jammed.');
    };
    const closed = test.library.close();
    await vi.advanceTimersByTimeAsync(60_000);
    await closed;
    expect(test.lines.join()).toContain('It is jammed.');
  });

  it('looks before it makes room, so that a damaged file costs no other model its place', async () => {
    const bad = testModel('bad', {
      look: async () => {
        throw new Error('The file is no model.');
      },
    });
    await using test = openTestLibrary([testModel('good', { loadsAtStart: true }), bad], { bytes: 100 });
    await test.library.load();
    expect(test.library.models()[1]).toMatchObject({ state: 'failed', contextLength: 0, capabilities: [] });
    await expect(test.use('bad')).rejects.toThrow('The file is no model.');
    expect(states(test.library)).toEqual(['good: loaded', 'bad: failed']);
  });

  it('tries a model before it opens it, and does not open what fails', async () => {
    const run = vi.fn(async () => {
      throw new Error('llama.cpp crashed on it.');
    });
    const bad = testModel('bad', { trial: { bytes: 20, run } });
    await using test = openTestLibrary([testModel('good', { loadsAtStart: true, bytes: 150 }), bad]);
    await test.library.load();
    await expect(test.use('bad')).rejects.toThrow('llama.cpp crashed on it.');
    // There was room for the trial, though not for the model.
    expect(states(test.library)).toEqual(['good: loaded', 'bad: failed']);
    expect([run.mock.calls.length, bad.opens]).toEqual([1, 0]);
  });

  it('tries again what became another file while it was tried or waited for room, so that nothing untried is opened', async () => {
    let trials = 0;
    const run = async () => {
      trials++;
      if (trials === 1) other.files = 'replaced';
    };
    const other = testModel('other', { trial: { bytes: 10, run } });
    const restless = testModel('restless', {
      trial: {
        bytes: 10,
        run: async () => {
          restless.files += '.';
        },
      },
    });
    await using test = openTestLibrary([testModel('chat', { loadsAtStart: true }), other, restless], { bytes: 300 });
    await test.library.load();
    using _used = await test.use('other');
    expect({ trials, opens: other.opens }).toEqual({ trials: 2, opens: 1 });
    await expect(test.use('restless')).rejects.toThrow(
      "The model restless can't be loaded: its files became others while they were read, 3 times in a row. Wait until they are complete, and send the request again.",
    );
    expect(restless.opens).toBe(0);
  });

  it('refuses at once what does not fit even alone, with both numbers', async () => {
    const mib = 1024 * 1024;
    const huge = testModel('huge', { bytes: 300 * mib });
    await using test = openTestLibrary([testModel('a', { loadsAtStart: true, bytes: mib }), huge], {
      bytes: 200 * mib,
    });
    await test.library.load();
    await expect(test.use('huge')).rejects.toMatchObject({
      code: 'model_failed',
      message: expect.stringContaining('it needs 300 MiB of memory, and 200 MiB may be used') as string,
    });
    expect(states(test.library)).toEqual(['a: loaded', 'huge: failed']);
  });

  it('asks the machine too, which others may have filled meanwhile', async () => {
    let free = 1_000;
    const [a, b] = [testModel('a', { loadsAtStart: true }), testModel('b')];
    await using test = openTestLibrary([a, b], { freeNow: () => free });
    await test.library.load();
    free = 0;
    // Giving up a may be enough, and here it is.
    const waits = test.use('b');
    waits.catch(() => undefined);
    await vi.advanceTimersByTimeAsync(200);
    expect(test.told).toEqual(['loaded a', 'unloaded a: room', 'failed b']);
    await expect(waits).rejects.toThrow(/may be used even if every other model were unloaded/);
  });

  it('ends the start with the reason when no model is left that could ever answer', async () => {
    const broken = (why: string) => async () => {
      throw new Error(why);
    };
    const chosen = testModel('chosen', { loadsAtStart: true, look: broken('The file is missing.') });
    const other = testModel('other', { look: broken('The file is damaged.') });
    await using test = openTestLibrary([chosen, other]);
    await expect(test.library.load()).rejects.toThrow("The model chosen can't be loaded: The file is missing.");
    expect(test.library.state).toBe('failed');
  });

  it('lives on without the chosen model while another may answer', async () => {
    const chosen = testModel('chosen', {
      loadsAtStart: true,
      open: async () => {
        throw new Error('It does not fit.');
      },
    });
    await using test = openTestLibrary([chosen, testModel('other')]);
    await test.library.load();
    expect(test.library).toMatchObject({
      state: 'ready',
      detail: "The model chosen can't be loaded: It does not fit.",
    });
    release(await test.use('other'));
  });

  it('greets again what is elsewhere, and is ready when that is back', async () => {
    let isAway = true;
    const away = testModel('away', {
      loadsAtStart: true,
      isElsewhere: true,
      bytes: 0,
      open: async () => {
        if (isAway) throw new InferenceError('upstream_unauthorized', 'The server refuses the key.');
      },
    });
    await using test = openTestLibrary([away]);
    await test.library.load();
    expect(test.library).toMatchObject({ state: 'failed', detail: 'The server refuses the key.' });
    await expect(test.use('away')).rejects.toMatchObject({ code: 'upstream_unauthorized' });
    isAway = false;
    await vi.advanceTimersByTimeAsync(30_000);
    expect(test.library).toMatchObject({ state: 'ready', detail: '' });
    release(await test.use('away'));
    expect(away.opens).toBe(2);
  });
});

describe('a library whose engines break', () => {
  it('loads a model again whose engine broke in a sound process, and lets in who waits', async () => {
    const [a, b] = [testModel('a', { loadsAtStart: true }), testModel('b', { loadsAtStart: true })];
    await using test = openTestLibrary([a, b]);
    await test.library.load();
    const [held, first] = [await test.use('a'), a.engine!];
    a.breaks(new TypeError('a mistake of ours'), true);
    const waits = test.use('a');
    release(await test.use('b'));
    release(held);
    const lease = await waits;
    expect(first.closed).toBe(true);
    expect(lease.engine).not.toBe(first);
    expect(test.told).toEqual(['loaded a', 'loaded b', 'unloaded a: broken', 'loaded a']);
    expect(b.opens).toBe(1);
    release(lease);
  });

  it('gives up when the process is not sound, or the same engine breaks again and again', async () => {
    const unsound = testModel('unsound', { loadsAtStart: true });
    await using first = openTestLibrary([unsound, testModel('other')]);
    await first.library.load();
    unsound.breaks(new Error('llama_decode failed'), false);
    const sentence = 'The engine of unsound broke; this worker has to be restarted.';
    expect(first.told.at(-1)).toBe(`hopeless: ${sentence}`);
    expect(first.library).toMatchObject({ state: 'failed', detail: sentence });

    const again = testModel('again', { loadsAtStart: true });
    await using second = openTestLibrary([again]);
    await second.library.load();
    for (let time = 1; time <= 3; time++) {
      await expect.poll(() => again.opens).toBe(Math.min(time, 3));
      await expect.poll(() => second.library.loadedModels).toBe(1);
      again.breaks(new TypeError('a mistake of ours'), true);
    }
    expect(second.told.filter((line) => line.startsWith('hopeless'))).toHaveLength(1);
  });

  it('notices an engine that breaks while it opens, or while others are still loading', async () => {
    const gate = Promise.withResolvers<void>();
    const [a, b] = [
      testModel('a', { loadsAtStart: true }),
      testModel('b', { loadsAtStart: true, open: () => gate.promise }),
    ];
    await using test = openTestLibrary([a, b]);
    const loading = test.library.load();
    await expect.poll(() => b.opens).toBe(1);
    a.breaks(new TypeError('a mistake of ours'), true);
    b.breaks(new TypeError('another'), true);
    gate.resolve();
    await loading;
    await expect.poll(() => states(test.library)).toEqual(['a: loaded', 'b: failed']);
    expect(a.opens).toBe(2);
  });
});

describe('a library under load', () => {
  it('switches between three models with room for two, and fails nobody', async () => {
    const models = ['a', 'b', 'c'].map((id) => testModel(id, { open: () => sleep(1) }));
    await using test = openTestLibrary(models as never, { queueMax: 100 });
    await test.library.load();
    let answers = 0;
    const clients = models
      .flatMap(({ id }) => [id, id])
      .map(async (id) => {
        while (test.told.filter((line) => line.startsWith('loaded')).length < 30) {
          using lease = await test.use(id);
          expect(lease.engine.describe().id).toBe(id);
          expect((lease.engine as { closed?: boolean }).closed).toBe(false);
          await sleep(2);
          expect((lease.engine as { closed?: boolean }).closed).toBe(false);
          expect(test.budget.takenBytes).toBeLessThanOrEqual(200);
          answers++;
        }
      });
    await Promise.all(clients);
    expect(answers).toBeGreaterThan(100);
    expect(test.told.filter((line) => line.startsWith('failed'))).toEqual([]);
    const loads = models.map(({ opens }) => opens);
    expect(Math.max(...loads) - Math.min(...loads)).toBeLessThanOrEqual(2);
  });
});
