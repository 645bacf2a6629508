import type { KvCacheType } from '@millrace/contracts';

/** Numbers that stand together in a quantized cache, under one scale. */
export const KV_BLOCK_NUMBERS = 32;

/** What so many numbers take. */
export const KV_BLOCK_BYTES: Readonly<Record<KvCacheType, number>> = { f16: 64, q8_0: 34, q4_0: 18 };

/** llama.cpp's `ggml_type`. */
const GGML_TYPES: Readonly<Record<KvCacheType, number>> = { f16: 1, q8_0: 8, q4_0: 2 };

/** What the addon is told of the cache. */
export interface KvCacheOptions {
  readonly kvCacheKeyType: number;
  readonly kvCacheValueType: number;
  /** llama.cpp can't have quantized values without it, so that `auto` would leave the choice to whether it is refused. */
  readonly flashAttention: 'auto' | true;
}

export function kvCacheOptions(type: KvCacheType): KvCacheOptions {
  const flashAttention = type === 'f16' ? 'auto' : true;
  return { kvCacheKeyType: GGML_TYPES[type], kvCacheValueType: GGML_TYPES[type], flashAttention };
}

/** Why heads of these lengths can't be kept so; undefined where they can. llama.cpp itself would say so in its log only. */
export function kvCacheRefusal(
  type: KvCacheType,
  {
    path,
    headLength,
    valueLength,
  }: { readonly path: string; readonly headLength: number; readonly valueLength: number },
): string | undefined {
  const odd = type === 'f16' ? undefined : [headLength, valueLength].find((length) => length % KV_BLOCK_NUMBERS !== 0);
  if (odd === undefined) return undefined;
  return (
    `${path} can't have a cache of type ${type}, which keeps ${KV_BLOCK_NUMBERS} numbers together: its heads have ${odd}, ` +
    `which is no multiple of ${KV_BLOCK_NUMBERS}. Take \`kvCacheType\` out, or set it to f16.`
  );
}
