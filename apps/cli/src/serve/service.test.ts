import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger, loadSettings } from '@millrace/runtime';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Service } from './service.js';

const FAKE = join(import.meta.dirname, 'fake-process.testing.ts');

let folder: string;
let service: Service;
let logged: string[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-serve-'));
});
afterEach(() => {
  service.kill();
  rmSync(folder, { recursive: true, force: true });
});

/** A service of two fakes, which are told `fakeFlags`. */
function serviceWith(
  fakeFlags: string[] = [],
  flags: string[] = [],
  onProgress?: (reason: string) => void,
  withoutWorker = false,
): Service {
  logged = [];
  const loaded = loadSettings({
    reader: 'serve',
    args: ['--port=0', '--worker-port=0', '--restart-delay-ms-min=20', ...flags],
    environment: {},
    workingFolder: folder,
  });
  service = new Service({
    loaded: { ...loaded, flagsFor: () => [`--journal=${join(folder, 'journal')}`, ...fakeFlags] },
    logger: createLogger({ name: 'serve', level: 'info', format: 'json' }, { write: (line) => logged.push(line) }),
    programs: { worker: { entry: FAKE }, gateway: { entry: FAKE } },
    killGraceMs: 300,
    withoutWorker,
    ...(onProgress && { onProgress }),
  });
  return service;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const journal = () => readFileSync(join(folder, 'journal'), 'utf8').trim().split('\n');
const eventsOf = (lines: string[]) => lines.map((line) => line.replace(/-on-\d+|\s\d+$/g, ''));
const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

describe('Service', () => {
  it('starts the worker, then the gateway with its address, and is ready when the gateway is', async () => {
    const reasons: string[] = [];
    const { url, workerAddress } = await serviceWith([], [], (reason) => reasons.push(reason)).start();
    const gateway = (await (await fetch(url)).json()) as { args: string[] };
    expect(gateway.args).toContain(`--workers=${workerAddress}`);
    expect(eventsOf(journal())).toEqual(['worker listening', 'gateway listening']);
    expect(reasons).toEqual(['loading 1', 'loading 2']);
  });

  it('starts no worker where it is to do without one, and the gateway knows of none', async () => {
    const { url, workerAddress } = await serviceWith([], [], undefined, true).start();
    const gateway = (await (await fetch(url)).json()) as { args: string[] };
    expect(gateway.args).toContain('--workers=');
    expect(workerAddress).toBeUndefined();
    expect(eventsOf(journal())).toEqual(['gateway listening']);
    await service.stop();
    expect(eventsOf(journal()).at(-1)).toContain('gateway');
  });

  it('hands on a secret where no list of processes shows it', async () => {
    process.env.MILLRACE_ADMIN_KEY = 'weaker than a flag';
    try {
      const { url } = await serviceWith([], ['--admin-key=of-the-flag']).start();
      expect(await (await fetch(url)).json()).toMatchObject({ adminKey: 'of-the-flag' });
    } finally {
      delete process.env.MILLRACE_ADMIN_KEY;
    }
  });

  it('stops the gateway first, then the worker', async () => {
    await serviceWith().start();
    await service.stop();
    expect(eventsOf(journal()).slice(2)).toEqual([
      'gateway asked-to-stop',
      'gateway ended',
      'worker asked-to-stop',
      'worker ended',
    ]);
  });

  it('starts no worker again that ends before the gateway has: Ctrl-C reaches all of them', async () => {
    await serviceWith(['--deaf'], ['--drain-timeout-ms=1000']).start();
    const worker = Number(journal()[0]!.split(' ').at(-1));
    const stopped = service.stop();
    await expect.poll(journal).toContainEqual(expect.stringMatching(/^gateway asked-to-stop/));
    process.kill(worker, 'SIGKILL');
    await stopped;
    expect(isAlive(worker)).toBe(false);
    expect(logged.filter((line) => line.includes('started again'))).toEqual([]);
    expect(journal().filter((line) => line.startsWith('worker listening'))).toHaveLength(1);
  });

  it('ends with the sentence of a process that fails at the start', async () => {
    await expect(serviceWith(['--worker-fails=There is no model. Get one.']).start()).rejects.toThrow(
      /^There is no model\. Get one\.$/,
    );
  });

  it('ends when a process dies before the service was ready', async () => {
    await expect(serviceWith(['--gateway-crashes']).start()).rejects.toThrow('The gateway ended by signal SIGKILL');
  });

  it('starts again what dies, on the port that others know it by', async () => {
    const { url } = await serviceWith().start();
    const before = (await (await fetch(url)).json()) as { pid: number };
    process.kill(before.pid, 'SIGKILL');
    const pidNow = async () => ((await (await fetch(url)).json()) as { pid: number }).pid;
    await expect.poll(() => pidNow().catch(() => before.pid), { timeout: 5_000 }).not.toBe(before.pid);

    const [workerStart] = journal();
    process.kill(Number(workerStart!.split(' ').at(-1)), 'SIGKILL');
    const workerStarts = () =>
      journal()
        .filter((line) => line.startsWith('worker listening'))
        .map((line) => line.split(' ')[1]);
    await expect
      .poll(workerStarts, { timeout: 5_000 })
      .toEqual([workerStart!.split(' ')[1], workerStart!.split(' ')[1]]);
  });

  it('waits longer each time before it starts a process again, up to the limit', async () => {
    await serviceWith([], ['--restart-delay-ms-max=50']).start();
    for (const deaths of [1, 2, 3]) {
      await expect.poll(() => journal().filter((line) => line.startsWith('worker listening')).length).toBe(deaths);
      const newest = journal().findLast((line) => line.startsWith('worker listening'))!;
      process.kill(Number(newest.split(' ').at(-1)), 'SIGKILL');
      await expect.poll(() => logged.length).toBe(deaths);
    }
    expect(logged.map((line) => /in (\d+) ms/.exec(line)?.[1])).toEqual(['20', '40', '50']);
  });

  it('kills what does not end in time', async () => {
    await serviceWith(['--deaf'], ['--drain-timeout-ms=0']).start();
    const pids = journal().map((line) => Number(line.split(' ').at(-1)));
    await service.stop();
    expect(pids.map(isAlive)).toEqual([false, false]);
  });

  it('leaves the gateway the time of its delay, and the worker alone meanwhile', async () => {
    await serviceWith(['--deaf'], ['--drain-timeout-ms=0', '--drain-delay-ms=600']).start();
    const beforeMs = performance.now();
    const stopped = service.stop();
    await expect.poll(() => journal().filter((line) => line.includes('asked-to-stop'))).toHaveLength(1);
    expect(journal().at(-1)).toMatch(/^gateway asked-to-stop/);
    await stopped;
    expect(performance.now() - beforeMs).toBeGreaterThan(850); // With the grace; timers may be a little early.
  });

  it.each([
    ['the worker', async () => 0],
    ['both', freePort],
  ])('starts nothing after it was stopped, even while it looks for a port for %s', async (_, portOf) => {
    const flags = [`--port=${await portOf()}`];
    const start = serviceWith([], flags).start();
    const refused = expect(start).rejects.toThrow('Stopped before it was ready.');
    await service.stop();
    await refused;
    await new Promise((resolve) => setTimeout(resolve, 300)); // About as long as a process takes to start.
    expect(journal).toThrow('ENOENT');
  });

  it('says so in one sentence when the machine has no such address for the worker', async () => {
    await expect(serviceWith([], ['--worker-host=999.1.1.1']).start()).rejects.toThrow(
      /^999\.1\.1\.1 is no address of this machine\. Choose one that is, such as --worker-host 127\.0\.0\.1\.$/,
    );
    expect(journal).toThrow('ENOENT');
  });

  it('says so in one sentence when the port is in use, before anything is started', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as { port: number };
    await expect(serviceWith([], [`--port=${port}`]).start()).rejects.toThrow(
      `Port ${port} of 127.0.0.1 is in use by another program. Stop that one, or choose another port: --port ${port + 1}.`,
    );
    expect(journal).toThrow('ENOENT');
    other.close();
  });
});
