import { describe, expect, it } from 'vitest';
import type { AddonModel } from './addon.js';
import { ByteDetokenizer } from './byte-detokenizer.js';
import { TokenBytes } from './token-bytes.js';

const NORMAL = 4;
const CONTROL = 8;
const USER_DEFINED = 16;
const BYTE = 32;

/** A vocabulary of the given kind; the last token is what `a a` is spelt with. */
function vocabulary(kind: number, tokens: readonly (readonly [text: string, attributes: number])[]): AddonModel {
  return {
    getVocabularyType: () => kind,
    getTokenString: (token) => tokens[token]?.[0],
    getTokenAttributes: (token) => tokens[token]?.[1] ?? 0,
    tokenize: () => Uint32Array.of(tokens.length - 1),
    isEogToken: () => false,
    tokenBos: () => -1,
    tokenEos: () => -1,
    shouldPrependBosToken: () => false,
    prefixToken: () => -1,
    suffixToken: () => -1,
    middleToken: () => -1,
    loadLora: async () => {},
  };
}

function pieces(model: AddonModel, tokens: readonly number[]): string[] {
  const bytes = new TokenBytes(model);
  const detokenizer = new ByteDetokenizer((token) => bytes.of(token));
  return [...tokens.map((token) => detokenizer.push(token)), detokenizer.end()];
}

describe('TokenBytes', () => {
  it("spells SentencePiece's tokens: marks are spaces, bytes join to characters, control tokens are silent", () => {
    const model = vocabulary(1, [
      ['▁Paris', NORMAL],
      ['<0xC3>', BYTE],
      ['<0xA9>', BYTE],
      ['</s>', CONTROL],
      ['<tool▁call>', USER_DEFINED],
      ['▁a', NORMAL],
    ]);
    expect(pieces(model, [0, 1, 3, 2, 4])).toEqual([' Paris', '', '', 'é', '<tool▁call>', '']);
  });

  it("spells byte-pair tokens in GPT-2's alphabet, and cleans no spaces", () => {
    const model = vocabulary(2, [
      ['Ġ?', NORMAL],
      ['Ã', NORMAL],
      ['©Ċ', NORMAL],
      ['Ġa', NORMAL],
    ]);
    expect(pieces(model, [3, 0, 3, 1, 2])).toEqual([' a', ' ?', ' a', '', 'é\n', '']);
  });

  it('spells byte-pair vocabularies that mark spaces as SentencePiece does', () => {
    const model = vocabulary(2, [
      ['é', NORMAL],
      ['▁a', NORMAL],
    ]);
    expect(pieces(model, [1, 0])).toEqual([' a', 'é', '']);
  });

  it('lets a genuine U+FFFD pass, and shows broken bytes as one', () => {
    const model = vocabulary(1, [
      ['\ufffd', NORMAL],
      ['<0xF0>', BYTE],
      ['▁a', NORMAL],
    ]);
    expect(pieces(model, [0, 1, 2, 1])).toEqual(['\ufffd', '', '\ufffd a', '', '\ufffd']);
  });

  it('refuses a vocabulary that it cannot spell', () => {
    expect(() => new TokenBytes(vocabulary(5, []))).toThrow(/kind 5, which is not supported/);
  });
});
