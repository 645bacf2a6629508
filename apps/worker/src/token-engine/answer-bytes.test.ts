import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { derivedBytes, unfinishedCharacter } from './answer-bytes.js';

describe('what a grammar has derived', () => {
  it('is the text that is shown, and the character that is not whole: together the bytes that were written', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 12 }), fc.nat(), (text, at) => {
        const written = Buffer.from(text);
        const bytes = written.subarray(0, at % (written.length + 1));
        const shown = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes, { stream: true });
        expect(Buffer.concat([Buffer.from(shown), unfinishedCharacter(bytes)])).toEqual(Buffer.from(bytes));
      }),
    );
  });

  it('holds back nothing that a decoder shows at once, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 6 }), (bytes) => {
        const tail = unfinishedCharacter(Buffer.from(bytes));
        const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
        const shown = decoder.decode(bytes, { stream: true });
        expect(tail.length > 0).toBe(decoder.decode() !== '');
        const without = new TextDecoder('utf-8', { ignoreBOM: true });
        expect(without.decode(bytes.subarray(0, bytes.length - tail.length))).toBe(shown);
      }),
      { numRuns: 2_000 },
    );
  });

  it('looks for that character over several tokens, past those without a text', () => {
    const llama = Buffer.from('🦙');
    const bytesOf = (token: number) => (token < 4 ? llama.subarray(token, token + 1) : new Uint8Array());
    expect(derivedBytes('a', [9, 0, 9, 1, 2, 9], bytesOf)).toEqual({
      text: Buffer.from('a'),
      unfinished: llama.subarray(0, 3),
    });
    expect(derivedBytes('', [0, 1, 2, 3], bytesOf).unfinished).toHaveLength(0);
    expect(derivedBytes('', [], bytesOf).unfinished).toHaveLength(0);
  });
});
