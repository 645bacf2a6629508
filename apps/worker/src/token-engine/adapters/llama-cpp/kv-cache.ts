import type { KvCacheType } from '@millrace/contracts';

/** Numbers that stand together in a quantized cache, under one scale. */
export const KV_BLOCK_NUMBERS = 32;

/** What so many numbers take. */
export const KV_BLOCK_BYTES: Readonly<Record<KvCacheType, number>> = { f16: 64, q8_0: 34, q4_0: 18 };

/** llama.cpp's `ggml_type`. */
const GGML_TYPES: Readonly<Record<KvCacheType, number>> = { f16: 1, q8_0: 8, q4_0: 2 };

/** CUDA's flash attention has no kernel for heads shorter than this: llama.cpp would compute them on the processor. */
const GPU_HEAD_LENGTH_MIN = 64;

interface Heads {
  readonly headLength: number;
  readonly valueLength: number;
}

/** What the addon is told of the cache. */
export interface KvCacheOptions {
  readonly kvCacheKeyType: number;
  readonly kvCacheValueType: number;
  /** llama.cpp has no quantized values without it; said outright, what can't have it is refused when the context is made. */
  readonly flashAttention: 'auto' | true;
}

export function kvCacheOptions(type: KvCacheType): KvCacheOptions {
  const flashAttention = type === 'f16' ? 'auto' : true;
  return { kvCacheKeyType: GGML_TYPES[type], kvCacheValueType: GGML_TYPES[type], flashAttention };
}

/**
 * What is taken where `asked` was asked for. A quantized cache needs flash attention, and short heads have it on the processor
 * alone: on a GPU every layer of every step would move its cache there.
 */
export function kvCacheTypeOn(gpu: boolean, asked: KvCacheType, { headLength }: Heads): KvCacheType {
  return gpu && headLength < GPU_HEAD_LENGTH_MIN ? 'f16' : asked;
}

/** Why heads of these lengths can't be kept so; undefined where they can. llama.cpp itself would say so in its log only. */
export function kvCacheRefusal(
  type: KvCacheType,
  { path, headLength, valueLength }: Heads & { readonly path: string },
): string | undefined {
  const odd = type === 'f16' ? undefined : [headLength, valueLength].find((length) => length % KV_BLOCK_NUMBERS !== 0);
  if (odd === undefined) return undefined;
  return (
    `${path} can't have a cache of type ${type}, which keeps ${KV_BLOCK_NUMBERS} numbers together: its heads have ${odd}, ` +
    `which is no multiple of ${KV_BLOCK_NUMBERS}. Take \`kvCacheType\` out.`
  );
}

/** Of what llama.cpp said when it refused a context, that which is about the type of the cache. */
export function kvCacheComplaint(complaints: readonly string[]): string | undefined {
  return complaints.find((line) => /quantized|cache type|flash_attn/i.test(line));
}
