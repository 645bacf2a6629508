import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type FileLine, readLines } from './read-lines.js';

const TERMS = { lineBytesMax: 1_000 };

async function linesOf(chunks: Iterable<Uint8Array>, terms = TERMS): Promise<FileLine[]> {
  const lines: FileLine[] = [];
  for await (const line of readLines(arriving(chunks), terms)) lines.push(line);
  return lines;
}

async function* arriving(chunks: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

const textsOf = (lines: readonly FileLine[]) => lines.map(({ content }) => content && Buffer.from(content).toString());

describe('the lines of a file', () => {
  it.each([
    ['', []],
    ['a', ['a']],
    ['a\n', ['a']],
    ['a\nb', ['a', 'b']],
    ['a\r\nb\r\n', ['a', 'b']],
    ['\n\na\n', ['', '', 'a']],
    ['\r\n', ['']],
    ['a\rb\n', ['a\rb']],
    ['a\r', ['a\r']],
    ['\ufeffa\n\ufeffb', ['a', '\ufeffb']],
    ['\ufeff', ['']],
    ['\ufeff\r\n', ['']],
  ])('of %j are %j', async (text, lines) => {
    expect(textsOf(await linesOf([Buffer.from(text)]))).toEqual(lines);
  });

  it('are the same however the bytes come', async () => {
    // Bytes that mean something, and any others, valid UTF-8 or not.
    const byte = fc.oneof(fc.constantFrom(0x0a, 0x0d, 0xef, 0xbb, 0xbf, 0x7b), fc.integer({ min: 0, max: 255 }));
    await fc.assert(
      fc.asyncProperty(
        fc.array(byte, { maxLength: 200 }),
        fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 60 }),
        fc.integer({ min: 1, max: 30 }),
        async (bytes, sizes, lineBytesMax) => {
          const all = Buffer.from(bytes);
          const whole = await linesOf([all], { lineBytesMax });
          expect(await linesOf(pieces(all, sizes), { lineBytesMax })).toEqual(whole);
          // They lie one behind another, so that any part of them can be read again by itself.
          expect(
            Buffer.concat(whole.map(({ byteFrom, bytes: length }) => all.subarray(byteFrom, byteFrom + length))),
          ).toEqual(all);
          for (const { number, byteFrom, bytes: length, content } of whole) {
            const terms = { lineBytesMax, byteFrom, number };
            const again = await linesOf([all.subarray(byteFrom, byteFrom + length)], terms);
            expect(again).toEqual([{ number, byteFrom, bytes: length, content }]);
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  it('are told by their length where they are too long, and those behind them are whole', async () => {
    const long = 'x'.repeat(2_000);
    const lines = await linesOf([Buffer.from(`a\n${long}`), Buffer.from(`${long}\r\nb\n`)]);
    expect(textsOf(lines)).toEqual(['a', undefined, 'b']);
    expect(lines[1]).toMatchObject({ number: 2, byteFrom: 2, bytes: 4_002 });
    expect(textsOf(await linesOf([Buffer.from('abc\r\nabcd\n')], { lineBytesMax: 3 }))).toEqual(['abc', undefined]);
  });

  it('that are short leave others their turns, however many come at once', async () => {
    let turns = 0;
    let isOver = false;
    const turn = () => {
      turns += 1;
      if (!isOver) setImmediate(turn);
    };
    setImmediate(turn);
    const lines = await linesOf([Buffer.alloc(100_000, '\n')]);
    isOver = true;
    expect(lines).toHaveLength(100_000);
    expect(turns).toBeGreaterThanOrEqual(40);
  });

  it('take little memory where one of 300 MB has no end', async () => {
    const chunk = Buffer.alloc(1024 * 1024, 'x');
    let most = 0;
    async function* endless() {
      for (let number = 0; number < 300; number++) {
        yield chunk;
        most = Math.max(most, process.memoryUsage().arrayBuffers);
        await sleep(0);
      }
    }
    const before = process.memoryUsage().arrayBuffers;
    const lines: FileLine[] = [];
    for await (const line of readLines(endless(), { lineBytesMax: 16 * 1024 * 1024 })) lines.push(line);
    expect(lines).toEqual([{ number: 1, byteFrom: 0, bytes: 300 * 1024 * 1024, content: undefined }]);
    expect(most - before).toBeLessThan(40 * 1024 * 1024);
  }, 60_000);
});

function* pieces(all: Uint8Array, sizes: readonly number[]): Generator<Uint8Array> {
  let from = 0;
  for (const size of sizes) {
    yield all.subarray(from, from + size);
    from += size;
  }
  if (from < all.length) yield all.subarray(from);
}
