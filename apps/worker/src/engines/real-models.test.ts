import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type AnswerRequest, modelsFileSchema, SETTINGS, type Settings } from '@millrace/contracts';
import { createLogger } from '@millrace/runtime';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WorkerMetrics } from '../metrics/worker-metrics.js';
import { chooseModels } from '../models/choose-model.js';
import { Library } from '../models/library.js';
import { MemoryBudget } from '../models/memory-budget.js';
import { noRegistry } from '../models/registered-models.testing.js';
import { PromptsHere } from '../prompt/process/prompts-here.testing.js';
import { libraryModelMaker } from './open-engines.js';

const MIB = 1024 * 1024;
const DEMO_MODEL = fileURLToPath(new URL('../../../../models/millrace-demo.gguf', import.meta.url));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-real-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

interface Opened extends AsyncDisposable {
  readonly library: Library;
  readonly loads: string[];
}

/** A library of real engines as main.ts puts it together, with so much memory. */
function open(models: readonly object[], usableMib: number, more: Partial<Settings> = {}): Opened {
  const defaults = Object.fromEntries(Object.entries(SETTINGS).map(([name, { default: value }]) => [name, value]));
  const settings = {
    ...defaults,
    maxBatchSize: 2,
    threads: 1,
    trialLoad: false,
    modelsFile: join(folder, 'models.yaml'),
    ...more,
  } as Settings;
  const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });
  const chosen = chooseModels(settings, modelsFileSchema.parse({ models }), folder);
  const budget = new MemoryBudget(usableMib * MIB, 0);
  const parts = {
    settings,
    budget,
    prompts: new PromptsHere(),
    metrics: new WorkerMetrics(),
    environment: {},
    logger,
    registered: noRegistry(logger),
  };
  const make = libraryModelMaker(chosen, parts);
  const [first, ...others] = chosen;
  const loads: string[] = [];
  const library = new Library(
    [make(first), ...others.map(make)],
    budget,
    settings,
    {
      onChange: () => undefined,
      onLoaded: ({ id }) => loads.push(id),
      onFailed: () => undefined,
      onUnloaded: () => undefined,
      onHopeless: () => undefined,
    },
    logger,
  );
  return { library, loads, [Symbol.asyncDispose]: () => library.close() };
}

async function answerOf(library: Library, model: string): Promise<string> {
  const { signal } = new AbortController();
  using lease = await library.use(model, { deadlineMs: 60_000, signal });
  const request: AnswerRequest = {
    requestId: 'request',
    model,
    prompt: {
      kind: 'chat',
      messages: [{ role: 'user', content: 'What is the capital of France?' }],
      tools: [],
      templateVariables: {},
    },
    sampling: { temperature: 0 },
    maxTokens: 8,
    stop: [],
    priority: 0,
  };
  let text = '';
  for await (const event of lease.engine.answer(request, signal)) if (event.kind === 'tokens') text += event.text;
  return text;
}

const demo = (id: string, more: object = {}) => ({ id, path: DEMO_MODEL, context: 512, ...more });

