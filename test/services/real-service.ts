import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { childrenOf } from '../e2e/processes.ts';

const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 15_000;
const POLL_MS = 30;
/** Of what the server writes; its end says why it did not start. */
const OUTPUT_CHARACTERS_MAX = 8_192;

/** `make test-services` installs what is missing. */
export class NotInstalled extends Error {
  override readonly name = 'NotInstalled';
}

const PID_FILE = 'service.pid';

/** In PEM: what a server shows its clients, and by what it knows them. */
export interface ServiceTls {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
  /** Whether it lets nobody in who shows no certificate of `ca`. */
  readonly demandsCertificates?: boolean;
}

export interface ServiceUser {
  readonly uid: number;
  readonly gid: number;
}

/**
 * A server of our own on this machine, that can be taken away, made to hang and brought back on the same port with the same data.
 *
 * Ownership: of its process and its folder; `end` takes both away.
 */
export abstract class RealService {
  readonly port: number;
  protected readonly folder: string;
  protected readonly user: ServiceUser | undefined;
  #child: ChildProcess | undefined;
  #output = '';

  /** @param user who runs it; undefined: whoever runs this. */
  protected constructor(port: number, name: string, user?: ServiceUser) {
    this.port = port;
    this.user = user;
    this.folder = mkdtempSync(join(process.env.TEST_SERVICES_FOLDER ?? tmpdir(), `millrace-test-${name}-`));
    if (user !== undefined) chownSync(this.folder, user.uid, user.gid);
  }

  /** A file of its own, which nobody else may read. @returns its path. */
  protected keep(name: string, content: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, content, { mode: 0o600 });
    if (this.user !== undefined) chownSync(path, this.user.uid, this.user.gid);
    return path;
  }

  abstract readonly url: string;
  protected abstract readonly program: string;
  protected abstract readonly args: readonly string[];
  protected abstract readonly stopSignal: NodeJS.Signals;

  /** Beside that of the tests. */
  protected get environment(): NodeJS.ProcessEnv {
    return {};
  }

  /** Whether it can be used by now. */
  protected abstract answers(): Promise<boolean>;

  get pid(): number | undefined {
    return this.#isRunning ? this.#child?.pid : undefined;
  }

  /** Resolves when it can be used. */
  async start(): Promise<void> {
    if (this.#isRunning) return;
    this.#output = '';
    const child = spawn(this.program, [...this.args], {
      ...this.user,
      cwd: this.folder,
      env: { ...process.env, ...this.environment },
      // A group of its own: Ctrl-C is for the tests, which still need it to end in peace.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    if (child.pid !== undefined) writeFileSync(join(this.folder, PID_FILE), String(child.pid));
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text: Buffer) => this.#remember(text));
    let failure: Error | undefined;
    child.once('error', (error) => {
      failure = error;
    });
    const deadlineMs = performance.now() + START_TIMEOUT_MS;
    while (!(await this.answers())) {
      const isLate = performance.now() > deadlineMs;
      if (isLate) child.kill('SIGKILL');
      if (isLate || failure !== undefined || !this.#isRunning) {
        throw new Error(
          `${this.program} did not start${failure ? `: ${failure.message}` : ''}. It wrote:\n${this.#output}`,
        );
      }
      await sleep(POLL_MS);
    }
  }

  /** In an orderly way, as for an upgrade: clients are told. */
  async stop(): Promise<void> {
    await this.#endWith(this.stopSignal);
  }

  /** At once, with all of its processes: as when the machine's memory has run out. */
  async kill(): Promise<void> {
    await this.#endWith('SIGKILL');
  }

  /** It keeps its connections, takes new ones, and says nothing: as on a machine that hangs. */
  freeze(): void {
    this.#signalAll('SIGSTOP');
  }

  thaw(): void {
    this.#signalAll('SIGCONT');
  }

  /** Stops it, and takes its folder away. */
  async end(): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  get #isRunning(): boolean {
    return this.#child?.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  async #endWith(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === undefined || !this.#isRunning) return;
    this.thaw();
    const gone = once(child, 'exit');
    if (signal === 'SIGKILL') this.#signalAll(signal);
    else child.kill(signal);
    const force = setTimeout(() => this.#signalAll('SIGKILL'), STOP_TIMEOUT_MS);
    await gone;
    clearTimeout(force);
  }

  /** Postgres has a process for each connection, and each of them is a group of its own. */
  #signalAll(signal: NodeJS.Signals): void {
    const { pid } = this;
    if (pid === undefined) return;
    for (const each of [pid, ...childrenOf(pid).map((child) => child.pid)]) {
      try {
        process.kill(each, signal);
      } catch {
        // It ended meanwhile.
      }
    }
  }

  #remember(text: Buffer): void {
    this.#output = (this.#output + text.toString()).slice(-OUTPUT_CHARACTERS_MAX);
  }
}

/** Ends every server whose folder lies in `folder`: tests that were interrupted had no time to. */
export function endServicesIn(folder: string): void {
  for (const name of readdirSync(folder)) {
    try {
      process.kill(-Number(readFileSync(join(folder, name, PID_FILE), 'utf8')), 'SIGKILL');
    } catch {
      // It is no server's folder, or its server has ended.
    }
  }
  // What a server started of its own notices that, and writes until then.
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

/** @returns undefined where this user can not become another, or there is no such one. */
export function userToBecome(name: string): ServiceUser | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const id = (flag: string) => Number(execFileSync('id', [flag, name], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

/** @returns its path; undefined: this machine has none. */
export function findProgram(name: string, furtherFolders: readonly string[]): string | undefined {
  const folders = [...furtherFolders, ...(process.env.PATH ?? '').split(':')].filter((folder) => folder !== '');
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}
