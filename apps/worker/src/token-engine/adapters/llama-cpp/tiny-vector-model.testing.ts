import { writeFile } from 'node:fs/promises';
import { mixSeed } from '../../mix-seed.js';
import { Pooling } from './read-model-file.js';

/** What a tiny model is made of; small enough to be written in some milliseconds. */
export interface TinyVectorModel {
  /** `bert` sees the whole input from every token; `llama` only what came before. */
  readonly architecture?: 'bert' | 'llama';
  /** Absent: 1 (mean) for `bert`, 3 (last) for `llama`. Null: the file does not say. */
  readonly pooling?: number | null;
  /** Whether it has the head of a model that scores. */
  readonly classifies?: boolean;
  readonly contextLength?: number;
}

const EMBEDDING = 32;
const FEED_FORWARD = 64;
const HEADS = 2;
const LAYERS = 2;

const WORDS = ['hello', 'world', 'the', 'capital', 'of', 'france', 'is', 'paris', 'rain', 'falls', 'in', 'spain'];
const SYMBOLS = [...'abcdefghijklmnopqrstuvwxyz0123456789.,?!-'];
const TOKENS = [
  ...['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'],
  ...[...WORDS, ...SYMBOLS].map((text) => `▁${text}`),
  ...SYMBOLS,
  // llama.cpp warns of a vocabulary of this kind that ends before BERT's own control tokens, 100 to 103.
  ...Array.from({ length: 16 }, (_, at) => `▁word${at}`),
];
const CONTROL_TOKENS = 5;

type Value =
  | { readonly u32: number }
  | { readonly f32: number }
  | { readonly bool: boolean }
  | { readonly text: string }
  | { readonly texts: readonly string[] }
  | { readonly u32s: readonly number[] };

interface Tensor {
  readonly name: string;
  /** Innermost first, as GGUF has it. */
  readonly shape: readonly number[];
}

/**
 * Writes a model with random weights and BERT's kind of vocabulary: lower-case words, letters and digits. It knows
 * nothing, but it computes as a real one does. The same options give the same file.
 */
export async function writeTinyVectorModel(path: string, options: TinyVectorModel = {}): Promise<void> {
  const { architecture = 'bert', classifies = false, contextLength = 512 } = options;
  const { pooling = architecture === 'bert' ? Pooling.mean : Pooling.last } = options;
  const values: Record<string, Value> = {
    'general.architecture': { text: architecture },
    'general.name': { text: 'Tiny' },
    [`${architecture}.context_length`]: { u32: contextLength },
    [`${architecture}.embedding_length`]: { u32: EMBEDDING },
    [`${architecture}.feed_forward_length`]: { u32: FEED_FORWARD },
    [`${architecture}.block_count`]: { u32: LAYERS },
    [`${architecture}.attention.head_count`]: { u32: HEADS },
    ...(pooling !== null && { [`${architecture}.pooling_type`]: { u32: pooling } }),
    ...(architecture === 'bert'
      ? { 'bert.attention.causal': { bool: false }, 'bert.attention.layer_norm_epsilon': { f32: 1e-12 } }
      : { 'llama.attention.layer_norm_rms_epsilon': { f32: 1e-6 } }),
    'tokenizer.ggml.model': { text: 'bert' },
    'tokenizer.ggml.token_type_count': { u32: 2 },
    'tokenizer.ggml.tokens': { texts: TOKENS },
    'tokenizer.ggml.token_type': { u32s: TOKENS.map((_, token) => (token < CONTROL_TOKENS ? 3 : 1)) },
    'tokenizer.ggml.padding_token_id': { u32: 0 },
    'tokenizer.ggml.unknown_token_id': { u32: 1 },
    'tokenizer.ggml.bos_token_id': { u32: 2 },
    'tokenizer.ggml.seperator_token_id': { u32: 3 }, // So it is spelt in the format.
    'tokenizer.ggml.mask_token_id': { u32: 4 },
  };
  const tensors = architecture === 'bert' ? bertTensors(contextLength, classifies) : llamaTensors();
  await writeFile(path, fileOf(values, tensors));
}

