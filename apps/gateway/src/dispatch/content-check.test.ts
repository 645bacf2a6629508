import type { Prompt } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import { ContentCheck, type TokensPiece } from './content-check.js';

const PROMPT: Prompt = {
  kind: 'chat',
  messages: [
    { role: 'assistant', tool_calls: [] },
    { role: 'tool', tool_call_id: 'a', content: '' },
  ],
  tools: [],
  templateVariables: {},
  documents: [{ text: 'one' }, { text: 'two' }],
};

const none: TokensPiece = { tokens: [], text: '' };
const named = (index: number): TokensPiece => ({ ...none, calls: [{ index, name: 'f', arguments: '' }] });
const argued = (index: number): TokensPiece => ({ ...none, calls: [{ index, arguments: '{' }] });
const cited = (start: number, end: number): TokensPiece => ({
  ...none,
  citations: [{ start, end, sources: [{ kind: 'document', document: 0 }] }],
});

/** What the check says of the pieces, or that it has nothing to say. */
function verdict(pieces: Iterable<TokensPiece>, prompt = PROMPT): unknown {
  const check = new ContentCheck(prompt);
  try {
    for (const piece of pieces) check.admit(piece);
    return 'well';
  } catch (error) {
    expect(error).toMatchObject({ code: 'internal_error', message: expect.not.stringContaining('worker sent') });
    return ((error as Error).cause as Error).message;
  }
}

function* repeated(count: number, pieceOf: (index: number) => TokensPiece): Generator<TokensPiece> {
  for (let index = 0; index < count; index++) yield pieceOf(index);
}

describe('ContentCheck', () => {
  it.each([
    ['calls one after another', [named(0), argued(0), argued(0), named(1), argued(1)], 'well'],
    ['arguments before a name', [argued(0)], 'The worker sent a piece of arguments for call 0 after 0 calls.'],
    ['a call that jumps', [named(0), named(2)], 'The worker sent a name for call 2 after 1 calls.'],
    ['a name that comes twice', [named(0), named(0)], 'The worker sent a name for call 0 after 1 calls.'],
    ['arguments of a call that seemed to be over', [named(0), named(1), argued(0)], 'well'],
    ['a call beyond all numbers', [named(0xffff_ffff)], 'The worker sent a name for call 4294967295 after 0 calls.'],
    ['a citation that ends before it begins', [cited(3, 2)], 'The worker sent a citation from 3 to 2.'],
  ] as const)('judges %s', (_what, pieces, said) => {
    expect(verdict(pieces)).toBe(said);
  });

  it('lets no more calls through than a client can send back', () => {
    expect(verdict(repeated(128, named))).toBe('well');
    expect(verdict(repeated(129, named))).toBe('The worker sent more than 128 calls.');
  });

  it('lets a citation through with the end of its passage, and none beyond the text', () => {
    const check = new ContentCheck(PROMPT);
    const ends = [cited(0, 2), { ...none, text: '😀' }, cited(0, 1), { ...none, text: 'é' }, cited(0, 3), none].map(
      (piece) => check.admit(piece).citations?.map(({ end }) => end) ?? [],
    );
    expect(ends).toEqual([[], [], [1], [2], [], []]);
  });

  it('ends citations without end', () => {
    expect(verdict(repeated(5_000, () => cited(0, 0)))).toBe('well');
    expect(verdict(repeated(1e9, () => cited(0, 0)))).toBe('The worker sent more than 10000 citations.');
  });

  it.each([
    ['texts', { ...none, text: 'x'.repeat(1024 * 1024) }],
    ['thoughts', { ...none, reasoning: 'x'.repeat(1024 * 1024) }],
    ['tokens', { ...none, tokens: new Array(1024 * 128).fill(1) }],
    ['tokens without a number', { ...none, unnumbered: 0xffff_ffff }],
  ])('ends an answer without end: %s', (_what, piece) => {
    expect(verdict(repeated(1e9, () => piece))).toBe('The worker sent an answer of more than 67108864 characters.');
  });

  it('ends a call without end', () => {
    const more = { ...none, calls: [{ index: 0, arguments: 'x'.repeat(1024 * 1024) }] };
    expect(verdict(repeated(1e9, (index) => (index === 0 ? named(0) : more)))).toMatch(/more than 67108864 characters/);
  });

  it('leaves out sources that the model was never given, and keeps the others', () => {
    const sources = [
      { kind: 'document', document: 1 },
      { kind: 'document', document: 2 },
      { kind: 'toolResult', callId: 'a', result: 7 },
      { kind: 'toolResult', callId: 'b', result: 0 },
    ] as const;
    const piece = { ...none, text: 'x', citations: [{ start: 0, end: 1, sources }] };
    expect(new ContentCheck(PROMPT).admit(piece).citations).toEqual([
      { start: 0, end: 1, sources: [sources[0], sources[2]] },
    ]);
    expect(new ContentCheck({ kind: 'text', text: '' }).admit(piece).citations?.[0]?.sources).toEqual([]);
  });
});

describe('an answer that goes on', () => {
  const resume = { tokens: [1, 2], text: 'é😀', calls: [{ index: 0, name: 'f', arguments: '{' }] };

  it('is held against what was delivered of it before', () => {
    const check = () => new ContentCheck(PROMPT, resume);
    expect(check().admit(argued(0))).toEqual(argued(0)); // The call had begun.
    expect(check().admit(named(1))).toEqual(named(1));
    expect(() => check().admit(named(0))).toThrow(/Report the x-request-id/);
    expect(() => check().admit(argued(1))).toThrow(/Report the x-request-id/);
    expect(check().admit(cited(0, 2)).citations).toHaveLength(1); // Its passage is there: two code points.
    expect(check().admit(cited(0, 3)).citations).toHaveLength(0);
  });

  it('may not grow beyond what one attempt may bring', () => {
    const check = new ContentCheck(PROMPT, { tokens: [], text: 'x'.repeat(64 * 1024 * 1024 - 10) });
    expect(() => check.admit({ ...none, text: 'x'.repeat(20) })).toThrow(/Report the x-request-id/);
  });
});
