import { fileURLToPath } from 'node:url';
import type { LlamaModel } from 'node-llama-cpp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LogitChanges } from '../../logit-changes.js';
import { mixSeed } from '../../mix-seed.js';
import { GREEDY } from '../../token-engine.testing.js';
import { type Addon, type AddonContext, type AddonModel, addonModelOf, addonOf, type SamplerConfig } from './addon.js';
import { type EngineLogger, llamaFor } from './llama-instance.js';
import { LlamaVocabulary } from './llama-vocabulary.js';

const DEMO_MODEL = fileURLToPath(new URL('../../../../../../models/millrace-demo.gguf', import.meta.url));

const quiet: EngineLogger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** What the addon's own DRY is told; the engine does not use it. */
interface DryConfig extends SamplerConfig {
  dryRepeatPenaltyStrength: number;
  dryRepeatPenaltyBase: number;
  dryRepeatPenaltyAllowedLength: number;
  dryRepeatPenaltyLastTokens: number;
  dryRepeatPenaltySequenceBreakers: readonly string[];
}

/** Large enough to decide every choice, small enough to leave the logits their digits. */
const FORCE = 1000;

describe("the engine's DRY beside llama.cpp's own", () => {
  let loaded: LlamaModel;
  let addon: Addon;
  let model: AddonModel;
  let context: AddonContext;
  beforeAll(async () => {
    const llama = await llamaFor('off', quiet);
    loaded = await llama.loadModel({ modelPath: DEMO_MODEL });
    addon = await addonOf(llama);
    model = await addonModelOf(loaded);
    context = new addon.AddonContext(model, {
      contextSize: 256,
      batchSize: 1,
      sequences: 1,
      threads: 1,
      flashAttention: 'auto',
      swaFullCache: true,
    });
    await context.init();
  });
  afterAll(async () => {
    await context.dispose();
    await loaded.dispose();
  });

  /** The logits of all tokens behind a sampler. */
  async function logitsBehind(config: SamplerConfig, sampler: InstanceType<Addon['AddonSampler']>) {
    sampler.applyConfig(config);
    const all = Array.from({ length: loaded.fileInfo.metadata.tokenizer.ggml.tokens.length }, (_, token) => token);
    const answer = await context.sampleToken(0, sampler, false, false, [all, false, false, false, 0], false);
    const pairs = answer[3]!;
    const logits = new Map<number, number>();
    for (let at = 0; at < pairs.length; at += 2) logits.set(pairs[at]!, pairs[at + 1]!);
    return logits;
  }

  it.each([
    ['by default', {}],
    ['in the last twenty tokens', { dryLastN: 20 }],
    ['from the first token on', { dryAllowedLength: 1, dryMultiplier: 0.3, dryBase: 1.2 }],
    ['from no token on', { dryAllowedLength: 0 }],
  ])('takes the same from every logit, %s', async (_how, changes) => {
    const sampling = { ...GREEDY, dryMultiplier: 0.8, drySequenceBreakers: ['\n', ':', '"', '*'], ...changes };
    const vocabulary = new LlamaVocabulary(model, loaded.fileInfo.metadata.tokenizer.ggml.tokens.length);
    const ours = new LogitChanges(sampling, [], [], vocabulary);
    const [plain, dry] = [new addon.AddonSampler(model), new addon.AddonSampler(model)];
    // Three ordinary tokens and a breaker, in no order but with many repetitions.
    const [breaker] = model.tokenize('\n', false);
    const alphabet = [40, 41, 42, breaker!];
    let penalised = 0;
    context.disposeSequence(0);
    for (let position = 0; position < 80; position++) {
      context.initBatch(1);
      context.addToBatch(0, position, Uint32Array.of(40), Uint32Array.of(0));
      await context.decodeBatch();

      const forced = alphabet[Math.floor((mixSeed(1, position) / 2 ** 32) ** 2 * alphabet.length)]!;
      const raw = await logitsBehind({ temperature: 0, seed: 0 }, plain);
      const config: DryConfig = {
        temperature: 0,
        seed: 0,
        tokenBiasKeys: Uint32Array.of(forced),
        tokenBiasValues: Float32Array.of(FORCE),
        dryRepeatPenaltyStrength: sampling.dryMultiplier,
        dryRepeatPenaltyBase: sampling.dryBase,
        dryRepeatPenaltyAllowedLength: sampling.dryAllowedLength,
        dryRepeatPenaltyLastTokens: sampling.dryLastN === 0 ? 256 : sampling.dryLastN,
        dryRepeatPenaltySequenceBreakers: sampling.drySequenceBreakers,
      };
      const theirs = await logitsBehind(config, dry); // It takes the forced token into its history.
      const expected = ours.next();
      const differences = [...raw].map(([token, logit]) => {
        const taken = logit + (token === forced ? FORCE : 0) - theirs.get(token)!;
        return Math.abs(taken + (expected.get(token) ?? 0));
      });
      expect(Math.max(...differences)).toBeLessThan(0.01);
      penalised += expected.size;
      ours.accept(forced);
    }
    expect(penalised).toBeGreaterThan(10);
    plain.dispose();
    dry.dispose();
  });
});
