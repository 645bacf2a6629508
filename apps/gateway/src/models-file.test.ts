import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Settings } from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeWorker, type FakeWorkerOptions } from './dispatch/fake-worker.testing.js';
import { TestBed } from './gateway.testing.js';
import { degradedBy } from './open-parts.js';
import { WatchedModels } from './routing/models-in-force.js';

const aliasTo = (target: string) => `aliases:\n  - { name: chat, targets: [{ model: ${target} }] }\n`;
const CHECK_MS = 20;
const QUIET = { info() {}, warn() {}, error() {} } as unknown as Logger;
const serving = (...ids: string[]) => ({ models: ids.map((id) => ({ id, capabilities: ['chat'] })) });

describe('the models file of a gateway that runs', () => {
  let folder: string;
  let path: string;
  let models: WatchedModels;
  let bed: TestBed;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'millrace-models-file-'));
    path = join(folder, 'models.yaml');
    writeFileSync(path, aliasTo('one'));
  });
  afterEach(async () => {
    models.close();
    await bed[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  const start = async (settings: Partial<Settings>, workers: (FakeWorkerOptions | FakeWorker)[], ready = true) => {
    const degraded = () => degradedBy([['models_file', models.trouble]]);
    const parts = {
      degraded,
      // Made when the gateway opens its parts, as in earnest: its metrics have been started by then.
      get models() {
        models = new WatchedModels(path, CHECK_MS, QUIET);
        return models;
      },
    };
    bed = await TestBed.start(settings, workers, ready, '127.0.0.1', parts);
  };
  const modelOf = async (response: Response) => ((await response.json()) as { model?: string }).model;
  const asked = async () => modelOf(await bed.chat({ model: 'chat' }));
  const readyz = async () => (await fetch(`${bed.url}/readyz`)).json();
  const metrics = async () => (await fetch(`${bed.url}/metrics`)).text();

  it('is taken up without a restart, and a request under way ends as it began', async () => {
    await start({}, [{ ...serving('one', 'two'), stepMs: 5, script: () => ({ answer: Array(60).fill('on ') }) }]);
    const streamed = await bed.chat({ model: 'chat', stream: true });
    writeFileSync(path, aliasTo('two'));
    await expect.poll(asked, { timeout: 5_000 }).toBe('two');
    const chunks = (await streamed.text()).split('\n\n').filter((event) => event.includes('"model"'));
    expect(chunks.length).toBeGreaterThan(1);
    expect(chunks.every((chunk) => chunk.includes('"model":"one"'))).toBe(true);
    expect(await metrics()).toMatch(/millrace_models_file_reloads_total\{[^}]*outcome="taken"[^}]*\} 1/);
  });

  it.each([
    ['nonsense', '\t: [nonsense'],
    ['aliases that point at each other', `${aliasTo('b')}  - { name: b, targets: [{ model: chat }] }\n`],
    [
      'a fallback chain of 50',
      `aliases:\n  - { name: chat, targets: [{ model: one }], fallbacks: [${Array.from({ length: 50 }, (_, index) => `f${index}`)}] }\n`,
    ],
  ])('stays as it was where it is edited to %s, and /readyz says why', async (_what, text) => {
    await start({}, [serving('one')]);
    writeFileSync(path, text);
    await expect.poll(readyz, { timeout: 5_000 }).toMatchObject({
      status: 'ready',
      degraded: [{ part: 'models_file', detail: expect.stringMatching(/models\.yaml, line \d/) }],
    });
    expect(await asked()).toBe('one');
    expect(await metrics()).toMatch(/millrace_models_file_reloads_total\{[^}]*outcome="refused"[^}]*\} 1/);
    writeFileSync(path, aliasTo('one'));
    await expect.poll(readyz, { timeout: 5_000 }).not.toHaveProperty('degraded');
  });

  it('may come to name a model that rests at zero, which has a series before the first request for it', async () => {
    await start({}, [serving('one')]);
    const series = 'millrace_resting_model_requests_total';
    expect(await metrics()).not.toMatch(new RegExp(`^${series}\\{`, 'm'));
    writeFileSync(path, 'models:\n  - { id: late, path: late.gguf, restsAtZero: true }\n');
    await expect
      .poll(metrics, { timeout: 5_000 })
      .toMatch(new RegExp(`^${series}\\{[^}]*model="late"[^}]*\\} 0$`, 'm'));
  });

  it('may name a model of a worker that has not been heard yet: whoever asks for it waits', async () => {
    writeFileSync(path, aliasTo('late'));
    const late = await FakeWorker.start(serving('late'));
    const release = Promise.withResolvers<void>();
    // Whoever connects hears nothing until it is released.
    const proxy = createServer(async (socket) => {
      await release.promise;
      const there = connect(late.port, '127.0.0.1');
      for (const end of [socket, there]) end.on('error', () => {});
      socket.pipe(there).pipe(socket);
    }).listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    const one = await FakeWorker.start(serving('one'));
    const workers = [one.address, `127.0.0.1:${(proxy.address() as AddressInfo).port}`];
    await start({ workers }, [one], false);
    await expect.poll(async () => modelOf(await bed.chat({ model: 'one' }))).toBe('one');
    const waiting = asked();
    await expect.poll(metrics).toMatch(/^millrace_waiting_requests\{[^}]*\} 1$/m);
    release.resolve();
    expect(await waiting).toBe('late');
    late.die();
    proxy.close();
  });
});
