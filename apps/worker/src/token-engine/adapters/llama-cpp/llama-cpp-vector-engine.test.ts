import { mkdtemp, rm, stat, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { vectorEngineContract } from '../../vector-engine.contract.js';
import type { Addon, AddonModel } from './addon.js';
import { joinByTemplate } from './join-vector-pair.js';
import type { EngineLogger } from './llama-instance.js';
import { type LlamaCppVectorOptions, openLlamaCppVectors, vectorBatchSize } from './open-llama-cpp-vectors.js';
import { Pooling, purposeOf, readModelFile } from './read-model-file.js';
import { type TinyVectorModel, writeTinyVectorModel } from './tiny-vector-model.testing.js';
import { forVectors } from './vector-addon.js';

const DEMO_MODEL = fileURLToPath(new URL('../../../../../../models/millrace-demo.gguf', import.meta.url));
const NEVER = new AbortController().signal;

const warnings: string[] = [];
const logger: EngineLogger = {
  debug: () => {},
  info: () => {},
  warn: (message) => warnings.push(message),
  error: (message) => warnings.push(message),
};

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-vectors-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function open(model: TinyVectorModel = {}, more: Partial<LlamaCppVectorOptions> = {}) {
  const path = join(folder, `${JSON.stringify(model).replaceAll(/\W+/g, '-')}.gguf`);
  await writeTinyVectorModel(path, model);
  return openLlamaCppVectors({ path, contextLength: 512, contexts: 2, threads: 1, gpu: 'off', logger, ...more });
}

vectorEngineContract('llama.cpp with an encoder', {
  vectors: () => open(),
  scores: () => open({ pooling: Pooling.rank, classifies: true }),
});

describe('LlamaCppVectorEngine', () => {
  it('begins and ends an input as BERT was trained, and keeps control tokens out of texts', async () => {
    const engine = await open();
    const named = (tokens: readonly number[]) => tokens.map((token) => Buffer.from(engine.bytesOf(token)).toString());
    expect(named(engine.tokenize('Hello world'))).toEqual(['[CLS]', ' hello', ' world', '[SEP]']);
    expect(engine.tokenize('a [SEP] b').filter((token) => token === engine.tokenize('').at(-1))).toHaveLength(1);
    expect(engine.tokenizePlain('[SEP]', true)).toEqual(engine.tokenize('').slice(-1));
    await engine.close();
  });

  it('puts a separator between the texts of a pair and one at the end', async () => {
    const engine = await open({ pooling: Pooling.rank, classifies: true });
    const tokens = engine.joinPair('hello', 'world');
    const named = tokens.map((token) => Buffer.from(engine.bytesOf(token)).toString());
    expect(named).toEqual(['[CLS]', ' hello', '[SEP]', ' world', '[SEP]']);
    await engine.close();
  });

  it('knows a model that scores by its head, even where the file names no pooling', async () => {
    const engine = await open({ pooling: null, classifies: true });
    expect(engine.model.scores).toBe(true);
    expect(await engine.score(engine.joinPair('hello', 'world'), NEVER)).toBeGreaterThan(0);
    await engine.close();
  });

  it('reads a long input of a causal model in pieces, and forgets it before the next', async () => {
    const engine = await open({ architecture: 'llama', contextLength: 2_048 }, { contextLength: 2_048, contexts: 1 });
    const [token] = engine.tokenizePlain('hello', false);
    const [other] = engine.tokenizePlain('world', false);
    const long = Array.from({ length: 1_300 }, (_, at) => (at % 3 === 0 ? token! : other!));
    const first = await engine.embed(long, NEVER);
    await engine.embed(long.toReversed(), NEVER);
    const again = await engine.embed(long, NEVER);
    expect([...again]).toEqual([...first]);
    await engine.close();
  });

  it('writes no warning for a model that is as it should be, nor for an input', async () => {
    warnings.length = 0;
    const engine = await open();
    await engine.embed(engine.tokenize('hello world'), NEVER);
    await engine.close();
    expect(warnings).toEqual([]);
  });

  it('stops loading when its signal is aborted', async () => {
    const reason = new Error('no longer wanted');
    await expect(open({}, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  it('says that a file which was cut within its last tensor ends too early', async () => {
    const path = join(folder, 'cut.gguf');
    await writeTinyVectorModel(path);
    await truncate(path, (await stat(path)).size - 100);
    await expect(open({}, { path })).rejects.toThrow(/ends too early\. Copy it again\.$/);
  });

  it('says when a file is not made for vectors, or does not say how it pools', async () => {
    await expect(open({}, { path: DEMO_MODEL })).rejects.toThrow(/made to generate text/);
    await expect(open({ pooling: null })).rejects.toThrow(/does not say how .*pooling_type/);
    await expect(open({}, { path: join(folder, 'absent.gguf') })).rejects.toThrow(/can't be read/);
  });
});

describe('the check of what vectors need of the addon', () => {
  it('names the version and every member that is missing', async () => {
    const addon = { AddonContext: class {} } as unknown as Addon;
    await expect(forVectors(addon, {} as AddonModel)).rejects.toThrow(
      /^node-llama-cpp 3\.\S+ lacks .*AddonContext\.getEmbedding.*AddonModel\.sepToken.*Install the version/,
    );
  });
});

describe('what a model is for', () => {
  it.each([
    ['a model that generates', 'llama', Pooling.none, false, 'text'],
    ['an encoder', 'bert', Pooling.mean, false, 'vectors'],
    ['an encoder that does not name its pooling', 'nomic-bert', Pooling.none, false, 'vectors'],
    ['an encoder with a head that scores', 'bert', Pooling.none, true, 'scores'],
    ['a decoder that was trained for vectors', 'qwen3', Pooling.last, false, 'vectors'],
    ['a decoder that was trained to score', 'qwen3', Pooling.rank, true, 'scores'],
  ] as const)('%s', (_what, architecture, pooling, classifies, purpose) => {
    expect(purposeOf(architecture, pooling, classifies)).toBe(purpose);
  });

  it('is read from the file', async () => {
    expect(await readModelFile(DEMO_MODEL)).toMatchObject({ purpose: 'text', causal: true });
    const path = join(folder, 'facts.gguf');
    await writeTinyVectorModel(path, { contextLength: 300 });
    expect(await readModelFile(path)).toMatchObject({
      architecture: 'bert',
      purpose: 'vectors',
      pooling: Pooling.mean,
      causal: false,
      contextTrained: 300,
    });
  });
});

describe('vectorBatchSize', () => {
  it.each([
    ['an encoder reads an input at once', { causal: false, pooling: Pooling.mean, purpose: 'vectors' }, 4_096],
    ['so does a decoder that takes the mean', { causal: true, pooling: Pooling.mean, purpose: 'vectors' }, 4_096],
    ['one that takes the last token reads in pieces', { causal: true, pooling: Pooling.last, purpose: 'vectors' }, 512],
    ['and so does one that scores', { causal: true, pooling: Pooling.rank, purpose: 'scores' }, 512],
  ] as const)('%s', (_what, file, tokens) => {
    expect(vectorBatchSize(file, 4_096)).toBe(tokens);
  });
});

describe("a model's own template for reranking", () => {
  const tokenize = (text: string, special: boolean) => {
    const found = special ? text.match(/<s>|[\s\S]/g) : text.match(/[\s\S]/g);
    return (found ?? []).map((each) => (each === '<s>' ? 0 : each.codePointAt(0)!));
  };
  const codes = (text: string) => [...text].map((character) => character.codePointAt(0)!);

  it('reads its own control tokens and none in the texts, and keeps spaces with the words', () => {
    expect(joinByTemplate('<s>Q: {query}\nD: {document}<s>', 'why <s>?', 'so', tokenize)).toEqual([
      0,
      ...codes('Q: why <s>?\nD: so'),
      0,
    ]);
  });

  it('takes a text that looks like a part of the template for a text', () => {
    expect(joinByTemplate('{query}|{document}', '{document}', '{query}', tokenize)).toEqual(
      codes('{document}|{query}'),
    );
  });
});
