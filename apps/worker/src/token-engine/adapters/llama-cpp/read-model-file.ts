import { stat } from 'node:fs/promises';
import type { KvCacheType } from '@millrace/contracts';
import { type GgufFileInfo, readGgufFileInfo } from 'node-llama-cpp';
import { KV_BLOCK_BYTES, KV_BLOCK_NUMBERS } from './kv-cache.js';

/** Models have up to some two hundred; what a damaged file says is held against it before anything is done by it. */
const LAYERS_MAX = 10_000;

/** What a model is for: to generate text, to turn a text into a vector, or to score a pair of texts. */
export type ModelPurpose = 'text' | 'vectors' | 'scores';

/** llama.cpp's `llama_pooling_type`: how the vectors of the tokens become one. */
export const Pooling = { none: 0, mean: 1, first: 2, last: 3, rank: 4 } as const;

/** Architectures that generate nothing, whatever else the file says: every token sees all the others. */
const ENCODERS = new Set([
  'bert',
  'eurobert',
  'gemma-embedding',
  'jina-bert-v2',
  'jina-bert-v3',
  'llama-embed',
  'modern-bert',
  'neo-bert',
  'nomic-bert',
  'nomic-bert-moe',
  't5encoder',
]);

/** What a `.gguf` file says of itself, without loading it. */
export interface ModelFile {
  readonly path: string;
  /** Such as `llama`. */
  readonly architecture: string;
  readonly name: string | undefined;
  readonly weightsBytes: number;
  /** Tokens that the model was trained to hold. */
  readonly contextTrained: number;
  readonly layers: number;
  readonly embeddingLength: number;
  readonly vocabularySize: number;
  /** What one token of one sequence takes in the key-value cache. */
  readonly cacheBytesPerToken: number;
  readonly heads: number;
  /** Numbers of one head's part of a token: of its keys, and of its values, which seldom differ. */
  readonly headLength: number;
  readonly valueLength: number;
  readonly chatTemplate: string | undefined;
  /** See `TokenModel`. */
  readonly namedTemplates: Readonly<Record<string, string>>;
  readonly purpose: ModelPurpose;
  /** See `Pooling`. */
  readonly pooling: number;
  /** Whether a token sees only those before it, so that an input may be read in pieces. */
  readonly causal: boolean;
  /** How a query and a document become one text, with `{query}` and `{document}`; few models that score have one. */
  readonly rerankTemplate: string | undefined;
  /** When the file was last changed, in Unix seconds. */
  readonly changedAt: number;
}

/**
 * @param kvCacheType what `cacheBytesPerToken` is to be about.
 * @throws Error in one sentence when the file is missing, no GGUF, or cut short.
 */
export async function readModelFile(path: string, kvCacheType: KvCacheType = 'f16'): Promise<ModelFile> {
  const file = await stat(path).catch((cause: unknown) => {
    throw new Error(`The model file ${path} can't be read. Check the path.`, { cause });
  });
  if (!file.isFile()) throw new Error(`${path} is no file. Give the path of a .gguf file.`);
  const info = await readHeader(path);
  const { weightsBytes, complete } = await measureParts(info);
  if (!complete) throw new Error(truncated(path, file.size));
  return {
    path,
    ...architectureFacts(path, info, kvCacheType),
    name: info.metadata.general.name,
    weightsBytes,
    vocabularySize: info.metadata.tokenizer?.ggml?.tokens?.length ?? 0,
    ...templatesOf(info),
    changedAt: Math.floor(file.mtimeMs / 1000),
  };
}

export function truncated(path: string, bytes: number): string {
  return `The model file ${path} ends too early, after ${bytes.toLocaleString('en')} bytes. Copy or download it again.`;
}

async function readHeader(path: string): Promise<GgufFileInfo> {
  let info: GgufFileInfo;
  try {
    info = await readGgufFileInfo(path, {
      sourceType: 'filesystem',
      logWarnings: false,
      ignoreKeys: ['tokenizer.ggml.merges', 'tokenizer.ggml.scores', 'tokenizer.ggml.token_type'],
    });
  } catch (cause) {
    throw new Error(`${path} is no GGUF file. llama.cpp runs only models in that format.`, { cause });
  }
  // A header may end before it comes to that.
  if (typeof (info.metadata.general as { architecture?: unknown } | undefined)?.architecture === 'string') return info;
  throw new Error(`${path} does not say which architecture it has (general.architecture). Copy or download it again.`);
}

/** A model may lie in several files (`…-00001-of-00003.gguf`); the first one's header names the rest. */
async function measureParts(info: GgufFileInfo): Promise<{ weightsBytes: number; complete: boolean }> {
  let weightsBytes = 0;
  let complete = true;
  for (const [index, part] of info.sourceData.entries()) {
    if (part.type !== 'path') continue;
    const { size } = await stat(part.path);
    weightsBytes += Math.max(0, size - part.length);
    // Past the end the reader sees zeros: a header cut short shows tensors without a name. The length of the last
    // tensor is left to llama.cpp, which knows the sizes of its types.
    const tensors = (info.fullTensorInfo ?? []).filter(({ filePart }) => filePart === index + 1);
    if (part.length > size) complete = false;
    if (tensors.some(({ name, fileOffset }) => name === '' || Number(fileOffset) >= size)) complete = false;
  }
  return { weightsBytes, complete };
}

