import { InferenceError } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import type { Worker, WorkerState } from '../vocabulary.js';
import { CHOICE_LIMITS, inOrder, model, ToldWorker, WORK } from './routing.testing.js';
import { type ChoiceLimits, type Chosen, type Wanted, WorkerChoice } from './worker-choice.js';
import { WorkerDirectory } from './worker-directory.js';

const SYSTEM = 'You are the miller of a mill beside a river, and know all about corn. '.repeat(40);

function ask(question: string, system = SYSTEM): Wanted {
  const messages = [
    { role: 'system', content: system },
    { role: 'user', content: question },
  ];
  return {
    prompt: { kind: 'chat', messages, tools: [], templateVariables: {} },
    promptTokens: 800,
    sequences: 1,
    answerTokensMax: undefined,
  };
}

/** A gateway's choice among workers, whose clock is set by hand. */
class Stage {
  nowMs = 0;
  readonly workers: readonly ToldWorker[];
  readonly directory: WorkerDirectory<Worker>;
  readonly choice: WorkerChoice<Worker>;
  /** What was told of circuits. */
  readonly told: unknown[][] = [];

  constructor(count: number, limits: Partial<ChoiceLimits> = {}, states: readonly Partial<WorkerState>[] = []) {
    this.workers = Array.from({ length: count }, (_, at) => new ToldWorker(`w${at}`, states[at]));
    this.directory = new WorkerDirectory<Worker>(this.workers);
    this.choice = new WorkerChoice(
      this.directory,
      { ...CHOICE_LIMITS, ...limits },
      {
        clock: () => this.nowMs,
        onCircuit: (...told) => this.told.push(told),
      },
    );
  }

  choose(wanted = WORK): Chosen<Worker> {
    return this.choice.choose('m', wanted)!;
  }

  /** How many of so many that stay out went to each. */
  counts(requests: number, wanted: (at: number) => Wanted = () => WORK): number[] {
    const counts = this.workers.map(() => 0);
    for (let at = 0; at < requests; at++) {
      const { worker } = this.choose(wanted(at));
      counts[this.workers.indexOf(worker as ToldWorker)]!++;
    }
    return counts;
  }

  fail(code: InferenceError['code'], times = 1): string[] {
    return Array.from({ length: times }, () => {
      using chosen = this.choose();
      chosen.failed(new InferenceError(code, 'scripted'));
      return chosen.worker.address;
    });
  }
}

describe('what was read before', () => {
  it('is asked for again where it was read, from any turn of a conversation', () => {
    const stage = new Stage(50);
    const first = stage.choose(ask('Of mills?'));
    first[Symbol.dispose]();
    for (let at = 0; at < 4; at++) stage.choose(ask(`Something else, ${at}`));
    const messages = [...(ask('Of mills?').prompt as unknown as { messages: object[] }).messages];
    const next = { role: 'user', content: 'And of rivers?' };
    const prompt = {
      kind: 'chat',
      messages: [...messages, { role: 'assistant', content: 'They grind.' }, next] as Record<string, unknown>[],
      tools: [],
      templateVariables: {},
    } as const;
    const chosen = stage.choose({ ...ask(''), prompt });
    expect(chosen.worker).toBe(first.worker);
    expect(chosen.reason).toBe('prefix');
  });

  it('gives way to the load: a beginning that is hotter than one worker spreads, evenly', () => {
    const stage = new Stage(10);
    const counts = stage.counts(200, () => ask('The same for all'));
    expect(Math.max(...counts)).toBeLessThanOrEqual(25);
    expect(counts.filter((count) => count > 0).length).toBeGreaterThan(7);
  });

  it('is not searched for where a worker came back from being away', () => {
    const stage = new Stage(2);
    using first = stage.choose(ask('Of mills?'));
    const worker = first.worker as ToldWorker;
    worker.become({ phase: 'lost' });
    worker.become({ phase: 'ready' });
    expect(stage.choose(ask('Of mills?')).reason).toBe('hash');
  });

  it('does not matter for a provider’s model, or any other with one worker', () => {
    const stage = new Stage(1);
    expect(stage.choose(ask('?')).reason).toBe('only');
    expect(stage.choice.remembered).toBe(0);
  });
});

describe('many short answers', () => {
  it('do not gather where long ones are not: nobody gets more of them than the bound', () => {
    const counts = new Stage(10).counts(100, (at) => ({
      ...WORK,
      promptTokens: 1,
      answerTokensMax: at < 5 ? 1_024 : 1,
    }));
    expect(Math.max(...counts)).toBeLessThanOrEqual(12);
  });
});

describe('gateways that know nothing of each other', () => {
  const kinds = Array.from({ length: 100 }, (_, at) => ask('?', `${at}: ${SYSTEM}`));
  const placed = (stage: Stage) =>
    kinds.map((kind) => {
      using chosen = stage.choose(kind);
      return chosen.worker.address;
    });

  it('send the same beginning to the same worker', () => {
    expect(placed(new Stage(20))).toEqual(placed(new Stage(20)));
    expect(new Set(placed(new Stage(20))).size).toBeGreaterThan(15);
  });

  it('move only the share of a worker that joins or leaves', () => {
    const before = placed(new Stage(20));
    const after = placed(new Stage(21));
    const moved = before.filter((address, at) => address !== after[at]);
    // The group of a kind is a part of all workers, so one more makes it a little smaller as well.
    expect(moved.length).toBeLessThan(25);
  });
});

