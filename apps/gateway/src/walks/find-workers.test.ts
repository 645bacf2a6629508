import { InferenceError, type ModelDescription } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import { Admission } from '../admission/admission.js';
import type { Candidate } from '../dispatch/dispatcher.js';
import type { WorkerClient } from '../dispatch/worker-client.js';
import { DispatchChoice } from '../routing/dispatch-choice.js';
import { CHOICE_LIMITS, model, ToldWorker } from '../routing/routing.testing.js';
import { WorkerDirectory } from '../routing/worker-directory.js';
import { ANYONE } from '../vocabulary.js';
import type { Entered } from './entrance.js';
import { type AskedOfWorkers, FindWorkers } from './find-workers.js';

const LOST = new InferenceError('worker_lost', 'gone');
const ROOM = {
  maxConcurrentRequests: 8,
  maxQueueDepth: 8,
  maxQueueBytes: 1e9,
  priorityAgeingMs: 30_000,
  coldStartWaitMs: 5_000,
};

interface Asking {
  readonly dispatchAsk?: 'queue' | 'grpc';
  readonly serviceTier?: 'flex';
}

/** A gateway's workers, and requests on their way to them. */
class Stage {
  readonly workers: readonly ToldWorker[];
  readonly admission: Admission;
  readonly #find: FindWorkers;

  constructor(workers: readonly ToldWorker[], retries = { retryPercent: 0, retriesPerSecondMin: 100 }) {
    this.workers = workers;
    const directory = new WorkerDirectory<ToldWorker>(workers) as unknown as WorkerDirectory<WorkerClient>;
    this.admission = new Admission(ROOM, directory);
    const choice = new DispatchChoice(directory, CHOICE_LIMITS);
    this.#find = new FindWorkers(this.admission, directory, choice, retries, () => 0);
  }

  ask(choices: readonly ModelDescription[] = [model('m')], refused: readonly string[] = [], more: Asking = {}) {
    const { dispatchAsk, serviceTier } = more;
    const entered = {
      request: { model: choices[0]!, prompts: [{ kind: 'text', text: 'x' }], serviceTier },
      call: { caller: ANYONE, bodyBytes: 100, dispatchAsk },
      record: { reaches: () => {}, admitted: () => {}, waits: () => {}, goesOn: () => {} },
      deadline: { signal: new AbortController().signal, remainingMs: () => 1_000 },
      coldSinceMs: undefined,
      choices,
      turnTo: async ({ id }: ModelDescription) =>
        refused.includes(id) ? new InferenceError('rate_limit_exceeded', `no more of ${id}`) : undefined,
    } as unknown as Entered<AskedOfWorkers>;
    return this.#find.find(entered);
  }
}

const named = (candidate: IteratorResult<Candidate, void>) =>
  candidate.done ? 'nobody' : `${candidate.value.worker.address} ${candidate.value.model.id}`;

/** Everybody that is asked while each fails. */
async function allThatFail(candidates: AsyncGenerator<Candidate>, error = LOST): Promise<string[]> {
  const asked: string[] = [];
  for await (const candidate of candidates) {
    asked.push(`${candidate.worker.address} ${candidate.model.id}`);
    candidate.failed(error);
  }
  return asked;
}

