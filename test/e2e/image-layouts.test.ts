import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ImageSettings, settingsOf } from '../images/dockerfile.js';
import { freePort } from '../services/real-service.js';
import { childrenOf } from './processes.js';
import { ROOT } from './stack.js';

/** What the images hold is made by the script that the Dockerfile calls, and run as a container would run it. */
const TARGETS = ['gateway', 'worker', 'millrace'] as const;
type Target = (typeof TARGETS)[number];

const OWN_USER = 65_532;
const ASSEMBLE_TIMEOUT_MS = 300_000;
const READY_TIMEOUT_MS = 60_000;
const MEBIBYTE = 1024 * 1024;
/** Of what is in /opt/millrace; Debian's slim image beneath has 75 MiB more. A package that is twice the size is seen here. */
const SIZE_MIB_MAX: Readonly<Record<Target, number>> = { gateway: 320, worker: 270, millrace: 380 };

/** Why there can't be a root of its own here; undefined: there can. */
const noSandbox = whyNoSandbox();

const folder = mkdtempSync(join(tmpdir(), 'millrace-images-'));
// The other user has to get through.
chmodSync(folder, 0o711);
mkdirSync(join(folder, 'models'));
const layoutOf = (target: Target) => join(folder, target);

beforeAll(() => {
  const layout = (...args: string[]) =>
    execFileSync('tools/images/layout.sh', args, { cwd: ROOT, stdio: ['ignore', 'ignore', 'pipe'] });
  layout('build');
  for (const target of TARGETS) layout('assemble', target, layoutOf(target));
}, ASSEMBLE_TIMEOUT_MS);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('what the images hold', () => {
  it.each(TARGETS)('%s is small, and says how small', (target) => {
    const sizeMib = Math.round(sizeOf(layoutOf(target)) / MEBIBYTE);
    process.stdout.write(`The image ${target} holds ${sizeMib} MiB in /opt/millrace.\n`);
    expect(sizeMib).toBeLessThan(SIZE_MIB_MAX[target]);
    expect(sizeMib).toBeGreaterThan(120);
  });

  it('has what runs, and neither tests, sources, declarations nor what compiles', () => {
    for (const target of TARGETS) {
      const names = namesIn(layoutOf(target));
      const unwanted = names.filter((name) =>
        /(\.test\.js|\.testing\.js|\.d\.ts|\.map|\.gguf\.part)$|pnpm-lock|gitRelease\.bundle|@biomejs|\/vitest@|\/typescript@/.test(
          name,
        ),
      );
      expect(unwanted, target).toEqual([]);
      expect(names.some((name) => name.endsWith('apps/cli/dist/main.js'))).toBe(true);
    }
  });

  it('has the engine only where a worker is, and the embedded database only where a gateway is', () => {
    const has = (target: Target, part: string) => namesIn(layoutOf(target)).some((name) => name.includes(part));
    expect(TARGETS.filter((target) => has(target, '@node-llama-cpp'))).toEqual(['worker', 'millrace']);
    expect(TARGETS.filter((target) => has(target, '@electric-sql'))).toEqual(['gateway', 'millrace']);
    expect(TARGETS.filter((target) => has(target, 'libggml-cuda.so'))).toEqual([]);
    expect(TARGETS.filter((target) => has(target, 'millrace-demo.gguf'))).toEqual(['worker', 'millrace']);
  });

  it('is the same whenever it is made, times included', () => {
    for (const target of TARGETS) {
      const found = execFileSync(
        'find',
        [layoutOf(target), '!', '-newermt', '@315532799', '-o', '-newermt', '@315532800'],
        {
          encoding: 'utf8',
        },
      );
      expect(found, target).toBe('');
    }
  });

  it('can be written by nobody but its owner', () => {
    for (const target of TARGETS) {
      const found = execFileSync('find', [layoutOf(target), '-perm', '/022', '!', '-type', 'l'], { encoding: 'utf8' });
      expect(found, target).toBe('');
    }
  });
});

