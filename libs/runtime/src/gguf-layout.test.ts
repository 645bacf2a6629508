import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GgufDamage, ggufParts, readGgufLayout } from './gguf-layout.js';

const DEMO_MODEL = fileURLToPath(new URL('../../../models/millrace-demo.gguf', import.meta.url));

const uint32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const uint64 = (value: number | bigint) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const text = (value: string) => Buffer.concat([uint64(Buffer.byteLength(value)), Buffer.from(value)]);
const start = (tensors: number | bigint, keys: number | bigint, version = 3) =>
  Buffer.concat([Buffer.from('GGUF'), uint32(version), uint64(tensors), uint64(keys)]);
/** Of 32-bit floats. */
const tensor = (name: string, offset: number | bigint, ...dimensions: (number | bigint)[]) =>
  Buffer.concat([text(name), uint32(dimensions.length), ...dimensions.map(uint64), uint32(0), uint64(offset)]);

it('names the parts of a model that lies in several files', () => {
  expect(ggufParts('/models/a.gguf')).toEqual(['/models/a.gguf']);
  expect(ggufParts('/models/a-00001-of-00002.gguf')).toEqual([
    '/models/a-00001-of-00002.gguf',
    '/models/a-00002-of-00002.gguf',
  ]);
});

it.each(['a-00001-of-00000.gguf', 'a-00003-of-00002.gguf', 'a-00001-of-99999.gguf'])(
  'takes %s for one file',
  (path) => {
    expect(ggufParts(path)).toEqual([path]);
  },
);

describe('readGgufLayout', () => {
  let folder: string;
  let demo: Buffer;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'millrace-gguf-'));
    demo = readFileSync(DEMO_MODEL);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const layoutOf = (...parts: Uint8Array[]) => {
    const path = join(folder, 'model.gguf');
    writeFileSync(path, Buffer.concat(parts));
    return readGgufLayout(path);
  };

  it('says what a good file holds, and where it ends', async () => {
    expect(await readGgufLayout(DEMO_MODEL)).toEqual({
      version: 3,
      tensors: 47,
      keys: 30,
      fileBytes: demo.length,
      neededBytes: demo.length,
      facts: {
        ...{ architecture: 'llama', name: 'Millrace Demo', licence: 'apache-2.0' },
        ...{ fileType: 1, hasChatTemplate: true },
      },
    });
  });

  it('keeps no name that is longer than names are', async () => {
    const named = (length: number) =>
      Buffer.concat([start(0, 1), text('general.name'), uint32(8), text('n'.repeat(length))]);
    expect((await layoutOf(named(500))).facts.name).toHaveLength(500);
    expect((await layoutOf(named(501))).facts.name).toBeUndefined();
  });

  it('takes the alignment that the file names', async () => {
    const key = Buffer.concat([text('general.alignment'), uint32(4), uint32(64)]);
    const beginning = Buffer.concat([start(1, 1), key, tensor('a', 64, 2)]);
    const whole = Buffer.concat([beginning, Buffer.alloc(128 - beginning.length), Buffer.alloc(72)]);
    expect(await layoutOf(whole)).toMatchObject({ neededBytes: 200 });
    await expect(layoutOf(whole.subarray(0, 199))).rejects.toThrow('it ends too early, after 199 bytes, and needs 200');
  });

  it('walks over lists of lists, and over a file of nothing but a beginning', async () => {
    const inner = Buffer.concat([uint32(8), uint64(2), text('one'), text('')]);
    const key = Buffer.concat([text('lists'), uint32(9), uint32(9), uint64(2), inner, inner]);
    expect(await layoutOf(start(0, 1), key)).toMatchObject({ keys: 1, tensors: 0 });
    expect(await layoutOf(start(0, 0, 2))).toMatchObject({ version: 2, neededBytes: 24 });
  });

  it.each<[string, readonly Uint8Array[], RegExp, boolean]>([
    ['nothing', [], /only 0 bytes/, true],
    ['another format', [Buffer.from('<!DOCTYPE html><p>Not found')], /begins with "<!DO"/, false],
    ['a version to come', [start(0, 0, 4)], /version 4/, false],
    ['tensors without end', [start(2n ** 63n, 0)], /9,223,372,036,854,775,808 tensors; at most 65,536/, false],
    ['keys without end', [start(0, 2n ** 40n)], /1,099,511,627,776 keys; at most 4,096/, false],
    ['a name longer than the file', [start(0, 1), uint64(2n ** 62n)], /name of key 0.*only 0 bytes are left/, true],
    [
      'a list longer than the file',
      [start(0, 1), text('list'), uint32(9), uint32(8), uint64(2n ** 61n)],
      /"list" has 2,305,843,009,213,693,952 bytes or entries/,
      true,
    ],
    ['a value of no type', [start(0, 1), text('odd'), uint32(99)], /"odd" has a value of the unknown type 99/, false],
    [
      'lists that would become millions of objects',
      [start(0, 1), text('list'), uint32(9), uint32(0), uint64(5_000_000), Buffer.alloc(5_000_000)],
      /5,000,000 entries in lists; at most 4,194,304/,
      false,
    ],
    [
      'a name that would become thousands of objects',
      [start(0, 1), text('a.'.repeat(2_000)), uint32(4), uint32(1)],
      /name of key 0 has 4,000 bytes; at most 256/,
      false,
    ],
    ['five dimensions', [start(1, 0), tensor('a', 0, 1, 1, 1, 1, 1)], /"a" has 5 dimensions; there can be 4/, false],
    ['a tensor beyond the end', [start(1, 0), tensor('a', 2n ** 50n, 8), Buffer.alloc(64)], /ends too early/, true],
    ['a tensor of impossible size', [start(1, 0), tensor('a', 0, 2n ** 62n, 2n ** 62n)], /ends too early/, true],
  ])('refuses %s', async (_what, parts, problem, truncated) => {
    const damage = await layoutOf(...parts).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(damage).toBeInstanceOf(GgufDamage);
    expect(damage).toMatchObject({ message: expect.stringMatching(problem) as string, truncated });
  });

  it('does not wait for a pipe that nobody writes into', async () => {
    const pipe = join(folder, 'pipe.gguf');
    execFileSync('mkfifo', [pipe]);
    await expect(readGgufLayout(pipe)).rejects.toThrow('it is a folder, a pipe or a device');
    await expect(readGgufLayout(folder)).rejects.toThrow('it is a folder, a pipe or a device');
  });

  it('notices every cut', async () => {
    const cuts = fc.oneof(fc.nat(demo.length - 1), fc.nat(300_000));
    await fc.assert(
      fc.asyncProperty(cuts, async (at) => {
        await expect(layoutOf(demo.subarray(0, at))).rejects.toMatchObject({ truncated: true });
      }),
      { numRuns: 40 },
    );
  });

  it('ends in bounded time, with an answer or a sentence, whatever bits of the beginning are changed', async () => {
    const changes = fc.array(fc.tuple(fc.nat(4_000), fc.nat(255)), { minLength: 1, maxLength: 8 });
    const beginning = demo.subarray(0, 400_000);
    await fc.assert(
      fc.asyncProperty(changes, async (changed) => {
        const bytes = Buffer.from(beginning);
        for (const [at, value] of changed) bytes[at] = value;
        const error = await layoutOf(bytes).then(
          () => undefined,
          (thrown: unknown) => thrown,
        );
        if (error !== undefined) expect(error).toBeInstanceOf(GgufDamage);
      }),
      { numRuns: 100 },
    );
  });
});
