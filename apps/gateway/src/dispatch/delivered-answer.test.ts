import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SequenceEvent } from '../vocabulary.js';
import { DeliveredAnswers } from './delivered-answer.js';

const usage = { promptTokens: 5, completionTokens: 9, cachedTokens: 5 };
const begun = (index: number, cachedTokens = 0): SequenceEvent => ({
  kind: 'begun',
  index,
  promptTokens: 5,
  cachedTokens,
  waitedMs: 0,
});
const said = (index: number, text: string, tokens = [text.length]): SequenceEvent => ({
  kind: 'tokens',
  index,
  tokens,
  text,
});
const logprob = { token: 1, bytes: new Uint8Array(), logprob: -1, top: [] };
const echo = (text: string): SequenceEvent => ({
  kind: 'echo',
  index: 0,
  text,
  logprobs: Array.from({ length: text.length }, () => logprob),
});

function delivered(sequences = 1): DeliveredAnswers {
  const answers = new DeliveredAnswers(sequences);
  answers.beginAttempt();
  return answers;
}

describe('what was delivered', () => {
  it('is all that the next attempt goes on from, by sequence', () => {
    const answers = delivered(3);
    for (const event of [begun(0), begun(1), said(0, 'a'), said(0, 'bc')]) answers.pass(event);
    answers.pass({
      kind: 'tokens',
      index: 1,
      tokens: [7],
      unnumbered: 2,
      text: '',
      reasoning: 'hm',
      calls: [{ index: 0, name: 'f', arguments: '{' }],
      citations: [{ start: 0, end: 0, sources: [] }],
      logprobs: [logprob, logprob],
    });
    answers.pass({ kind: 'tokens', index: 1, tokens: [], text: '', calls: [{ index: 0, arguments: '}' }] });
    expect(answers.resumeOf(0)).toMatchObject({ tokens: [1, 2], text: 'abc', calls: [], logprobs: 0 });
    expect(answers.resumeOf(1)).toEqual({
      tokens: [7],
      unnumbered: 2,
      text: '',
      reasoning: 'hm',
      calls: [{ index: 0, name: 'f', arguments: '{}' }],
      citations: 1,
      logprobs: 2,
    });
    expect(answers.resumeOf(2)).toBeUndefined(); // Nothing of it has come: it can as well begin.
    expect(answers.tokens).toBe(5);
  });

  it('begins once, and keeps what was found in the first cache', () => {
    const answers = delivered();
    expect(answers.pass(begun(0, 2))).toBeDefined();
    answers.pass(said(0, 'a'));
    answers.beginAttempt();
    expect(answers.pass(begun(0, 5))).toBeUndefined();
    const finished = answers.pass({ kind: 'finished', index: 0, reason: 'stop', usage });
    expect(finished).toMatchObject({ usage: { promptTokens: 5, completionTokens: 9, cachedTokens: 2 } });
    expect(answers.isFinished(0)).toBe(true);
  });

  it('believes the end of an answer that was never broken', () => {
    const answers = delivered();
    answers.pass(begun(0, 0)); // A server may say only at the end what it found.
    const finished = answers.pass({ kind: 'finished', index: 0, reason: 'stop', usage });
    expect(finished).toMatchObject({ usage });
  });

  it('lets a prompt through once, wherever its echo was cut, and however it comes again', () => {
    const pieces = fc.array(fc.string({ minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(pieces, pieces, fc.nat(30), (first, sizes, cut) => {
        const prompt = first.join('');
        const answers = delivered();
        let had = '';
        let told = 0;
        const pass = (text: string) => {
          const event = answers.pass(echo(text));
          if (event?.kind !== 'echo') return;
          had += event.text;
          told += event.logprobs.length;
        };
        for (const piece of first) if (had.length < cut) pass(piece);
        answers.beginAttempt();
        for (let at = 0, turn = 0; at < prompt.length; turn++) {
          const { length } = sizes[turn % sizes.length]!;
          pass(prompt.slice(at, at + length));
          at += length;
        }
        expect({ had, told }).toEqual({ had: prompt, told: prompt.length });
      }),
    );
  });

  it('puts long texts together as they came', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ maxLength: 5 }), { maxLength: 400 }), (pieces) => {
        const answers = delivered();
        for (const piece of pieces) answers.pass(said(0, piece));
        expect(answers.resumeOf(0)?.text ?? '').toBe(pieces.join(''));
      }),
    );
  });

  it('is forgotten where it is more than any context holds, and nothing goes on from there', () => {
    const answers = delivered();
    const piece = said(0, 'x'.repeat(1024 * 1024));
    for (let pieces = 0; pieces < 16; pieces++) answers.pass(piece);
    expect(answers.resumable).toBe(false);
    expect(answers.pass(said(0, 'more'))).toBeDefined();
  });
});
