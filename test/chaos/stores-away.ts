/**
 * What clients notice when Redis and Postgres go away, hang and come back, and when a gateway is killed meanwhile: nothing.
 * Two gateways, a worker and a server that answers at once, 32 clients with real keys, and stores of our own.
 *
 * Then that everything is as it should be: each answered request is one row, none is two; limits are exact over both gateways;
 * a revoked key is refused by both. Prints what it saw; exit status 1 when anything was not as promised.
 *
 *   node test/chaos/stores-away.ts [--seconds 20] [--clients 32] [--scenes redis-stopped,redis-hangs,postgres-stopped,postgres-hangs,gateway-killed,revoked,a-minute]
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { median, percentile } from '../bench/generator.ts';
import {
  createKey,
  freePort,
  type NewKey,
  newAdminKey,
  type Program,
  Stage,
  startGateway,
  startWorker,
  until,
} from '../bench/programs.ts';
import type { RealPostgres } from '../services/real-postgres.ts';
import type { RealRedis } from '../services/real-redis.ts';
import { Crowd, type Door, type Member } from './crowd.ts';
import { startPostgres, startRedis } from './stores.ts';

/** Undisturbed, before a scene and after it. */
const CALM_MS = 3_000;
/** Until what is wrong is told in /readyz, and until it is told no more. */
const NOTICE_TIMEOUT_MS = 15_000;
const RECOVERY_TIMEOUT_MS = 30_000;
/** Until every record that waited is a row. */
const WRITTEN_TIMEOUT_MS = 90_000;
/** More than a batch of records takes. */
const LAST_LOOK_MS = 2_000;
const LAST_LOOKS_MAX = 10;
/** Nobody waits longer for an answer, whatever a store does. */
const ANSWER_MS_MAX = 5_000;
/** What a killed gateway had answered so shortly before need not be on its disk yet. */
const KILL_GRACE_MS = 250;
/** A key that is revoked is refused elsewhere at once with Redis, else when gateways look (`keyRefreshMs`, and what a look takes). */
const REVOKED_PUSHED_MS_MAX = 1_000;
const REVOKED_SEEN_MS_MAX = 10_000;
const SMALL_LIMIT = 20;
const BURST = 60;
const MINUTE_LIMIT = 60;
const EXAMPLES_MAX = 5;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '20' },
    clients: { type: 'string', default: '32' },
    scenes: { type: 'string' },
  },
});
const awayMs = Number(values.seconds) * 1_000;
const clients = Number(values.clients);

interface Gateway extends Door {
  readonly number: number;
  readonly dataFolder: string;
  program: Program;
}

interface World {
  readonly stage: Stage;
  readonly redis: RealRedis;
  readonly postgres: RealPostgres;
  readonly gateways: readonly [Gateway, Gateway];
  readonly adminKey: string;
  start(gateway: Gateway): Promise<Program>;
}

/** What happens while clients ask. */
type Trouble = (crowd: Crowd, world: World) => Promise<void>;

const SCENES: Readonly<Record<string, (world: World) => Promise<void>>> = {
  'redis-stopped': scene(
    'Redis is stopped',
    away('redis', ({ redis }) => [() => redis.stop(), () => redis.start()]),
  ),
  'redis-hangs': scene(
    'Redis hangs',
    away('redis', ({ redis }) => [async () => redis.freeze(), async () => redis.thaw()]),
  ),
  'postgres-stopped': scene(
    'Postgres is stopped',
    away('database', ({ postgres }) => [() => postgres.stop(), () => postgres.start()]),
  ),
  'postgres-hangs': scene(
    'Postgres hangs',
    away('database', ({ postgres }) => [async () => postgres.freeze(), async () => postgres.thaw()]),
  ),
  'gateway-killed': scene('a gateway is killed while Postgres is away', killWithoutPostgres),
  revoked: seeRevoked,
  'a-minute': askForAMinute,
};
const breaches: string[] = [];
let scenesTold = 0;
/** When the second gateway was killed; NaN: not yet. */
let killedAtMs = Number.NaN;

