import type { ModelDescription } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import type { Worker, WorkerState } from '../vocabulary.js';
import { chooseWorkers } from './choose-workers.js';
import { WorkerDirectory } from './worker-directory.js';

const model = (id: string): ModelDescription => ({
  id,
  aliases: [],
  contextLength: 1,
  capabilities: ['chat'],
  engine: 'none',
  created: 0,
  samplingDefaults: {},
  isDefault: false,
});

function worker(address: string, state: Partial<WorkerState> = {}): Worker {
  const idle = {
    phase: 'ready',
    detail: '',
    version: '',
    running: 0,
    waiting: 0,
    outstanding: 0,
    models: [model('m')],
  };
  const whole = { ...idle, address, ...state } as WorkerState;
  return { address, models: whole.models, state: () => whole };
}

const chosen = (workers: Worker[], id = 'm') => chooseWorkers(id, workers).map((one) => one.state().address);

describe('chooseWorkers', () => {
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

describe('WorkerDirectory', () => {
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
