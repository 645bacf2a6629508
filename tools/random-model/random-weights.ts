import type { TensorTypeName } from './gguf.ts';

/**
 * Random weights, the same for the same seed and tensor.
 *
 * Every weight is a whole number from -127 to 127 times a power of two, which 8-bit blocks, 16-bit and 32-bit floats all
 * hold exactly: a model has the same weights in each type, and an engine that answers differently has only rounded
 * differently.
 */

/** Weights of a piece; a multiple of the 32 that a block of q8_0 has. */
const PIECE_WEIGHTS = 64 * 1024;
export const BLOCK_WEIGHTS = 32;
const BLOCK_BYTES = 34;

export function bytesOf(weights: number, type: TensorTypeName): number {
  if (type === 'q8_0') return (weights / BLOCK_WEIGHTS) * BLOCK_BYTES;
  return weights * (type === 'f16' ? 2 : 4);
}

/** Rows of `rowLength`, so scaled that a row's product with numbers of size 1 is of size 1 too. */
export function* randomWeights(
  tensor: string,
  seed: number,
  weights: number,
  rowLength: number,
  type: TensorTypeName,
): Generator<Uint8Array> {
  const nextNumbers = numbersFrom(seedOf(tensor, seed));
  const exponent = Math.round(Math.log2(1 / (Math.sqrt(rowLength) * SIZE_OF_NUMBERS)));
  const encode = encoderFor(type, exponent);
  for (let from = 0; from < weights; from += PIECE_WEIGHTS) {
    yield encode(nextNumbers(Math.min(PIECE_WEIGHTS, weights - from)));
  }
}

/** The standard deviation of whole numbers spread evenly from -127 to 127. */
const SIZE_OF_NUMBERS = 127 / Math.sqrt(3);

/** The same value throughout: 1 for norms, 0 for biases. */
export function* constantWeights(value: number, weights: number): Generator<Uint8Array> {
  yield new Uint8Array(new Float32Array(weights).fill(value).buffer);
}

/** FNV-1a, so that each tensor has numbers of its own wherever it stands in the file. */
function seedOf(tensor: string, seed: number): number {
  let hash = 0x811c9dc5 ^ seed;
  for (const character of tensor) hash = Math.imul(hash ^ character.codePointAt(0)!, 0x01000193);
  return hash === 0 ? 1 : hash;
}

/** Marsaglia's xorshift with 32 bits of state: nothing here needs better, and a billion weights need it fast. */
function numbersFrom(state: number): (count: number) => Int8Array {
  let x = state;
  return (count) => {
    const words = new Int32Array(Math.ceil(count / 4));
    for (let index = 0; index < words.length; index++) {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      words[index] = x;
    }
    const numbers = new Int8Array(words.buffer, 0, count);
    // -128 has no opposite in 8 bits, and quantised files never hold it.
    for (let index = 0; index < count; index++) if (numbers[index] === -128) numbers[index] = -127;
    return numbers;
  };
}

type Encoder = (numbers: Int8Array) => Uint8Array;

function encoderFor(type: TensorTypeName, exponent: number): Encoder {
  if (type === 'q8_0') return (numbers) => encodeBlocks(numbers, halfBits(2 ** exponent));
  if (type === 'f32') return (numbers) => bytesUnder(Float32Array.from(numbers, (number) => number * 2 ** exponent));
  // There are only 255 values; index 0 stands for -128.
  const halves = Uint16Array.from({ length: 256 }, (_, index) => halfBits((index - 128) * 2 ** exponent));
  return (numbers) => bytesUnder(Uint16Array.from(numbers, (number) => halves[number + 128]!));
}

const bytesUnder = (array: Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>) => new Uint8Array(array.buffer);

/** Blocks of ggml's q8_0: a 16-bit float, the scale, and 32 whole numbers. */
function encodeBlocks(numbers: Int8Array, scaleBits: number): Uint8Array {
  const bytes = new Uint8Array((numbers.length / BLOCK_WEIGHTS) * BLOCK_BYTES);
  const source = new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.length);
  for (let from = 0, at = 0; from < numbers.length; from += BLOCK_WEIGHTS, at += BLOCK_BYTES) {
    bytes[at] = scaleBits & 0xff;
    bytes[at + 1] = scaleBits >> 8;
    bytes.set(source.subarray(from, from + BLOCK_WEIGHTS), at + 2);
  }
  return bytes;
}

/** The 16-bit float of `value`, which must be one exactly: small numbers times a power of two are. */
export function halfBits(value: number): number {
  if (value === 0) return 0;
  const sign = value < 0 ? 0x8000 : 0;
  const size = Math.abs(value);
  const exponent = Math.max(-14, Math.floor(Math.log2(size)));
  const fraction = (size / 2 ** exponent) * 1024;
  const bits = fraction >= 1024 ? ((exponent + 15) << 10) | (fraction - 1024) : fraction;
  if (!Number.isInteger(fraction) || exponent > 15) throw new RangeError(`${value} is no 16-bit float.`);
  return sign | bits;
}
