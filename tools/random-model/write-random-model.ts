import { parseArgs } from 'node:util';
import {
  ARCHITECTURES,
  type Architecture,
  metadataOf,
  POOLINGS,
  type Pooling,
  SIZES,
  type SizeName,
  type TensorShape,
  tensorsOf,
} from './architectures.ts';
import {
  arrayLength,
  readMetadata,
  string,
  type TensorToWrite,
  TensorType,
  type TensorTypeName,
  writeGguf,
} from './gguf.ts';
import { BLOCK_WEIGHTS, bytesOf, constantWeights, randomWeights } from './random-weights.ts';

export interface RandomModel {
  /** A GGUF file whose vocabulary is taken: one of llama.cpp's `ggml-vocab-*.gguf`, or any model. */
  readonly vocabulary: string;
  readonly out: string;
  readonly size: SizeName;
  readonly type: TensorTypeName;
  /** Default: `llama`. */
  readonly architecture?: Architecture;
  /** Only with `bert`. Default: `mean`. */
  readonly pooling?: Pooling;
  /** Tokens that the file says it was trained with; of `bert` also the most it can read. Default: 8,192; `bert` 512. */
  readonly contextLength?: number;
  /** Default: 1. */
  readonly seed?: number;
}

/** Used where the vocabulary comes without one, so that the model can be asked as a chat. */
const CHAT_TEMPLATE =
  '{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}';

/**
 * Writes a model of real shape and vocabulary whose weights are random: it computes exactly what a trained one of its size
 * does, and says nothing.
 *
 * @returns how many parameters it has. @throws Error when the vocabulary can't be read or `pooling` does not fit.
 */
export async function writeRandomModel(model: RandomModel): Promise<number> {
  const { architecture = 'llama', pooling, seed = 1, type, size } = model;
  if (pooling !== undefined && architecture !== 'bert') throw new Error('Only `bert` has a pooling; leave it out.');
  const vocabulary = new Map([...(await readMetadata(model.vocabulary))].filter(([key]) => isVocabulary(key)));
  const shape = {
    architecture,
    size: SIZES[size],
    vocabularySize: arrayLength(vocabulary, 'tokenizer.ggml.tokens'),
    contextLength: model.contextLength ?? (architecture === 'bert' ? 512 : 8_192),
    pooling,
  };
  if (architecture !== 'bert' && !vocabulary.has('tokenizer.chat_template')) {
    vocabulary.set('tokenizer.chat_template', string(CHAT_TEMPLATE));
  }
  const name = ['general.name', string(`Random ${size} ${architecture}, seed ${seed}`)] as const;
  const metadata = new Map([...metadataOf(shape), name, ...vocabulary]);
  const shapes = tensorsOf(shape);
  await writeGguf(
    model.out,
    metadata,
    shapes.map((tensor) => tensorToWrite(tensor, type, seed)),
  );
  return shapes.reduce((sum, { dimensions }) => sum + weightsOf(dimensions), 0);
}

const isVocabulary = (key: string) => key.startsWith('tokenizer.');

function weightsOf(dimensions: readonly number[]): number {
  return dimensions.reduce((product, length) => product * length, 1);
}

function tensorToWrite(tensor: TensorShape, typeAsked: TensorTypeName, seed: number): TensorToWrite {
  const { name, dimensions, constant } = tensor;
  const weights = weightsOf(dimensions);
  if (constant !== undefined) {
    const bytes = bytesOf(weights, 'f32');
    return { name, dimensions, type: 'f32', bytes, data: () => constantWeights(constant, weights) };
  }
  const type = tensor.type ?? typeAsked;
  const [rowLength] = dimensions;
  if (type === 'q8_0' && rowLength % BLOCK_WEIGHTS !== 0)
    throw new Error(`${name}: q8_0 needs rows of a multiple of 32.`);
  const data = () => randomWeights(name, seed, weights, rowLength, type);
  return { name, dimensions, type, bytes: bytesOf(weights, type), data };
}

// ------------------------------------------------------------------------------------------------------ command line

const USAGE = `node tools/random-model/write-random-model.ts --vocab FILE --out FILE [options]
  --size ${Object.keys(SIZES).join('|')} (135m)   --type ${Object.keys(TensorType).join('|')} (q8_0)
  --architecture ${ARCHITECTURES.join('|')} (llama)   --pooling ${Object.keys(POOLINGS).join('|')} (bert only: mean)
  --context TOKENS (8192; bert 512)   --seed NUMBER (1)`;

async function main(): Promise<void> {
  const option = { type: 'string' } as const;
  const { values } = parseArgs({
    options: {
      vocab: option,
      out: option,
      size: { ...option, default: '135m' },
      type: { ...option, default: 'q8_0' },
      architecture: { ...option, default: 'llama' },
      pooling: option,
      context: option,
      seed: { ...option, default: '1' },
    },
  });
  if (values.vocab === undefined || values.out === undefined)
    throw new Error(`--vocab and --out are needed.\n${USAGE}`);
  const parameters = await writeRandomModel({
    vocabulary: values.vocab,
    out: values.out,
    size: oneOf(Object.keys(SIZES) as SizeName[], '--size', values.size),
    type: oneOf(Object.keys(TensorType) as TensorTypeName[], '--type', values.type),
    architecture: oneOf(ARCHITECTURES, '--architecture', values.architecture),
    seed: wholeNumber('--seed', values.seed, 0),
    ...(values.pooling !== undefined && {
      pooling: oneOf(Object.keys(POOLINGS) as Pooling[], '--pooling', values.pooling),
    }),
    ...(values.context !== undefined && { contextLength: wholeNumber('--context', values.context, 1) }),
  });
  console.log(`${values.out}: ${(parameters / 1e6).toFixed(1)} million parameters, ${values.type}`);
}

function oneOf<T extends string>(known: readonly T[], flag: string, value: string): T {
  const found = known.find((name) => name === value);
  if (found === undefined) throw new Error(`${flag} is "${value}". It is one of ${known.join(', ')}.`);
  return found;
}

function wholeNumber(flag: string, value: string, min: number): number {
  const number = Number(value);
  if (Number.isSafeInteger(number) && number >= min && number < 2 ** 31) return number;
  throw new Error(`${flag} is "${value}". It is a whole number from ${min} to ${(2 ** 31 - 1).toLocaleString('en')}.`);
}

if (import.meta.main) {
  try {
    await main();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
    process.exitCode = 1;
  }
}