describe.skipIf(noSandbox !== undefined)(
  `containers of the images, without a container engine${noSandbox === undefined ? '' : ` (skipped: ${noSandbox})`}`,
  () => {
    it('millrace answers by itself, as nobody’s user, and writes nothing but /data and /tmp', async () => {
      const port = await freePort();
      await using box = startContainer('millrace', {
        MILLRACE_HOST: '127.0.0.1',
        MILLRACE_PORT: String(port),
        MILLRACE_WORKER_PORT: '0',
      });
      await box.healthy();
      const url = `http://127.0.0.1:${port}`;
      expect(await capitalOfFrance(url)).toContain('Paris');
      const level = ['--scenario', 'files', '--clients', '1', '--requests', '2', '--max-tokens', '4'];
      const measured = await box.exec('millrace', 'bench', '--url', url, ...level);
      expect(measured, measured.said).toMatchObject({ status: 0 });
      // No IPC, no shell: whom the init started is of the image's user.
      for (const { pid } of childrenOf(box.pid)) expect(uidOf(pid)).toBe(OWN_USER);
      expect(readdirSync(box.dataFolder)).toEqual(expect.arrayContaining(['admin-key', 'cache', 'postgres']));
      const { said } = await box.exec('sh', '-c', 'echo x >/opt/millrace/x; echo x >/x; echo x >/models/x');
      expect(said.match(/Read-only file system/g)).toHaveLength(3);
      expect(await box.stop()).toBe(0);
      expect(box.said()).not.toMatch(/EROFS|EACCES/);
    });

    it('gateway and worker answer together, each in its own', async () => {
      const [port, workerPort, metricsPort] = [await freePort(), await freePort(), await freePort()];
      await using worker = startContainer('worker', {
        MILLRACE_WORKER_HOST: '127.0.0.1',
        MILLRACE_WORKER_PORT: String(workerPort),
        MILLRACE_WORKER_METRICS_PORT: String(metricsPort),
      });
      await using gateway = startContainer('gateway', {
        MILLRACE_HOST: '127.0.0.1',
        MILLRACE_PORT: String(port),
        MILLRACE_WORKERS: `127.0.0.1:${workerPort}`,
      });
      await worker.healthy();
      await gateway.healthy();
      expect(await capitalOfFrance(`http://127.0.0.1:${port}`)).toContain('Paris');
      const scraped = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
      expect(scraped).toContain('millrace_worker_');
      expect(await gateway.stop()).toBe(0);
      expect(await worker.stop()).toBe(0);
      expect(`${gateway.said()}${worker.said()}`).not.toMatch(/EROFS|EACCES/);
    });

    it('beyond loopback, as it is set in the image, serves nobody before there is a key', async () => {
      const port = await freePort();
      await using box = startContainer('millrace', { MILLRACE_PORT: String(port), MILLRACE_WORKER_PORT: '0' });
      await box.healthy();
      const url = `http://127.0.0.1:${port}`;
      expect((await ask(url)).status).toBe(401);
      const made = await box.exec('millrace', 'keys', 'create', 'me', '--quiet');
      expect(made.status, made.said).toBe(0);
      expect(await capitalOfFrance(url, made.said.trim())).toContain('Paris');
    });

    it('says which image has what this one has not', async () => {
      await using gateway = startContainer('gateway', { MILLRACE_WORKERS: '127.0.0.1:1' }, ['worker']);
      expect(await gateway.ended()).toBe(1);
      expect(gateway.said()).toContain('There is no worker here. In a container, take the image millrace/worker');
    });
  },
);

interface Container extends AsyncDisposable {
  readonly pid: number;
  readonly dataFolder: string;
  said(): string;
  /** Until its HEALTHCHECK is content. */
  healthy(): Promise<void>;
  /** As `docker exec`. */
  exec(...command: string[]): Promise<{ readonly status: number | null; readonly said: string }>;
  /** As `docker stop`. */
  stop(): Promise<number | null>;
  ended(): Promise<number | null>;
}

