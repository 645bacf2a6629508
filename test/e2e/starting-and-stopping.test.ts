import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { childrenOf, isAlive, poolThreadsOf } from './processes.js';
import { millrace, type Stack, sequencesOf, serveToItsEnd, startStack } from './stack.js';

describe('millrace serve', () => {
  let stack: Stack | undefined;
  afterEach(async () => {
    await stack?.stop();
    stack = undefined;
  });

  // A terminal sends Ctrl-C to every process of the group, so that the worker gets it while the gateway still needs it.
  it.each([
    ['asked to stop', (serve: ChildProcess) => serve.kill('SIGTERM')],
    ['ended by Ctrl-C', (serve: ChildProcess) => process.kill(-serve.pid!, 'SIGINT')],
  ])('lets running and waiting answers finish when it is %s, and leaves no process behind', async (_, stop) => {
    stack = await startStack({ args: ['--max-batch-size', '1'], ownGroup: true });
    const children = childrenOf(stack.serve.pid!);
    const client = stack.client();
    const stream = (maxTokens: number) => {
      const length = { max_tokens: maxTokens, ignore_eos: true };
      return client.completions.create({ model: 'millrace-demo', prompt: 'zq xv', ...length, stream: true });
    };
    const running = await stream(800);
    const chunks = running[Symbol.asyncIterator]();
    await chunks.next(); // It runs, and has most of its tokens before it.
    const waiting = stream(20);
    await expect.poll(() => sequencesOf(stack!.url)).toBe(2);
    const ended = once(stack.serve, 'exit');
    stop(stack.serve);
    for (const answer of [{ [Symbol.asyncIterator]: () => chunks }, await waiting]) {
      let finishReason: string | null | undefined;
      for await (const chunk of answer) finishReason = chunk.choices[0]?.finish_reason ?? finishReason;
      expect(finishReason).toMatch(/stop|length/);
    }

    expect(await ended).toEqual([0, null]);
    expect(children.length).toBeGreaterThanOrEqual(2);
    expect(children.filter(isAlive)).toEqual([]);
  });

  it('leaves no process behind when it is killed outright', async () => {
    stack = await startStack();
    const children = childrenOf(stack.serve.pid!);
    stack.serve.kill('SIGKILL');

    await expect.poll(() => children.filter(isAlive), { timeout: 10_000 }).toEqual([]);
  });

  it('starts a worker that died again', async () => {
    stack = await startStack();
    const { url } = stack;
    const worker = childrenOf(stack.serve.pid!).find(({ command }) => command.includes('/worker/'))!;
    process.kill(worker.pid, 'SIGKILL');

    await expect.poll(async () => (await fetch(`${url}/readyz`)).status, { timeout: 5_000 }).toBe(503);
    await expect.poll(async () => (await fetch(`${url}/readyz`)).status, { timeout: 20_000 }).toBe(200);
    const completion = await stack.client().chat.completions.create({
      model: 'millrace-demo',
      messages: [{ role: 'user', content: 'What is the capital of France?' }],
      temperature: 0,
    });
    expect(completion.choices[0]?.message.content).toContain('Paris');
  });

  it.runIf(process.platform === 'linux')('has threads enough that no chat waits for texts to embed', async () => {
    stack = await startStack();
    const worker = childrenOf(stack.serve.pid!).find(({ command }) => command.includes('/worker/'))!;
    // At least those that 64 contexts, the most of a model, and files need.
    expect(poolThreadsOf(worker)).toBeGreaterThan(64);
  });

  it('serves a model by its path, under the name that it is given', async () => {
    stack = await startStack({
      args: ['--model', 'models/millrace-demo.gguf', '--model-id', 'mine', '--context', '512', '--max-batch-size', '2'],
    });

    const models = await stack.client().models.list();
    expect(models.data.map((model) => model.id)).toEqual(['mine', 'millrace-demo-embed']);
    expect(models.data[0]).toMatchObject({ context_length: 512 });
  });
});

describe('millrace serve says in one sentence', () => {
  it('that its port is in use', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    const { status, output } = await serveToItsEnd(['--port', String(port)]);
    other.close();

    expect(status).toBe(1);
    expect(output).toMatch(new RegExp(`${port}.*(in use|taken)`));
    expect(output).not.toMatch(/\bat .+:\d+:\d+/);
  });

  it('that another gateway keeps its data in the same folder', async () => {
    await using first = await startStack();
    const { status, output } = await serveToItsEnd([], { MILLRACE_DATA_FOLDER: first.dataFolder });
    expect(status).toBe(1);
    expect(output).toMatch(/in use by another gateway\. .*--data-folder/);
  });

  it('that the model file is missing', async () => {
    const { status, output } = await serveToItsEnd(['--model', 'no/such/model.gguf']);

    expect(status).toBe(1);
    expect(output).toContain('no/such/model.gguf');
    expect(output).not.toMatch(/\bat .+:\d+:\d+/);
  });

  it('that the model file is no model', async () => {
    const file = join(mkdtempSync(join(tmpdir(), 'millrace-')), 'broken.gguf');
    writeFileSync(file, 'this is not a model');
    const { status, output } = await serveToItsEnd(['--model', file]);

    expect(status).toBe(1);
    expect(output).toContain('broken.gguf');
    expect(output).not.toMatch(/\bat .+:\d+:\d+/);
  });

  it('what is wrong with its settings, all of it at once', async () => {
    const { status, output } = await serveToItsEnd(['--port', '99999', '--max-batch-size', 'many']);

    expect(status).toBe(1);
    expect(output).toContain('--port');
    expect(output).toContain('65,535');
    expect(output).toContain('--max-batch-size');
  });

  it('that a model does not fit, with both numbers', async () => {
    const { status, output } = await serveToItsEnd(['--context', '8192', '--memory-reserve-mib', '16777216']);

    expect(status).toBe(1);
    expect(output).toMatch(/MiB|GiB/);
  });
});

describe('millrace', () => {
  it('names its commands', async () => {
    const { status, stdout } = await millrace(['--help']);

    expect(status).toBe(0);
    for (const command of ['serve', 'models', 'chat', 'check', 'bench']) expect(stdout).toContain(command);
  });

  it('answers one question', async () => {
    const stack = await startStack();
    try {
      const { status, stdout } = await millrace([
        'chat',
        '--url',
        stack.url,
        '--user',
        'What is the capital of France?',
        '--temperature',
        '0',
        '--json',
      ]);

      expect(status).toBe(0);
      const answer = JSON.parse(stdout) as { answer: string; usage: { total_tokens: number } };
      expect(answer.answer).toContain('Paris');
      expect(answer.usage.total_tokens).toBeGreaterThan(0);
    } finally {
      await stack.stop();
    }
  });
});
