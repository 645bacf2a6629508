import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Stage, startGateway, startWorker } from '../bench/programs.js';
import { ROOT } from '../e2e/stack.js';
import { pg } from './real-postgres.js';

const redisUrl = process.env.TEST_REDIS_URL;
const postgresUrl = process.env.TEST_POSTGRES_URL;
const missing = redisUrl === undefined || postgresUrl === undefined;

const MODELS_FILE = join(ROOT, 'configs/models.yaml');
const PATIENCE = { timeout: 120_000, interval: 250 };
/** More than both of them answer at a time. */
const RESPONSES = 80;

/** Processes as an operator starts them. `make test-services` names both servers. */
describe.skipIf(missing).each([
  ['in Postgres', {}],
  ['in Redis', { MILLRACE_REDIS_URL: redisUrl! }],
])(
  'two gateways that share a Postgres, with their jobs %s (TEST_REDIS_URL, TEST_POSTGRES_URL)',
  { timeout: 300_000 },
  (_where, queue) => {
    const stage = new Stage();
    const schema = `responses_killed_${randomBytes(6).toString('hex')}`;
    const database = new pg.Client({ connectionString: postgresUrl });
    beforeAll(async () => {
      await database.connect();
      await database.query(`create schema ${schema}`);
    });
    afterAll(async () => {
      await stage[Symbol.asyncDispose]();
      await database.query(`drop schema ${schema} cascade`);
      await database.end();
    });

    it('answer what one of them had in the background when it was killed, each once', async () => {
      const url = new URL(postgresUrl!);
      url.searchParams.set('options', `-c search_path=${schema}`);
      const environment = {
        MILLRACE_POSTGRES_URL: url.href,
        MILLRACE_KEY_SECRET: randomBytes(32).toString('hex'),
        MILLRACE_REDIS_KEY_PREFIX: schema,
        ...queue,
      };
      const worker = await startWorker(stage, { modelsFile: MODELS_FILE, args: ['--threads=1'] });
      const start = (name: string) =>
        startGateway(stage, { worker, dataFolder: stage.folder(name), modelsFile: MODELS_FILE, name, environment });
      const killed = await start('the one that is killed');
      const clients = (of: { readonly url: string }) =>
        new OpenAI({ baseURL: `${of.url}/v1`, apiKey: 'any', maxRetries: 5 });
      const other = await start('the other');
      const made = await Promise.all(
        Array.from({ length: RESPONSES }, (_, number) => {
          const input = `Tell me a long story about the number ${number}.`;
          return clients(killed).responses.create({ input, background: true, max_output_tokens: 100 });
        }),
      );
      const found = (client: OpenAI) => Promise.all(made.map(({ id }) => client.responses.retrieve(id)));
      const endedOf = async () =>
        (await found(clients(other))).filter(({ status }) => status !== 'queued' && status !== 'in_progress').length;
      await killed.kill();
      const before = await endedOf();
      expect(before).toBeLessThan(RESPONSES);
      await expect.poll(endedOf, PATIENCE).toBe(RESPONSES);
      for (const response of await found(clients(other))) {
        expect(response.status).toMatch(/^(completed|incomplete)$/);
        expect(response.output).toHaveLength(1);
      }
      const { rows } = await database.query(`select count(*)::int as left_over from ${schema}.response_runs`);
      expect(rows).toEqual([{ left_over: 0 }]);
    });
  },
);