function startContainer(
  target: Target,
  given: Readonly<Record<string, string>>,
  command?: readonly string[],
): Container {
  const image = settingsOf(target);
  const dataFolder = mkdtempSync(join(folder, `${target}-data-`));
  chownSync(dataFolder, OWN_USER, OWN_USER);
  const environment = { ...image.environment, ...given };
  const child = inSandbox(target, image, dataFolder, environment, [...image.entrypoint, ...(command ?? image.command)]);
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text: Buffer) => (said += text.toString()));
  const gone = once(child, 'exit').then(([code]) => code as number | null);
  // unshare starts it, and waits.
  const first = () => childrenOf(child.pid!)[0]?.pid ?? child.pid!;
  const exec = async (...asked: string[]) => {
    const enter = ['--target', String(first()), '--mount', '--pid', '--root', '--wdns=/data'];
    const user = ['setpriv', `--reuid=${OWN_USER}`, `--regid=${OWN_USER}`, '--clear-groups'];
    const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
    const other = spawn('nsenter', [...enter, 'env', '-i', ...variables, ...user, ...asked], { stdio: 'pipe' });
    let heard = '';
    for (const stream of [other.stdout, other.stderr]) stream.on('data', (text: Buffer) => (heard += text.toString()));
    const [status] = (await once(other, 'close')) as [number | null];
    return { status, said: heard };
  };
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) process.kill(first(), 'SIGTERM');
    return gone;
  };
  return {
    get pid() {
      return first();
    },
    dataFolder,
    said: () => said,
    exec,
    stop,
    ended: () => gone,
    healthy: async () => {
      const deadlineMs = performance.now() + READY_TIMEOUT_MS;
      for (;;) {
        const { status, said: sentence } = await exec(...image.healthcheck);
        if (status === 0) return;
        if (performance.now() > deadlineMs || child.exitCode !== null) {
          throw new Error(`${target} did not become healthy: ${sentence}\n${said}`);
        }
      }
    },
    [Symbol.asyncDispose]: async () => void (await stop()),
  };
}

function inSandbox(
  target: Target,
  image: ImageSettings,
  dataFolder: string,
  environment: Readonly<Record<string, string>>,
  command: readonly string[],
): ChildProcess {
  const place = [layoutOf(target), dataFolder, join(folder, 'models'), String(OWN_USER), image.workingFolder];
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  return spawn('tools/images/sandbox.sh', [...place, ...variables, ...command], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

function whyNoSandbox(): string | undefined {
  if (process.platform !== 'linux') return 'it wants Linux';
  if (process.getuid?.() !== 0) return 'it wants root, for mounts and for another user';
  try {
    execFileSync('unshare', ['--mount', '--pid', '--fork', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'], { stdio: 'pipe' });
    execFileSync('nsenter', ['--version'], { stdio: 'ignore' });
    return undefined;
  } catch (error) {
    return `mounts are not allowed here: ${(error as Error).message.trim().split('\n').at(-1)}`;
  }
}

function ask(url: string, key?: string): Promise<Response> {
  return fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(key && { authorization: `Bearer ${key}` }) },
    body: JSON.stringify({ messages: [{ role: 'user', content: 'What is the capital of France?' }], temperature: 0 }),
  });
}

async function capitalOfFrance(url: string, key?: string): Promise<string> {
  const { choices } = (await (await ask(url, key)).json()) as { choices: { message: { content: string } }[] };
  return choices[0]!.message.content;
}

function sizeOf(path: string): number {
  return Number(execFileSync('du', ['-sb', path], { encoding: 'utf8' }).split('\t')[0]);
}

function namesIn(path: string): string[] {
  return execFileSync('find', [path, '!', '-type', 'd'], { encoding: 'utf8', maxBuffer: 64 * MEBIBYTE })
    .trim()
    .split('\n');
}

function uidOf(pid: number): number {
  return Number(execFileSync('stat', ['-c', '%u', `/proc/${pid}`], { encoding: 'utf8' }));
}
