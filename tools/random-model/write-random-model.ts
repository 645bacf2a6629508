import { readFileSync } from 'node:fs';
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
  type MetadataValue,
  readMetadata,
  string,
  strings,
  stringsOf,
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
  /** Chat templates in Jinja, by name, beside the vocabulary's own; `default` takes the place of its main one. */
  readonly templates?: Readonly<Record<string, string>>;
  /** New names of tokens, by the old ones: models often name the reserved tokens of their family's vocabulary. */
  readonly tokenNames?: Readonly<Record<string, string>>;
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
  addTemplates(vocabulary, model.templates ?? {});
  renameTokens(vocabulary, model.tokenNames ?? {});
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

/** As llama.cpp's converter writes them: each under a key of its own, and the names in a list. */
function addTemplates(vocabulary: Map<string, MetadataValue>, templates: Readonly<Record<string, string>>): void {
  const { default: main, ...named } = templates;
  if (main !== undefined) vocabulary.set('tokenizer.chat_template', string(main));
  if (Object.keys(named).length === 0) return;
  const listed = vocabulary.get('tokenizer.chat_templates');
  const names = new Set([...(listed === undefined ? [] : stringsOf(listed)), ...Object.keys(named)]);
  vocabulary.set('tokenizer.chat_templates', strings([...names]));
  for (const [name, template] of Object.entries(named)) {
    vocabulary.set(`tokenizer.chat_template.${name}`, string(template));
  }
}

/** @throws Error when there is no token of an old name, or one of a new name. */
function renameTokens(vocabulary: Map<string, MetadataValue>, names: Readonly<Record<string, string>>): void {
  if (Object.keys(names).length === 0) return;
  const tokens = stringsOf(vocabulary.get('tokenizer.ggml.tokens')!);
  for (const [before, after] of Object.entries(names)) {
    const index = tokens.indexOf(before);
    if (index < 0) throw new Error(`The vocabulary has no token "${before}" to be named "${after}".`);
    if (tokens.includes(after)) throw new Error(`The vocabulary has a token "${after}" already.`);
    tokens[index] = after;
  }
  vocabulary.set('tokenizer.ggml.tokens', strings(tokens));
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
  --context TOKENS (8192; bert 512)   --seed NUMBER (1)
  --template NAME=FILE   a chat template in Jinja; the name "default" is the main one; may be repeated
  --token-name OLD=NEW   gives a token of the vocabulary another name; may be repeated`;

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
      template: { ...option, multiple: true, default: [] },
      'token-name': { ...option, multiple: true, default: [] },
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
    templates: Object.fromEntries(
      values.template.map((each) => pair('--template', each)).map(([name, file]) => [name, readFileSync(file, 'utf8')]),
    ),
    tokenNames: Object.fromEntries(values['token-name'].map((each) => pair('--token-name', each))),
    ...(values.pooling !== undefined && {
      pooling: oneOf(Object.keys(POOLINGS) as Pooling[], '--pooling', values.pooling),
    }),
    ...(values.context !== undefined && { contextLength: wholeNumber('--context', values.context, 1) }),
  });
  console.log(`${values.out}: ${(parameters / 1e6).toFixed(1)} million parameters, ${values.type}`);
}

/** Names of tokens may hold `=` behind the first one. */
function pair(flag: string, value: string): [string, string] {
  const at = value.indexOf('=');
  if (at < 1 || at === value.length - 1) throw new Error(`${flag} is "${value}". Write it as a=b.`);
  return [value.slice(0, at), value.slice(at + 1)];
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
