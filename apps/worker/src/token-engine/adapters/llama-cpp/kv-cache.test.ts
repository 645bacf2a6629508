import { describe, expect, it } from 'vitest';
import { kvCacheComplaint, kvCacheOptions, kvCacheRefusal, kvCacheTypeOn } from './kv-cache.js';

const heads = (headLength: number, valueLength = headLength) => ({ path: 'm.gguf', headLength, valueLength });

describe('the type of a key-value cache', () => {
  it('is what was asked for, except for short heads on a GPU, which has no flash attention for them', () => {
    expect(kvCacheTypeOn(false, 'q8_0', heads(32))).toBe('q8_0');
    expect(kvCacheTypeOn(true, 'q8_0', heads(32))).toBe('f16');
    expect(kvCacheTypeOn(true, 'q8_0', heads(64))).toBe('q8_0');
    expect(kvCacheTypeOn(true, 'f16', heads(128))).toBe('f16');
  });

  it('is refused where its blocks do not divide keys or values', () => {
    expect(kvCacheRefusal('q4_0', heads(128))).toBeUndefined();
    expect(kvCacheRefusal('f16', heads(80))).toBeUndefined();
    expect(kvCacheRefusal('q8_0', heads(80))).toContain('its heads have 80, which is no multiple of 32');
    expect(kvCacheRefusal('q8_0', heads(192, 100))).toContain('its heads have 100');
  });

  it('leaves flash attention to llama.cpp unless it is needed', () => {
    expect(kvCacheOptions('f16')).toEqual({ kvCacheKeyType: 1, kvCacheValueType: 1, flashAttention: 'auto' });
    expect(kvCacheOptions('q4_0')).toEqual({ kvCacheKeyType: 2, kvCacheValueType: 2, flashAttention: true });
  });

  // The lines of llama.cpp v0.5.0.
  it.each([
    'llama_init_from_model: quantized V cache requires flash_attn to be enabled',
    'llama_init_from_model: K cache type q8_0 with block size 32 does not divide n_embd_head_k=80',
  ])('is found in what llama.cpp says when it refuses: %s', (line) => {
    expect(kvCacheComplaint(['ggml: something else', line])).toBe(line);
  });

  it('is not blamed for want of memory', () => {
    expect(kvCacheComplaint(['ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 9'])).toBe(
      undefined,
    );
  });
});
