import { createLogger } from '@millrace/runtime';
import { describe, expect, it } from 'vitest';
import type { Worker, WorkerPhase, WorkerState } from '../vocabulary.js';
import { WorkerDirectory } from './worker-directory.js';
import type { WorkerDiscovery } from './worker-discovery.js';
import { WorkerMembers } from './worker-members.js';

const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });

class PretendWorker implements Worker {
  phase: WorkerPhase = 'ready';
  outstanding = 0;
  closed = false;
  watchers = 0;
  readonly models = undefined;
  readonly heard = true;

  constructor(readonly address: string) {}

  state(): WorkerState {
    const { address, phase, outstanding, models } = this;
    return { address, phase, detail: '', version: '', running: 0, waiting: 0, outstanding, models };
  }

  watch(): () => void {
    this.watchers++;
    return () => this.watchers--;
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}

/** Told by the test who is there. */
class ScriptedDiscovery implements WorkerDiscovery {
  readonly trouble = undefined;
  tell: (addresses: readonly string[]) => void = () => {};
  closed = false;

  start(listener: (addresses: readonly string[]) => void): void {
    this.tell = listener;
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}

function bed(limits = { forgetMs: 0, drainTimeoutMs: 1_000 }) {
  const discovery = new ScriptedDiscovery();
  const directory = new WorkerDirectory<PretendWorker>();
  const made: PretendWorker[] = [];
  const connect = (address: string) => {
    const worker = new PretendWorker(address);
    made.push(worker);
    return worker;
  };
  const clock = { nowMs: 0 };
  const members = new WorkerMembers(discovery, directory, connect, limits, logger, () => clock.nowMs);
  members.start();
  return {
    discovery,
    directory,
    made,
    members,
    clock,
    addresses: () => directory.workers.map(({ address }) => address),
  };
}

/** Longer than it looks whether they are idle. */
const nextLook = () => new Promise((resolve) => setTimeout(resolve, 300));

describe('the workers of a gateway', () => {
  it('are those that discovery tells of, each connected with once', async () => {
    const { discovery, directory, made, addresses, members } = bed();
    let news = 0;
    directory.watch(() => news++);
    expect(directory.allHeard).toBe(false);
    discovery.tell(['a:1', 'b:1', 'a:1']);
    expect(addresses()).toEqual(['a:1', 'b:1']);
    expect(directory.allHeard).toBe(true);
    expect(news).toBe(3);
    discovery.tell(['b:1', 'c:1']);
    expect(addresses()).toEqual(['b:1', 'c:1']);
    expect(made.map(({ closed }) => closed)).toEqual([true, false, false]);
    await members.close();
    expect(made.every(({ closed }) => closed)).toBe(true);
    expect(discovery.closed).toBe(true);
  });

  it('finish what they have before they are let go, and get nothing new meanwhile', async () => {
    const { discovery, made, addresses, members } = bed();
    discovery.tell(['a:1']);
    made[0]!.outstanding = 2;
    discovery.tell([]);
    expect(addresses()).toEqual([]);
    expect(made[0]!.closed).toBe(false);
    made[0]!.outstanding = 0;
    await nextLook();
    expect(made[0]!.closed).toBe(true);
    await members.close();
  });

  it('are let go with answers on them once these have had their time', async () => {
    const { discovery, made, clock, members } = bed();
    discovery.tell(['a:1']);
    made[0]!.outstanding = 2;
    discovery.tell([]);
    clock.nowMs = 1_001;
    await nextLook();
    expect(made[0]!.closed).toBe(true);
    await members.close();
  });

  it('stay for a while where discovery forgot one that is still there', async () => {
    const { discovery, made, clock, addresses, members } = bed({ forgetMs: 5_000, drainTimeoutMs: 0 });
    discovery.tell(['a:1', 'b:1']);
    made[1]!.phase = 'lost';
    discovery.tell([]);
    expect(addresses()).toEqual(['a:1']);
    clock.nowMs = 5_001;
    await nextLook();
    expect(addresses()).toEqual([]);
    await members.close();
  });

  it('that come back while they finish are used again, on the same connection', async () => {
    const { discovery, made, addresses, members } = bed();
    discovery.tell(['a:1']);
    made[0]!.outstanding = 1;
    discovery.tell([]);
    discovery.tell(['a:1']);
    expect(addresses()).toEqual(['a:1']);
    expect(made.length).toBe(1);
    made[0]!.outstanding = 0;
    await nextLook();
    expect(made[0]!.closed).toBe(false);
    await members.close();
  });

  it('are at most 4,096, and it is said that there were more', async () => {
    const { discovery, members, addresses } = bed();
    discovery.tell(Array.from({ length: 5_000 }, (_, index) => `w${index}:1`));
    expect(addresses().length).toBe(4_096);
    expect(members.trouble).toContain('tells of 5000 workers; 4096 is the most');
    discovery.tell(['a:1']);
    expect(members.trouble).toBeUndefined();
    await members.close();
  });

  it('are those with an address: whatever else is told is named, and not connected with', async () => {
    const { discovery, made, addresses, members } = bed();
    const hostile = ['unix:/etc/passwd', 'dns:///x', 'a'.repeat(1_000_000), 'x'];
    discovery.tell(['a:1', ...hostile]);
    expect(addresses()).toEqual(['a:1']);
    expect(made).toHaveLength(1);
    expect(members.trouble).toBe(
      '"unix:/etc/passwd" and 3 more told by discovery can\'t be the address of a worker, which is host:port.',
    );
    discovery.tell(['a:1', hostile[2]!]);
    expect(members.trouble!.length).toBeLessThan(200);
    discovery.tell(['a:1']);
    expect(members.trouble).toBeUndefined();
    await members.close();
  });

  it('come and go by the thousand, and nothing of them is left', async () => {
    const { discovery, directory, made, members } = bed();
    for (let at = 0; at < 10_000; at++) discovery.tell([`w${at}:1`, `w${at + 1}:1`]);
    discovery.tell([]);
    expect(made).toHaveLength(10_001);
    expect(made.every(({ closed, watchers }) => closed && watchers === 0)).toBe(true);
    expect(directory.workers).toEqual([]);
    await members.close();
  });
});
