import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createKey, newAdminKey, type Program, Stage, startGateway, startWorker } from '../bench/programs.js';
import { ROOT } from '../e2e/stack.js';

const redisUrl = process.env.TEST_REDIS_URL;
const postgresUrl = process.env.TEST_POSTGRES_URL;
const missing = redisUrl === undefined || postgresUrl === undefined;

const LIMIT = 30;
const MODELS_FILE = join(ROOT, 'configs/models.yaml');

interface Answer {
  readonly status: number;
  readonly limit: string | null;
}

const DAILY_TOKENS = 2_000;
const OVER_BUDGET: Answer = { status: 429, limit: 'daily_budget' };

/** Processes as an operator starts them: two gateways, one Redis, one Postgres. `make test-services` names both servers. */
describe.skipIf(missing)('two gateways that share a Redis and a Postgres (TEST_REDIS_URL, TEST_POSTGRES_URL)', () => {
  const stage = new Stage();
  const adminKey = newAdminKey();
  let gateways: [Program, Program];

  beforeAll(async () => {
    const worker = await startWorker(stage, { modelsFile: MODELS_FILE });
    const environment = {
      MILLRACE_ADMIN_KEY: adminKey,
      MILLRACE_KEY_SECRET: randomBytes(32).toString('hex'),
      MILLRACE_REDIS_URL: redisUrl!,
      // On a machine that is busy with other tests, Redis may be late, and then each gateway would count by itself.
      MILLRACE_REDIS_TIMEOUT_MS: '10000',
      MILLRACE_REDIS_KEY_PREFIX: `two-gateways-${randomBytes(6).toString('hex')}`,
      // A database of its own: the secret of another test's keys would not be ours.
      MILLRACE_POSTGRES_URL: await newDatabase(),
    };
    const start = (name: string) =>
      startGateway(stage, { worker, dataFolder: stage.folder(name), modelsFile: MODELS_FILE, name, environment });
    // Both at once, so that both want to make the tables.
    gateways = await Promise.all([start('one'), start('other')]);
  });
  afterAll(() => stage[Symbol.asyncDispose]());

  let spentTokens = 0;
  const ask = async (gateway: Program, key: string): Promise<Answer> => {
    const response = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'millrace-demo', messages: [{ role: 'user', content: 'Hi' }], max_tokens: 2 }),
    });
    const { usage } = (await response.json()) as { usage?: { total_tokens: number } };
    spentTokens += usage?.total_tokens ?? 0;
    return { status: response.status, limit: response.headers.get('x-millrace-limit') };
  };
  const admin = (gateway: Program, path: string, init: RequestInit = {}) =>
    fetch(`${gateway.url}${path}`, { ...init, headers: { authorization: `Bearer ${adminKey}` } });
  const makeKey = async (limits: object) => (await createKey(gateways[0], adminKey, { name: 'shared', limits }))!;

  it('count as one: of many requests at once to both, exactly as many pass as the key may send', async () => {
    const { key } = await makeKey({ requests_per_minute: LIMIT });
    const answers = await Promise.all(Array.from({ length: 3 * LIMIT }, (_, index) => ask(gateways[index % 2]!, key)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(LIMIT);
    const refused = answers.filter(({ status }) => status !== 200);
    expect(new Set(refused.map(({ status, limit }) => `${status} ${limit}`))).toEqual(
      new Set(['429 requests_per_minute']),
    );
  });

  it('share a budget', async () => {
    const { key } = await makeKey({ tokens_per_day: DAILY_TOKENS });
    spentTokens = 0;
    // Spent on one is spent on the other. What an answer was expected to take, and did not, is given back a moment after it: until then
    // one may be refused before the other has spent the rest.
    const askBoth = async () => [await ask(gateways[0], key), await ask(gateways[1], key)];
    await expect.poll(askBoth, { timeout: 60_000, interval: 1 }).toEqual([OVER_BUDGET, OVER_BUDGET]);
    expect(spentTokens).toBeGreaterThan(DAILY_TOKENS / 2);
    expect(spentTokens).toBeLessThanOrEqual(DAILY_TOKENS);
  });

  it('know a key that the other has made, and refuse one that the other has revoked', async () => {
    const { id, key } = await makeKey({});
    expect((await ask(gateways[1], key)).status).toBe(200);
    expect((await admin(gateways[1], `/admin/keys/${id}`, { method: 'DELETE' })).status).toBe(200);
    expect((await ask(gateways[1], key)).status).toBe(401);
    await expect.poll(async () => (await ask(gateways[0], key)).status, { timeout: 1_000 }).toBe(401);
  });

  it('write each record once, and either tells what was used on both', async () => {
    const { id, key } = await makeKey({});
    for (let asked = 0; asked < 10; asked++) expect((await ask(gateways[asked % 2]!, key)).status).toBe(200);
    const usage = async () =>
      (await (await admin(gateways[0], `/admin/usage?key=${id}&group_by=key`)).json()) as object;
    await expect
      .poll(usage, { timeout: 10_000 })
      .toMatchObject({ data: [{ key_id: id, requests: 10, failed_requests: 0 }] });
  });
});

async function newDatabase(): Promise<string> {
  const { pg } = await import('./real-postgres.js');
  const name = `two_gateways_${randomBytes(6).toString('hex')}`;
  const client = new pg.Client({ connectionString: postgresUrl });
  await client.connect();
  await client.query(`create database ${name}`);
  await client.end();
  const url = new URL(postgresUrl!);
  url.pathname = `/${name}`;
  return url.href;
}
