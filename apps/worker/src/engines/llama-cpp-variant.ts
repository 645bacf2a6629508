import { createHash } from 'node:crypto';
import type { LlamaCppModel } from '../models/choose-model.js';

export interface AdapterFacts {
  readonly name: string;
  readonly scale: number;
  /** Bytes. */
  readonly size: number;
  /** Unix seconds. */
  readonly changedAt: number;
}

/**
 * What stands behind an engine's version where a model is not its file alone: ` (q8_0)`, ` (3f2a91c0)`, or both; else nothing. Another type of cache,
 * another adapter or another template gives other answers, which the gateway's cache and `system_fingerprint` have to know.
 */
export function variantOf(
  { kvCacheType, chatTemplate }: Pick<LlamaCppModel, 'kvCacheType' | 'chatTemplate'>,
  adapters: readonly AdapterFacts[],
): string {
  const parts = [
    ...(kvCacheType === 'f16' ? [] : [kvCacheType]),
    ...(chatTemplate === undefined && adapters.length === 0 ? [] : [digestOf([chatTemplate ?? null, adapters])]),
  ];
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`;
}

function digestOf(facts: unknown): string {
  return createHash('sha256').update(JSON.stringify(facts)).digest('hex').slice(0, 8);
}
