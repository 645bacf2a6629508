/**
 * `make test-services`: starts a Redis, a Postgres and an S3 server of its own on free ports, says where a Prometheus is, runs every test that wants
 * one of them, and takes them away again. Fails when a test that wants them was passed over.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { whatWasPassedOver } from './passed-over.ts';
import { RealPostgres } from './real-postgres.ts';
import { RealRedis } from './real-redis.ts';
import { RealS3 } from './real-s3.ts';
import { endServicesIn, findProgram } from './real-service.ts';

const ROOT = resolve(import.meta.dirname, '../..');
/** What names one of these wants a real server: nobody keeps a list. */
const WANTED = 'TEST_REDIS_URL|TEST_POSTGRES_URL|TEST_S3_URL|describeRealPostgres|describePrometheus';

const stopping = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stopping.abort(signal));

/** Of this run: its report, and a folder for each server, also for those that tests start. */
const folder = mkdtempSync(join(tmpdir(), 'millrace-test-services-'));
// Postgres, as another user, has to get through.
chmodSync(folder, 0o711);
process.env.TEST_SERVICES_FOLDER = folder;
const undo: (() => Promise<void>)[] = [async () => endServicesIn(folder)];
try {
  process.exitCode = await run();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
} finally {
  for (const step of undo.reverse()) await step();
}

async function run(): Promise<number> {
  const files = testsThatWantServices();
  const redis = await RealRedis.start();
  undo.push(() => redis.end());
  const postgres = await RealPostgres.start();
  undo.push(() => postgres.end());
  const s3 = await RealS3.start((line) => process.stdout.write(`${line}\n`));
  undo.push(() => s3.end());
  const prometheus = findProgram('prometheus', ['/usr/bin']);
  if (prometheus === undefined)
    throw new Error('There is no Prometheus on this machine; `make test-services` installs it.');
  if (stopping.signal.aborted) return 130;
  const report = join(folder, 'report.json');
  const status = await runVitest(files, report, {
    TEST_REDIS_URL: redis.url,
    TEST_POSTGRES_URL: postgres.url,
    TEST_PROMETHEUS: prometheus,
    ...s3.environmentOfTests,
  });
  if (stopping.signal.aborted) return 130;
  if (status !== 0) return status;
  const passedOver = whatWasPassedOver(files, JSON.parse(readFileSync(report, 'utf8')), ROOT);
  for (const line of passedOver) process.stderr.write(`${line}\n`);
  return passedOver.length === 0 ? 0 : 1;
}

function testsThatWantServices(): string[] {
  // Of what git knows or would know, so that a new test counts before it is committed.
  const list = ['grep', '-lE', '--untracked', WANTED, '--', '*.test.ts'];
  return execFileSync('git', list, { cwd: ROOT, encoding: 'utf8' }).trim().split('\n');
}

async function runVitest(files: readonly string[], report: string, services: NodeJS.ProcessEnv): Promise<number> {
  const vitest = join(ROOT, 'node_modules/.bin/vitest');
  const reporters = [
    '--reporter=default',
    '--reporter=./test/totals-reporter.ts',
    '--reporter=json',
    `--outputFile.json=${report}`,
  ];
  const child = spawn(vitest, ['run', ...reporters, ...files, ...process.argv.slice(2)], {
    cwd: ROOT,
    env: { ...process.env, ...services },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  // Ctrl-C has reached it already; what was sent to us alone has not.
  stopping.signal.addEventListener('abort', () => child.kill('SIGTERM'), { once: true });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 1;
}
