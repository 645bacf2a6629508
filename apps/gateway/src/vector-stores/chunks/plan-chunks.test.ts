import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { estimateTokens } from './estimate-tokens.js';
import { type ChunkSizes, planChunks } from './plan-chunks.js';
import { findTokenEnds, type SpellTokens } from './token-ends.js';

const never = new AbortController().signal;
const noTokens: SpellTokens = async () => undefined;
const byteTokens: SpellTokens = async (text) => [...Buffer.from(text)].map((byte) => Uint8Array.of(byte));
/** As a vocabulary does that knows lower case alone, and splits by words. */
const wordTokens: SpellTokens = async (text) =>
  (text.toLowerCase().match(/\S+/g) ?? []).map((word) => Buffer.from(word));

function chunksOf(text: string, sizes: ChunkSizes, ends: ArrayLike<number> = estimateTokens(text)): string[] {
  return [...planChunks(text, ends, sizes)].map(({ from, to }) => text.slice(from, to));
}

const anyText = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 400 }),
  fc
    .array(fc.constantFrom('word ', 'A sentence. ', '\n\n', '\n', '漢字。', '🌊', ' ', 'é', 'supercalifragilistic'), {
      maxLength: 200,
    })
    .map((all) => all.join('')),
);
const anySizes = fc.integer({ min: 2, max: 60 }).chain((tokensMax) =>
  fc.record({
    tokensMax: fc.constant(tokensMax),
    overlapTokens: fc.integer({ min: 0, max: Math.floor(tokensMax / 2) }),
  }),
);

describe('chunks', () => {
  it.each([
    ['an estimate', noTokens],
    ['bytes', byteTokens],
    ['words of another spelling', wordTokens],
  ])(
    'lose no character, keep to their size, and overlap as they should, by tokens that are %s',
    async (_what, spell) => {
      await fc.assert(
        fc.asyncProperty(anyText, anySizes, async (text, sizes) => {
          const ends = await findTokenEnds(text, spell, never);
          expect(text === '' ? 0 : ends.at(-1)).toBe(text === '' ? 0 : text.length);
          const tokenAt = (character: number) => (character === 0 ? 0 : ends.indexOf(character) + 1);
          const chunks = [...planChunks(text, ends, sizes)];
          // Without what they repeat they are the text.
          expect(chunks.map(({ from, to, overlap }) => text.slice(from + overlap, to)).join('')).toBe(text);
          for (const [at, { from, to }] of chunks.entries()) {
            expect(text.slice(from, to).isWellFormed()).toBe(true);
            const tokens = [...ends].filter((end) => end > from && end <= to).length;
            expect(tokens).toBeLessThanOrEqual(sizes.tokensMax + ends.filter((end) => end === to).length);
            if (spell === wordTokens || at === 0) continue; // There, tokens without characters leave it open which is meant.
            if (spell === noTokens) expect(tokenAt(chunks[at - 1]!.to) - tokenAt(from)).toBe(sizes.overlapTokens);
          }
        }),
        { numRuns: 200 },
      );
    },
  );

  it('are within their size exactly', () => {
    fc.assert(
      fc.property(anyText, anySizes, (text, sizes) => {
        const ends = estimateTokens(text);
        for (const { from, to } of planChunks(text, ends, sizes)) {
          expect(ends.filter((end) => end > from && end <= to).length).toBeLessThanOrEqual(sizes.tokensMax);
        }
      }),
    );
  });

  it('end behind a paragraph, else a line, a sentence, a word', () => {
    const sizes = { tokensMax: 10, overlapTokens: 0 };
    expect(chunksOf('aa bb cc dd ee ff.\n\ngg hh ii jj kk ll', sizes)[0]).toBe('aa bb cc dd ee ff.\n\n');
    expect(chunksOf('aa bb cc dd ee ff\ngg hh. ii jj kk ll', sizes)[0]).toBe('aa bb cc dd ee ff\n');
    expect(chunksOf('aa bb cc dd ee ff. gg hh ii jj kk ll', sizes)[0]).toBe('aa bb cc dd ee ff. ');
    expect(chunksOf('aa bb cc dd ee ff gg hh ii jjjjjjjjj', sizes)[0]).toBe('aa bb cc dd ee ff gg hh ii ');
    expect(chunksOf('漢字漢字漢字。漢字漢字漢字漢字', sizes)[0]).toBe('漢字漢字漢字。');
  });

  it('go on without any place to end at', () => {
    expect(chunksOf('a'.repeat(100), { tokensMax: 10, overlapTokens: 5 })).toEqual([
      'a'.repeat(40),
      'a'.repeat(40),
      'a'.repeat(40),
      'a'.repeat(40),
    ]);
  });

  it('are few where there is nothing to overlap, and none of nothing', () => {
    expect(chunksOf('', { tokensMax: 10, overlapTokens: 5 })).toEqual([]);
    expect(chunksOf('one', { tokensMax: 10, overlapTokens: 5 })).toEqual(['one']);
  });
});

describe('the ends of tokens', () => {
  it('are those that the model tells', async () => {
    const pieces = ['Gr', 'üße', ' ', '🌊'].map((piece) => Buffer.from(piece));
    expect([...(await findTokenEnds('Grüße 🌊', async () => pieces, never))]).toEqual([2, 5, 6, 8]);
  });

  it('are behind the character that a token ends in', async () => {
    expect([...(await findTokenEnds('ü🌊', byteTokens, never))]).toEqual([1, 1, 3, 3, 3, 3]);
  });

  it('are as many as the model tells where it spells otherwise', async () => {
    expect([...(await findTokenEnds('ONE TWO THREE', wordTokens, never))]).toEqual([8, 12, 13]);
  });

  it('are found in pieces, which a long text is told in', async () => {
    const asked: number[] = [];
    const text = 'some words here '.repeat(10_000);
    const ends = await findTokenEnds(text, async (part) => void asked.push(part.length) as undefined, never);
    expect(asked).toHaveLength(1); // It does not tell: it is not asked again.
    expect([...ends]).toEqual(estimateTokens(text));
  });

  it('are looked for no longer than somebody wants them', async () => {
    const reason = new Error('gone');
    await expect(findTokenEnds('x', noTokens, AbortSignal.abort(reason))).rejects.toBe(reason);
  });
});
