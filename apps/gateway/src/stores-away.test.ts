import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Settings } from '@millrace/contracts';
import { createLogger } from '@millrace/runtime';
import { describe, expect, it } from 'vitest';
import { FakeWorker } from './dispatch/fake-worker.testing.js';
import { settingsWith } from './gateway.testing.js';
import { startGateway } from './start-gateway.js';

const ADMIN_KEY = 'the-admin-key-of-this-test';
/** Nobody listens there. */
const NOWHERE = '127.0.0.1:1';

type Body = { readonly error?: { readonly code: string } } & Record<string, unknown>;

/** The whole gateway with its stores, as they are embedded or as they are not to be had. */
class Bed implements AsyncDisposable {
  private constructor(
    readonly url: string,
    readonly log: readonly Record<string, unknown>[],
    private end: (() => Promise<void>) | undefined,
  ) {}

  static async start(changes: Partial<Settings>): Promise<Bed> {
    const dataFolder = mkdtempSync(join(tmpdir(), 'millrace-away-'));
    const worker = await FakeWorker.start();
    const log: Record<string, unknown>[] = [];
    const write = (line: string) => void log.push(JSON.parse(line));
    const settings = { workers: [worker.address], dataFolder, adminKey: ADMIN_KEY, sqlTimeoutMs: 4_000, ...changes };
    const logger = createLogger({ name: 'gateway', level: 'info', format: 'json' }, { write });
    const gateway = await startGateway(settingsWith({ drainTimeoutMs: 1_000, ...settings }), logger);
    return new Bed(`http://127.0.0.1:${gateway.port}`, log, async () => {
      await gateway.drain();
      worker.die();
      if (changes.dataFolder === undefined) rmSync(dataFolder, { recursive: true, force: true });
    });
  }

  async ask(path: string, key?: string, body?: object) {
    const response = await fetch(this.url + path, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { 'content-type': 'application/json', ...(key !== undefined && { authorization: `Bearer ${key}` }) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    const json: Body = text.startsWith('{') ? JSON.parse(text) : {};
    return { status: response.status, headers: response.headers, json, code: json.error?.code, text };
  }

  chat(key?: string) {
    return this.ask('/v1/chat/completions', key, { messages: [{ role: 'user', content: 'one two' }] });
  }

  async ready(): Promise<void> {
    await expect.poll(async () => (await this.ask('/readyz')).status, { timeout: 20_000 }).toBe(200);
  }

  async newKey(limits: object = {}): Promise<string> {
    await this.ready(); // An embedded database takes a moment.
    const { json } = await this.ask('/admin/keys', ADMIN_KEY, { name: 'a key', limits });
    expect(json).toMatchObject({ key: expect.any(String) });
    return String(json.key);
  }

  async metric(name: string): Promise<number> {
    const { text } = await this.ask('/metrics');
    return Number(text.match(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'm'))?.[1] ?? 0);
  }

  async degraded(): Promise<string[]> {
    const { status, json } = await this.ask('/readyz');
    expect(status).toBe(200);
    return ((json.degraded ?? []) as { part: string }[]).map(({ part }) => part);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { end } = this;
    this.end = undefined;
    await end?.();
  }
}

/** As long as it lasts, whatever process of an embedded database this test has is killed, again and again. */
function killDatabases(): Disposable {
  const kill = () => {
    const children = execFileSync('ps', ['-o', 'pid=,args=', '--ppid', String(process.pid)], { encoding: 'utf8' });
    for (const [, pid] of children.matchAll(/^ *(\d+) .*pglite-main/gm)) process.kill(Number(pid), 'SIGKILL');
  };
  kill();
  const timer = setInterval(kill, 20);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

describe('a gateway whose Redis is not there', () => {
  it('starts, serves, keeps its limits alone, and says so', async () => {
    await using bed = await Bed.start({ redisUrl: `redis://${NOWHERE}` });
    const key = await bed.newKey({ requests_per_minute: 2 });
    const answers = [await bed.chat(key), await bed.chat(key), await bed.chat(key)];
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 429]);
    expect(answers[2]!.headers.get('x-millrace-limit')).toBe('requests_per_minute');
    expect(await bed.degraded()).toContain('redis');
    expect(await bed.metric('millrace_limiter_fallback')).toBe(1);
    expect(JSON.stringify(bed.log)).toContain("can't be reached");
  });
});

