import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import { afterEach, describe, expect, it } from 'vitest';
import { freePort } from '../bench/programs.js';
import { childrenOf } from './processes.js';
import { MILLRACE, ROOT } from './stack.js';

const START_MS_MAX = 60_000;
const STOP_MS_MAX = 30_000;

describe('millrace gateway and millrace worker, as on machines of their own', () => {
  const dataFolder = mkdtempSync(join(tmpdir(), 'millrace-e2e-'));
  const started: ChildProcess[] = [];
  afterEach(async () => {
    for (const child of started) child.kill('SIGKILL');
    await Promise.all(started.map((child) => child.exitCode ?? child.signalCode ?? once(child, 'exit')));
    rmSync(dataFolder, { recursive: true, force: true, maxRetries: 5 });
  });

  function start(...args: string[]): ChildProcess {
    const environment = { ...process.env, MILLRACE_DATA_FOLDER: dataFolder };
    const child = spawn(process.execPath, [MILLRACE, ...args], { cwd: ROOT, env: environment, stdio: 'ignore' });
    started.push(child);
    return child;
  }

  it('serve together, and each ends by itself when it is asked to', async () => {
    const [port, workerPort] = [await freePort(), await freePort()];
    const gateway = start('gateway', '--port', `${port}`, '--workers', `127.0.0.1:${workerPort}`);
    const url = `http://127.0.0.1:${port}`;
    const readiness = () => fetch(`${url}/readyz`).then(({ status }) => status, String);
    // It is there before any worker is, and says so.
    await expect.poll(readiness, { timeout: START_MS_MAX }).toBe(503);
    const worker = start('worker', '--worker-port', `${workerPort}`);
    await expect.poll(readiness, { timeout: START_MS_MAX }).toBe(200);
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any', maxRetries: 0 });
    const { choices } = await client.chat.completions.create({
      model: 'millrace-demo',
      messages: [{ role: 'user', content: 'What is the capital of France?' }],
      temperature: 0,
    });
    expect(choices[0]?.message.content).toContain('Paris');

    // In place of the command that was typed, and not under it.
    const below = [gateway, worker].flatMap(({ pid }) => childrenOf(pid!));
    expect(below.filter(({ command }) => /(gateway|worker)\/dist\/main\.js/.test(command))).toEqual([]);
    for (const [child, then] of [
      [worker, 503],
      [gateway, 'gone'],
    ] as const) {
      child.kill('SIGTERM');
      expect(await once(child, 'exit', { signal: AbortSignal.timeout(STOP_MS_MAX) })).toEqual([0, null]);
      const now = await readiness();
      expect(typeof now === 'string' ? 'gone' : now).toBe(then);
    }
  }, 180_000);
});