/** What an architecture's own section says; these keys are the same in all that llama.cpp generates text with. */
interface ArchitectureSection {
  readonly pooling_type?: number;
  readonly context_length?: number;
  readonly block_count?: number;
  readonly embedding_length?: number;
  readonly attention?: Attention & { readonly causal?: boolean };
}

function architectureFacts(path: string, info: GgufFileInfo, kvCacheType: KvCacheType) {
  const { architecture } = info.metadata.general;
  const facts = info.architectureMetadata as ArchitectureSection;
  refuseImpossible(path, facts);
  const pooling = facts.pooling_type ?? Pooling.none;
  const classifies = (info.fullTensorInfo ?? []).some(({ name }) => /^cls(\.output)?\.weight$/.test(name));
  const layers = facts.block_count ?? 0;
  const embeddingLength = facts.embedding_length ?? 0;
  return {
    architecture,
    purpose: purposeOf(architecture, pooling, classifies),
    pooling,
    causal: facts.attention?.causal ?? !ENCODERS.has(architecture),
    layers,
    embeddingLength,
    ...headsOf(layers, embeddingLength, facts.attention ?? {}),
    contextTrained: facts.context_length ?? 0,
    cacheBytesPerToken: cacheBytesPerToken(layers, embeddingLength, facts.attention ?? {}, kvCacheType),
  };
}

/** @throws Error in one sentence, before memory is taken by the number of layers. */
function refuseImpossible(
  path: string,
  { block_count, embedding_length, context_length, attention }: ArchitectureSection,
) {
  const { head_count, head_count_kv, key_length, value_length } = attention ?? {};
  const perLayer = [head_count, head_count_kv].filter(Array.isArray);
  const layers = Math.max(block_count ?? 0, ...perLayer.map((each) => each.length));
  if (layers > LAYERS_MAX) {
    const [given, most] = [layers, LAYERS_MAX].map((count) => count.toLocaleString('en-US'));
    throw new Error(`${path} says that it has ${given} layers; at most ${most} make sense. Copy or download it again.`);
  }
  const single = [block_count, embedding_length, context_length, head_count, head_count_kv, key_length, value_length];
  for (const each of [...single.filter((value) => !Array.isArray(value)), ...perLayer.flat()]) {
    if (each === undefined || (typeof each === 'number' && each >= 0)) continue;
    throw new Error(`${path} says its sizes in another form than numbers. Copy or download it again.`);
  }
}

/**
 * What a file is for, from its architecture, its way of pooling, and whether it has a head that classifies.
 *
 * Early conversions of models that score have the head and do not name the pooling; of the architectures that generate,
 * only those with a pooling of their own were trained for vectors.
 */
export function purposeOf(architecture: string, pooling: number, classifies: boolean): ModelPurpose {
  const encodes = ENCODERS.has(architecture);
  if (pooling === Pooling.rank || (encodes && classifies)) return 'scores';
  return encodes || pooling !== Pooling.none ? 'vectors' : 'text';
}

/** The reader leaves the dots in these keys as they are: `tokenizer.chat_template.rag` is `chat_template.rag` of `tokenizer`. */
const NAMED_TEMPLATE = /^chat_template\.(.+)$/s;

function templatesOf(info: GgufFileInfo): Pick<ModelFile, 'chatTemplate' | 'namedTemplates' | 'rerankTemplate'> {
  const tokenizer: Readonly<Record<string, unknown>> = { ...info.metadata.tokenizer };
  const named: [string, string][] = [];
  for (const [key, template] of Object.entries(tokenizer)) {
    const name = NAMED_TEMPLATE.exec(key)?.[1];
    if (name !== undefined && typeof template === 'string') named.push([name, template]);
  }
  // The one for scores is no chat template, and is not written in Jinja.
  const { rerank, ...namedTemplates } = Object.fromEntries(named) as Readonly<Record<string, string | undefined>>;
  return {
    chatTemplate: info.metadata.tokenizer?.chat_template,
    namedTemplates: namedTemplates as Readonly<Record<string, string>>,
    rerankTemplate: rerank,
  };
}

/**
 * Keys and values of all layers for one token. Models with grouped queries have fewer key-value heads than heads, and
 * mixed ones have a number per layer, with 0 for layers without attention.
 */
export function cacheBytesPerToken(
  layers: number,
  embeddingLength: number,
  attention: Attention,
  kvCacheType: KvCacheType = 'f16',
): number {
  const { heads, headLength, valueLength } = headsOf(layers, embeddingLength, attention);
  const cacheHeads = perLayer(attention.head_count_kv ?? attention.head_count ?? heads, layers);
  const numbers = cacheHeads.reduce((sum, each) => sum + each, 0) * (headLength + valueLength);
  return Math.ceil((numbers * KV_BLOCK_BYTES[kvCacheType]) / KV_BLOCK_NUMBERS);
}

interface Attention {
  readonly head_count?: number | readonly number[];
  readonly head_count_kv?: number | readonly number[];
  readonly key_length?: number;
  readonly value_length?: number;
}

function headsOf(
  layers: number,
  embeddingLength: number,
  { head_count = 0, key_length, value_length }: Attention,
): { readonly heads: number; readonly headLength: number; readonly valueLength: number } {
  const heads = Math.max(1, ...perLayer(head_count, layers));
  const shared = Math.floor(embeddingLength / heads);
  return { heads, headLength: key_length ?? shared, valueLength: value_length ?? shared };
}

function perLayer(count: number | readonly number[], layers: number): readonly number[] {
  return typeof count === 'number' ? Array.from({ length: layers }, () => count) : count;
}