process.exitCode = await main();

async function main(): Promise<number> {
  await using stage = new Stage();
  const world = await build(stage);
  if (world === undefined) return 0;
  const wanted = values.scenes?.split(',') ?? Object.keys(SCENES);
  for (const name of wanted) {
    const play = SCENES[name];
    if (play === undefined) throw new Error(`No scene is called ${name}; there are ${Object.keys(SCENES).join(', ')}.`);
    await play(world);
  }
  await compareUsage(world);
  for (const breach of breaches) tell(`BROKEN: ${breach}`);
  if (breaches.length > 0) {
    for (const { name, program } of world.gateways)
      tell(`\nThe last of what ${name} wrote:\n${program.output.slice(-4_000)}`);
  }
  tell(breaches.length === 0 ? 'All as promised.' : `${breaches.length} promises were broken.`);
  return breaches.length === 0 ? 0 : 1;
}

function tell(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** @returns undefined, having said so, where the machine lacks a store. */
async function build(stage: Stage): Promise<World | undefined> {
  const [redis, postgres] = [await startRedis(stage), await startPostgres(stage)];
  if (redis === undefined || postgres === undefined) {
    tell(
      `SKIPPED: this machine has no ${redis === undefined ? 'redis-server' : 'Postgres'}; install Debian's packages redis-server and postgresql.`,
    );
    return undefined;
  }
  const upstream = await stage.start('the upstream', join(import.meta.dirname, '../bench/bare-upstream.ts'));
  const folder = stage.folder('stores-away');
  const modelsFile = join(folder, 'models.yaml');
  const server = { preset: 'generic', url: `${upstream.url}/v1`, maxConcurrent: 256 };
  // JSON is YAML.
  writeFileSync(
    modelsFile,
    JSON.stringify({ models: [{ id: 'bare', engine: 'openai-compatible', upstream: server }] }),
  );
  const worker = await startWorker(stage, { modelsFile });
  const [adminKey, keySecret] = [newAdminKey(), newAdminKey()];
  const environment = {
    MILLRACE_ADMIN_KEY: adminKey,
    MILLRACE_KEY_SECRET: keySecret,
    MILLRACE_REDIS_URL: redis.url,
    MILLRACE_POSTGRES_URL: postgres.url,
  };
  const start = ({ name, url, dataFolder }: Omit<Gateway, 'program'>) =>
    startGateway(stage, { worker, modelsFile, name, dataFolder, port: Number(new URL(url).port), environment });
  const prepare = async (number: number): Promise<Gateway> => {
    const url = `http://127.0.0.1:${await freePort()}`;
    const described = { number, name: `gateway ${number}`, url, dataFolder: join(folder, `data-${number}`) };
    return { ...described, program: await start(described) };
  };
  // Both at once: they must not hinder each other, nor make the tables twice.
  const gateways = await Promise.all([prepare(1), prepare(2)]);
  return { stage, redis, postgres, gateways, adminKey, start };
}

async function keyFor({ gateways, adminKey }: World, name: string, limits: object): Promise<NewKey> {
  const made = await createKey(gateways[0].program, adminKey, { name, limits });
  if (made === undefined) throw new Error('The gateway has no admin API.');
  // The other gateway is told, or looks.
  await until(
    async () => (await statusOnce(gateways[1], made.key)) !== 401,
    RECOVERY_TIMEOUT_MS,
    'both gateways know a new key',
  );
  return made;
}

/** Of a request that costs nothing. */
async function statusOnce(door: Door, key: string): Promise<number> {
  const response = await fetch(`${door.url}/v1/models`, { headers: { authorization: `Bearer ${key}` } });
  await response.arrayBuffer();
  return response.status;
}

/** Clients ask for a while undisturbed, then meanwhile, then again undisturbed; afterwards all of it is compared. */
function scene(title: string, trouble: Trouble): (world: World) => Promise<void> {
  return async (world) => {
    const [prefix, broken] = [`chaos-${++scenesTold}-${Date.now().toString(36)}`, breaches.length];
    const wide = await keyFor(world, `${prefix} wide`, {
      requests_per_minute: 1_000_000,
      tokens_per_day: 1_000_000_000,
    });
    const narrow = await keyFor(world, `${prefix} narrow`, { requests_per_minute: 30 });
    const crowd = new Crowd(members(world, wide.key, narrow.key), prefix);
    try {
      await sleep(CALM_MS);
      await trouble(crowd, world);
      await sleep(CALM_MS);
    } finally {
      await crowd.stop();
    }
    await compareRows(crowd, world, prefix);
    tellScene(title, crowd, broken);
  };
}

/** All but two have a key that allows everything; those two must be refused, and never with anything but 429. */
function members({ gateways }: World, wide: string, narrow: string): Member[] {
  const served = new Set([200]);
  const many = Array.from({ length: clients }, (_, index) => ({
    door: gateways[index % 2]!,
    key: wide,
    accepted: served,
  }));
  const few = gateways.map((door) => ({ door, key: narrow, accepted: new Set([200, 429]) }));
  return [...many, ...few];
}

function tellScene(title: string, { answered, failures }: Crowd, brokenBefore: number): void {
  const tookMs = [...answered.values()].map(({ tookMs: each }) => each);
  const slowestMs = Math.max(...tookMs);
  if (failures.length > 0) breaches.push(`${title}: ${failures.length} requests failed`);
  if (slowestMs > ANSWER_MS_MAX)
    breaches.push(`${title}: an answer took ${slowestMs.toFixed(0)} ms; at most ${ANSWER_MS_MAX} are allowed`);
  const refused = [...answered.values()].filter(({ status }) => status === 429).length;
  const times = `p50 ${median(tookMs).toFixed(1)}, p99 ${percentile(tookMs, 0.99).toFixed(0)}, slowest ${slowestMs.toFixed(0)} ms`;
  tell(
    `${title}: ${answered.size - refused} answered, ${refused} refused by a limit, ${failures.length} failed; ${times}${breaches.length > brokenBefore ? '  BROKEN' : ''}`,
  );
  for (const { door, requestId, what } of failures.slice(0, EXAMPLES_MAX)) tell(`    ${door}, ${requestId}: ${what}`);
}

/** Takes a store away for a while. Both gateways say so in /readyz and stay ready, and both recover. */
function away(part: string, means: (world: World) => readonly [() => Promise<void>, () => Promise<void>]): Trouble {
  return async (_crowd, world) => {
    const [takeAway, bringBack] = means(world);
    const startedMs = performance.now();
    await takeAway();
    try {
      await noticed(world, part, true, NOTICE_TIMEOUT_MS);
      await sleep(Math.max(0, awayMs - (performance.now() - startedMs)));
    } finally {
      await bringBack();
    }
    await noticed(world, part, false, RECOVERY_TIMEOUT_MS);
    if (part === 'redis') await limitsAreExact(world, 'after Redis was away');
  };
}

interface Readiness {
  readonly status: string;
  readonly degraded?: readonly { readonly part: string; readonly detail: string }[];
}

async function noticed({ gateways }: World, part: string, isDegraded: boolean, timeoutMs: number): Promise<void> {
  for (const { name, url } of gateways) {
    const holds = async () => {
      const response = await fetch(`${url}/readyz`);
      const { degraded = [] } = (await response.json()) as Readiness;
      if (response.status !== 200) breaches.push(`${name} was not ready while ${part} was away: ${response.status}`);
      return degraded.some((each) => each.part === part) === isDegraded;
    };
    await until(holds, timeoutMs, '').catch(() =>
      breaches.push(`${name} does not say within ${timeoutMs} ms that ${part} is ${isDegraded ? 'away' : 'back'}`),
    );
  }
}

/** A burst over both gateways: as many pass as may. */
async function limitsAreExact(world: World, when: string): Promise<void> {
  const { key } = await keyFor(world, `small ${when}`, { requests_per_minute: SMALL_LIMIT });
  const passed = await burst(world, key, BURST);
  tell(
    `  ${when}: of ${BURST} requests by turns through both gateways with a limit of ${SMALL_LIMIT}, ${passed} passed`,
  );
  if (passed !== SMALL_LIMIT) breaches.push(`${when}, ${passed} of ${BURST} passed a limit of ${SMALL_LIMIT}`);
}

async function burst({ gateways }: World, key: string, count: number): Promise<number> {
  const statuses = await Promise.all(
    Array.from({ length: count }, (_, index) => chatStatus(gateways[index % 2]!, key)),
  );
  return statuses.filter((status) => status === 200).length;
}

async function chatStatus(door: Door, key: string): Promise<number> {
  const response = await fetch(`${door.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
    body: JSON.stringify({ model: 'bare', messages: [{ role: 'user', content: 'Say a word.' }], max_tokens: 1 }),
  });
  await response.arrayBuffer();
  if (response.status !== 200 && response.status !== 429)
    breaches.push(`A limited request was answered with ${response.status}`);
  return response.status;
}

/** What it had answered is in its spool, and is written once it runs again. */
async function killWithoutPostgres(crowd: Crowd, world: World): Promise<void> {
  const [, victim] = world.gateways;
  await world.postgres.stop();
  await sleep(awayMs / 2);
  crowd.expectGone(victim);
  await victim.program.kill();
  killedAtMs = performance.now();
  await world.postgres.start();
  victim.program = await world.start(victim);
  crowd.expectBack(victim);
  await noticed(world, 'database', false, RECOVERY_TIMEOUT_MS);
}

/** Each request that was answered is a row, and none is two. */
async function compareRows({ answered }: Crowd, { postgres, gateways }: World, prefix: string): Promise<void> {
  // What a killed gateway answered in its last moments may have gone with it.
  const mayBeLost = new Set(
    [...answered]
      .filter(
        ([, { door, atMs }]) => door === gateways[1].name && atMs <= killedAtMs && atMs > killedAtMs - KILL_GRACE_MS,
      )
      .map(([requestId]) => requestId),
  );
  let rows = new Map<string, number>();
  const missing = () => [...answered.keys()].filter((requestId) => !rows.has(requestId));
  const complete = async () => {
    const found = await postgres.ask(
      `SELECT request_id, count(*)::int AS count FROM request_records WHERE request_id LIKE '${prefix}-%' GROUP BY 1`,
    );
    rows = new Map(found.map(({ request_id, count }) => [request_id as string, count as number]));
    return missing().every((requestId) => mayBeLost.has(requestId));
  };
  await until(complete, WRITTEN_TIMEOUT_MS, '').catch(() => undefined);
  const lost = missing().filter((requestId) => !mayBeLost.has(requestId));
  const twice = [...rows].filter(([, count]) => count > 1);
  if (lost.length > 0)
    breaches.push(`${lost.length} answered requests are no row, such as ${lost.slice(0, EXAMPLES_MAX).join(', ')}`);
  if (twice.length > 0)
    breaches.push(`${twice.length} requests are several rows, such as ${twice.slice(0, EXAMPLES_MAX).join(', ')}`);
  const excused = missing().length - lost.length;
  const words = excused > 0 ? `; ${excused} of the last ${KILL_GRACE_MS} ms before the kill went with it` : '';
  tell(`  ${answered.size} requests, ${rows.size} rows${words}`);
}

/** The totals of the day are those of the rows, by the API too. What the admin API was asked is in no total. */
/** Asked one after the other, they may differ by what was written in between; once nothing comes any more they must not. */
async function compareUsage({ postgres, gateways, adminKey }: World): Promise<void> {
  let said = '';
  for (let look = 0; look < LAST_LOOKS_MAX; look++) {
    await sleep(LAST_LOOK_MS);
    const [counts] = await postgres.ask(
      "SELECT (SELECT count(*) FROM request_records WHERE endpoint <> 'admin')::int AS rows, (SELECT coalesce(sum(requests), 0) FROM usage_days)::int AS totals",
    );
    const { rows, totals } = counts as { readonly rows: number; readonly totals: number };
    const { told, status } = await usageOf(gateways[0], adminKey);
    said = `${rows} rows in all, ${totals} by the totals of the day, ${told} by /admin/usage (status ${status})`;
    if (rows === totals && told === rows) {
      tell(said);
      return;
    }
  }
  breaches.push(said);
}

async function usageOf({ url }: Gateway, adminKey: string) {
  const response = await fetch(`${url}/admin/usage?group_by=model`, {
    headers: { authorization: `Bearer ${adminKey}` },
  });
  const body = (await response.json()) as { readonly data?: readonly { readonly requests: number }[] };
  return { told: body.data?.reduce((sum, { requests }) => sum + requests, 0), status: response.status };
}

/** Wherever it is revoked, both refuse it: at once where Redis tells of it, soon where it can't. */
async function seeRevoked(world: World): Promise<void> {
  const withRedis = await revoke(world);
  await world.redis.stop();
  await noticed(world, 'redis', true, NOTICE_TIMEOUT_MS);
  const withoutRedis = await revoke(world);
  await world.redis.start();
  await noticed(world, 'redis', false, RECOVERY_TIMEOUT_MS);
  tell(
    `A revoked key is accepted by the other gateway for ${withRedis.toFixed(0)} ms more, without Redis for ${withoutRedis.toFixed(0)} ms`,
  );
  if (withRedis > REVOKED_PUSHED_MS_MAX)
    breaches.push(
      `a revoked key was accepted for ${withRedis.toFixed(0)} ms; at most ${REVOKED_PUSHED_MS_MAX} are allowed`,
    );
  if (withoutRedis > REVOKED_SEEN_MS_MAX)
    breaches.push(
      `without Redis a revoked key was accepted for ${withoutRedis.toFixed(0)} ms; at most ${REVOKED_SEEN_MS_MAX} are allowed`,
    );
}

/** @returns for how many milliseconds after the answer of the one gateway the other still accepts it. */
async function revoke(world: World): Promise<number> {
  const [one, other] = world.gateways;
  const { id, key } = await keyFor(world, 'to be revoked', {});
  const response = await fetch(`${one.url}/admin/keys/${id}`, {
    method: 'DELETE',
    headers: { authorization: `Bearer ${world.adminKey}` },
  });
  await response.arrayBuffer();
  const revokedMs = performance.now();
  if (response.status !== 200) throw new Error(`The key was not revoked: ${response.status}`);
  // A key that is not known is looked for once more before it is refused, and that takes up to a second: what counts is when the
  // first request came that was refused in the end.
  for (;;) {
    const askedMs = performance.now();
    if ((await statusOnce(other, key)) === 401) {
      if ((await statusOnce(one, key)) !== 401) breaches.push('the gateway that revoked a key goes on accepting it');
      return askedMs - revokedMs;
    }
    if (askedMs - revokedMs > 2 * REVOKED_SEEN_MS_MAX) throw new Error('A revoked key is not refused.');
  }
}

/** Twice as many as may, evenly over a minute and by turns through both. */
async function askForAMinute(world: World): Promise<void> {
  const { key } = await keyFor(world, 'a minute', { requests_per_minute: MINUTE_LIMIT });
  const asked = MINUTE_LIMIT * 4;
  const startedMs = performance.now();
  const pending: Promise<number>[] = [];
  for (let index = 0; index < asked; index++) {
    // The last is due well within the minute that the first began.
    const dueMs = startedMs + (index / asked) * 57_000;
    await sleep(Math.max(0, dueMs - performance.now()));
    pending.push(chatStatus(world.gateways[index % 2]!, key));
  }
  const passed = (await Promise.all(pending)).filter((status) => status === 200).length;
  tell(
    `Of ${asked} requests within a minute through two gateways, with a limit of ${MINUTE_LIMIT} a minute, ${passed} passed`,
  );
  if (passed !== MINUTE_LIMIT) breaches.push(`${passed} of ${asked} passed a limit of ${MINUTE_LIMIT} a minute`);
}
