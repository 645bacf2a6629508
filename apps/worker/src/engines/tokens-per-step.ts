import type { Settings } from '@millrace/contracts';

/** What one step of the engine may hold: a token of everyone, and a piece of a prompt. */
export function tokensPerStepMax({ maxBatchSize, prefillChunkTokens }: Settings): number {
  return maxBatchSize + prefillChunkTokens;
}
