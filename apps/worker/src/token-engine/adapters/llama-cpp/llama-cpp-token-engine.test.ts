import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { tokenEngineContract } from '../../token-engine.contract.js';
import { GREEDY } from '../../token-engine.testing.js';
import type { EngineLogger } from './llama-instance.js';
import { type LlamaCppOptions, openLlamaCpp } from './open-llama-cpp.js';

const DEMO_MODEL = fileURLToPath(new URL('../../../../../../models/millrace-demo.gguf', import.meta.url));

const quiet: EngineLogger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

const options: LlamaCppOptions = {
  path: DEMO_MODEL,
  contextLength: 256,
  placesMax: 2,
  tokensPerStepMax: 64,
  threads: 1,
  gpu: 'off',
  logger: quiet,
};

// With the cache that models are given where nobody says otherwise, and with the one that the built-in model is given.
for (const kvCacheType of ['f16', 'q8_0'] as const) {
  const open = (sizes: Partial<LlamaCppOptions>) => openLlamaCpp({ ...options, kvCacheType, ...sizes });
  tokenEngineContract(`LlamaCppTokenEngine with a cache of ${kvCacheType}`, open, {
    mark: '<|im_start|>',
    end: '<|endoftext|>',
    other: '<|im_end|>',
  });
}

describe('LlamaCppTokenEngine', () => {
  it('names the release of llama.cpp, and the texts that templates ask for', async () => {
    const engine = await openLlamaCpp(options);
    expect(engine.model.engine).toMatch(/^llama\.cpp v?[\d.]+$/);
    expect(engine.model.endText).toBe('<|im_end|>');
    expect(engine.model.chatTemplate).toContain('<|im_start|>');
    expect(engine.model.infill).toBeUndefined(); // It was not trained to fill gaps.
    await engine.close();
  });

  it('shows the text of tokens that a model defines for itself, and no text of control tokens', async () => {
    const engine = await openLlamaCpp(options);
    const tokens = engine.tokenize('<|im_start|><tool_call>', { special: true, beginning: false });
    const detokenizer = engine.openDetokenizer();
    expect(tokens.map((token) => detokenizer.push(token))).toEqual(['', '<tool_call>']);
    await engine.close();
  });

  it('frees what it took: sixteen engines more take no more memory than the forty before them', async () => {
    const rss = async () => {
      const engine = await openLlamaCpp({ ...options, contextLength: 1024, placesMax: 8 }); // 31 MB of cache
      engine.prepare(0, { sampling: { ...GREEDY, temperature: 1 } }, [], []);
      await engine.step([{ place: 0, position: 0, tokens: [5], choose: true }]);
      await engine.close();
      return process.memoryUsage.rss();
    };
    // The process grows by up to 180 MB with the first forty, and then levels off: 200 were tried.
    for (let opened = 0; opened < 40; opened++) await rss();
    const before = await rss();
    for (let opened = 0; opened < 16; opened++) await rss();
    // A leak of the cache alone would be 500 MB.
    expect((await rss()) - before).toBeLessThan(150_000_000);
  });

  it('frees the grammars of answers that are over, without waiting for thousands of them', async () => {
    const engine = await openLlamaCpp(options);
    const rules = Array.from(
      { length: 1000 },
      (_, index) => `r${index} ::= "{" [0-9]{1,3} r${(index + 1) % 1000}? "}"`,
    );
    const grammar = engine.openGrammar(`root ::= r0\n${rules.join('\n')}`);
    const before = process.memoryUsage.rss();
    for (let answer = 0; answer < 1500; answer++) {
      engine.cutBack(0, 0);
      engine.prepare(0, { sampling: GREEDY, grammar }, [], []);
      await engine.step([{ place: 0, position: 0, tokens: [5], choose: false }]);
    }
    // Each holds 0.4 MB. Left to itself, the collector comes after some 2,000.
    expect(process.memoryUsage.rss() - before).toBeLessThan(300_000_000);
    await engine.close();
  });

  it('hands the lines of llama.cpp to the logger, by level', async () => {
    const lines: string[] = [];
    const logger: EngineLogger = { ...quiet, debug: (line) => lines.push(line), warn: (line) => lines.push(line) };
    const engine = await openLlamaCpp({ ...options, logger });
    await expect.poll(() => lines.join('\n')).toContain('llama_model_loader');
    await engine.close();
  });
});
