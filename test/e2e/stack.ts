import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import OpenAI from 'openai';

export const ROOT = resolve(import.meta.dirname, '../..');
export const MILLRACE = join(ROOT, 'apps/cli/dist/main.js');

const START_TIMEOUT_MS = 60_000;
/** What was kept would pass for computed, and be the same. */
const COMPUTED = { 'x-millrace-cache': 'off' };

/** A running `millrace serve`, as a user would start it, on ports of its own. */
export interface Stack extends AsyncDisposable {
  readonly url: string;
  readonly serve: ChildProcess;
  /** Its own; removed when it ends, unless it was given. */
  readonly dataFolder: string;
  /** What it wrote so far. */
  output(): string;
  /** Whatever it asks is computed, unless it is given other headers. */
  client(headers?: Readonly<Record<string, string>>): OpenAI;
  /** SIGTERM, and the exit status. */
  stop(): Promise<number | null>;
}

export interface StackOptions {
  readonly args?: readonly string[];
  readonly environment?: NodeJS.ProcessEnv;
  /** With a group of processes of its own, as a shell gives it: `process.kill(-serve.pid, 'SIGINT')` is Ctrl-C. */
  readonly ownGroup?: boolean;
}

export async function startStack({ args = [], environment = {}, ownGroup }: StackOptions = {}): Promise<Stack> {
  const { serve, dataFolder, output } = spawnServe(args, environment, ownGroup);
  const url = await addressOf(serve, output);
  const stop = async () => {
    if (serve.exitCode !== null || serve.signalCode !== null) return serve.exitCode;
    serve.kill('SIGTERM');
    const [status] = (await once(serve, 'exit')) as [number | null];
    return status;
  };
  return {
    url,
    serve,
    dataFolder,
    output,
    client: (defaultHeaders = COMPUTED) =>
      new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any', maxRetries: 0, defaultHeaders }),
    stop,
    [Symbol.asyncDispose]: async () => void (await stop()),
  };
}

/** For starts that are meant to fail: the status and everything that was written. */
export async function serveToItsEnd(
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {},
): Promise<{ status: number | null; output: string }> {
  const { serve, output } = spawnServe(args, environment);
  const [status] = (await once(serve, 'close', { signal: AbortSignal.timeout(START_TIMEOUT_MS) })) as [number | null];
  return { status, output: output() };
}

/** A command of the CLI, run to its end. */
export async function millrace(
  args: readonly string[],
  input = '',
  environment: NodeJS.ProcessEnv = {},
): Promise<{ status: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [MILLRACE, ...args], {
    cwd: ROOT,
    env: { ...process.env, ...environment },
    stdio: 'pipe',
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (data: Buffer) => stdout.push(data));
  child.stderr.on('data', (data: Buffer) => stderr.push(data));
  child.stdin.end(input);
  const [status] = (await once(child, 'close', { signal: AbortSignal.timeout(START_TIMEOUT_MS) })) as [number | null];
  return { status, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
}

function spawnServe(args: readonly string[], environment: NodeJS.ProcessEnv, ownGroup = false) {
  const dataFolder = environment.MILLRACE_DATA_FOLDER ?? mkdtempSync(join(tmpdir(), 'millrace-e2e-'));
  const serve = spawn(process.execPath, [MILLRACE, 'serve', '--port', '0', '--worker-port', '0', ...args], {
    cwd: ROOT,
    // A folder of its own: keys that somebody made while trying things out would make every test a 401.
    env: { ...process.env, ...environment, MILLRACE_DATA_FOLDER: dataFolder },
    detached: ownGroup,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (environment.MILLRACE_DATA_FOLDER === undefined) {
    serve.once('close', () => rmSync(dataFolder, { recursive: true, force: true, maxRetries: 5 }));
  }
  const written: Buffer[] = [];
  serve.stdout.on('data', (data: Buffer) => written.push(data));
  serve.stderr.on('data', (data: Buffer) => written.push(data));
  return { serve, dataFolder, output: () => Buffer.concat(written).toString() };
}

/** The address that serve prints once everything is ready. */
async function addressOf(serve: ChildProcess, output: () => string): Promise<string> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < deadline && serve.exitCode === null) {
    // The curl line is printed last, when the model can answer; where the log is JSON, its line stands for that.
    const url = /(?:curl[^\n]*|"process":"serve","url":")(http:\/\/127\.0\.0\.1:\d+)/.exec(output())?.[1];
    if (url !== undefined) return url;
    await new Promise((wake) => setTimeout(wake, 50));
  }
  serve.kill('SIGKILL');
  throw new Error(`millrace serve did not become ready within ${START_TIMEOUT_MS} ms. It wrote:\n${output()}`);
}

interface WorkerHealth {
  readonly running: number;
  readonly waiting: number;
}

/** Sequences that the workers run or keep waiting, as the gateway sees them. */
export async function sequencesOf(url: string): Promise<number> {
  const health = (await (await fetch(`${url}/health`)).json()) as { workers: WorkerHealth[] };
  return health.workers.reduce((sum, worker) => sum + worker.running + worker.waiting, 0);
}
