/** Real processes for benchmarks and for trouble made on purpose: started, watched, and ended whatever happens. */
import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { childrenOf } from '../e2e/processes.ts';
import { ROOT } from '../e2e/stack.ts';

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 15_000;
/** Of the kernel, on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;
/** The newest of what a program wrote, for the report of its failure. */
const OUTPUT_CHARACTERS_MAX = 64 * 1024;

/**
 * What has to be undone at the end, newest first: processes, folders.
 *
 * Ownership: of everything that was put into it. Also undone after Ctrl-C, whose status is then 130.
 */
export class Stage implements AsyncDisposable {
  readonly #undo: (() => unknown)[] = [];
  #undone: Promise<void> | undefined;
  readonly #onSignal = (signal: NodeJS.Signals) => {
    process.stderr.write(`\n${signal}: cleaning up.\n`);
    void this.#end(130);
  };
  readonly #onException = (error: NodeJS.ErrnoException) => {
    // As when nobody reads any more what is printed: `… | head`.
    if (error.code !== 'EPIPE') process.stderr.write(`${error.stack}\n`);
    process.stdout.on('error', () => {});
    void this.#end(1);
  };

  constructor() {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, this.#onSignal);
    process.once('uncaughtException', this.#onException);
  }

  add(undo: () => unknown): void {
    this.#undo.push(undo);
  }

  folder(name: string): string {
    const path = mkdtempSync(join(tmpdir(), `millrace-${name}-`));
    this.add(() => rmSync(path, { recursive: true, force: true }));
    return path;
  }

  /** Starts a program, and ends it at the end unless it ended before. */
  async start(name: string, script: string, options: ProgramOptions = {}): Promise<Program> {
    const program = new Program(name, script, options);
    this.add(() => program.stop());
    await program.started();
    return program;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#undone ??= this.#undoAll();
    return this.#undone;
  }

  async #end(status: number): Promise<void> {
    await this[Symbol.asyncDispose]();
    process.exit(status);
  }

  async #undoAll(): Promise<void> {
    for (let undo = this.#undo.pop(); undo !== undefined; undo = this.#undo.pop()) {
      try {
        await undo();
      } catch (error) {
        process.stderr.write(`Not cleaned up: ${String(error)}\n`);
      }
    }
    // The next stage has its own, and this one's would end the process before that is cleaned up.
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, this.#onSignal);
    process.off('uncaughtException', this.#onException);
  }
}

export interface ProgramOptions {
  readonly args?: readonly string[];
  readonly environment?: NodeJS.ProcessEnv;
  /** Flags of Node itself. */
  readonly nodeArgs?: readonly string[];
  /** Absent: it is ready once it says over IPC on which port it listens. */
  readonly isReady?: () => Promise<boolean>;
}

/** A process of Node's, as an operator would start it. */
export class Program {
  readonly name: string;
  readonly child: ChildProcess;
  port = 0;
  readonly #options: ProgramOptions;
  #output = '';
  readonly #exit: Promise<unknown>;
  readonly #listening = Promise.withResolvers<void>();

