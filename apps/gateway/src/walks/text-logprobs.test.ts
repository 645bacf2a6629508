import type { TokenLogprob } from '@millrace/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chatLogprob } from './chat-logprobs.js';
import { spellToken } from './spell-token.js';
import { TextLogprobsWriter } from './text-logprobs.js';

const utf8 = (text: string) => new TextEncoder().encode(text);
const chance = (bytes: string | readonly number[], logprob = -1) => ({
  token: 1,
  bytes: typeof bytes === 'string' ? utf8(bytes) : Uint8Array.from(bytes),
  logprob,
});
const token = (bytes: string | readonly number[], logprob = -1, top: TokenLogprob['top'] = []): TokenLogprob => ({
  ...chance(bytes, logprob),
  top,
});
const piece = (text: string, ...logprobs: TokenLogprob[]) => ({ kind: 'tokens' as const, tokens: [], text, logprobs });
const echo = (text: string, ...logprobs: TokenLogprob[]) => ({ kind: 'echo' as const, text, logprobs });

describe('a token that is no whole character', () => {
  it.each([
    [[0xf0, 0x9f], '\\xf0\\x9f'],
    [[0x20, 0xf0, 0x9f], ' \\xf0\\x9f'],
    [[0x98, 0x80], '\\x98\\x80'],
    [[0x98, 0x21], '\\x98!'],
    [[0xc3, 0xa9, 0xc3], 'é\\xc3'],
    [[0x00], '\0'],
  ])('is spelt with an escape for each byte that belongs to none: %j', (bytes, text) => {
    const whole = !text.includes('\\x');
    expect(spellToken(Uint8Array.from(bytes))).toEqual({ text, whole });
    expect(chatLogprob(token(bytes))).toMatchObject({ token: text, bytes });
    const writer = new TextLogprobsWriter();
    writer.add(piece('', token(bytes)));
    expect(writer.take()?.tokens).toEqual([whole ? text : `bytes:${text}`]);
  });

  it('never is when it is whole, and never takes longer than its length', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(spellToken(utf8(text))).toEqual({ text, whole: true });
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 50 }), (bytes) => {
        expect(spellToken(bytes).text.length).toBeLessThanOrEqual(4 * bytes.length);
      }),
    );
  });
});