describe('a worker that lies about its load', () => {
  const honest = { running: 10, waiting: 0 };
  const share = (lie: Partial<WorkerState>, requests = 300) =>
    new Stage(10, {}, [lie, ...Array.from({ length: 9 }, () => honest)]).counts(requests)[0]!;

  it.each([
    ['nothing', { running: 0, waiting: 0 }],
    ['less than nothing', { running: -1e9, waiting: -5 }],
    ['no number', { running: Number.NaN, waiting: Number.NaN }],
  ])('by reporting %s gets no more than half as much again', (_, lie) => {
    expect(share(lie)).toBeLessThanOrEqual(45);
  });

  it.each([
    ['a thousand million', { running: 1e9, waiting: 1e9 }],
    ['more than any number', { running: Number.POSITIVE_INFINITY, waiting: 0 }],
  ])('by reporting %s changes nothing for the others', (_, lie) => {
    const [own, ...others] = new Stage(10, {}, [lie, ...Array.from({ length: 9 }, () => honest)]).counts(1_800);
    expect(own).toBeGreaterThanOrEqual(0);
    expect(Math.max(...others) - Math.min(...others)).toBeLessThanOrEqual(1);
  });

  it('does not loosen the bound for what was read before', () => {
    const stage = new Stage(4, {}, [{ running: 1e9 }, {}, {}, {}]);
    const [, ...others] = stage.counts(120, () => ask('The same'));
    expect(Math.max(...others)).toBeLessThan(70);
  });

  it('or about its size gets four times a share at most', () => {
    const stage = new Stage(3, {}, [{ sequencesMax: 4e9 }, { sequencesMax: 32 }, { sequencesMax: 32 }]);
    const [big, ...small] = stage.counts(600);
    expect(big).toBeLessThanOrEqual(405);
    expect(Math.min(...small)).toBeGreaterThanOrEqual(95);
  });
});

describe('workers of other sizes', () => {
  it('get as much as their batches hold', () => {
    const stage = new Stage(3, {}, [{ sequencesMax: 64 }, { sequencesMax: 32 }, { sequencesMax: 32 }]);
    expect(stage.counts(400)).toEqual([200, 100, 100]);
  });
});

describe('the circuit of a worker', () => {
  it('keeps requests away after so many failures, then lets one try it', () => {
    const stage = new Stage(2);
    expect(stage.fail('upstream_failed', 3)).toEqual(['w0', 'w0', 'w0']);
    expect(inOrder(stage.choice)).toEqual(['w1', 'w0']);
    stage.nowMs = 4_999;
    expect(stage.choose().worker.address).toBe('w1');
    stage.nowMs = 5_001;
    const trial = stage.choose();
    expect(trial.worker.address).toBe('w0');
    expect(stage.counts(5)).toEqual([0, 5]);
    trial.answered();
    trial[Symbol.dispose]();
    expect(stage.choose().worker.address).toBe('w0');
    expect(stage.choice.openCircuits).toBe(0);
  });

  it('opens for a worker that begins every answer and breaks it off', () => {
    const stage = new Stage(2);
    for (let time = 0; time < 3; time++) {
      using chosen = stage.choose();
      chosen.answered();
      chosen.failed(new InferenceError('worker_lost', 'scripted'));
    }
    expect(stage.choose().worker.address).toBe('w1');
  });

  it('is told of once while it stays open, with what failed last, and once when the worker answers again', () => {
    const stage = new Stage(2);
    stage.fail('upstream_failed', 2);
    expect(stage.told).toEqual([]);
    stage.fail('internal_error');
    for (stage.nowMs = 6_000; stage.nowMs < 600_000; stage.nowMs += 61_000) stage.fail('upstream_failed');
    expect(stage.told).toEqual([['w0', 'open', 'internal_error']]);
    using trial = stage.choose();
    expect(trial.worker.address).toBe('w0');
    trial.answered();
    expect(stage.told.slice(1)).toEqual([['w0', 'closed']]);
    for (let time = 0; time < 4; time++) {
      stage.workers[1]!.become({ phase: 'lost' });
      stage.workers[1]!.become({ phase: 'ready' });
    }
    expect(stage.told.slice(2)).toEqual([['w1', 'open', 'worker_lost']]);
  });

  it('does not open for a worker that is full, which is left alone for a second', () => {
    const stage = new Stage(2);
    stage.fail('rate_limit_exceeded', 10);
    expect(stage.choice.openCircuits).toBe(0);
    expect(stage.choose().reason).toBe('last_resort');
    stage.nowMs = 1_001;
    expect(stage.choose().reason).toBe('least_loaded');
  });

  it('counts a connection that broke once, however many requests it took along', () => {
    const stage = new Stage(2);
    const out = Array.from({ length: 40 }, () => stage.choose());
    stage.workers[0]!.become({ phase: 'lost' });
    for (const chosen of out) {
      if (chosen.worker === stage.workers[0]) chosen.failed(new InferenceError('worker_lost', 'gone'));
      chosen[Symbol.dispose]();
    }
    stage.workers[0]!.become({ phase: 'ready' });
    expect(stage.choice.openCircuits).toBe(0);
  });

  it('opens for a worker that is lost again and again', () => {
    const stage = new Stage(2);
    for (let time = 0; time < 3; time++) {
      stage.workers[0]!.become({ phase: 'lost' });
      stage.workers[0]!.become({ phase: 'ready' });
    }
    expect(stage.choice.openCircuits).toBe(1);
  });

  it('asks the one that should be back soonest where all are open', () => {
    const stage = new Stage(2);
    stage.fail('upstream_failed', 3);
    stage.nowMs = 1_000;
    stage.fail('upstream_failed', 3);
    const chosen = stage.choose();
    expect([chosen.worker.address, chosen.reason]).toEqual(['w0', 'last_resort']);
  });

  it('is another one for each model: who does not have what it announced keeps its others', () => {
    const stage = new Stage(2);
    const both = { models: [model('m'), model('n')] };
    for (const worker of stage.workers) worker.become(both);
    expect(stage.fail('model_not_found')).toEqual(['w0']);
    expect(inOrder(stage.choice, 'm')).toEqual(['w1', 'w0']);
    expect(inOrder(stage.choice, 'n')).toEqual(['w0', 'w1']);
  });
});

