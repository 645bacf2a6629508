import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readLoraFile } from '../../apps/worker/src/token-engine/adapters/llama-cpp/lora-adapters.ts';
import { openLlamaCpp } from '../../apps/worker/src/token-engine/adapters/llama-cpp/open-llama-cpp.ts';
import { generate, generateAndTell } from '../../apps/worker/src/token-engine/token-engine.testing.ts';
import { writeRandomAdapter } from '../../tools/random-model/write-random-adapter.ts';
import { writeRandomModel } from '../../tools/random-model/write-random-model.ts';
import { DEMO_MODEL, LLAMA_CPP } from './engines.testing.ts';
import { llamaServerProgram, startLlamaServer } from './llama-server.testing.ts';

const folder = mkdtempSync(join(tmpdir(), 'millrace-lora-'));
const base = join(folder, 'base.gguf');
const adapter = join(folder, 'adapter.gguf');

beforeAll(async () => {
  await writeRandomModel({ vocabulary: DEMO_MODEL, out: base, size: 'tiny', type: 'q8_0' });
  await writeRandomAdapter({ out: adapter, size: 'tiny', rank: 8, alpha: 32 });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Lora = NonNullable<typeof LLAMA_CPP.lora>;

const open = (lora: Lora) => openLlamaCpp({ ...LLAMA_CPP, path: base, lora });

async function greedyAnswer(lora: Lora): Promise<number[]> {
  const engine = await open(lora);
  const tokens = engine.tokenize('What is the capital of France?', { special: true, beginning: true });
  const answer = await generate(engine, { place: 1, tokens, count: 12 });
  await engine.close();
  return answer;
}

describe('LoRA adapters', () => {
  it('change what a model says, as far as their scale goes', async () => {
    const plain = await greedyAnswer([]);
    const adapted = await greedyAnswer([{ path: adapter, scale: 1 }]);
    expect(adapted).not.toEqual(plain);
    expect(await greedyAnswer([{ path: adapter, scale: 1 }])).toEqual(adapted);
    expect(await greedyAnswer([{ path: adapter, scale: 0 }])).toEqual(plain);
    expect(await greedyAnswer([{ path: adapter, scale: 0.001 }])).toEqual(plain);
  });

  it('add up', async () => {
    const other = join(folder, 'other.gguf');
    await writeRandomAdapter({ out: other, size: 'tiny', rank: 2, alpha: 16, seed: 2 });
    const both = await greedyAnswer([
      { path: adapter, scale: 1 },
      { path: other, scale: 1 },
    ]);
    expect(both).not.toEqual(await greedyAnswer([{ path: adapter, scale: 1 }]));
    expect(both).not.toEqual(await greedyAnswer([{ path: other, scale: 1 }]));
  });

  it('tell how much memory they take', async () => {
    const { bytes, architecture } = await readLoraFile(adapter);
    expect(architecture).toBe('llama');
    expect(bytes).toBeGreaterThan(100_000);
    expect(bytes).toBeLessThan(1_000_000);
  });

  it.each<[string, (path: string) => void | Promise<void>, RegExp]>([
    ['that is missing', () => {}, /lora\.gguf can't be read\. Check the path/],
    ['that is no GGUF file', (path) => writeFileSync(path, 'no adapter'), /is no GGUF file/],
    [
      'that is a model',
      async (out) => void (await writeRandomModel({ vocabulary: DEMO_MODEL, out, size: 'tiny', type: 'q8_0' })),
      /is no LoRA adapter/,
    ],
    [
      'for another architecture',
      (out) => writeRandomAdapter({ out, size: 'tiny', architecture: 'qwen2' }),
      /for the architecture "qwen2", the model is "llama"\. Choose one for this model\.$/,
    ],
    [
      'for a model of another size',
      (out) => writeRandomAdapter({ out, size: '135m', rank: 1 }),
      /can't be used with .*base\.gguf: .+ Choose one for this model\.$/,
    ],
    [
      'that ends too early',
      async (out) => {
        await writeRandomAdapter({ out, size: 'tiny' });
        truncateSync(out, 50_000);
      },
      /can't be used with .*: .+bounds.+\.$/,
    ],
  ])('refuse one %s in a sentence, and the process lives', async (_what, write, sentence) => {
    const path = join(folder, 'lora.gguf');
    rmSync(path, { force: true });
    await write(path);
    await expect(open([{ path, scale: 1 }])).rejects.toThrow(sentence);
    expect(await greedyAnswer([])).toHaveLength(12);
  });
});

const program = llamaServerProgram();
if (program === undefined) {
  console.warn("Skipped: LoRA adapters beside llama-server's, because none is built (tools/build-llama-server.sh).");
}

describe.skipIf(program === undefined)('LoRA adapters, beside those of llama-server', () => {
  it.each([1, 0.5, -1])('make tokens as likely at scale %d', async (scale) => {
    const args = ['-m', base, '--lora-scaled', `${adapter}:${scale}`];
    const server = await startLlamaServer(program!, { contextLength: 256, args });
    try {
      const [plain, adapted] = [await likeliest([]), await likeliest([{ path: adapter, scale }])];
      const body = { prompt: plain.prompt, n_predict: 1, temperature: 0, n_probs: 10 };
      const response = await fetch(`${server.url}/completion`, { method: 'POST', body: JSON.stringify(body) });
      const { completion_probabilities: told } = (await response.json()) as {
        completion_probabilities: { top_logprobs: { id: number; logprob: number }[] }[];
      };
      const theirs = told[0]!.top_logprobs;
      expect(theirs).toHaveLength(10);
      for (const { id, logprob } of theirs) expect(adapted.logprobs.get(id)).toBeCloseTo(logprob, 1);
      // Nothing like without the adapter.
      expect(theirs.some(({ id, logprob }) => Math.abs(plain.logprobs.get(id)! - logprob) > 0.5)).toBe(true);
    } finally {
      await server.stop();
    }
  });
});

/** How likely each token of the vocabulary is after a prompt. */
async function likeliest(lora: Lora): Promise<{ prompt: readonly number[]; logprobs: ReadonlyMap<number, number> }> {
  const engine = await open(lora);
  const prompt = engine.tokenize('What is the capital of France?', { special: true, beginning: true });
  const logprobs = engine.model.vocabularySize;
  const [first] = await generateAndTell(engine, { place: 0, tokens: prompt, count: 1, logprobs });
  await engine.close();
  return { prompt, logprobs: new Map(first!.logprob!.top.map(({ token, logprob }) => [token, logprob])) };
}
