import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';
import type { LlamaCppOptions } from '../../apps/worker/src/token-engine/adapters/llama-cpp/open-llama-cpp.ts';

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
