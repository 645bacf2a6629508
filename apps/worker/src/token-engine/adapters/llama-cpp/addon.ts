import { getModuleVersion, type Llama, type LlamaModel } from 'node-llama-cpp';

/**
 * The part of node-llama-cpp's native addon that this folder calls directly.
 *
 * Its public `evaluate` can't do what the port promises: it shifts a full context silently, applies samplers nobody
 * asked for, seeds by the clock, and decides itself what goes into a batch. The addon beneath it is a thin layer over
 * llama.cpp and does exactly what it is told. Nobody promises us its shape, so the version is pinned and `addonOf`
 * checks every member at start.
 */
export interface Addon {
  readonly AddonContext: new (model: AddonModel, options: AddonContextOptions) => AddonContext;
  readonly AddonSampler: AddonSamplerClass;
  /** Loads nothing by itself: see `AddonModel.loadLora`. Freed with the model. */
  readonly AddonModelLora: new (
    model: AddonModel,
    path: string,
  ) => AddonLora;
  /** Throws when it can't be parsed. Deep nesting overflows llama.cpp's stack, so read it with `readGbnf` first. */
  readonly AddonGrammar: new (
    gbnf: string,
    options: { readonly addonExports: Addon; readonly rootRuleName: string },
  ) => AddonGrammar;
  /** At the beginning of a grammar, or where another state is. */
  readonly AddonGrammarEvaluationState: {
    new (model: AddonModel, grammar: AddonGrammar): AddonGrammarState;
    new (state: AddonGrammarState): AddonGrammarState;
  };
  getIsArchSupported(architecture: string): boolean;
  /** Undefined for an architecture it does not know. */
  getIsArchRecurrent(architecture: string): boolean | undefined;
  getIsArchHybrid(architecture: string): boolean | undefined;
}

export interface AddonContextOptions {
  /** Tokens of all sequences together; each gets an equal part (llama.cpp's `kv_unified` is off). */
  readonly contextSize: number;
  /** The most tokens of a batch, and of a micro-batch. */
  readonly batchSize: number;
  readonly sequences: number;
  readonly threads: number;
  readonly flashAttention: 'auto' | true;
  /** llama.cpp's `ggml_type`. */
  readonly kvCacheKeyType?: number;
  readonly kvCacheValueType?: number;
  /** Without it, models with a sliding window forget what `removeTokenCellsFromSequence` may want to go back to. */
  readonly swaFullCache: boolean;
}

export interface AddonContext {
  /** False when llama.cpp refused, mostly for want of memory. */
  init(): Promise<boolean>;
  dispose(): Promise<void>;
  /** A new, empty batch. */
  initBatch(tokens: number): void;
  /** `chooseAt` are indexes into `tokens`; returns what `sampleToken` wants for each. */
  addToBatch(sequence: number, position: number, tokens: Uint32Array, chooseAt: Uint32Array): Uint32Array;
  decodeBatch(): Promise<void>;
  /** -1: no token was left to choose from. The grammar in the sampler goes on by the token. */
  sampleToken(at: number, sampler: AddonSampler): Promise<number>;
  /** The token, and what was asked for of the logits behind the samplers. */
  sampleToken(
    at: number,
    sampler: AddonSampler,
    probabilities: false,
    confidence: false,
    logits: LogitsWanted,
    totalWeight: boolean,
  ): Promise<SampledLogits>;
  disposeSequence(sequence: number): void;
  /** False when the model's memory can't be cut there. `to` -1 is the end. */
  removeTokenCellsFromSequence(sequence: number, from: number, to: number): boolean;
  /** All of it. Only noted: llama.cpp copies the buffers when it decodes next. */
  copySequenceStateFromOtherSequence(target: number, source: number): Promise<unknown>;
  /** In place of those before; `scales` has one number for each. */
  setLoras(loras: readonly AddonLora[], scales: readonly number[]): void;
}

/** `[token, logit, …]` of these tokens, whether of the highest and the lowest, of the selected one, and of the top n. */
export type LogitsWanted = readonly [readonly number[], boolean, boolean, boolean, number];

export type SampledLogits = readonly [
  token: number,
  probabilities: undefined,
  confidence: undefined,
  /** `[token, logit, …]`, in no order that can be relied on save that a sorted top comes first. */
  logits: readonly number[] | undefined,
  /** The sum of e to the power of each logit less the highest. */
  totalWeight: number | undefined,
];

declare const opaque: unique symbol;
export interface AddonGrammar {
  readonly [opaque]: 'grammar';
}
export interface AddonGrammarState {
  readonly [opaque]: 'state';
}
export interface AddonLora {
  readonly [opaque]: 'lora';
}

export interface AddonSamplerClass {
  new (model: AddonModel): AddonSampler;
  acceptGrammarEvaluationStateToken(state: AddonGrammarState, token: number): void;
  canBeNextTokenForGrammarEvaluationState(state: AddonGrammarState, token: number): boolean;
}