describe('a gateway whose database goes away', () => {
  it('serves the keys that it knows, calls no key wrong, and writes every record once it is back', async () => {
    await using bed = await Bed.start({});
    const key = await bed.newKey({ tokens_per_day: 1_000_000 });
    expect((await bed.chat(key)).status).toBe(200);
    {
      using _away = killDatabases();
      const answers = await Promise.all(Array.from({ length: 20 }, () => bed.chat(key)));
      expect(answers.map(({ status }) => status)).toEqual(new Array(20).fill(200));
      await expect.poll(() => bed.degraded()).toContain('database');
      expect((await bed.ask('/healthz')).status).toBe(200);
      expect(await bed.metric('millrace_records_waiting')).toBeGreaterThan(0);
    }
    const counted = async () => {
      const { status, json } = await bed.ask('/admin/usage?group_by=key', ADMIN_KEY);
      const rows = (json.data ?? []) as { key_name: string | null; requests: number }[];
      return status === 200 ? rows.find(({ key_name }) => key_name === 'a key')?.requests : status;
    };
    await expect.poll(counted, { timeout: 30_000 }).toBe(21);
    await expect.poll(() => bed.degraded(), { timeout: 10_000 }).toEqual([]);
    expect((await bed.chat(key)).status).toBe(200);
    expect(await bed.metric('millrace_records_lost_total')).toBe(0);
  }, 90_000);

  it('has written what it answered meanwhile when it starts again', async () => {
    const dataFolder = mkdtempSync(join(tmpdir(), 'millrace-away-kept-'));
    try {
      {
        await using bed = await Bed.start({ dataFolder });
        const key = await bed.newKey();
        using _away = killDatabases();
        for (let asked = 0; asked < 5; asked++) expect((await bed.chat(key)).status).toBe(200);
        await bed[Symbol.asyncDispose](); // It ends while the database is away.
      }
      await using bed = await Bed.start({ dataFolder });
      await bed.ready();
      const requests = async () => {
        const { json } = await bed.ask('/admin/usage?group_by=key', ADMIN_KEY);
        return ((json.data ?? []) as { requests: number; key_name: string }[])
          .filter(({ key_name }) => key_name === 'a key')
          .map(({ requests: count }) => count);
      };
      await expect.poll(requests, { timeout: 30_000 }).toEqual([5]);
    } finally {
      rmSync(dataFolder, { recursive: true, force: true });
    }
  }, 90_000);
});

describe('a gateway whose database was never there', () => {
  it('starts, serves nobody who would need a key, and calls no key wrong', async () => {
    await using bed = await Bed.start({ postgresUrl: `postgres://millrace@${NOWHERE}/millrace` });
    const answers = await Promise.all([
      ...[bed.chat(), bed.chat('sk-mr-any'), bed.ask('/v1/models', 'sk-any')],
      ...[bed.ask('/admin/keys', ADMIN_KEY), bed.ask('/admin/usage', ADMIN_KEY)],
    ]);
    expect(answers.map(({ status, code }) => [status, code])).toEqual(new Array(5).fill([503, 'store_unavailable']));
    for (const { headers } of answers) expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
    const { status, json } = await bed.ask('/readyz');
    expect([status, json.status]).toEqual([503, 'not ready']);
    expect(json.reason).toMatch(/^API keys could not be read yet: /);
    expect((await bed.ask('/healthz')).status).toBe(200);
  }, 60_000);
});
