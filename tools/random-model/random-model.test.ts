import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { adapterTensorsOf, metadataOf, SIZES, tensorsOf } from './architectures.ts';
import { arrayLength, readMetadata, string, stringsOf, writeGguf } from './gguf.ts';
import { bytesOf, halfBits, randomWeights } from './random-weights.ts';
import { writeRandomAdapter } from './write-random-adapter.ts';
import { writeRandomModel } from './write-random-model.ts';

/** A real vocabulary that needs no unpacking. */
const VOCABULARY = resolve(import.meta.dirname, '../../models/millrace-demo.gguf');

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'random-model-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const write = (name: string, options: Partial<Parameters<typeof writeRandomModel>[0]> = {}) =>
  writeRandomModel({ vocabulary: VOCABULARY, out: join(folder, name), size: 'tiny', type: 'q8_0', ...options });

describe('writeRandomModel', () => {
  it('keeps the vocabulary and its chat template byte for byte, and nothing else of the file', async () => {
    await write('kept.gguf');
    const [before, after] = await Promise.all([VOCABULARY, join(folder, 'kept.gguf')].map(readMetadata));
    const keys = [...before!.keys()].filter((key) => key.startsWith('tokenizer.'));
    expect(keys).toContain('tokenizer.chat_template');
    for (const key of keys) expect(after!.get(key)).toEqual(before!.get(key));
    expect(after!.get('general.name')).not.toEqual(before!.get('general.name'));
    expect(arrayLength(after!, 'tokenizer.ggml.tokens')).toBe(arrayLength(before!, 'tokenizer.ggml.tokens'));
  });

  it('writes the same file for the same seed, and another for another', async () => {
    await Promise.all([write('one.gguf'), write('again.gguf'), write('other.gguf', { seed: 2 })]);
    const [one, again, other] = ['one', 'again', 'other'].map((name) => readFileSync(join(folder, `${name}.gguf`)));
    expect(again!.equals(one!)).toBe(true);
    expect(other!.equals(one!)).toBe(false);
    expect(other!.length).toBe(one!.length);
  });

  it('tells how many parameters the model has: the file is as long as they need', async () => {
    const parameters = await write('long.gguf', { type: 'f32' });
    const { size } = statSync(join(folder, 'long.gguf'));
    expect(size).toBeGreaterThan(parameters * 4);
    expect(size).toBeLessThan(parameters * 4 + 100_000);
  });

  it('adds templates by name, and their names to the list of them', async () => {
    const templates = { default: '{{ main }}', tool_use: '{{ tools }}', rag: '{{ documents }}' };
    await write('templates.gguf', { templates });
    const metadata = await readMetadata(join(folder, 'templates.gguf'));
    expect(metadata.get('tokenizer.chat_template')).toEqual(string(templates.default));
    expect(metadata.get('tokenizer.chat_template.rag')).toEqual(string(templates.rag));
    expect(stringsOf(metadata.get('tokenizer.chat_templates')!)).toEqual(['tool_use', 'rag']);
  });

  it('gives tokens other names, in their places', async () => {
    await write('names.gguf', { tokenNames: { '<tools>': '[TOOLS]', '</tools>': '[/TOOLS]' } });
    const tokensOf = async (path: string) => stringsOf((await readMetadata(path)).get('tokenizer.ggml.tokens')!);
    const [before, after] = [await tokensOf(VOCABULARY), await tokensOf(join(folder, 'names.gguf'))];
    expect(after[before.indexOf('<tools>')]).toBe('[TOOLS]');
    expect(after.filter((token) => !before.includes(token))).toEqual(['[TOOLS]', '[/TOOLS]']);
    await expect(write('none.gguf', { tokenNames: { absent: 'x' } })).rejects.toThrow('no token "absent"');
    await expect(write('twice.gguf', { tokenNames: { '<tools>': '</tools>' } })).rejects.toThrow('"</tools>" already');
  });

  it('refuses a pooling for a model that makes text', async () => {
    await expect(write('pooled.gguf', { pooling: 'rank' })).rejects.toThrow('Only `bert` has a pooling');
  });

  it('says which file is no GGUF', async () => {
    const vocabulary = resolve(import.meta.dirname, 'gguf.ts');
    await expect(write('none.gguf', { vocabulary })).rejects.toThrow(`${vocabulary} can't be read as GGUF`);
  });
});

describe('writeRandomAdapter', () => {
  it('writes two thin matrices for each of the layers, which fit together and around it', async () => {
    const shape = { architecture: 'qwen2', size: SIZES.tiny, vocabularySize: 10, contextLength: 8 } as const;
    const thin = new Map(adapterTensorsOf(shape, 3).map(({ name, dimensions }) => [name, dimensions]));
    const matrices = tensorsOf(shape).filter(
      ({ name, dimensions }) => name.startsWith('blk.') && dimensions.length > 1,
    );
    expect(thin.size).toBe(2 * matrices.length);
    for (const { name, dimensions } of matrices) {
      expect(thin.get(`${name}.lora_a`)).toEqual([dimensions[0], 3]);
      expect(thin.get(`${name}.lora_b`)).toEqual([3, dimensions[1]]);
    }
  });

  it('says in the file what it is', async () => {
    const out = join(folder, 'adapter.gguf');
    await writeRandomAdapter({ out, size: 'tiny', rank: 2, alpha: 8 });
    const metadata = await readMetadata(out);
    expect(metadata.get('general.type')).toEqual(string('adapter'));
    expect(metadata.get('general.architecture')).toEqual(string('llama'));
    expect(metadata.get('adapter.lora.alpha')?.bytes.readFloatLE()).toBe(8);
  });
});

