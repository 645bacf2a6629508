import type { Llama, LlamaModel } from 'node-llama-cpp';
import { describe, expect, it } from 'vitest';
import { addonModelOf, addonOf } from './addon.js';

describe('the check of the addon', () => {
  it('names the version and every member that is missing', async () => {
    const changed = { _bindings: { AddonContext: class {}, getIsArchSupported: () => true } } as unknown as Llama;
    await expect(addonOf(changed)).rejects.toThrow(
      /^node-llama-cpp 3\.\S+ lacks .*AddonContext\.decodeBatch.*AddonSampler\.applyConfig.*Install the version/,
    );
  });

  it('says so when there is no addon at all', async () => {
    await expect(addonOf({} as Llama)).rejects.toThrow(/lacks getIsArchSupported/);
    await expect(addonModelOf({} as LlamaModel)).rejects.toThrow(/lacks AddonModel\.tokenize/);
  });
});
