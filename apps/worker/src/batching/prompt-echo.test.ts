import { describe, expect, it } from 'vitest';
import { PromptEcho } from './prompt-echo.js';

/** Tokens are indexes into these spellings. */
function echoOf(spellings: readonly string[], from: number, text: string | undefined): string {
  const tokens = spellings.map((_, token) => token);
  const engine = { bytesOf: (token: number) => Buffer.from(spellings[token]!) };
  const echo = new PromptEcho(tokens, from, text, engine);
  const first = echo.first();
  const rest = tokens.slice(1).map((token) => echo.push([{ logprob: -1, top: [] }], token).text);
  return [first?.text ?? '', ...rest].join('');
}

describe('PromptEcho', () => {
  it('leaves out the blank that a vocabulary puts before a text, and no other', () => {
    expect(echoOf([' Hello', ' you'], 0, 'Hello you')).toBe('Hello you');
    expect(echoOf(['<s>', ' ', ' Hello'], 1, ' Hello')).toBe(' Hello');
    expect(echoOf(['<s>', ' Hello'], 1, ' Hello')).toBe(' Hello');
  });

  it('gives tokens back as they are spelt', () => {
    expect(echoOf([' Hello', ' you'], 0, undefined)).toBe(' Hello you');
  });
});
