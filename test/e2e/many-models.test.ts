import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { childrenOf } from './processes.js';
import { ROOT, type Stack, serveToItsEnd, startStack } from './stack.js';

const DEMO_MODEL = join(ROOT, 'models/millrace-demo.gguf');
const MESSAGES = [{ role: 'user' as const, content: 'What is the capital of France?' }];

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-models-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The built-in model with other bytes, as an entry of a models file. */
function damaged(id: string, change: (bytes: Buffer) => Buffer): object {
  writeFileSync(join(folder, `${id}.gguf`), change(readFileSync(DEMO_MODEL)));
  return { id, path: `${id}.gguf`, context: 256 };
}

/** With another number at `key`, which is a u32. */
const withNumber = (key: string, value: number) => (bytes: Buffer) => {
  bytes.writeUInt32LE(value, bytes.indexOf(key) + key.length + 4);
  return bytes;
};

function modelsFile(name: string, models: readonly object[]): string[] {
  const path = join(folder, name);
  writeFileSync(path, JSON.stringify({ defaultModel: (models[0] as { id: string }).id, models }));
  return ['--models-file', path, '--cache-folder', join(folder, 'cache'), '--max-batch-size', '2'];
}

describe('a worker with models that can not be loaded', () => {
  let stack: Stack;
  let worker: number;
  beforeAll(async () => {
    const models = [
      { id: 'good', path: DEMO_MODEL, context: 256 },
      { id: 'later', path: DEMO_MODEL, context: 512 },
      damaged('cut', (bytes) => bytes.subarray(0, 4_000_000)),
      damaged('header', (bytes) => bytes.fill(0xff, 8, 24)),
      damaged('beyond', (bytes) =>
        bytes.fill(0x7f, bytes.indexOf('output_norm.weight') + 30, bytes.indexOf('output_norm.weight') + 42),
      ),
      damaged('aborts', withNumber('llama.block_count', 0)),
      damaged('asserts', withNumber('llama.attention.head_count', 0)),
      damaged('refused', withNumber('llama.feed_forward_length', 5)),
    ];
    stack = await startStack({ args: modelsFile('damaged.yaml', models) });
    worker = childrenOf(stack.serve.pid!).find(({ command }) => command.includes('/worker/'))!.pid;
  });
  afterAll(() => stack.stop());

  const ask = (model: string) =>
    fetch(`${stack.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model, messages: MESSAGES, max_tokens: 4 }),
    });

  it.each([
    ['cut', /is damaged: it ends too early/],
    ['header', /tensors; at most 65,536 make sense/],
    ['beyond', /can't be loaded/],
    ['aborts', /was ended by SIGABRT.*GGML_ASSERT/],
    ['asserts', /was ended by SIGABRT.*GGML_ASSERT/],
    ['refused', /llama\.cpp can't load/],
  ])('refuses the model "%s" with the reason, and answers with others', async (id, reason) => {
    const response = await ask(id);
    const { error } = (await response.json()) as { error: { code: string; message: string } };
    expect({ status: response.status, code: error.code }).toEqual({ status: 503, code: 'model_failed' });
    expect(error.message).toMatch(reason);
    expect((await ask('good')).status).toBe(200);
  });

  it('loads the one that is good on first use, in the same process', async () => {
    expect((await ask('later')).status).toBe(200);
    expect((await ask('good')).status).toBe(200);
    const still = childrenOf(stack.serve.pid!).find(({ command }) => command.includes('/worker/'))!.pid;
    expect(still).toBe(worker);
  });
});

describe('a worker that has nothing to serve', () => {
  it('ends with a sentence when its only model makes llama.cpp crash', async () => {
    const args = modelsFile('hopeless.yaml', [damaged('only', withNumber('llama.block_count', 0))]);
    const { status, output } = await serveToItsEnd(args);
    expect(status).toBe(1);
    expect(output).toMatch(/The model only can't be loaded: .*GGML_ASSERT/);
    expect(output).not.toMatch(/\bat .+:\d+:\d+/);
  });
});
