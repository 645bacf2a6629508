import { bool, float32, type MetadataValue, string, type TensorTypeName, uint32 } from './gguf.ts';

/** How large a model is. Parameters depend on the vocabulary too: its size times `width`, once. */
export interface Size {
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  /** Heads of keys and values; `bert` has one for each head. */
  readonly keyHeads: number;
  readonly feedForward: number;
}

/** Named after models of that shape. `tiny` has a million parameters or so and is for tests. */
export const SIZES = {
  tiny: { layers: 4, width: 128, heads: 4, keyHeads: 2, feedForward: 384 },
  /** bge-small. */
  '33m': { layers: 12, width: 384, heads: 12, keyHeads: 12, feedForward: 1536 },
  /** SmolLM 135M; that many with the 49,152 tokens of `starcoder`, which is nearly SmolLM's own vocabulary. */
  '135m': { layers: 30, width: 576, heads: 9, keyHeads: 3, feedForward: 1536 },
  /** SmolLM 360M. */
  '360m': { layers: 32, width: 960, heads: 15, keyHeads: 5, feedForward: 2560 },
  /** Qwen2 0.5B, with the vocabulary `qwen2`. */
  '500m': { layers: 24, width: 896, heads: 14, keyHeads: 2, feedForward: 4864 },
  /** Llama 3.2 1B, with the vocabulary `llama-bpe`. */
  '1b': { layers: 16, width: 2048, heads: 32, keyHeads: 8, feedForward: 8192 },
} as const satisfies Record<string, Size>;
export type SizeName = keyof typeof SIZES;

export const ARCHITECTURES = ['llama', 'qwen2', 'bert'] as const;
export type Architecture = (typeof ARCHITECTURES)[number];

/** llama.cpp's `llama_pooling_type`: what becomes of a text's vectors. `rank` is a score in place of a vector. */
export const POOLINGS = { none: 0, mean: 1, cls: 2, last: 3, rank: 4 } as const;
export type Pooling = keyof typeof POOLINGS;

export interface Shape {
  readonly architecture: Architecture;
  readonly size: Size;
  readonly vocabularySize: number;
  readonly contextLength: number;
  readonly pooling?: Pooling | undefined;
}

/** A tensor of the model. Matrices have random weights, of the type asked for; what has one dimension is constant. */
export interface TensorShape {
  readonly name: string;
  readonly dimensions: readonly [number] | readonly [rowLength: number, rows: number];
  /** Only of a tensor with one dimension; always 32-bit floats. */
  readonly constant?: number;
  /** In place of the type asked for, where llama.cpp's operations want another. */
  readonly type?: TensorTypeName;
}

export function metadataOf({ architecture, size, vocabularySize, contextLength, pooling }: Shape) {
  const { layers, width, heads, feedForward } = size;
  const metadata = new Map<string, MetadataValue>([
    ['general.architecture', string(architecture)],
    ['general.quantization_version', uint32(2)],
    [`${architecture}.vocab_size`, uint32(vocabularySize)],
    [`${architecture}.context_length`, uint32(contextLength)],
    [`${architecture}.embedding_length`, uint32(width)],
    [`${architecture}.block_count`, uint32(layers)],
    [`${architecture}.feed_forward_length`, uint32(feedForward)],
    [`${architecture}.attention.head_count`, uint32(heads)],
  ]);
  if (architecture === 'bert') {
    metadata.set('bert.attention.layer_norm_epsilon', float32(1e-12));
    metadata.set('bert.attention.causal', bool(false));
    metadata.set('bert.pooling_type', uint32(POOLINGS[pooling ?? 'mean']));
    metadata.set('tokenizer.ggml.token_type_count', uint32(2));
  } else {
    metadata.set(`${architecture}.attention.head_count_kv`, uint32(size.keyHeads));
    metadata.set(`${architecture}.attention.layer_norm_rms_epsilon`, float32(1e-5));
    metadata.set(`${architecture}.rope.dimension_count`, uint32(width / heads));
    metadata.set(`${architecture}.rope.freq_base`, float32(10_000));
  }
  return metadata;
}