describe('the slow start', () => {
  it('gives a worker that came back a tenth at first, and its share in the end', () => {
    const stage = new Stage(2, { slowStartMs: 10_000 });
    stage.nowMs = 20_000;
    stage.workers[0]!.become({ phase: 'lost' });
    stage.workers[0]!.become({ phase: 'ready' });
    const [at0] = stage.counts(220);
    expect(at0).toBeGreaterThanOrEqual(18);
    expect(at0).toBeLessThanOrEqual(22);
    stage.nowMs = 30_000;
    const [later] = stage.counts(220);
    expect(at0! + later!).toBe(220);
  });

  it('leaves a conversation where it was, though all are new', () => {
    const stage = new Stage(8, { slowStartMs: 10_000 });
    const reasons = Array.from({ length: 3 }, () => {
      using chosen = stage.choose(ask('Of mills?'));
      return chosen.reason;
    });
    expect(reasons).toEqual(['hash', 'prefix', 'prefix']);
  });

  it('holds nobody back where all are new', () => {
    expect(new Stage(4, { slowStartMs: 10_000 }).counts(400)).toEqual([100, 100, 100, 100]);
  });
});

describe('what is out', () => {
  it('is forgotten with its request, and so are the kinds of prompts', () => {
    const stage = new Stage(4);
    const out = Array.from({ length: 100 }, (_, at) => stage.choose(ask(`${at}`, `${at % 7} ${SYSTEM}`)));
    for (const chosen of out) {
      chosen[Symbol.dispose]();
      chosen[Symbol.dispose]();
    }
    expect(stage.counts(4)).toEqual([1, 1, 1, 1]);
  });

  it('of a conversation is one beginning for all its turns', () => {
    const stage = new Stage(4);
    const messages: Record<string, unknown>[] = [{ role: 'system', content: SYSTEM }];
    for (let turn = 0; turn < 6; turn++) {
      messages.push({ role: 'user', content: `And ${turn}?` });
      const prompt = { kind: 'chat', messages: [...messages], tools: [], templateVariables: {} } as const;
      stage.choose({ ...ask(''), prompt })[Symbol.dispose]();
      messages.push({ role: 'assistant', content: 'Yes.' });
    }
    expect(stage.choice.remembered).toBe(1);
  });

  it('of beginnings is bounded', () => {
    const stage = new Stage(4, { affinityEntriesMax: 1_000 });
    for (let at = 0; at < 5_000; at++) stage.choose(ask(`${at}`))[Symbol.dispose]();
    expect(stage.choice.remembered).toBe(1_000);
  });
});

describe('the ready workers of a model', () => {
  it('follow what workers say, in the order in which they were added', () => {
    const stage = new Stage(3);
    const ready = (id: string) => stage.directory.readyFor(id).map(({ worker }) => worker.address);
    stage.workers[1]!.become({ phase: 'draining' });
    expect(ready('m')).toEqual(['w0', 'w2']);
    stage.workers[1]!.become({ phase: 'ready', models: [model('n'), model('m')] });
    expect(ready('m')).toEqual(['w0', 'w1', 'w2']);
    expect(ready('n')).toEqual(['w1']);
    stage.directory.remove(stage.workers[1]!);
    expect([ready('m'), ready('n')]).toEqual([['w0', 'w2'], []]);
    expect(stage.directory.models()?.map(({ id }) => id)).toEqual(['m']);
  });
});
