import type { EngineLogger } from '../token-engine/adapters/llama-cpp/llama-instance.js';
import { openLlamaCpp } from '../token-engine/adapters/llama-cpp/open-llama-cpp.js';
import { openLlamaCppVectors } from '../token-engine/adapters/llama-cpp/open-llama-cpp-vectors.js';
import { readModelFile } from '../token-engine/adapters/llama-cpp/read-model-file.js';
import type { ResolvedSampling, TokenEngine } from '../token-engine/token-engine.js';
import type { VectorEngine } from '../token-engine/vector-engine.js';
import { endWithParent } from './end-with-parent.js';
import type { TrialRefusal, TrialRequest } from './trial-request.js';

/** One piece of a cache: enough for a token, and hardly any memory. */
const CONTEXT_TOKENS = 256;
const STEP_TOKENS = 32;

/**
 * The process in which a model is tried: it loads it, has it compute once, and ends with status 0. A file that makes
 * llama.cpp crash ends this process and no other.
 */
async function tryModel({ path, ...options }: TrialRequest): Promise<void> {
  const file = await readModelFile(path);
  const contextLength = Math.min(CONTEXT_TOKENS, file.contextTrained || CONTEXT_TOKENS);
  const loading = { path, ...options, contextLength, logger: toStandardError };
  if (file.purpose === 'text') {
    const engine = await openLlamaCpp({ ...loading, placesMax: 1, tokensPerStepMax: STEP_TOKENS });
    await generateOne(engine);
    await engine.close();
  } else {
    const engine = await openLlamaCppVectors({ ...loading, contexts: 1 });
    await computeOne(engine);
    await engine.close();
  }
}

async function generateOne(engine: TokenEngine): Promise<void> {
  const read = engine.tokenize('Hello', { special: false, beginning: true }).slice(0, STEP_TOKENS);
  // A vocabulary may be without letters.
  const tokens = read.length > 0 ? read : [0];
  engine.prepare(0, { sampling: GREEDY }, tokens, []);
  const { chosen } = await engine.step([{ place: 0, position: 0, tokens, choose: true }]);
  if (chosen.length !== 1) throw new Error('The model gives no token.');
}

async function computeOne(engine: VectorEngine): Promise<void> {
  const { signal } = new AbortController();
  const { scores, contextLength } = engine.model;
  if (scores) await engine.score(engine.joinPair('Hello', 'Hello').slice(0, contextLength), signal);
  else await engine.embed(engine.tokenize('Hello').slice(0, contextLength), signal);
}

const GREEDY: ResolvedSampling = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  seed: 0,
  presencePenalty: 0,
  frequencyPenalty: 0,
  repeatPenalty: 1,
  repeatLastN: 0,
  dryMultiplier: 0,
  dryBase: 1.75,
  dryAllowedLength: 2,
  dryLastN: 0,
  drySequenceBreakers: [],
  xtcProbability: 0,
  xtcThreshold: 0.1,
  logitBias: [],
  ignoreEos: false,
};

/** Warnings and errors, where the last words of a process that crashes are looked for. */
const toStandardError: EngineLogger = {
  debug: () => undefined,
  info: () => undefined,
  warn: (message) => void process.stderr.write(`${message}\n`),
  error: (message) => void process.stderr.write(`${message}\n`),
};

// Whoever wanted to know is gone.
process.once('disconnect', () => process.exit(1));
endWithParent();
try {
  await tryModel(JSON.parse(process.argv[2] ?? '') as TrialRequest);
  process.exit(0);
} catch (error) {
  const refusal: TrialRefusal = { sentence: error instanceof Error ? error.message : String(error) };
  if (process.send === undefined) process.exit(1);
  process.send(refusal, () => process.exit(1));
}