/** In the order of llama.cpp's own converter. */
export function tensorsOf(shape: Shape): TensorShape[] {
  return shape.architecture === 'bert' ? encoderTensors(shape) : decoderTensors(shape);
}

/**
 * Of a LoRA adapter for a model of that shape: for each matrix of its layers two thin ones, whose product is added to it.
 */
export function adapterTensorsOf(shape: Shape, rank: number): TensorShape[] {
  return tensorsOf(shape).flatMap(({ name, dimensions }) => {
    const [rowLength, rows] = dimensions;
    if (rows === undefined || !name.startsWith('blk.')) return [];
    return [
      { name: `${name}.lora_a`, dimensions: [rowLength, rank] as const },
      { name: `${name}.lora_b`, dimensions: [rank, rows] as const },
    ];
  });
}

const matrix = (name: string, rowLength: number, rows: number): TensorShape => ({
  name: `${name}.weight`,
  dimensions: [rowLength, rows],
});
const ones = (name: string, length: number): TensorShape => ({
  name: `${name}.weight`,
  dimensions: [length],
  constant: 1,
});
const zeros = (name: string, length: number): TensorShape => ({
  name: `${name}.bias`,
  dimensions: [length],
  constant: 0,
});

/** `llama` and `qwen2`, whose difference is the biases. The output shares the embedding's matrix, as in small models. */
function decoderTensors({ architecture, size, vocabularySize }: Shape): TensorShape[] {
  const { layers, width, heads, keyHeads, feedForward } = size;
  const keyWidth = (width / heads) * keyHeads;
  const tensors = [matrix('token_embd', width, vocabularySize), ones('output_norm', width)];
  for (let layer = 0; layer < layers; layer++) {
    const block = `blk.${layer}`;
    tensors.push(
      ones(`${block}.attn_norm`, width),
      matrix(`${block}.attn_q`, width, width),
      matrix(`${block}.attn_k`, width, keyWidth),
      matrix(`${block}.attn_v`, width, keyWidth),
      matrix(`${block}.attn_output`, width, width),
      ones(`${block}.ffn_norm`, width),
      matrix(`${block}.ffn_gate`, width, feedForward),
      matrix(`${block}.ffn_up`, width, feedForward),
      matrix(`${block}.ffn_down`, feedForward, width),
    );
    if (architecture === 'qwen2') {
      tensors.push(zeros(`${block}.attn_q`, width), zeros(`${block}.attn_k`, keyWidth));
      tensors.push(zeros(`${block}.attn_v`, keyWidth));
    }
  }
  return tensors;
}

function encoderTensors({ size, vocabularySize, contextLength, pooling }: Shape): TensorShape[] {
  const { layers, width, feedForward } = size;
  const linear = (name: string, from: number, to: number) => [matrix(name, from, to), zeros(name, to)];
  const norm = (name: string) => [ones(name, width), zeros(name, width)];
  const tensors = [
    matrix('token_embd', width, vocabularySize),
    // Both are added to 32-bit floats, one row of them by a view that knows no blocks.
    { ...matrix('position_embd', width, contextLength), type: 'f32' as const },
    { ...matrix('token_types', width, 2), type: 'f32' as const },
    ...norm('token_embd_norm'),
  ];
  for (let layer = 0; layer < layers; layer++) {
    const block = `blk.${layer}`;
    tensors.push(
      ...['attn_q', 'attn_k', 'attn_v', 'attn_output'].flatMap((name) => linear(`${block}.${name}`, width, width)),
      ...norm(`${block}.attn_output_norm`),
      ...linear(`${block}.ffn_up`, width, feedForward),
      ...linear(`${block}.ffn_down`, feedForward, width),
      ...norm(`${block}.layer_output_norm`),
    );
  }
  // Named before the last part of the name: `cls.weight`, and `cls.output.weight` with one row, the score.
  if (pooling === 'rank') tensors.push(...linear('cls', width, width), ...linear('cls.output', width, 1));
  return tensors;
}
