import type { ModelDescription } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import type { WorkerClient } from '../dispatch/worker-client.js';
import type { RequestLog } from '../request-log/request-log.js';
import { fixedModels } from '../routing/models-in-force.js';
import { ModelCatalog } from '../validation/model-catalog.js';
import { ANYONE, type Call, LOW_PRIORITY } from '../vocabulary.js';
import type { DoWork } from './do-work.js';
import { EmbedChunks } from './embed-chunks.js';

const never = new AbortController().signal;
const model = {
  id: 'vectors',
  aliases: [],
  capabilities: ['embedding'],
  contextLength: 512,
} as unknown as ModelDescription;

/** Makes a vector of two numbers of each text, or as many as it is told. */
function embedding(calls: Call[], workers: readonly Partial<WorkerClient>[] = [], count?: number): EmbedChunks {
  const work = {
    run: async (call: Call, _record: unknown, { parse }: { parse: () => { inputs: readonly unknown[] } }) => {
      calls.push(call);
      const request = parse();
      const vectors = Array.from({ length: count ?? request.inputs.length }, () => Buffer.alloc(8, 1));
      return { request, result: { vectors, promptTokens: 1 } };
    },
  } as unknown as DoWork;
  const directory = { workers: workers as readonly WorkerClient[], models: () => [model] };
  const models = new ModelCatalog(
    () => [model],
    () => fixedModels().current,
  );
  return new EmbedChunks(models, directory, { open: () => undefined } as unknown as RequestLog, work, undefined);
}

describe('vectors of chunks', () => {
  it('are asked for in the name of the key, behind whatever it asks for itself', async () => {
    const calls: Call[] = [];
    const caller = { ...ANYONE, keyId: 'mine', priority: 100 };
    const vectors = await embedding(calls).vectorsOf(caller, model, ['ö', 'two'], never);
    expect(vectors.map(({ length }) => length)).toEqual([2, 2]);
    expect(calls).toMatchObject([
      { caller: { keyId: 'mine', priority: LOW_PRIORITY }, bodyBytes: 5, clientLeft: never },
    ]);
  });

  it('are as many as there are texts, or none', async () => {
    await expect(embedding([], [], 1).vectorsOf(ANYONE, model, ['one', 'two'], never)).rejects.toThrow(
      '1 vectors of 2',
    );
  });
});

describe('tokens of a text', () => {
  const ready = { state: () => ({ phase: 'ready' }), models: [model] } as unknown as WorkerClient;

  it('are told by a worker that has the model', async () => {
    const worker = { ...ready, tokenize: async () => ({ tokens: [1], pieces: [Buffer.from('x')] }) };
    expect(await embedding([], [worker]).spell(model, 'x', never)).toEqual([Buffer.from('x')]);
  });

  it('are not told where nobody has it, or it does not tell', async () => {
    expect(await embedding([]).spell(model, 'x', never)).toBeUndefined();
    const worker = { ...ready, tokenize: () => Promise.reject(new Error('no')) };
    expect(await embedding([], [worker]).spell(model, 'x', never)).toBeUndefined();
  });
});
