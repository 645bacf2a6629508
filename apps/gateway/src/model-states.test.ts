import { describe, expect, it } from 'vitest';
import { TestBed } from './gateway.testing.js';

const readyz = async (bed: TestBed) => {
  const response = await fetch(`${bed.url}/readyz`);
  return { httpStatus: response.status, ...((await response.json()) as object) };
};
const statesOf = async (bed: TestBed) =>
  (await bed.client.models.list()).data.map((model) => [model.id, (model as { state?: string }).state] as const);

describe('the state of models', () => {
  const models = [
    { id: 'here', isDefault: true },
    { id: 'later', state: 'idle' },
    { id: 'broken', state: 'failed', detail: 'The file is cut short.' },
    { id: 'soon', state: 'loading', detail: '40% read' },
  ];

  it('stands in /v1/models and /readyz, and what cannot be answered is no capability', async () => {
    await using bed = await TestBed.start({}, [{ models }]);
    expect(await statesOf(bed)).toEqual([
      ['here', 'loaded'],
      ['later', 'idle'],
      ['broken', 'failed'],
      ['soon', 'loading'],
    ]);
    expect(await bed.client.models.retrieve('soon')).toMatchObject({ state: 'loading' });
    const able = ['here', 'later', 'soon'];
    expect(await readyz(bed)).toEqual({
      httpStatus: 200,
      status: 'ready',
      capabilities: { chat: able, completion: able },
      models: [
        { id: 'here', state: 'loaded', detail: '' },
        { id: 'later', state: 'idle', detail: '' },
        { id: 'broken', state: 'failed', detail: 'The file is cut short.' },
        { id: 'soon', state: 'loading', detail: '40% read' },
      ],
    });
  });

  it('changes as soon as a worker says so, on the stream that it has', async () => {
    await using bed = await TestBed.start({}, [{ models }]);
    bed.worker.serve([
      { id: 'here', state: 'idle' },
      { id: 'new', state: 'loaded' },
    ]);
    await expect
      .poll(() => statesOf(bed))
      .toEqual([
        ['here', 'idle'],
        ['new', 'loaded'],
      ]);
    expect((await bed.chat({ model: 'new' })).status).toBe(200);
    expect((await bed.chat({ model: 'later' })).status).toBe(404);
    expect(bed.worker.conversations).toBe(1);
  });

  it('does not keep an idle model from being asked', async () => {
    await using bed = await TestBed.start({}, [{ models }]);
    expect((await bed.chat({ model: 'later' })).status).toBe(200);
    expect(bed.worker.started).toMatchObject([{ model: 'later' }]);
  });

  it('lets a worker that failed to load say why, unless another has the model', async () => {
    const failure = { code: 'model_failed', message: 'broken could not be loaded: the file is cut short.' };
    const failing = { models, script: () => ({ failure }) };
    await using alone = await TestBed.start({}, [failing]);
    const response = await alone.chat({ model: 'broken' });
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBeNull();
    expect(response.headers.get('x-should-retry')).toBe('false');
    expect(await response.json()).toMatchObject({ error: failure });

    await using both = await TestBed.start({}, [failing, { models: [{ id: 'broken' }] }]);
    expect((await both.chat({ model: 'broken' })).status).toBe(200);
    expect(both.workers[0]?.started).toEqual([]);
  });

  it('asks another worker when loading fails only then', async () => {
    const failure = { code: 'model_failed', message: 'later could not be loaded.' };
    await using bed = await TestBed.start({}, [{ models, script: () => ({ failure }) }, { models }]);
    expect((await bed.chat({ model: 'later' })).status).toBe(200);
    expect(bed.records()).toMatchObject([{ attempts: 2, outcome: 'served' }]);
  });

  it('is not ready when nothing could be loaded, and says why', async () => {
    await using bed = await TestBed.start({}, [{ models: models.slice(2, 3) }]);
    expect(await readyz(bed)).toEqual({
      httpStatus: 503,
      status: 'not ready',
      reason: 'No model could be loaded: broken (The file is cut short.).',
      models: [{ id: 'broken', state: 'failed', detail: 'The file is cut short.' }],
    });
  });

  it('is told of a worker that is still loading, as far as it says more than that nobody may ask yet', async () => {
    await using bed = await TestBed.start({}, [{ state: 'loading', models }], false);
    const states: [string, string][] = [
      ['here', 'unavailable'],
      ['later', 'unavailable'],
      ['broken', 'failed'],
      ['soon', 'loading'],
    ];
    await expect.poll(() => statesOf(bed)).toEqual(states);
    expect(await readyz(bed)).toMatchObject({
      httpStatus: 503,
      models: [{}, {}, { detail: 'The file is cut short.' }, { detail: '40% read' }],
    });

    await using both = await TestBed.start({}, [{ state: 'loading', models }, { models: [{ id: 'here' }] }], false);
    const answerable = { chat: ['here'], completion: ['here'] };
    await expect.poll(() => readyz(both)).toMatchObject({ capabilities: answerable });
    await expect.poll(async () => new Map(await statesOf(both))).toEqual(new Map([...states, ['here', 'loaded']]));
    expect(await readyz(both)).toMatchObject({ capabilities: answerable });
  });

  it('says no context length of a model of which none is known yet', async () => {
    await using bed = await TestBed.start({}, [{ models: [{ id: 'idle', state: 'idle', contextLength: 0 }] }]);
    expect((await bed.client.models.list()).data[0]).not.toHaveProperty('context_length');
    expect((await bed.chat({ repeat_last_n: -1 })).status).toBe(200);
    expect(bed.worker.started[0]?.sampling?.repeatLastN).toBeGreaterThan(8_192);
  });

  it('is unknown of a worker that is away', async () => {
    await using bed = await TestBed.start();
    bed.worker.die();
    await expect.poll(() => statesOf(bed)).toEqual([['demo', 'unavailable']]);
    expect(await readyz(bed)).toMatchObject({
      httpStatus: 503,
      models: [{ id: 'demo', state: 'unavailable', detail: '' }],
    });
  });

  it('does not take what a worker says of a model for more than a sentence', async () => {
    await using bed = await TestBed.start({}, [
      { models: [{ id: 'm', state: 'strange', detail: 'x'.repeat(100_000) }] },
    ]);
    expect(await readyz(bed)).toMatchObject({ models: [{ id: 'm', state: 'loaded', detail: 'x'.repeat(500) }] });
  });
});
