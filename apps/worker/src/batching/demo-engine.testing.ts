import { fileURLToPath } from 'node:url';
import { createLogger } from '@millrace/runtime';
import { openChatModel } from '../prompt/open-chat-model.js';
import { PromptsHere } from '../prompt/process/prompts-here.testing.js';
import { openLlamaCpp } from '../token-engine/adapters/llama-cpp/open-llama-cpp.js';
import type { StepWork } from '../token-engine/token-engine.js';
import { NEVER, RecordingObserver } from './batching.testing.js';
import { BatchingEngine } from './batching-engine.js';

const DEMO_MODEL = fileURLToPath(new URL('../../../../models/millrace-demo.gguf', import.meta.url));
const CHUNK_TOKENS = 256;

export interface DemoEngineOptions {
  readonly places: number;
  /** Tokens that each place has. */
  readonly contextLength: number;
  readonly maxTokensDefault: number;
  readonly maxWaitMs: number;
  readonly observer?: RecordingObserver;
  /** Told what every step works on, before it does. */
  readonly onStep?: (works: readonly StepWork[]) => void;
}

/** The built-in model as a worker has it; two of them are two workers. */
export async function openDemoEngine({
  places,
  contextLength,
  maxTokensDefault,
  maxWaitMs,
  observer = new RecordingObserver(),
  onStep,
}: DemoEngineOptions): Promise<BatchingEngine> {
  const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });
  const tokenEngine = await openLlamaCpp({
    path: DEMO_MODEL,
    contextLength,
    placesMax: places,
    tokensPerStepMax: places + CHUNK_TOKENS,
    threads: 1,
    gpu: 'off',
    logger,
  });
  const step = tokenEngine.step.bind(tokenEngine);
  tokenEngine.step = (works) => {
    onStep?.(works);
    return step(works);
  };
  const { chatTemplate, beginningText, endText } = tokenEngine.model;
  const templates = { defaultTemplate: chatTemplate, namedTemplates: {}, beginningText, endText };
  const chat = await openChatModel({ ...templates, work: new PromptsHere() }, NEVER);
  return new BatchingEngine(tokenEngine, {
    model: {
      id: 'demo',
      aliases: [],
      capabilities: ['chat', 'completion'],
      created: 0,
      samplingDefaults: {},
      isDefault: true,
    },
    chat,
    samplingDefaults: { temperature: 0, topP: 1, topK: 0, minP: 0 },
    maxTokensDefault,
    limits: {
      maxBatchSize: places,
      queueMax: 500,
      backgroundSteps: 16,
      prefillChunkTokens: CHUNK_TOKENS,
      maxWaitMs,
      priorityAgeingMs: 30_000,
      requestTimeoutMs: 60_000,
      backgroundTimeoutMs: 60_000,
      stallTimeoutMs: 60_000,
    },
    observer,
    logger,
    onBroken: (error) => {
      throw error;
    },
  });
}