describe('a library of real models', () => {
  it('switches between three models with room for two, and answers everyone the same', {
    timeout: 120_000,
  }, async () => {
    // Each takes 5 MiB of weights, 4 of cache and about as much to compute in.
    const needs = 13;
    await using test = open([demo('a', { warm: true }), demo('b'), demo('c')], 2.5 * needs, { model: 'a' });
    await test.library.load();
    const expected = await answerOf(test.library, 'a');
    expect(expected.length).toBeGreaterThan(5);
    const client = async (id: string) => {
      while (test.loads.length < 30) expect(await answerOf(test.library, id)).toBe(expected);
    };
    await Promise.all(['a', 'b', 'c', 'a', 'b', 'c'].map(client));
    expect(test.library.loadedModels).toBe(2);
    for (const id of ['a', 'b', 'c']) expect(test.loads.filter((load) => load === id).length).toBeGreaterThan(5);
  });

  it('describes a model alike before and after it is loaded, and keeps its context at every load', async () => {
    const embed = {
      id: 'embed',
      path: fileURLToPath(new URL('../../../../models/millrace-demo-embed.gguf', import.meta.url)),
    };
    const free = { id: 'free', path: DEMO_MODEL, kvCacheType: 'q8_0' };
    await using test = open([demo('chosen'), embed, free], 150, { model: 'chosen', maxBatchSize: 8 });
    await test.library.load();
    const before = test.library.models();
    expect(before.map(({ state }) => state)).toEqual(['loaded', 'idle', 'idle']);
    for (const id of ['embed', 'free']) {
      using _lease = await test.library.use(id, { deadlineMs: 60_000, signal: new AbortController().signal });
    }
    const facts = ({ state: _state, engine, ...rest }: (typeof before)[number]) => ({
      ...rest,
      engine: engine.replace(/ v?[\d.]+/, ''),
    });
    expect(test.library.models().map(facts)).toEqual(before.map(facts));
    // What it was trained for would not fit, nor beside the chosen one all that is left.
    expect(before[2]!.contextLength).toBeGreaterThanOrEqual(2_048);
    expect(before[2]!.contextLength).toBeLessThan(8_192);
  });

  it('gives a model with a smaller type of cache the context that fits then, and one without such a cache none', async () => {
    const embed = {
      id: 'embed',
      path: fileURLToPath(new URL('../../../../models/millrace-demo-embed.gguf', import.meta.url)),
      kvCacheType: 'q8_0',
    };
    const wide = { id: 'wide', path: DEMO_MODEL };
    const contextOf = async (kvCacheType: string) => {
      await using test = open([{ ...wide, kvCacheType }, embed], 100, { model: 'wide', maxBatchSize: 8 });
      await test.library.load();
      expect((await answerOf(test.library, 'wide')).length).toBeGreaterThan(5);
      const [model, refused] = test.library.models();
      expect(refused!.detail).toContain('generates no text, and `kvCacheType` is for models that do');
      expect(model!.engine).toMatch(kvCacheType === 'f16' ? /^llama\.cpp v?[\d.]+$/ : /^llama\.cpp v?[\d.]+ \(q8_0\)$/);
      return model!.contextLength;
    };
    // A token of all eight sequences takes 30 kB, or 16.
    const [f16, q8] = [await contextOf('f16'), await contextOf('q8_0')];
    expect(f16).toBeGreaterThan(2_000);
    expect(q8 / f16).toBeGreaterThan(1.6);
    expect(q8 / f16).toBeLessThan(2);
  });

  it('says of each damaged file what is wrong with it, and serves the others', async () => {
    const bytes = readFileSync(DEMO_MODEL);
    const file = (name: string, content: Buffer) => {
      writeFileSync(join(folder, name), content);
      return { id: name, path: name };
    };
    const damaged = [
      file('cut.gguf', bytes.subarray(0, bytes.length - 1)),
      file('text.gguf', Buffer.from('this is not a model, but a text of some length')),
      file('key.gguf', Buffer.from(bytes).fill(0xff, 24, 32)),
      file('tensors.gguf', Buffer.from(bytes).fill(0x7f, 8, 16)),
    ];
    await using test = open([demo('good'), ...damaged], 100, { model: 'good' });
    await test.library.load();
    const states = new Map(test.library.models().map(({ id, state, detail }) => [id, `${state}: ${detail}`]));
    expect(states.get('cut.gguf')).toMatch(
      /^failed: The model cut\.gguf can't be loaded: .* is damaged: it ends too early/,
    );
    expect(states.get('text.gguf')).toMatch(/^failed: .* is no GGUF file that can be read: it begins with/);
    expect(states.get('key.gguf')).toMatch(/^failed: .* is damaged: it says that "the name of key 0" has/);
    expect(states.get('tensors.gguf')).toMatch(/^failed: .* tensors; at most 65,536 make sense/);
    expect((await answerOf(test.library, 'good')).length).toBeGreaterThan(5);
    // Copied again, it is served without a restart.
    writeFileSync(join(folder, 'cut.gguf'), bytes);
    expect((await answerOf(test.library, 'cut.gguf')).length).toBeGreaterThan(5);
  });
});
