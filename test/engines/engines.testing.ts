import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';
import type { Engine } from '@millrace/contracts';
import { createLogger } from '@millrace/runtime';
import { BatchingEngine } from '../../apps/worker/src/batching/batching-engine.ts';
import { openChatModel } from '../../apps/worker/src/prompt/open-chat-model.ts';
import { PromptsHere } from '../../apps/worker/src/prompt/process/prompts-here.testing.ts';
import type { LlamaCppOptions } from '../../apps/worker/src/token-engine/adapters/llama-cpp/open-llama-cpp.ts';
import type { TokenEngine } from '../../apps/worker/src/token-engine/token-engine.ts';
import type { EngineLimits } from './engine.contract.ts';

export const ROOT = resolve(import.meta.dirname, '../..');

export const DEMO_MODEL = resolve(ROOT, 'models/millrace-demo.gguf');

/** Small, alone and silent. */
export const LLAMA_CPP: LlamaCppOptions = {
  path: DEMO_MODEL,
  contextLength: 256,
  placesMax: 2,
  tokensPerStepMax: 64,
  threads: 1,
  gpu: 'off',
  logger: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
};

/** The file of one of llama.cpp's own test vocabularies, such as `llama-bpe`: real ones, without weights. */
export function vocabularyFile(name: string): string {
  const folder = execFileSync(resolve(ROOT, 'tools/random-model/unpack-vocabularies.sh'), { encoding: 'utf8' }).trim();
  return resolve(folder, `ggml-vocab-${name}.gguf`);
}

const silent = createLogger({ name: 'test', level: 'silent', format: 'json' });

/** The engine that answers by batching, put together on `tokenEngine` as the worker does, but for its processes. */
export async function openBatching(
  tokenEngine: TokenEngine,
  { runningMax, queueMax }: EngineLimits,
  chatTemplate = tokenEngine.model.chatTemplate,
): Promise<Engine> {
  const { namedTemplates, beginningText, endText } = tokenEngine.model;
  const work = new PromptsHere();
  const forms = { defaultTemplate: chatTemplate, namedTemplates, beginningText, endText, work };
  return new BatchingEngine(tokenEngine, {
    model: {
      id: 'batched',
      aliases: [],
      capabilities: ['chat', 'completion'],
      created: 0,
      samplingDefaults: {},
      isDefault: true,
    },
    chat: await openChatModel(forms, new AbortController().signal),
    samplingDefaults: { temperature: 1, topP: 1, topK: 0, minP: 0 },
    maxTokensDefault: undefined,
    limits: {
      maxBatchSize: runningMax,
      queueMax,
      prefillChunkTokens: 64,
      maxWaitMs: 0,
      backgroundSteps: 16,
      priorityAgeingMs: 30_000,
      requestTimeoutMs: 20_000,
      backgroundTimeoutMs: 20_000,
      stallTimeoutMs: 20_000,
    },
    observer: { decided: () => {}, stepped: () => {}, settled: () => {} },
    logger: silent,
    onBroken: (error) => {
      throw error;
    },
  });
}
