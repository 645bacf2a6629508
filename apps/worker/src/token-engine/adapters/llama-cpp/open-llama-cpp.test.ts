import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EngineLogger } from './llama-instance.js';
import { type LlamaCppOptions, openLlamaCpp } from './open-llama-cpp.js';
import { cacheBytesPerToken, readModelFile } from './read-model-file.js';

const DEMO_MODEL = fileURLToPath(new URL('../../../../../../models/millrace-demo.gguf', import.meta.url));

const quiet: EngineLogger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

const options: LlamaCppOptions = {
  path: DEMO_MODEL,
  contextLength: 256,
  placesMax: 1,
  tokensPerStepMax: 64,
  threads: 1,
  gpu: 'off',
  logger: quiet,
};

describe('openLlamaCpp', () => {
  let folder: string;
  let demo: Buffer;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'millrace-'));
    demo = await readFile(DEMO_MODEL);
  });
  afterAll(() => rm(folder, { recursive: true }));

  const fileWith = async (content: Buffer | string) => {
    const path = join(folder, 'model.gguf');
    await writeFile(path, content);
    return path;
  };

  it('says that the file is missing', async () => {
    await expect(openLlamaCpp({ ...options, path: join(folder, 'absent.gguf') })).rejects.toThrow(
      /absent\.gguf can't be read\. Check the path/,
    );
    await expect(openLlamaCpp({ ...options, path: folder })).rejects.toThrow(/is no file/);
  });

  it.each(['', 'no model at all', '<!DOCTYPE html><p>Not found'])('says that %j is no GGUF file', async (content) => {
    const path = await fileWith(content);
    await expect(openLlamaCpp({ ...options, path })).rejects.toThrow(/is no GGUF file/);
  });

  // Within the header, within the list of tensors, between two tensors, and within the last one.
  it.each([100, 3_000, 3_000_000, -10])('says that a file cut at %i ends too early', async (at) => {
    const path = await fileWith(demo.subarray(0, at));
    await expect(openLlamaCpp({ ...options, path })).rejects.toThrow(/ends too early.*again\.$/);
  });

  it('names an architecture that llama.cpp does not know', async () => {
    const renamed = Buffer.from(demo);
    renamed.write('zzama', renamed.indexOf('llama', renamed.indexOf('general.architecture') + 20));
    const path = await fileWith(renamed);
    await expect(openLlamaCpp({ ...options, path })).rejects.toThrow(/architecture "zzama", which llama\.cpp/);
  });

  it.each([
    ['metal', /metal, which only Macs have/],
    ['cuda', /make engine-cuda/],
    ['vulkan', /make engine-vulkan/],
  ] as const)('says how to get the GPU package of %s', async (gpu, remedy) => {
    await openLlamaCpp({ ...options, gpu }).then(
      (engine) => engine.close(), // The machine has that GPU and its package: nothing to say.
      (error) => expect(error.message).toMatch(remedy),
    );
  });

  it('tells how far the loading is', async () => {
    const progress: number[] = [];
    const engine = await openLlamaCpp({ ...options, onProgress: (loaded) => progress.push(loaded) });
    await engine.close();
    expect(progress.at(-1)).toBe(1);
  });

  it.each(['q8_0', 'q4_0'] as const)('reserves a cache of %s, as large as it was said to be', async (kvCacheType) => {
    const lines: string[] = [];
    const logger = { ...quiet, debug: (line: string) => lines.push(line) };
    const engine = await openLlamaCpp({ ...options, kvCacheType, logger });
    const { cacheBytesPerToken: bytes } = await readModelFile(DEMO_MODEL, kvCacheType);
    const size = ((256 * bytes) / 1024 / 1024).toFixed(2);
    await expect
      .poll(() => lines.find((line) => line.includes('K (')))
      .toMatch(new RegExp(`size = +${size} MiB .*K \\(${kvCacheType}\\).*V \\(${kvCacheType}\\)`));
    // Tiles are read from 16 bits only, so that nobody needs to fill them.
    expect(engine.model.tileTokens).toBeUndefined();
    await engine.close();
  });

  it('says that heads can not be kept in a cache whose blocks do not divide them', async () => {
    const shorter = Buffer.from(demo);
    const key = 'llama.attention.head_count';
    shorter.writeUInt32LE(12, shorter.indexOf(key) + key.length + 4);
    const path = await fileWith(shorter);
    await expect(openLlamaCpp({ ...options, path, kvCacheType: 'q8_0' })).rejects.toThrow(
      /can't have a cache of type q8_0, which keeps 32 numbers together: its heads have 16, .* Take `kvCacheType` out\.$/,
    );
  });

  it('stops loading when its signal is aborted', async () => {
    const reason = new Error('no longer wanted');
    await expect(openLlamaCpp({ ...options, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe('readModelFile', () => {
  it.each([
    ['llama.block_count', 0xffff_ffff, /says that it has 4,294,967,295 layers; at most 10,000 make sense/],
    ['general.architecture', 0, /does not say which architecture it has/],
  ])('refuses a file whose %s is impossible, before it takes memory by it', async (key, value, sentence) => {
    const bytes = await readFile(DEMO_MODEL);
    if (value > 0) bytes.writeUInt32LE(value, bytes.indexOf(key) + key.length + 4);
    else bytes.write('x', bytes.indexOf(key));
    const folder = await mkdtemp(join(tmpdir(), 'millrace-'));
    const path = join(folder, 'impossible.gguf');
    await writeFile(path, bytes);
    await expect(readModelFile(path)).rejects.toThrow(sentence);
    await rm(folder, { recursive: true });
  });

  it('reads the facts of the built-in model', async () => {
    const file = await readModelFile(DEMO_MODEL);
    expect(file).toMatchObject({ architecture: 'llama', name: 'Millrace Demo', contextTrained: 8192 });
    expect(file.chatTemplate).toContain('<|im_start|>');
    expect(file.vocabularySize).toBeGreaterThan(256);
    expect(file.weightsBytes).toBeGreaterThan(1_000_000);
    expect(file.weightsBytes).toBeLessThan(8_000_000);
    expect(file.cacheBytesPerToken).toBe(file.layers * file.embeddingLength * 2 * 2);
    expect(file.changedAt).toBeGreaterThan(1_700_000_000);
  });
});

describe('cacheBytesPerToken', () => {
  it.each([
    ['as many key-value heads as heads', 5, 192, { head_count: 6 }, 5 * 192 * 2 * 2],
    ['grouped queries', 32, 4096, { head_count: 32, head_count_kv: 8 }, 131_072],
    [
      'lengths of their own',
      28,
      1024,
      { head_count: 16, head_count_kv: 8, key_length: 128, value_length: 128 },
      114_688,
    ],
    ['layers without attention', 3, 64, { head_count: 4, head_count_kv: [0, 2, 0] }, 2 * 16 * 2 * 2],
  ])('counts %s', (_what, layers, embeddingLength, attention, bytes) => {
    expect(cacheBytesPerToken(layers, embeddingLength, attention)).toBe(bytes);
  });

  it.each([
    ['f16', 3_840],
    ['q8_0', 2_040],
    ['q4_0', 1_080],
  ] as const)('counts the bits of %s, with the scale of each block', (kvCacheType, bytes) => {
    expect(cacheBytesPerToken(5, 192, { head_count: 6 }, kvCacheType)).toBe(bytes);
  });
});
