import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort, type Program, Stage, startGateway, startWorker, statusOf, until } from '../bench/programs.js';
import { MILLRACE, ROOT } from '../e2e/stack.js';

const redisUrl = process.env.TEST_REDIS_URL;
const MODELS_FILE = join(ROOT, 'configs/models.yaml');
const NOTICED_MS_MAX = 10_000;

/** Nobody is told the address of anybody: who is there says so in Redis. `make test-services` names one. */
describe.skipIf(redisUrl === undefined)('workers that announce themselves in Redis (TEST_REDIS_URL)', () => {
  const stage = new Stage();
  const prefix = `presence-${randomBytes(6).toString('hex')}`;
  const shared = ['--worker-discovery=redis', '--discovery-interval-ms=300', `--redis-key-prefix=${prefix}`];
  let first: Program;
  let gateway: Program;

  const newWorker = () => startWorker(stage, { modelsFile: MODELS_FILE, args: [...shared, `--redis-url=${redisUrl}`] });
  const workers = async (): Promise<string[]> => {
    const health = (await (await fetch(`${gateway.url}/health`)).json()) as {
      workers: { address: string; state: string }[];
    };
    return health.workers.filter(({ state }) => state === 'ready').map(({ address }) => address);
  };
  const ask = async (): Promise<number> => {
    const response = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'millrace-demo', messages: [{ role: 'user', content: 'Hi' }], max_tokens: 2 }),
    });
    await response.arrayBuffer();
    return response.status;
  };

  beforeAll(async () => {
    first = await newWorker();
    gateway = await startGateway(stage, {
      worker: first,
      dataFolder: stage.folder('presence'),
      modelsFile: MODELS_FILE,
      args: shared,
      environment: { MILLRACE_REDIS_URL: redisUrl! },
    });
  });
  afterAll(() => stage[Symbol.asyncDispose]());

  it('are found, one that comes later too, and answer', async () => {
    expect(await workers()).toEqual([`127.0.0.1:${first.port}`]);
    expect(await ask()).toBe(200);
    const second = await newWorker();
    await until(async () => (await workers()).length === 2, NOTICED_MS_MAX, 'the second worker is found');
    expect(await workers()).toContain(`127.0.0.1:${second.port}`);
  });

  it('are forgotten when they stop, and when they die', async () => {
    const [stopped, killed] = await Promise.all([newWorker(), newWorker()]);
    await until(async () => (await workers()).length === 4, NOTICED_MS_MAX, 'all four are found');
    await Promise.all([stopped.stop(), killed.kill()]);
    const known = async () => {
      const health = (await (await fetch(`${gateway.url}/health`)).json()) as { workers: unknown[] };
      return health.workers.length;
    };
    await until(async () => (await known()) === 2, NOTICED_MS_MAX, 'both are forgotten');
    expect(await ask()).toBe(200);
  });

  it('are shared by machines that are set up as docs/how-to/several-gateways.md says', async () => {
    const [block] = /```\n(MILLRACE_WORKER_DISCOVERY=[^`]*)```/
      .exec(readFileSync(join(ROOT, 'docs/how-to/several-gateways.md'), 'utf8'))!
      .slice(1);
    const lines = [...block!.matchAll(/^(MILLRACE_\w+)=(\S+)/gm)].map(([, name, value]) => [name, value] as const);
    expect(lines.map(([name]) => name)).toEqual(['MILLRACE_WORKER_DISCOVERY', 'MILLRACE_WORKER_HOST']);
    // Each machine has an address of its own: here, all of 127.0.0.0/8 is this one.
    const machines = await Promise.all(
      ['127.0.0.11', '127.0.0.12'].map(async (host) => {
        const port = await freePort();
        const program = await stage.start(`the machine ${host}`, MILLRACE, {
          args: ['serve', `--port=${port}`, '--worker-port=8100', '--log-format=json'],
          environment: {
            ...Object.fromEntries(lines),
            MILLRACE_WORKER_HOST: host,
            MILLRACE_REDIS_URL: redisUrl!,
            MILLRACE_REDIS_KEY_PREFIX: `${prefix}-machines`,
            MILLRACE_DATA_FOLDER: stage.folder('machine'),
            MILLRACE_MODELS_FILE: MODELS_FILE,
          },
          isReady: async () => (await statusOf(`http://127.0.0.1:${port}/readyz`)) === 200,
        });
        return { host, port, program };
      }),
    );
    for (const { port } of machines) {
      const both = ['127.0.0.11:8100 ready', '127.0.0.12:8100 ready'];
      const found = async () => {
        const health = (await (await fetch(`http://127.0.0.1:${port}/health`)).json()) as {
          workers: { address: string; state: string }[];
        };
        return health.workers.map(({ address, state }) => `${address} ${state}`).sort();
      };
      await until(async () => String(await found()) === String(both), NOTICED_MS_MAX, 'both workers are found');
    }
  }, 120_000);
});