describe('the older shape of log-probabilities', () => {
  it('has the chosen token among the likeliest, though it be none of them', () => {
    const writer = new TextLogprobsWriter();
    writer.add(piece('c', token('c', -3, [chance('a', -1), chance('b', -2)])));
    writer.add(piece('a', token('a', -1, [chance('a', -1)])));
    expect(writer.take()?.top_logprobs).toEqual([{ a: -1, b: -2, c: -3 }, { a: -1 }]);
  });

  it('keeps a token named __proto__, and the likelier of two that are spelt alike', () => {
    const writer = new TextLogprobsWriter();
    writer.add(piece('x', token('x', -2, [chance('__proto__', -0.5), chance('__proto__', -1)])));
    expect(JSON.stringify(writer.take()?.top_logprobs)).toBe('[{"__proto__":-0.5,"x":-2}]');
  });

  it('has no infinity, and null for the first token of a prompt', () => {
    const writer = new TextLogprobsWriter();
    writer.add(echo('a', token('a', Number.NaN, [chance('z', Number.NaN)])));
    writer.add(piece('b', token('b', Number.NEGATIVE_INFINITY)));
    expect(writer.take()).toMatchObject({ token_logprobs: [null, -9999], top_logprobs: [null, { b: -9999 }] });
  });

  it('does not count a beginning-of-text token, which is in no text', () => {
    const writer = new TextLogprobsWriter();
    writer.add(echo('', token('<s>', Number.NaN)));
    writer.add(echo('ab', token('a'), token('b')));
    writer.add(piece('c', token('c')));
    expect(writer.take()?.text_offset).toEqual([0, 0, 1, 2]);
  });

  it('counts from where the echo ends, though a control token of the prompt is in no text', () => {
    const writer = new TextLogprobsWriter();
    writer.add(echo('ab', token('a', Number.NaN), token('<sep>'), token('b')));
    writer.add(piece('c', token('c')));
    writer.add(piece('d', token('d')));
    expect(writer.take()?.text_offset.slice(3)).toEqual([2, 3]);
  });

  it('is taken piece by piece without a loss', () => {
    const writer = new TextLogprobsWriter();
    writer.add(piece('é', token('é')));
    expect(writer.take()?.text_offset).toEqual([0]);
    expect(writer.take()).toBeNull();
    writer.add(piece('b', token('b')));
    expect(writer.take()?.text_offset).toEqual([1]);
    expect(writer.takeAll()).toEqual({ tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] });
  });

  it('goes on from the first token of an echo that is a part of a character', () => {
    const writer = new TextLogprobsWriter();
    writer.add(echo('', token([0xc3], Number.NaN)));
    writer.add(echo('Ün', token([0x9c]), token('n')));
    expect(writer.take()?.text_offset).toEqual([0, 1, 1]);
  });

  it('does not count control tokens of the answer, which are in no text', () => {
    const writer = new TextLogprobsWriter();
    writer.add(piece('', token('<|sep|>')));
    writer.add(piece('a<b', token('a'), token('<|sep|>'), token('<'), token('b')));
    writer.add(piece('c', token('c')));
    expect(writer.take()?.text_offset).toEqual([0, 0, 1, 1, 2, 3]);
  });

  it('does not count the blank that a vocabulary puts before a text', () => {
    const writer = new TextLogprobsWriter();
    writer.add(echo('ab c', token(' ab', Number.NaN), token(' c')));
    expect(writer.take()?.text_offset).toEqual([0, 2]);
  });

  it('finds its way again after bytes that are no characters', () => {
    const writer = new TextLogprobsWriter();
    writer.add(piece('\ufffd\ufffda', token([0x98]), token([0x80]), token('a')));
    writer.add(piece('b', token('b')));
    expect(writer.take()?.text_offset.slice(2)).toEqual([2, 3]);
  });

  it('tells where each token begins in the text, wherever tokens cut its characters and pieces cut its tokens', () => {
    const text = fc.string({ unit: 'binary', maxLength: 12 });
    const cuts = fc.infiniteStream(fc.integer({ min: 1, max: 5 }));
    fc.assert(
      fc.property(text, text, cuts, cuts, (prompt, answer, tokenCuts, pieceCuts) => {
        const writer = new TextLogprobsWriter();
        const prompted = withControls(tokensOf(utf8(prompt), tokenCuts), pieceCuts);
        const generated = withControls(tokensOf(utf8(answer), tokenCuts), pieceCuts);
        for (const [spoken, tell] of [[prompted, echo] as const, [generated, piece] as const]) {
          const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
          const textOf = (one: TokenLogprob) =>
            one.token === CONTROL ? '' : decoder.decode(one.bytes, { stream: true });
          for (const some of groups(spoken, pieceCuts)) writer.add(tell(some.map(textOf).join(''), ...some));
        }
        const whole = [...(prompt + answer)];
        const { tokens, text_offset } = writer.takeAll();
        expect(tokens).toHaveLength(prompted.length + generated.length);
        for (const [index, { token }] of [...prompted, ...generated].entries()) {
          const spelt = tokens[index]!;
          if (token === CONTROL || spelt.startsWith('bytes:')) continue;
          expect(whole.slice(text_offset[index]).join('').startsWith(spelt)).toBe(true);
        }
        expect(text_offset).toEqual(text_offset.toSorted((a, b) => a - b));
      }),
    );
  });
});

const CONTROL = 2;

/** A token that is in no text, here and there among the others. */
function withControls(tokens: readonly TokenLogprob[], cuts: Iterator<number>): TokenLogprob[] {
  const control = { ...token('<|control|>'), token: CONTROL };
  return tokens.flatMap((one) => ((cuts.next().value as number) === 1 ? [control, one] : [one]));
}

function tokensOf(bytes: Uint8Array, cuts: Iterator<number>): TokenLogprob[] {
  return groups([...bytes], cuts).map((some) => token(some));
}

function groups<T>(items: readonly T[], cuts: Iterator<number>): T[][] {
  const all: T[][] = [];
  for (let at = 0; at < items.length; ) {
    const length = cuts.next().value as number;
    all.push(items.slice(at, at + length));
    at += length;
  }
  return all;
}