describe('sizes', () => {
  const parametersOf = (architecture: 'llama' | 'qwen2' | 'bert', name: keyof typeof SIZES, vocabularySize: number) => {
    const shape = { architecture, size: SIZES[name], vocabularySize, contextLength: 512 };
    return tensorsOf(shape).reduce((sum, { dimensions }) => sum + dimensions.reduce((a, b) => a * b, 1), 0) / 1e6;
  };

  it('have the parameters of the models they are named after', () => {
    expect(parametersOf('llama', '135m', 49_152)).toBeCloseTo(134.5, 1);
    expect(parametersOf('llama', '360m', 49_152)).toBeCloseTo(361.8, 1);
    expect(parametersOf('qwen2', '500m', 151_936)).toBeCloseTo(494, 0);
    expect(parametersOf('llama', '1b', 128_256)).toBeCloseTo(1_235.8, 0);
    expect(parametersOf('bert', '33m', 30_522)).toBeCloseTo(33.2, 1);
  });

  it('fit every type: rows are whole blocks, and heads are all as wide', () => {
    for (const size of Object.values(SIZES)) {
      expect([size.width % 32, size.feedForward % 32, size.width % size.heads, size.heads % size.keyHeads]).toEqual([
        0, 0, 0, 0,
      ]);
    }
  });

  it('give a model that ranks a head of one score', () => {
    const shape = { architecture: 'bert', size: SIZES.tiny, vocabularySize: 10, contextLength: 8 } as const;
    const names = tensorsOf({ ...shape, pooling: 'rank' }).map(({ name }) => name);
    expect(names).toContain('cls.output.weight');
    expect(tensorsOf({ ...shape, pooling: 'mean' }).map(({ name }) => name)).not.toContain('cls.weight');
    expect(
      metadataOf({ ...shape, pooling: 'rank' })
        .get('bert.pooling_type')
        ?.bytes.readUInt32LE(),
    ).toBe(4);
  });
});

describe('random weights', () => {
  const ROW = 64;
  const WEIGHTS = 70_400; // More than a piece.
  const bytes = (type: 'f32' | 'f16' | 'q8_0') => Buffer.concat([...randomWeights('a tensor', 7, WEIGHTS, ROW, type)]);

  it('are the same numbers in every type', () => {
    const [f32, f16, q8] = (['f32', 'f16', 'q8_0'] as const).map(bytes);
    expect([f32!.length, f16!.length, q8!.length]).toEqual(
      (['f32', 'f16', 'q8_0'] as const).map((type) => bytesOf(WEIGHTS, type)),
    );
    for (let index = 0; index < WEIGHTS; index += 97) {
      const value = f32!.readFloatLE(index * 4);
      const block = Math.floor(index / 32) * 34;
      expect(halfValue(f16!.readUInt16LE(index * 2))).toBe(value);
      expect(halfValue(q8!.readUInt16LE(block)) * q8!.readInt8(block + 2 + (index % 32))).toBe(value);
    }
  });

  it('keep what passes through a row at its size', () => {
    const f32 = bytes('f32');
    let squares = 0;
    for (let index = 0; index < WEIGHTS; index++) squares += f32.readFloatLE(index * 4) ** 2;
    const gain = Math.sqrt((squares / WEIGHTS) * ROW);
    expect(gain).toBeGreaterThan(0.7);
    expect(gain).toBeLessThan(1.42);
  });

  it('differ from tensor to tensor', () => {
    const [one, other] = ['blk.0.attn_q.weight', 'blk.1.attn_q.weight'].map((name) =>
      Buffer.concat([...randomWeights(name, 1, 64, ROW, 'f32')]),
    );
    expect(one!.equals(other!)).toBe(false);
  });

  it('become 16-bit floats exactly', () => {
    fc.assert(
      fc.property(fc.integer({ min: -127, max: 127 }), fc.integer({ min: -20, max: 4 }), (number, exponent) => {
        expect(halfValue(halfBits(number * 2 ** exponent))).toBeCloseTo(number * 2 ** exponent, 12);
      }),
    );
    expect(() => halfBits(1 / 3)).toThrow('no 16-bit float');
  });
});

describe('readMetadata', () => {
  it('reads what writeGguf wrote, whatever the keys', async () => {
    const path = join(folder, 'keys.gguf');
    const text = (value: string) => {
      const bytes = Buffer.from(value);
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(bytes.length));
      return { type: 8, bytes: Buffer.concat([length, bytes]) };
    };
    await fc.assert(
      fc.asyncProperty(fc.dictionary(fc.string({ unit: 'grapheme' }), fc.string()), async (dictionary) => {
        const metadata = new Map(Object.entries(dictionary).map(([key, value]) => [key, text(value)]));
        await writeGguf(path, metadata, []);
        expect(await readMetadata(path)).toEqual(metadata);
      }),
      { numRuns: 20 },
    );
  });
});

/** What a 16-bit float is worth. */
function halfValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return (sign * fraction) / 2 ** 24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
