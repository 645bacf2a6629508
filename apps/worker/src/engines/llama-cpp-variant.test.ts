import { describe, expect, it } from 'vitest';
import { type AdapterFacts, variantOf } from './llama-cpp-variant.js';

const PLAIN = { kvCacheType: 'f16', chatTemplate: undefined } as const;
const ADAPTER: AdapterFacts = { name: 'tone.gguf', scale: 1, size: 4_711, changedAt: 1_795_000_000 };

describe('the variant of a model that llama.cpp runs', () => {
  it('is nothing where a model is its file alone', () => {
    expect(variantOf(PLAIN, [])).toBe('');
  });

  it('names the type of a smaller cache', () => {
    expect(variantOf({ ...PLAIN, kvCacheType: 'q8_0' }, [])).toBe(' (q8_0)');
  });

  it('is the same for the same template and the same adapters', () => {
    const once = variantOf({ kvCacheType: 'q4_0', chatTemplate: '{{ messages }}' }, [ADAPTER]);
    expect(once).toMatch(/^ \(q4_0, [0-9a-f]{8}\)$/);
    expect(variantOf({ kvCacheType: 'q4_0', chatTemplate: '{{ messages }}' }, [{ ...ADAPTER }])).toBe(once);
  });

  it('is another for whatever gives other answers', () => {
    const variants = [
      variantOf(PLAIN, []),
      variantOf({ ...PLAIN, chatTemplate: '' }, []),
      variantOf({ ...PLAIN, chatTemplate: 'a' }, []),
      variantOf(PLAIN, [ADAPTER]),
      variantOf({ ...PLAIN, chatTemplate: 'a' }, [ADAPTER]),
      variantOf(PLAIN, [{ ...ADAPTER, scale: 0.5 }]),
      variantOf(PLAIN, [{ ...ADAPTER, size: 4_712 }]),
      variantOf(PLAIN, [{ ...ADAPTER, changedAt: ADAPTER.changedAt + 1 }]),
      variantOf(PLAIN, [{ ...ADAPTER, name: 'other.gguf' }]),
      variantOf(PLAIN, [ADAPTER, ADAPTER]),
    ];
    expect(new Set(variants).size).toBe(variants.length);
  });
});
