import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventStream, EventTooLong } from './event-stream.js';

const EVENT_BYTES_MAX = 1_000;

function read(...pieces: readonly (string | Buffer)[]): string[] {
  const stream = new EventStream(EVENT_BYTES_MAX);
  return pieces.flatMap((piece) => stream.push(Buffer.from(piece)));
}

describe('server-sent events', () => {
  it.each<[string, string, string[]]>([
    ['one after another', 'data: a\n\ndata: b\n\n', ['a', 'b']],
    ['without the space', 'data:a\n\n', ['a']],
    ['with one space of two', 'data:  a\n\n', [' a']],
    ['over several lines', 'data: a\ndata\ndata: b\n\n', ['a\n\nb']],
    ['with comments and other fields', ': ping\nevent: x\nid: 1\nretry: 5\ndata: a\n\n', ['a']],
    ['with fields that only begin like one', 'database: a\n\ndata: b\n\n', ['b']],
    ['without data', 'event: x\n\n\n\n', []],
    ['with an empty value', 'data:\n\n', ['']],
    ['with a byte order mark', '\ufeffdata: a\n\n', ['a']],
    ['with carriage returns and line feeds', 'data: a\r\n\r\ndata: b\r\n\r\n', ['a', 'b']],
    ['with carriage returns', 'data: a\r\rdata: b\r\r', ['a', 'b']],
    ['with all of them mixed', 'data: a\n\r\ndata: b\r\n\n', ['a', 'b']],
    ['whose end never comes', 'data: a\n', []],
  ])('are read: %s', (_name, bytes, expected) => {
    expect(read(bytes)).toEqual(expected);
  });

  it('are the same however the bytes are cut', () => {
    const line = fc.oneof(
      fc.constantFrom('', 'data', 'data:', ': comment', 'event: x', '\ufeff'),
      fc.string({ unit: 'grapheme', maxLength: 8 }).map((text) => `data: ${text.replaceAll(/[\r\n]/g, '')}`),
    );
    const text = fc
      .array(fc.tuple(line, fc.constantFrom('\n', '\r\n', '\r')), { maxLength: 12 })
      .map((lines) => lines.flat().join(''));
    fc.assert(
      fc.property(text, fc.array(fc.nat(200), { maxLength: 10 }), (whole, cuts) => {
        const bytes = Buffer.from(whole);
        const places = [0, ...cuts.toSorted((one, other) => one - other), bytes.length];
        const pieces = places.slice(1).map((end, index) => bytes.subarray(places[index], end));
        expect(read(...pieces)).toEqual(read(bytes));
        expect(read(...Array.from(bytes, (byte) => Buffer.of(byte)))).toEqual(read(bytes));
      }),
      { numRuns: 500 },
    );
  });

  it('are not changed by what becomes of a buffer afterwards', () => {
    const stream = new EventStream(EVENT_BYTES_MAX);
    const piece = Buffer.from('data: he');
    stream.push(piece);
    piece.fill(0);
    expect(stream.push(Buffer.from('llo\n\n'))).toEqual(['hello']);
  });

  it('may be as long as they may be, and no longer', () => {
    const longest = EVENT_BYTES_MAX - 'data: '.length;
    expect(read(`data: ${'x'.repeat(longest)}\n\n`)).toHaveLength(1);
    expect(() => read(`data: ${'x'.repeat(longest + 1)}\n\n`)).toThrow(EventTooLong);
  });

  it.each([
    ['a line in pieces', Array.from({ length: 11 }, () => 'x'.repeat(100))],
    ['many lines', Array.from({ length: 20 }, () => `data: ${'x'.repeat(100)}\n`)],
    ['an endless comment', [': ', ...Array.from({ length: 11 }, () => 'x'.repeat(100))]],
  ])('are given up when they grow too long: %s', (_name, pieces) => {
    expect(() => read(...pieces)).toThrow(EventTooLong);
  });

  it('count only their own length', () => {
    const events = `data: ${'x'.repeat(900)}\n\n`.repeat(50);
    expect(read(events)).toHaveLength(50);
  });

  it('tell lines from bytes', () => {
    const stream = new EventStream(EVENT_BYTES_MAX);
    stream.push(Buffer.from('data: a'));
    expect(stream.lines).toBe(0);
    stream.push(Buffer.from('\n: b\n'));
    expect(stream.lines).toBe(2);
  });
});
