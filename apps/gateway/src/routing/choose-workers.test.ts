import type { ModelDescription } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import type { Worker, WorkerState } from '../vocabulary.js';
import { CHOICE_LIMITS, inOrder, model, ToldWorker } from './routing.testing.js';
import { WorkerChoice } from './worker-choice.js';
import { WorkerDirectory } from './worker-directory.js';

const worker = (address: string, state: Partial<WorkerState> = {}) => new ToldWorker(address, state);

const chosen = (workers: Worker[], id = 'm') =>
  inOrder(new WorkerChoice(new WorkerDirectory(workers), CHOICE_LIMITS), id);

describe('the choice among the workers of a model', () => {
  it('takes the least loaded first', () => {
    expect(chosen([worker('a', { running: 3 }), worker('b', { running: 1, waiting: 1 }), worker('c')])).toEqual([
      'c',
      'b',
      'a',
    ]);
  });

  it('believes its own count when the report is older', () => {
    expect(chosen([worker('a', { running: 0, outstanding: 9 }), worker('b', { running: 2 })])).toEqual(['b', 'a']);
  });

  it('keeps the configured order among equals', () => {
    expect(chosen([worker('b'), worker('a')])).toEqual(['b', 'a']);
  });

  it('leaves out who is not ready and who does not serve the model', () => {
    const workers = [
      worker('loading', { phase: 'loading' }),
      worker('draining', { phase: 'draining' }),
      worker('lost', { phase: 'lost' }),
      worker('other', { models: [model('x')] }),
      worker('unknown', { models: undefined }),
    ];
    expect(chosen(workers)).toEqual([]);
    expect(chosen(workers, 'x')).toEqual(['other']);
  });
});

describe('a model that is not loaded everywhere', () => {
  const having = (address: string, state: ModelDescription['state'], running = 0) =>
    worker(address, { models: [model('m', state)], running });

  it('is asked where it is loaded, unless that one is far busier', () => {
    expect(chosen([having('idle', 'idle'), having('loaded', 'loaded', 7)])).toEqual(['loaded', 'idle']);
    expect(chosen([having('idle', 'idle'), having('loading', 'loading'), having('loaded', 'loaded', 9)])).toEqual([
      'idle',
      'loading',
      'loaded',
    ]);
  });

  it('is asked last where it could not be loaded, but asked', () => {
    expect(chosen([having('failed', 'failed'), having('busy', 'loaded', 500)])).toEqual(['busy', 'failed']);
    expect(chosen([having('failed', 'failed')])).toEqual(['failed']);
  });
});

describe('WorkerDirectory', () => {
  it('tells of each model the best state that a ready worker has, and what that one says', () => {
    const directory = new WorkerDirectory([
      worker('a', { models: [model('m', 'failed', 'damaged'), model('n', 'failed', 'damaged')] }),
      worker('b', { models: [model('m', 'loading', '40%')] }),
      worker('c', { phase: 'lost', models: [model('m', 'loaded'), model('o', 'loaded')] }),
      worker('d', { models: [model('p')] }),
    ]);
    expect(directory.standings().map(({ model: { id }, state, detail }) => [id, state, detail])).toEqual(
      expect.arrayContaining([
        ['m', 'loading', '40%'],
        ['n', 'failed', 'damaged'],
        ['o', 'unavailable', ''],
        ['p', 'loaded', ''],
      ]),
    );
  });

  it('knows the models of a worker that is away, each once', () => {
    const directory = new WorkerDirectory([
      worker('a', { phase: 'lost', models: [model('m'), model('n')] }),
      worker('b', { models: [model('m')] }),
      worker('c', { models: undefined }),
    ]);
    expect(
      directory
        .models()
        ?.map(({ id }) => id)
        .sort(),
    ).toEqual(['m', 'n']);
  });

  it('knows nothing while no worker has reported', () => {
    expect(new WorkerDirectory([worker('a', { models: undefined })]).models()).toBeUndefined();
  });
});