describe('the workers that a request is led to', () => {
  it('are those of its model, each once, and then those of its fallbacks', async () => {
    const serves = (...ids: string[]) => ({ models: ids.map((id) => model(id)) });
    const stage = new Stage([
      new ToldWorker('a', serves('m')),
      new ToldWorker('b', serves('n')),
      new ToldWorker('c', serves('m', 'n')),
    ]);
    const asked = await allThatFail(stage.ask([model('m'), model('n')]), new InferenceError('upstream_failed', '?'));
    // `c` was asked already: what broke there may not be the model.
    expect(asked).toEqual(['a m', 'c m', 'b n']);
    expect(stage.admission.running).toBe(0);
  });

  describe('where some are sent their work, and a pool takes it from a queue', () => {
    const open = () => new Stage([new ToldWorker('sent'), new ToldWorker('queue:pool', {}, 'queue')]);
    const firstOf = async (more: Asking) => {
      const candidates = open().ask([model('m')], [], more);
      const first = named(await candidates.next());
      await candidates.return(undefined);
      return first;
    };

    it('is sent what somebody waits for, and the pool gets what nobody does', async () => {
      expect(await firstOf({})).toBe('sent m');
      expect(await firstOf({ serviceTier: 'flex' })).toBe('queue:pool m');
    });

    it('are as the caller says, and nobody else is asked then', async () => {
      expect(await firstOf({ dispatchAsk: 'queue' })).toBe('queue:pool m');
      expect(await firstOf({ dispatchAsk: 'grpc', serviceTier: 'flex' })).toBe('sent m');
      const upstream = new InferenceError('upstream_failed', '?');
      expect(await allThatFail(open().ask([model('m')], [], { dispatchAsk: 'queue' }), upstream)).toEqual([
        'queue:pool m',
      ]);
      expect(await allThatFail(open().ask(), upstream)).toEqual(['sent m', 'queue:pool m']);
    });

    it('are asked again where one of a pool was lost, since another takes it next', async () => {
      const stage = new Stage([new ToldWorker('queue:pool', {}, 'queue')]);
      const candidates = stage.ask();
      for (let attempt = 0; attempt < 3; attempt++) {
        const { value } = await candidates.next();
        expect(value?.worker.address).toBe('queue:pool');
        value?.failed(LOST);
      }
      await candidates.return(undefined);
      expect(stage.admission.running).toBe(0);
    });

    it('is a 400 where the way that was asked for leads to nobody', async () => {
      const candidates = new Stage([new ToldWorker('sent')]).ask([model('m')], [], { dispatchAsk: 'queue' });
      await expect(candidates.next()).rejects.toMatchObject({ code: 'invalid_request' });
    });
  });

  it('leave out a fallback whose limit is reached', async () => {
    const stage = new Stage([
      new ToldWorker('a'),
      new ToldWorker('b', { models: [model('n')] }),
      new ToldWorker('c', { models: [model('o')] }),
    ]);
    expect(await allThatFail(stage.ask([model('m'), model('n'), model('o')], ['n']))).toEqual(['a m', 'c o']);
  });

  it('are none, with the reason, where only such a fallback is ready', async () => {
    const stage = new Stage([new ToldWorker('b', { models: [model('n')] })]);
    await expect(allThatFail(stage.ask([model('m'), model('n')], ['n']))).rejects.toThrow('no more of n');
  });

  it('end when the retries are spent', async () => {
    const workers = Array.from({ length: 20 }, (_, at) => new ToldWorker(`w${at}`));
    const stage = new Stage(workers, { retryPercent: 50, retriesPerSecondMin: 0 });
    expect(await allThatFail(stage.ask(), new InferenceError('upstream_failed', '?'))).toHaveLength(1);
    // The second request has earned the other half of a retry.
    expect(await allThatFail(stage.ask(), new InferenceError('upstream_failed', '?'))).toHaveLength(2);
    expect(stage.admission.running).toBe(0);
  });

  it('have the answered model once one has begun, at no cost to the retries', async () => {
    const stage = new Stage(
      [new ToldWorker('a', { running: 1, models: [model('n')] }), new ToldWorker('b', { models: [model('n')] })],
      { retryPercent: 0, retriesPerSecondMin: 0 },
    );
    const candidates = stage.ask([model('m'), model('n')]);
    const first = await candidates.next();
    expect(named(first)).toBe('b n');
    if (!first.done) {
      first.value.answered();
      first.value.failed(LOST);
    }
    stage.workers[1]!.become({ phase: 'lost' });
    expect(named(await candidates.next())).toBe('a n');
    await candidates.return(undefined);
    expect(stage.admission.running).toBe(0);
  });

  it('are waited for where the only one restarts, and it is asked again', async () => {
    const only = new ToldWorker('a');
    const stage = new Stage([only]);
    const candidates = stage.ask();
    const first = await candidates.next();
    if (!first.done) {
      first.value.answered();
      only.become({ phase: 'lost' });
      first.value.failed(LOST);
    }
    const next = candidates.next();
    await expect.poll(() => stage.admission.waiting).toBe(1);
    expect(stage.admission.running).toBe(0);
    only.become({ phase: 'ready' });
    expect(named(await next)).toBe('a m');
    await candidates.return(undefined);
  });

  it('do not include one again that failed and is still there', async () => {
    const stage = new Stage([new ToldWorker('a')]);
    expect(await allThatFail(stage.ask(), new InferenceError('upstream_failed', '?'))).toEqual(['a m']);
  });

  it('include one again that failed, once another has gone on in between', async () => {
    const stage = new Stage([new ToldWorker('a'), new ToldWorker('b')]);
    const candidates = stage.ask();
    const asked: string[] = [];
    for (let turn = 0; turn < 4; turn++) {
      const { value } = await candidates.next();
      if (!value) break;
      asked.push(value.worker.address);
      value.answered();
      value.failed(new InferenceError('upstream_failed', '?'));
    }
    expect(asked).toEqual(['a', 'b', 'a', 'b']);
    await candidates.return(undefined);
  });
});
