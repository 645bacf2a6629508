import type { TokenLogprob } from '@millrace/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PlainReader } from '../prompt/answer-reader.js';
import { AnswerText } from './answer-text.js';

/** Tokens are indexes into these pieces; each piece is whole characters. */
function detokenizerOf(pieces: readonly string[]) {
  return { push: (token: number) => pieces[token]!, end: () => '' };
}

const told = (token: number): TokenLogprob => ({ token, bytes: new Uint8Array(), logprob: -1, top: [] });

function run(pieces: readonly string[], stops: readonly string[]) {
  const answer = new AnswerText(detokenizerOf(pieces), new PlainReader(undefined), stops);
  const out = pieces.map((_, token) => answer.push(token, told(token)));
  if (!answer.stopped) out.push(answer.end());
  return {
    out,
    stopped: answer.stopped,
    text: out.map(({ text }) => text).join(''),
    tokens: out.flatMap(({ logprobs }) => logprobs.map(({ token }) => token)),
  };
}

describe('AnswerText', () => {
  it('lets log-probabilities out with the text of their tokens', () => {
    const { out } = run(['Hel', 'lo', ' wor', 'ld'], ['world peace']);
    expect(out.map(({ text, logprobs }) => [text, logprobs.length])).toEqual([
      ['Hel', 1],
      ['lo', 1],
      [' ', 0],
      ['', 0],
      ['world', 2],
    ]);
  });

  it('tells nothing of tokens that a stop text has cut', () => {
    const { text, tokens, stopped } = run(['one', ' tw', 'o three'], ['o th']);
    expect({ text, tokens, stopped }).toEqual({ text: 'one tw', tokens: [0, 1], stopped: true });
  });

  it('tells of the tokens of one character together, and of none when a stop text begins with it', () => {
    const half = ['a', '', '\u00e9', 'b'];
    expect(run(half, []).out.map(({ logprobs }) => logprobs.length)).toEqual([1, 0, 2, 1, 0]);
    expect(run(half, ['\u00e9']).tokens).toEqual([0]);
    expect(run(['a', ''], ['b']).tokens).toEqual([0, 1]);
  });

  it('never lets a stop text out, in the text or in what is told, however it is cut into tokens', () => {
    const piece = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 4 });
    const stop = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), fc.array(stop, { maxLength: 4 }), (pieces, stops) => {
        const { text, tokens, stopped } = run(pieces, stops);
        const whole = pieces.join('');
        const spelt = tokens.map((token) => pieces[token]).join('');
        expect(whole.startsWith(text)).toBe(true);
        expect(stopped).toBe(stops.some((each) => whole.includes(each)));
        for (const each of stops) expect(text.includes(each) || spelt.includes(each)).toBe(false);
        // Of what is let out, everything is told but a token that was cut; in order, and once.
        expect(tokens).toEqual(tokens.map((_, index) => index));
        expect(text.startsWith(spelt)).toBe(true);
        if (!stopped) expect(tokens.length).toBe(pieces.length);
      }),
    );
  });
});
