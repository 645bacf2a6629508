import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { freePort, until } from '../bench/programs.js';
import { composeFile, filledIn, ROOT } from '../compose/compose-file.js';
import { MILLRACE } from '../e2e/stack.js';
import { settingsOf } from '../images/dockerfile.js';
import { pg } from './real-postgres.js';

const redisUrl = process.env.TEST_REDIS_URL;
const postgresUrl = process.env.TEST_POSTGRES_URL;
const missing = redisUrl === undefined || postgresUrl === undefined;

const READY_TIMEOUT_MS = 90_000;
const SOURCES = 'configs/grafana/provisioning/datasources/millrace.yaml';
const { services } = composeFile();
const CREDENTIALS = new Proxy({} as Record<string, string>, {
  get: (_, variable) => (String(variable).startsWith('STACK_') ? 'x'.repeat(32) : undefined),
});

/**
 * What docker-compose.yaml has gateway and worker do, done without containers: the command of the image, the variables of the file, and the
 * health check of the file, on a real Redis and Postgres. Only where things are is another place. Without Qdrant and S3.
 */
describe.skipIf(missing)('gateway and worker as Compose starts them (TEST_REDIS_URL, TEST_POSTGRES_URL)', () => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-compose-'));
  const children: ChildProcess[] = [];
  let said = '';
  let database: string;
  let gatewayVariables: Record<string, string>;
  let workerVariables: Record<string, string>;

  beforeAll(async () => {
    database = await databaseMadeByInitScripts();
    const [port, workerPort, metricsPort] = [await freePort(), await freePort(), await freePort()];
    const elsewhere: Record<string, string> = {
      MILLRACE_PORT: String(port),
      MILLRACE_WORKER_HOST: '127.0.0.1',
      MILLRACE_WORKER_PORT: String(workerPort),
      MILLRACE_WORKER_METRICS_PORT: String(metricsPort),
      MILLRACE_WORKERS_DNS: `localhost:${workerPort}`,
      MILLRACE_REDIS_URL: redisUrl!,
      MILLRACE_REDIS_KEY_PREFIX: `compose-${randomBytes(6).toString('hex')}`,
      MILLRACE_POSTGRES_URL: database,
      MILLRACE_MODELS_DIR: join(folder, 'models'),
    };
    gatewayVariables = variablesOf('gateway', elsewhere, join(folder, 'gateway'));
    workerVariables = variablesOf('worker', elsewhere, join(folder, 'worker'));
    start('worker', workerVariables);
    start('gateway', gatewayVariables);
    await until(
      async () => (await health('worker', workerVariables)).status === 0,
      READY_TIMEOUT_MS,
      `worker: ${said}`,
    );
    await until(
      async () => (await health('gateway', gatewayVariables)).status === 0,
      READY_TIMEOUT_MS,
      `gateway: ${said}`,
    );
  }, 2 * READY_TIMEOUT_MS);
  afterAll(async () => {
    for (const child of children) {
      if (child.exitCode !== null) continue;
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
    rmSync(folder, { recursive: true, force: true });
  });

  const start = (name: 'gateway' | 'worker', environment: Record<string, string>) => {
    const command = services[name]!.command ?? settingsOf(name).command;
    const child = spawn(process.execPath, [MILLRACE, ...command], {
      cwd: folder,
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (said += text.toString()));
    children.push(child);
  };

  /** `millrace health …`, as the file has it. */
  const health = (name: 'gateway' | 'worker', env: Record<string, string>) => {
    const [, , ...args] = services[name]!.healthcheck!.test;
    return new Promise<{ status: number; said: string }>((resolve) => {
      execFile(process.execPath, [MILLRACE, ...args], { cwd: folder, env }, (error, stdout) => {
        resolve({ status: error === null ? 0 : 1, said: stdout });
      });
    });
  };

  it('finds the tables that Postgres made of init-scripts, and makes only those that it could not', async () => {
    const client = new pg.Client({ connectionString: database });
    await client.connect();
    const { rows } = await client.query('select name from schema_migrations order by number');
    await client.end();
    const files = readdirSync(SCRIPTS).filter((name) => name.endsWith('.sql'));
    const made = rows.map(({ name }) => name);
    // Debian's Postgres may be without pgvector, for which some are passed over.
    expect(made).toEqual(expect.arrayContaining(files.filter((file) => !wantsVectors(file))));
    expect(files).toEqual(expect.arrayContaining(made));
    expect(said).not.toMatch(/"level":"(error|fatal)"/);
  });

  it('gives Grafana the user that its source names, each time it starts', async () => {
    const { image, entrypoint = [], environment = {}, volumes = [] } = services['grafana-reader']!;
    expect(image).toBe(services.postgres!.image);
    const [source = '', target = ''] = volumes[0]!.split(':');
    const [program = '', ...args] = entrypoint.map((part) => part.replace(target, join(ROOT, source)));
    const { hostname, port, username, pathname } = new URL(database);
    const elsewhere = { PGHOST: hostname, PGPORT: port, PGUSER: username, PGDATABASE: pathname.slice(1) };
    const ofFile = Object.entries(environment).map(([name, value]) => [name, filledIn(value, CREDENTIALS)]);
    const env = { ...Object.fromEntries(ofFile), ...elsewhere, PATH: process.env.PATH };
    for (const _start of [1, 2])
      expect(await promisify(execFile)(program, args, { env })).toMatchObject({ stdout: '' });
    const { datasources } = parse(readFileSync(join(ROOT, SOURCES), 'utf8')) as { datasources: { user?: string }[] };
    const asGrafana = new URL(database);
    asGrafana.username = datasources.find(({ user }) => user !== undefined)!.user!;
    const client = new pg.Client({ connectionString: asGrafana.href });
    await client.connect();
    expect((await client.query('select count(*) from usage_days')).rows).toHaveLength(1);
    await expect(client.query('select digest from keys')).rejects.toThrow('permission denied');
    await client.end();
  });

  it('answers whoever has a key that was made as make up says, and nobody else', async () => {
    const url = `http://127.0.0.1:${gatewayVariables.MILLRACE_PORT}/v1/chat/completions`;
    const ask = (key: string) =>
      fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
        body: JSON.stringify({
          messages: [{ role: 'user', content: 'What is the capital of France?' }],
          temperature: 0,
        }),
      });
    expect((await ask('sk-mr-nobody')).status).toBe(401);
    const key = await new Promise<string>((resolve, reject) => {
      const args = [MILLRACE, 'keys', 'create', 'me', '--quiet'];
      execFile(process.execPath, args, { cwd: folder, env: gatewayVariables }, (error, stdout) =>
        error ? reject(error) : resolve(stdout.trim()),
      );
    });
    const answer = await ask(key);
    expect(await answer.json()).toMatchObject({
      choices: [{ message: { content: 'The capital of France is Paris.' } }],
    });
  });

  it('tells of a worker that it is not there any more', async () => {
    const [worker] = children;
    worker!.kill('SIGTERM');
    const [status] = (await once(worker!, 'exit')) as [number];
    expect(status).toBe(0);
    expect((await health('worker', workerVariables)).status).toBe(1);
  });
});