export interface AddonSampler {
  /** A member that is present counts, even if undefined. */
  applyConfig(config: SamplerConfig): void;
  dispose(): void;
}

export interface SamplerConfig {
  temperature: number;
  seed: number;
  topK?: number;
  topP?: number;
  minP?: number;
  xtcProbability?: number;
  xtcThreshold?: number;
  tokenBiasKeys?: Uint32Array;
  tokenBiasValues?: Float32Array;
  grammarEvaluationState?: AddonGrammarState;
  repeatPenaltyTokens?: Uint32Array;
  repeatPenaltyMaxTokens?: number;
  repeatPenalty?: number;
  repeatPenaltyPresencePenalty?: number;
  repeatPenaltyFrequencyPenalty?: number;
}

export interface AddonModel {
  tokenize(text: string, special: boolean): Uint32Array;
  /** The token as the file spells it: bytes in GPT-2's alphabet, `▁` for a space, and so on. */
  getTokenString(token: number): string | undefined;
  /** Bits; see `TokenAttribute`. */
  getTokenAttributes(token: number): number;
  /** See `VocabularyKind`. */
  getVocabularyType(): number;
  isEogToken(token: number): boolean;
  /** -1 where the model has none. */
  tokenBos(): number;
  tokenEos(): number;
  shouldPrependBosToken(): boolean;
  /** The control tokens around a gap to be filled; -1 where the model has none. */
  prefixToken(): number;
  suffixToken(): number;
  middleToken(): number;
  /** Rejects when the file is none, or does not fit the model; the log says why. */
  loadLora(lora: AddonLora): Promise<void>;
}

const ADDON_MEMBERS = [
  'getIsArchSupported',
  'getIsArchRecurrent',
  'getIsArchHybrid',
  'AddonGrammar',
  'AddonGrammarEvaluationState',
  'AddonModelLora',
] as const satisfies readonly (keyof Addon)[];
const CONTEXT_MEMBERS = [
  'init',
  'dispose',
  'initBatch',
  'addToBatch',
  'decodeBatch',
  'sampleToken',
  'disposeSequence',
  'removeTokenCellsFromSequence',
  'copySequenceStateFromOtherSequence',
  'setLoras',
] as const satisfies readonly (keyof AddonContext)[];
const SAMPLER_MEMBERS = ['applyConfig', 'dispose'] as const satisfies readonly (keyof AddonSampler)[];
const SAMPLER_STATICS = [
  'acceptGrammarEvaluationStateToken',
  'canBeNextTokenForGrammarEvaluationState',
] as const satisfies readonly (keyof AddonSamplerClass)[];
const MODEL_MEMBERS = [
  'tokenize',
  'getTokenString',
  'getTokenAttributes',
  'getVocabularyType',
  'isEogToken',
  'tokenBos',
  'tokenEos',
  'shouldPrependBosToken',
  'prefixToken',
  'suffixToken',
  'middleToken',
  'loadLora',
] as const satisfies readonly (keyof AddonModel)[];

/** The addon beneath `llama`. @throws Error naming what is missing, when node-llama-cpp changed its inside. */
export async function addonOf(llama: Llama): Promise<Addon> {
  const addon = (llama as unknown as { readonly _bindings?: Partial<Addon> })._bindings;
  const missing = [
    ...missingFrom('', addon, ADDON_MEMBERS),
    ...missingFrom('AddonContext.', addon?.AddonContext?.prototype, CONTEXT_MEMBERS),
    ...missingFrom('AddonSampler.', addon?.AddonSampler?.prototype, SAMPLER_MEMBERS),
    ...missingFrom('AddonSampler.', addon?.AddonSampler, SAMPLER_STATICS),
  ];
  await refuse(missing);
  return addon as Addon;
}

/** The addon's model beneath `model`. @throws Error as `addonOf`. */
export async function addonModelOf(model: LlamaModel): Promise<AddonModel> {
  const addonModel = (model as unknown as { readonly _model?: AddonModel })._model;
  await refuse(missingFrom('AddonModel.', addonModel, MODEL_MEMBERS));
  return addonModel as AddonModel;
}

export function missingFrom(prefix: string, owner: unknown, members: readonly string[]): string[] {
  const present = (owner ?? {}) as Readonly<Record<string, unknown>>;
  return members.filter((member) => typeof present[member] !== 'function').map((member) => prefix + member);
}

/** @throws Error naming what is missing, unless nothing is. */
export async function refuse(missing: readonly string[]): Promise<void> {
  if (missing.length === 0) return;
  throw new Error(
    `node-llama-cpp ${await getModuleVersion()} lacks ${missing.join(', ')}, which the engine calls. ` +
      "Install the version that this project pins, with the workspace's lock file.",
  );
}