  constructor(name: string, script: string, options: ProgramOptions) {
    this.name = name;
    this.#options = options;
    const { args = [], environment = {}, nodeArgs = [] } = options;
    this.child = fork(script, args, {
      cwd: ROOT,
      env: { ...process.env, ...environment },
      execArgv: [...nodeArgs],
      serialization: 'advanced',
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.#exit = once(this.child, 'exit');
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      stream.setEncoding('utf8');
      stream.on('data', (text: string) => {
        this.#output = (this.#output + text).slice(-OUTPUT_CHARACTERS_MAX);
      });
    }
    this.child.on('message', (message: { kind?: string; port?: number; sentence?: string }) => {
      if (message.kind === 'listening') {
        this.port = message.port!;
        this.#listening.resolve();
      }
      if (message.kind === 'failed') this.#output += `${message.sentence}\n`;
    });
  }

  get pid(): number {
    return this.child.pid!;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** What it wrote last. */
  get output(): string {
    return this.#output;
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  async started(): Promise<void> {
    const { isReady } = this.#options;
    const ready =
      isReady === undefined ? this.#listening.promise : until(isReady, START_TIMEOUT_MS, `${this.name} is ready`);
    const ended = this.#exit.then(() => Promise.reject(new Error('it ended')));
    const late = sleep(START_TIMEOUT_MS, undefined, { ref: false }).then(() =>
      Promise.reject(new Error('it took too long')),
    );
    try {
      await Promise.race([ready, ended, late]);
    } catch (error) {
      throw new Error(`${this.name} did not start: ${(error as Error).message}. It wrote:\n${this.#output}`);
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** As `kill -9`. Resolves when it is gone. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    if (!this.hasEnded) await this.#exit;
  }

  /** SIGTERM, and after a while SIGKILL. */
  async stop(): Promise<void> {
    if (this.hasEnded) return;
    this.child.kill('SIGCONT');
    this.child.kill('SIGTERM');
    const force = setTimeout(() => this.child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await this.#exit;
    clearTimeout(force);
  }
}

export interface WorkerPlan {
  readonly modelsFile: string;
  readonly args?: readonly string[];
  readonly environment?: NodeJS.ProcessEnv;
  readonly nodeArgs?: readonly string[];
  /** Another working tree, built, whose code is to run. */
  readonly root?: string;
}

export function startWorker(stage: Stage, plan: WorkerPlan): Promise<Program> {
  const { modelsFile, args = [], environment = {}, nodeArgs = [], root = ROOT } = plan;
  return stage.start('the worker', join(root, 'apps/worker/dist/main.js'), {
    args: ['--worker-port=0', `--models-file=${modelsFile}`, '--log-level=warn', ...args],
    environment: { ...environment, MALLOC_ARENA_MAX: '2' }, // As `millrace serve` starts it.
    nodeArgs,
  });
}

export interface GatewayPlan {
  /** Absent: it serves every model itself. */
  readonly worker?: Program;
  readonly dataFolder: string;
  readonly modelsFile: string;
  readonly port?: number;
  readonly name?: string;
  readonly args?: readonly string[];
  readonly environment?: NodeJS.ProcessEnv;
  readonly nodeArgs?: readonly string[];
  /** As a worker's. */
  readonly root?: string;
}

/** Resolves when it can answer. */
export async function startGateway(stage: Stage, plan: GatewayPlan): Promise<Program> {
  const {
    worker,
    dataFolder,
    modelsFile,
    port = 0,
    name = 'the gateway',
    args = [],
    environment = {},
    nodeArgs = [],
    root = ROOT,
  } = plan;
  const own = [
    `--port=${port}`,
    `--workers=${worker === undefined ? '' : `127.0.0.1:${worker.port}`}`,
    `--data-folder=${dataFolder}`,
  ];
  const gateway = await stage.start(name, join(root, 'apps/gateway/dist/main.js'), {
    args: [...own, `--models-file=${modelsFile}`, '--log-level=warn', ...args],
    environment: { ...environment },
    nodeArgs,
  });
  try {
    await until(async () => (await statusOf(`${gateway.url}/readyz`)) === 200, START_TIMEOUT_MS, `${name} is ready`);
  } catch (error) {
    throw new Error(`${(error as Error).message}. It wrote:\n${gateway.output}`);
  }
  return gateway;
}

export function newAdminKey(): string {
  return randomBytes(24).toString('hex');
}

export interface NewKey {
  readonly id: string;
  readonly key: string;
}

/** @param wanted the body of `POST /admin/keys`. @returns undefined where there is no admin API. */
export async function createKey(gateway: Program, adminKey: string, wanted: object): Promise<NewKey | undefined> {
  const response = await fetch(`${gateway.url}/admin/keys`, {
    method: 'POST',
    headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' },
    body: JSON.stringify(wanted),
    signal: AbortSignal.timeout(START_TIMEOUT_MS),
  });
  const body = (await response.json()) as Partial<NewKey>;
  if (response.status === 404) return undefined;
  if (body.key === undefined) throw new Error(`No key was made: ${response.status} ${JSON.stringify(body)}`);
  return body as NewKey;
}

/** 0 where nobody answers. */
export async function statusOf(url: string): Promise<number> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(5_000) });
    await response.arrayBuffer();
    return response.status;
  } catch {
    return 0;
  }
}

/** @throws Error that names `what` when it does not come true within `timeoutMs`. */
export async function until(holds: () => boolean | Promise<boolean>, timeoutMs: number, what: string): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`Waited ${timeoutMs} ms in vain: ${what}`);
    await sleep(50);
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** Processor time of a process and of all that it started, dead children included. Linux only. @returns milliseconds. */
export function cpuMsOf(pid: number): number {
  const own = statFields(pid);
  const living = childrenOf(pid).reduce((sum, child) => sum + cpuMsOf(child.pid), 0);
  // utime, stime, and of children that ended cutime and cstime: fields 14 to 17 of proc(5).
  const ticks = own.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return (ticks / TICKS_PER_SECOND) * 1_000 + living;
}

/** Fields of /proc/<pid>/stat from the third on; none once it is gone. */
function statFields(pid: number): string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return [];
  }
}

/** Resident memory. Linux only. @returns bytes. */
export function residentBytesOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}
