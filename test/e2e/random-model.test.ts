import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeRandomModel } from '../../tools/random-model/write-random-model.ts';
import { ROOT, type Stack, startStack } from './stack.ts';

/** Models with random weights stand in for large ones, so the engine must take them for real. */
describe('a model with random weights', () => {
  const folder = mkdtempSync(join(tmpdir(), 'random-model-'));
  let stack: Stack;

  beforeAll(async () => {
    const out = join(folder, 'random.gguf');
    const vocabulary = join(ROOT, 'models/millrace-demo.gguf');
    await writeRandomModel({ vocabulary, out, size: 'tiny', type: 'q8_0' });
    stack = await startStack({ args: ['--model', out, '--context', '512', '--max-batch-size', '2'] });
  });
  afterAll(async () => {
    await stack.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('loads, and generates the same greedy answer twice', async () => {
    const ask = async () => {
      const answer = await stack.client().completions.create({
        model: 'random',
        prompt: 'Once upon a time',
        max_tokens: 12,
        temperature: 0,
      });
      return answer.choices[0]!.text;
    };
    const text = await ask();
    expect(text.length).toBeGreaterThan(0);
    expect(await ask()).toBe(text);
  });
});
