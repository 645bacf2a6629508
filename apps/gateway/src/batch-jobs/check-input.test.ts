import { describe, expect, it } from 'vitest';
import {
  type CheckedInput,
  checkInput,
  SLICE_BYTES_MAX,
  SLICE_FILE_LINES_MAX,
  SLICE_LINES_MAX,
} from './check-input.js';

const LIMITS = { batchLinesMax: 1_000, lineBytesMax: 8 * 1024 * 1024 };

function line(id: unknown, body: object = { model: 'demo' }): string {
  return JSON.stringify({ custom_id: id, method: 'POST', url: '/v1/completions', body });
}

async function check(text: string, limits = LIMITS): Promise<CheckedInput> {
  async function* content() {
    const all = Buffer.from(text);
    for (let from = 0; from < all.length; from += 65_536) yield all.subarray(from, from + 65_536);
  }
  return checkInput(content(), '/v1/completions', limits);
}

async function valid(text: string) {
  const checked = await check(text);
  if (checked.kind !== 'valid') throw new Error(JSON.stringify(checked));
  return checked;
}

describe('the input of a batch', () => {
  it('is cut into slices that lie one behind another', async () => {
    const text = Array.from({ length: 2 * SLICE_LINES_MAX + 5 }, (_, index) => `${line(`i${index}`)}\n`).join('');
    const { slices, lines, model } = await valid(text);
    expect(lines).toBe(405);
    expect(model).toBe('demo');
    expect(slices.map(({ slice, firstLine }) => [slice, firstLine])).toEqual([
      [0, 1],
      [1, 201],
      [2, 401],
    ]);
    expect(slices[0]!.byteFrom).toBe(0);
    for (const [index, slice] of slices.entries())
      expect(slice.byteFrom + slice.bytes).toBe(slices[index + 1]?.byteFrom ?? Buffer.byteLength(text));
  });

  it('has slices of a few large lines, and one of a line that is larger than a slice', async () => {
    const large = 'x'.repeat(SLICE_BYTES_MAX / 2);
    const text = [line('a'), line('b', { prompt: large }), line('c', { prompt: large + large }), line('d')].join('\n');
    const { slices } = await valid(text);
    expect(slices.map(({ firstLine }) => firstLine)).toEqual([1, 3, 4]);
  });

  it('counts blank lines as lines of the file, and not as requests', async () => {
    const { slices, lines } = await valid(`\n\n${line('a')}\n\n${line('b')}\n\n`);
    expect(lines).toBe(2);
    expect(slices).toEqual([expect.objectContaining({ firstLine: 1, byteFrom: 0 })]);
  });

  it('may have many blank lines, of which no slice has more than it may', async () => {
    const blank = '\n'.repeat(5 * SLICE_FILE_LINES_MAX);
    const { slices, lines } = await valid(`${line('a')}\n${blank}${line('b')}\n${blank}`);
    expect(lines).toBe(2);
    expect(slices.map(({ slice, firstLine }) => [slice, firstLine])).toEqual([
      [0, 1],
      [1, 5 * SLICE_FILE_LINES_MAX + 1],
    ]);
    for (const { bytes } of slices) expect(bytes).toBeLessThan(SLICE_FILE_LINES_MAX + 200);
  });

  it('tells which lines have an id of an earlier one, wherever that is', async () => {
    const names = Array.from({ length: 300 }, (_, index) => `i${index}`);
    const text = [...names, 'i0', 'i299', 'other'].map((name) => line(name)).join('\n');
    const { slices } = await valid(text);
    expect(slices.map(({ duplicates }) => duplicates)).toEqual([[], [301, 302]]);
  });

  it('has ids that are told apart by anything, and names no model that could not be kept', async () => {
    const { slices, model } = await valid(
      [line('\ud83d', { model: 'a\0' }), line('\ud83e', { model: 'a\0' })].join('\n'),
    );
    expect(slices.map(({ duplicates }) => duplicates)).toEqual([[]]);
    expect(model).toBeNull();
  });

  it('may have a broken line among others', async () => {
    const { lines, model } = await valid(`${line('a')}\n{"broken\n${line('b', { model: 'another' })}`);
    expect(lines).toBe(3);
    expect(model).toBeNull();
  });

  it.each([
    ['nothing', '', 'empty_file'],
    ['blank lines', '\n \n\n', 'empty_file'],
  ])('can not be %s', async (_name, text, code) => {
    expect(await check(text)).toMatchObject({ kind: 'invalid', errors: [{ code, line: null }] });
  });

  it('can not be something else than JSONL, which the first lines tell', async () => {
    const checked = await check(Array.from({ length: 100 }, (_, index) => `row ${index},b,c`).join('\n'));
    expect(checked).toMatchObject({ kind: 'invalid', errors: { length: 20 } });
    expect(checked).toMatchObject({
      errors: expect.arrayContaining([
        { code: 'invalid_json_line', line: 3, param: null, message: expect.any(String) },
      ]),
    });
  });

  it('can not have more lines than are allowed, and is not read to its end for that', async () => {
    let read = 0;
    async function* endless() {
      for (;;) {
        read += 1;
        yield Buffer.from(`${line(`i${read}`)}\n`);
      }
    }
    const limits = { ...LIMITS, batchLinesMax: 10 };
    expect(await checkInput(endless(), '/v1/completions', limits)).toMatchObject({
      errors: [{ code: 'too_many_lines' }],
    });
    expect(read).toBe(11);
    expect(await check(Array.from({ length: 10 }, (_, index) => line(`${index}x`)).join('\n'), limits)).toMatchObject({
      kind: 'valid',
    });
  });
});
