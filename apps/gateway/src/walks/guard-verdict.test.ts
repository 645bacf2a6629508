import type { TokenLogprob } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import { guardVerdict } from './guard-verdict.js';

const chance = (text: string, probability: number) => ({
  token: 1,
  bytes: Buffer.from(text),
  logprob: Math.log(probability),
});

/** Tokens, each with what might have stood in its place. */
function tokens(...list: readonly (string | readonly [string, Readonly<Record<string, number>>])[]): TokenLogprob[] {
  return list.map((one) => {
    const [text, others] = typeof one === 'string' ? [one, {}] : one;
    return {
      ...chance(text, 1),
      top: Object.entries(others).map(([other, probability]) => chance(other, probability)),
    };
  });
}

const named = (text: string) => {
  const verdict = guardVerdict(text, []);
  return verdict && [verdict.flagged, verdict.named, [...verdict.categories].sort()];
};

describe('a verdict', () => {
  it.each([
    ['safe', false, [], []],
    ['\n\nsafe', false, [], []],
    ['unsafe\nS1', true, ['S1'], ['illicit/violent', 'violence']],
    ['\n\nunsafe\nS1,S10', true, ['S1', 'S10'], ['hate', 'illicit/violent', 'violence']],
    ['unsafe\nS4', true, ['S4'], ['sexual', 'sexual/minors']],
    ['unsafe\nS11', true, ['S11'], ['self-harm']],
    ['unsafe\nS6', true, ['S6'], []],
    ['unsafe\nS99', true, ['S99'], []],
    ['unsafe', true, [], []],
    ['safe\nS1', false, [], []],
    ['unsafe S1, S10', true, ['S1', 'S10'], ['hate', 'illicit/violent', 'violence']],
    ['Safe.\n', false, [], []],
  ])('of a Llama Guard is read: %j', (text, flagged, names, categories) => {
    expect(named(text)).toEqual([flagged, names, categories]);
  });

  it.each([
    ['Safety: Safe\nCategories: None', false, [], []],
    ['Safety: Unsafe\nCategories: Violent', true, ['Violent'], ['violence']],
    [
      'Safety: Unsafe\nCategories: Non-violent Illegal Acts, PII',
      true,
      ['Non-violent Illegal Acts', 'PII'],
      ['illicit'],
    ],
    ['Safety: Unsafe\nCategories: Suicide & Self-Harm', true, ['Suicide & Self-Harm'], ['self-harm']],
    ['Safety: Controversial\nCategories: Politically Sensitive Topics', false, [], []],
  ])('of a Qwen3Guard is read: %j', (text, flagged, names, categories) => {
    expect(named(text)).toEqual([flagged, names, categories]);
  });

  it.each([
    ...['', 'Hello!', 'This is unsafe.', 'safety first', 'Yes', 'unsafely', 'Safety: Perhaps'],
    ...['Safe travels!', 'Safe, I would say.', 'Unsafe at any speed.', 'safe-ish'],
  ])('is none of what else a model says: %j', (text) => {
    expect(guardVerdict(text, [])).toBeUndefined();
  });

  it('has the chance that the model gave the text of being unsafe, by the token with which it begins', () => {
    const unsure = { ' safe': 0.6, un: 0.25, unsafe: 0.05, other: 0.1 };
    const said = tokens('\n\n', ['safe', unsure]);
    expect(guardVerdict('\n\nsafe', said)?.score).toBeCloseTo(0.3 / 0.9);
    expect(
      guardVerdict('unsafe\nS1', tokens(['un', { un: 0.9, safe: 0.1 }], 'safe', '\n', 'S', '1'))?.score,
    ).toBeCloseTo(0.9);
    const qwen = tokens('Safety', ':', [' Unsafe', { ' Unsafe': 0.5, ' Safe': 0.2, ' Controversial': 0.3 }], '\n');
    expect(guardVerdict('Safety: Unsafe\nCategories: Violent', qwen)?.score).toBeCloseTo(0.5);
  });

  it('has none or all of it where the model tells of no chances', () => {
    expect(guardVerdict('safe', [])?.score).toBe(0);
    expect(guardVerdict('unsafe\nS2', [])?.score).toBe(1);
  });
});
