import { pbkdf2 } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { forkTrial } from './fork-trial.js';
import type { TrialRequest } from './trial-request.js';

const BUILT = new URL('../../dist/engines/try-model-main.js', import.meta.url);
const modelFile = (name: string) => fileURLToPath(new URL(`../../../../models/${name}.gguf`, import.meta.url));
const DEMO = modelFile('millrace-demo');

let folder: string;
beforeAll(() => {
  expect(existsSync(BUILT), 'run `make build` first').toBe(true);
  folder = mkdtempSync(join(tmpdir(), 'millrace-fork-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const request = (path: string): TrialRequest => ({ path, lora: [], kvCacheType: 'f16', gpu: 'off', threads: 1 });
const never = new AbortController().signal;

/** The built-in model with another number at `key`, which is a u32. */
function demoWith(key: string, value: number): string {
  const bytes = Buffer.from(readFileSync(DEMO));
  bytes.writeUInt32LE(value, bytes.indexOf(key) + key.length + 4);
  const path = join(folder, `${key}-${value}.gguf`);
  writeFileSync(path, bytes);
  return path;
}

describe('a trial of a model', () => {
  const trial = (path: string) =>
    forkTrial('demo', request(path), { timeoutMs: 60_000, entry: BUILT, environment: process.env }, never);

  it.each(['millrace-demo', 'millrace-demo-embed'])('passes %s', async (name) => {
    expect(await trial(modelFile(name))).toEqual({ passed: true, isLasting: true });
  });

  it.each([
    ['llama.block_count', 0],
    ['llama.attention.head_count', 0],
    ['llama.feed_forward_length', 0],
  ])('survives that %s is %i, on which llama.cpp aborts, and says what it said', async (key, value) => {
    expect(await trial(demoWith(key, value))).toEqual({
      passed: false,
      isLasting: true,
      sentence: expect.stringMatching(/was ended by SIGABRT.*GGML_ASSERT/) as string,
    });
  });

  it('says what llama.cpp refuses by itself', async () => {
    expect(await trial(demoWith('llama.feed_forward_length', 5))).toEqual({
      passed: false,
      isLasting: false,
      sentence: expect.stringMatching(/llama\.cpp can't load .*gguf: /) as string,
    });
  });
});

describe('a process in which a model is tried', () => {
  const entry = (code: string) => {
    const path = join(folder, 'entry.mjs');
    writeFileSync(path, code);
    return pathToFileURL(path);
  };
  const run = (code: string, timeoutMs = 60_000, signal = never) =>
    forkTrial(
      'demo',
      request('/a.gguf'),
      { timeoutMs, entry: entry(code), environment: { ...process.env, MILLRACE_TEST_API_KEY: 'secret' } },
      signal,
    );

  it('is ended when it takes too long', async () => {
    const ending = await run('setInterval(() => {}, 1000)', 300);
    expect(ending).toMatchObject({ passed: false, isLasting: false });
    expect(ending).toMatchObject({
      sentence: expect.stringContaining('longer than 300 ms (trialTimeoutMs)') as string,
    });
  });

  it('is ended when nobody wants to know any more', async () => {
    const pid = join(folder, 'pid');
    const leaving = new AbortController();
    const trial = run(
      `import { writeFileSync } from 'node:fs'; writeFileSync(${JSON.stringify(pid)}, String(process.pid)); setInterval(() => {}, 1000)`,
      60_000,
      leaving.signal,
    );
    await expect.poll(() => existsSync(pid) && readFileSync(pid, 'utf8') !== '', { timeout: 10_000 }).toBe(true);
    leaving.abort(new Error('stopped'));
    await expect(trial).rejects.toThrow('stopped');
    expect(() => process.kill(Number(readFileSync(pid, 'utf8')), 0)).toThrow('ESRCH');
    await expect(run('', 60_000, leaving.signal)).rejects.toThrow('stopped');
  });

  it('is not remembered for being killed, as the system does when memory is short', async () => {
    const ending = await run(`process.kill(process.pid, 'SIGKILL'); setInterval(() => {}, 1000)`);
    expect(ending).toMatchObject({ passed: false, isLasting: false });
    expect(ending).toMatchObject({ sentence: expect.stringContaining('was ended by SIGKILL') as string });
  });

  it.each([
    'CUDA error: out of memory\\n  ggml_cuda_error: CUDA error',
    "terminate called after throwing an instance of 'std::bad_alloc'",
    'std::system_error: Resource temporarily unavailable',
  ])('is not remembered for what the moment may have caused: %s', async (words) => {
    const ending = await run(`process.stderr.write('${words.replaceAll("'", "\\'")}\\n', () => process.abort())`);
    expect(ending).toMatchObject({ passed: false, isLasting: false });
    expect(ending).toMatchObject({
      sentence: expect.stringMatching(/was ended by SIGABRT.*no memory or threads left/) as string,
    });
  });

  it('is seen to end though everything else keeps us waiting by then', async () => {
    // All threads of Node's pool are busy: what `forkTrial` asks the system for comes after the process has ended.
    const busy = Array.from({ length: 64 }, () => promisify(pbkdf2)('a', 'b', 200_000, 64, 'sha512'));
    expect(await run('process.exit(0)')).toMatchObject({ passed: true });
    await Promise.all(busy);
  });

  it('is quoted with a bounded part of its last words', async () => {
    const ending = await run(
      `process.stderr.write('x'.repeat(1e6) + '\\n' + 'failed: ' + 'y'.repeat(5000), () => process.exit(3))`,
    );
    expect(ending).toMatchObject({ passed: false, isLasting: false });
    const { sentence } = ending as { sentence: string };
    expect(sentence).toContain('ended with status 3');
    expect(sentence.length).toBeLessThan(600);
  });

  it('sees nothing of the environment but what engines need', async () => {
    const ending = await run(
      `process.send({ sentence: process.env.MILLRACE_TEST_API_KEY + ' ' + typeof process.env.PATH }, () => process.exit(1))`,
    );
    expect(ending).toMatchObject({ sentence: 'undefined string' });
  });

  it('says that it could not be started', async () => {
    const nowhere = pathToFileURL(join(folder, 'absent.mjs'));
    const ending = await forkTrial(
      'demo',
      request('/a.gguf'),
      { timeoutMs: 10_000, entry: nowhere, environment: {} },
      never,
    );
    expect(ending).toMatchObject({ passed: false, isLasting: false });
  });
});