function bertTensors(contextLength: number, classifies: boolean): Tensor[] {
  const norm = (name: string) => both(name, [EMBEDDING]);
  return [
    { name: 'token_embd.weight', shape: [EMBEDDING, TOKENS.length] },
    { name: 'token_types.weight', shape: [EMBEDDING, 2] },
    { name: 'position_embd.weight', shape: [EMBEDDING, contextLength] },
    ...norm('token_embd_norm'),
    ...Array.from({ length: LAYERS }, (_, layer) => [
      ...['attn_q', 'attn_k', 'attn_v', 'attn_output'].flatMap((name) =>
        both(`blk.${layer}.${name}`, [EMBEDDING, EMBEDDING]),
      ),
      ...norm(`blk.${layer}.attn_output_norm`),
      ...both(`blk.${layer}.ffn_up`, [EMBEDDING, FEED_FORWARD]),
      ...both(`blk.${layer}.ffn_down`, [FEED_FORWARD, EMBEDDING]),
      ...norm(`blk.${layer}.layer_output_norm`),
    ]).flat(),
    ...(classifies ? [...both('cls', [EMBEDDING, EMBEDDING]), ...both('cls.output', [EMBEDDING, 1])] : []),
  ];
}

function llamaTensors(): Tensor[] {
  const weight = (name: string, ...shape: number[]) => ({ name: `${name}.weight`, shape });
  return [
    weight('token_embd', EMBEDDING, TOKENS.length),
    weight('output_norm', EMBEDDING),
    ...Array.from({ length: LAYERS }, (_, layer) => [
      weight(`blk.${layer}.attn_norm`, EMBEDDING),
      ...['attn_q', 'attn_k', 'attn_v', 'attn_output'].map((name) =>
        weight(`blk.${layer}.${name}`, EMBEDDING, EMBEDDING),
      ),
      weight(`blk.${layer}.ffn_norm`, EMBEDDING),
      weight(`blk.${layer}.ffn_gate`, EMBEDDING, FEED_FORWARD),
      weight(`blk.${layer}.ffn_up`, EMBEDDING, FEED_FORWARD),
      weight(`blk.${layer}.ffn_down`, FEED_FORWARD, EMBEDDING),
    ]).flat(),
  ];
}

/** The weights and the bias of a layer. */
function both(name: string, shape: readonly number[]): Tensor[] {
  return [
    { name: `${name}.weight`, shape },
    { name: `${name}.bias`, shape: [shape.at(-1)!] },
  ];
}

// ---------------------------------------------------------------------------------------------- the format, version 3

const ALIGNMENT = 32;

function fileOf(values: Readonly<Record<string, Value>>, tensors: readonly Tensor[]): Buffer {
  const header = [Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(Object.keys(values).length)];
  for (const [key, value] of Object.entries(values)) header.push(text(key), typedValue(value));
  const datas = tensors.map(weightsOf);
  let offset = 0;
  for (const [index, { name, shape }] of tensors.entries()) {
    header.push(text(name), u32(shape.length), ...shape.map(u64), u32(0), u64(offset));
    offset += datas[index]!.length;
  }
  return Buffer.concat([padded(Buffer.concat(header)), ...datas]);
}

/** Random numbers around 0, and around 1 for the scales of norms, without which nothing gets through the layers. */
function weightsOf({ name, shape }: Tensor): Buffer {
  const count = shape.reduce((product, length) => product * length, 1);
  const seed = [...name].reduce((hash, character) => mixSeed(hash, character.codePointAt(0)!), 1);
  const around = /norm\.weight$/.test(name) ? 1 : 0;
  const weights = Float32Array.from({ length: count }, (_, at) => around + (mixSeed(seed, at) / 2 ** 32 - 0.5) * 0.5);
  return padded(Buffer.from(weights.buffer));
}

function typedValue(value: Value): Buffer {
  if ('u32' in value) return Buffer.concat([u32(4), u32(value.u32)]);
  if ('bool' in value) return Buffer.concat([u32(7), Buffer.from([value.bool ? 1 : 0])]);
  if ('text' in value) return Buffer.concat([u32(8), text(value.text)]);
  if ('texts' in value) return Buffer.concat([u32(9), u32(8), u64(value.texts.length), ...value.texts.map(text)]);
  if ('u32s' in value) return Buffer.concat([u32(9), u32(5), u64(value.u32s.length), ...value.u32s.map(u32)]);
  const float = Buffer.alloc(4);
  float.writeFloatLE(value.f32);
  return Buffer.concat([u32(6), float]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.length), bytes]);
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((ALIGNMENT - (bytes.length % ALIGNMENT)) % ALIGNMENT)]);
}