/** Of the image and of the file, as a container has them, but for `elsewhere`. */
function variablesOf(
  name: 'gateway' | 'worker',
  elsewhere: Record<string, string>,
  data: string,
): Record<string, string> {
  const ofFile = Object.entries(services[name]!.environment ?? {}).map(([variable, value]) => [
    variable,
    filledIn(String(value), CREDENTIALS),
  ]);
  const all: Record<string, string> = {
    ...settingsOf(name).environment,
    ...Object.fromEntries(ofFile),
    ...elsewhere,
    PATH: process.env.PATH ?? '',
    MILLRACE_DATA_FOLDER: data,
    MILLRACE_CACHE_FOLDER: join(data, 'cache'),
  };
  return Object.fromEntries(Object.entries(all).filter(([variable]) => !/^MILLRACE_(S3|QDRANT)_/.test(variable)));
}

const SCRIPTS = join(ROOT, 'init-scripts/postgres');
const wantsVectors = (file: string) =>
  readFileSync(join(SCRIPTS, file), 'utf8').includes('-- requires-extension: vector');

/** As the image of Postgres does at its first start with what is mounted there; without the extension, what wants it is left out. */
async function databaseMadeByInitScripts(): Promise<string> {
  const name = `compose_${randomBytes(6).toString('hex')}`;
  const admin = new pg.Client({ connectionString: postgresUrl });
  await admin.connect();
  await admin.query(`create database ${name}`);
  await admin.end();
  const url = new URL(postgresUrl!);
  url.pathname = `/${name}`;
  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  const { rows } = await client.query("select 1 from pg_available_extensions where name = 'vector'");
  for (const file of readdirSync(SCRIPTS)
    .filter((each) => each.endsWith('.sql'))
    .sort()) {
    if (rows.length > 0 || !wantsVectors(file)) await client.query(readFileSync(join(SCRIPTS, file), 'utf8'));
  }
  await client.end();
  return url.href;
}
