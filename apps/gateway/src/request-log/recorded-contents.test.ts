import { describe, expect, it } from 'vitest';
import type { SequenceEvent } from '../vocabulary.js';
import { boundedJson, ContentsInTheMaking, firstBytes } from './recorded-contents.js';

const tokens = (text: string, index = 0): SequenceEvent => ({ kind: 'tokens', index, tokens: [1], text });

describe('ContentsInTheMaking', () => {
  it('holds the messages as JSON, and the text of the first answer', () => {
    const contents = new ContentsInTheMaking(100);
    for (const event of [tokens('Hel'), tokens('other', 1), tokens('lo')]) contents.add(event);
    const messages = [{ role: 'user', content: 'Hi' }];
    expect(contents.of({ prompts: [{ kind: 'chat', messages }] })).toEqual({
      question: JSON.stringify(messages),
      answer: 'Hello',
      cut: false,
    });
  });

  it('cuts either between two characters, and says so', () => {
    const contents = new ContentsInTheMaking(10);
    for (let at = 0; at < 1_000; at++) contents.add(tokens('€😀'));
    const made = contents.of({ prompts: [{ kind: 'text', text: 'short' }] });
    expect(made).toEqual({ question: '"short"', answer: '€😀€', cut: true });
    expect(new ContentsInTheMaking(10).of({ prompts: [{ kind: 'text', text: 'ä'.repeat(9) }] })).toEqual({
      question: '"ääää',
      answer: '',
      cut: true,
    });
  });

  it('holds the tool calls of the answer behind its text, a line each', () => {
    const called = (index: number, name: string | undefined, text: string): SequenceEvent => ({
      kind: 'tokens',
      index: 0,
      tokens: [1],
      text: '',
      calls: [{ index, name, arguments: text }],
    });
    const calls = [called(0, 'weather', ''), called(0, undefined, '{"city":'), called(0, undefined, '"Rome"}')];
    const asked = { prompts: [{ kind: 'text', text: 'ä' }] };
    const contents = new ContentsInTheMaking(100);
    for (const event of [...calls, called(1, 'time', '{}')]) contents.add(event);
    expect(contents.of(asked)?.answer).toBe('weather {"city":"Rome"}\ntime {}');
    const after = new ContentsInTheMaking(20);
    for (const event of [tokens('Let us see.'), ...calls, ...calls, ...calls]) after.add(event);
    expect(after.of(asked)).toMatchObject({ answer: 'Let us see.\nweather ', cut: true });
  });

  it('holds one that fits exactly', () => {
    const contents = new ContentsInTheMaking(6);
    contents.add(tokens('abcdef'));
    expect(contents.of({ prompts: [{ kind: 'text', text: 'ää' }] })).toEqual({
      question: '"ää"',
      answer: 'abcdef',
      cut: false,
    });
  });

  it.each([
    [
      {
        inputs: [
          { kind: 'text', text: 'a' },
          { kind: 'tokens', tokens: [1] },
        ],
      },
      '["a",[1]]',
    ],
    [{ query: 'q', documents: ['d'] }, '{"query":"q","documents":["d"]}'],
    [{ prompt: { kind: 'chat', messages: [1] } }, '[1]'],
    [{ prompts: [{ text: 'a' }, { text: 'b' }] }, '["a","b"]'],
    [{}, 'null'],
  ])('knows the question of %j', (request, question) => {
    expect(new ContentsInTheMaking(1_000).of(request)?.question).toBe(question);
  });

  it('keeps nothing of what was never valid', () => {
    expect(new ContentsInTheMaking(10).of(undefined)).toBeUndefined();
  });
});

describe('boundedJson', () => {
  it('is JSON where it fits', () => {
    const value = { a: [1, null, true, 'ß"\\', { b: undefined }], 'c"': {} };
    expect(JSON.parse(boundedJson(value, 1_000))).toEqual({ ...value, a: [1, null, true, 'ß"\\', { b: null }] });
  });

  it('makes little more than is wanted, however much there is', () => {
    const value = Array.from({ length: 10_000 }, () => 'x'.repeat(10_000));
    expect(boundedJson(value, 500).length).toBeLessThan(520);
  });

  it('ends at a depth that no stack has', () => {
    let deep: unknown = 1;
    for (let at = 0; at < 100_000; at++) deep = [deep];
    expect(boundedJson(deep, 1_000)).toContain('…');
  });
});

describe('firstBytes', () => {
  it('gives whole characters', () => {
    const texts = Array.from({ length: 12 }, (_, bytes) => firstBytes('aä€😀z', bytes));
    expect(texts).toEqual(['', 'a', 'a', 'aä', 'aä', 'aä', 'aä€', 'aä€', 'aä€', 'aä€', 'aä€😀', 'aä€😀z']);
  });
});
