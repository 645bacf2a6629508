import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { AnswerEvent, AnswerRequest } from '@millrace/contracts';
import { createLogger } from '@millrace/runtime';
import { afterEach, describe, expect, it } from 'vitest';
import { type OpenVinoOptions, openOpenVino } from './open-openvino.js';
import type { OpenVinoEngine } from './openvino-engine.js';
import { environmentOf } from './openvino-program.js';

const FAKE = join(import.meta.dirname, 'fake-program.testing.ts');
const never = new AbortController().signal;

const engines: OpenVinoEngine[] = [];
const broken: string[] = [];
const reports: string[] = [];
afterEach(async () => {
  for (const engine of engines.splice(0)) await engine.close();
  broken.length = 0;
  reports.length = 0;
});

function options(path: string, more: Partial<OpenVinoOptions> = {}): OpenVinoOptions {
  return {
    model: { id: 'demo', aliases: [], capabilities: ['chat'], created: 0, samplingDefaults: {}, isDefault: true },
    path,
    device: 'CPU',
    python: process.execPath,
    limits: { sequencesMax: 4, queueMax: 4, requestTimeoutMs: 30_000, backgroundTimeoutMs: 30_000 },
    environment: process.env,
    logger: createLogger({ name: 'worker', level: 'silent', format: 'json' }),
    report: (sentence) => reports.push(sentence),
    onBroken: (error) => broken.push(error.message),
    script: FAKE,
    restartDelayMsMin: 10,
    ...more,
  };
}

/** So long that a test sees it gone before it is back. */
const SEEN_AWAY = { restartDelayMsMin: 1_500 };

async function open(path: string, more: Partial<OpenVinoOptions> = {}): Promise<OpenVinoEngine> {
  const engine = await openOpenVino(options(path, more), never);
  engines.push(engine);
  return engine;
}

function ask(engine: OpenVinoEngine, signal = never): AsyncIterator<AnswerEvent> {
  const request: AnswerRequest = {
    requestId: 'r',
    model: 'demo',
    prompt: { kind: 'chat', messages: [{ role: 'user', content: 'Hi' }], tools: [], templateVariables: {} },
    sampling: {},
    stop: [],
    priority: 0,
  };
  return engine.answer(request, signal)[Symbol.asyncIterator]();
}

/** Up to the first words. */
async function begun(engine: OpenVinoEngine): Promise<AsyncIterator<AnswerEvent>> {
  const answer = ask(engine);
  for (;;) {
    const { value, done } = await answer.next();
    expect(done).not.toBe(true);
    if (value.kind === 'tokens' && value.text !== '') return answer;
  }
}

async function failureOf(answer: AsyncIterator<AnswerEvent>): Promise<unknown> {
  try {
    while (!(await answer.next()).done);
    return undefined;
  } catch (error) {
    return error;
  }
}

function kill(engine: OpenVinoEngine): void {
  process.kill(engine.pid!, 'SIGKILL');
}

describe('openOpenVino', () => {
  it('waits until the model is loaded, tells of it, and takes the context that the program tells', async () => {
    const engine = await open('good');
    expect(engine.describe()).toMatchObject({ engine: 'OpenVINO GenAI', contextLength: 512 });
    expect(engine.describe().state).toBeUndefined();
    expect(reports).toContain('It is being loaded.');
    await (await begun(engine)).return?.();
  });

  it.each([
    ['no-package', /No module named 'openvino_genai': run `pip install`\..*MILLRACE_PYTHON/],
    ['old-python', /status 1 at its start\. Its last words: "SyntaxError: invalid syntax"\. Install Python 3\.10/],
    ['no-model', /The model demo can not be loaded: no such file\./],
    ['dies-loading', /ended with status 1\./],
  ])('says in a sentence why it can not be: %s', async (path, sentence) => {
    await expect(openOpenVino(options(path), never)).rejects.toThrow(sentence);
  });

  it('says what to do where there is no Python', async () => {
    const opening = openOpenVino(options('good', { python: 'no-such-python' }), never);
    await expect(opening).rejects.toThrow(/`no-such-python`.*pip install -r tools\/openvino-server\/requirements\.txt/);
  });

  it('leaves no program behind when it is called off', async () => {
    const stop = new AbortController();
    const opening = openOpenVino(options('deaf'), stop.signal);
    setTimeout(() => stop.abort(new Error('called off')), 50);
    // It resolves when the program is gone.
    await expect(opening).rejects.toThrow('called off');
  });
});

describe('a program that dies', () => {
  it('fails its answers, is started again on its port, and answers', async () => {
    const engine = await open('good', SEEN_AWAY);
    const answer = await begun(engine);
    const pidBefore = engine.pid;
    kill(engine);

    expect(await failureOf(answer)).toMatchObject({ code: 'upstream_failed' });
    await expect.poll(() => engine.describe().state).toBe('loading');
    expect(await failureOf(ask(engine))).toMatchObject({ code: 'model_not_ready' });
    await expect.poll(() => engine.describe().state).toBeUndefined();
    expect(engine.pid).not.toBe(pidBefore);
    await (await begun(engine)).return?.();
    expect(broken).toEqual([]);
  });

  it('is given up when it dies again and again', async () => {
    const engine = await open('good');
    const killed = new Set<number>();
    for (let death = 0; death < 6; death++) {
      await expect.poll(() => engine.describe().state === undefined && !killed.has(engine.pid!)).toBe(true);
      killed.add(engine.pid!);
      kill(engine);
    }
    await expect.poll(() => broken).toEqual([expect.stringMatching(/SIGKILL\. It was started 5 times in vain/)]);
    expect(engine.describe().state).toBe('failed');
    expect(await failureOf(ask(engine))).toMatchObject({ code: 'model_failed' });
  });

  it('or hangs is killed, and started again', async () => {
    const engine = await open('good', { ...SEEN_AWAY, silentMsMax: 1_000 });
    const answer = await begun(engine);
    const pidBefore = engine.pid;
    process.kill(pidBefore!, 'SIGSTOP');

    expect(await failureOf(answer)).toMatchObject({ code: 'upstream_failed' });
    await expect.poll(() => engine.describe().detail).toMatch(/was killed: it had not answered for \d+ ms\./);
    await expect.poll(() => engine.describe().state).toBeUndefined();
    expect(engine.pid).not.toBe(pidBefore);
  });

  it('is not started again once it is closed', async () => {
    const engine = await open('good');
    const { pid } = engine;
    await engine.close();
    expect(isAlive(pid!)).toBe(false);
    expect(engine.pid).toBe(pid);
    expect(await failureOf(ask(engine))).toMatchObject({ code: 'shutting_down' });
  });

  it('is killed when it does not end by itself', async () => {
    const engine = await open('stubborn');
    const { pid } = engine;
    await engine.close();
    expect(isAlive(pid!)).toBe(false);
  });
});

describe('environmentOf', () => {
  it('hands on what finds libraries, and nothing that may be a secret', () => {
    const environment = {
      PATH: '/bin',
      LD_LIBRARY_PATH: '/lib',
      GROQ_API_KEY: 'k',
      HF_TOKEN: 't',
      DATABASE_URL: 'u',
      MILLRACE_PORT: '1',
      PGPASSWORD: 'p',
    };
    expect(environmentOf(environment)).toEqual({ PATH: '/bin', LD_LIBRARY_PATH: '/lib', PYTHONUNBUFFERED: '1' });
  });
});

function isAlive(pid: number): boolean {
  return existsSync(`/proc/${pid}/stat`) || canBeSignalled(pid);
}

function canBeSignalled(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
