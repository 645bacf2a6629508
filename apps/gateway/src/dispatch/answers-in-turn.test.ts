import type { AnswerEvent } from '@millrace/contracts';
import { describe, expect, it } from 'vitest';
import { AnswersInTurn } from './answers-in-turn.js';
import { ContentCheck } from './content-check.js';

const FOREVER = new AbortController().signal;
const prompt = { kind: 'text', text: 'Hi' } as const;

/** Events as somebody far away sends them, and how often it was asked for the next. */
class Source implements AsyncIterator<AnswerEvent> {
  asked = 0;
  returned = 0;
  constructor(private readonly events: (AnswerEvent | Error | 'never')[]) {}
  async next(): Promise<IteratorResult<AnswerEvent>> {
    const event = this.events[this.asked++];
    if (event === 'never') return new Promise(() => {});
    if (event instanceof Error) throw event;
    return event === undefined ? { done: true, value: undefined } : { done: false, value: event };
  }
  async return(): Promise<IteratorResult<AnswerEvent>> {
    this.returned++;
    return { done: true, value: undefined };
  }
}

const word = (text: string): AnswerEvent => ({ kind: 'tokens', tokens: [], unnumbered: 1, text });

function joined(sources: Source[], signal = FOREVER) {
  let ends = 0;
  const streams = sources.map((events, at) => ({ index: 10 + at, events, check: new ContentCheck(prompt) }));
  const answer = new AnswersInTurn(streams, signal, () => ends++);
  return { answer, ends: () => ends };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('answers in turn', () => {
  it('are begun at once, and read one event ahead at most', async () => {
    const sources = [new Source([word('a'), word('b'), word('c')]), new Source([word('x'), word('y'), word('z')])];
    const { answer } = joined(sources);
    await settled();
    expect(sources.map(({ asked }) => asked)).toEqual([1, 1]);
    for (let read = 0; read < 3; read++) await answer.next();
    await settled();
    for (const { asked } of sources) expect(asked).toBeLessThanOrEqual(3);
  });

  it('come by turns, each with the place of its own, and end when all have', async () => {
    const { answer, ends } = joined([new Source(['a', 'b', 'c'].map(word)), new Source(['x'].map(word))]);
    const seen: string[] = [];
    for await (const event of answer) seen.push(`${event.index}${event.kind === 'tokens' ? event.text : ''}`);
    expect(seen.slice(0, 2).sort()).toEqual(['10a', '11x']);
    expect(seen.filter((one) => one.startsWith('10'))).toEqual(['10a', '10b', '10c']);
    expect(ends()).toBe(1);
  });

  it('end with the first failure, once, and leave the others', async () => {
    const failure = new Error('broke');
    const other = new Source([word('a'), 'never']);
    const { answer, ends } = joined([other, new Source([failure])]);
    await expect(
      (async () => {
        for await (const _ of answer);
      })(),
    ).rejects.toBe(failure);
    expect([other.returned, ends()]).toEqual([1, 1]);
    expect(await answer.next()).toEqual({ done: true, value: undefined });
  });

  it('end with content that breaks the promises of an answer', async () => {
    const other = new Source(['never']);
    const { answer } = joined([
      new Source([{ ...word(''), calls: [{ index: 3, name: 'f', arguments: '' }] } as AnswerEvent]),
      other,
    ]);
    await expect(answer.next()).rejects.toMatchObject({ code: 'internal_error' });
    expect(other.returned).toBe(1);
  });

  it('are left at once when the signal aborts, though nobody asks just then', async () => {
    const leaving = new AbortController();
    const source = new Source(['never']);
    const { answer, ends } = joined([source], leaving.signal);
    leaving.abort(new Error('left'));
    expect([source.returned, ends()]).toEqual([1, 1]);
    await expect(answer.next()).rejects.toThrow('left');
  });

  it('say nothing more once their reader has left, be it while it waits', async () => {
    const { answer, ends } = joined([new Source(['never'])]);
    const waiting = answer.next();
    await answer.return();
    expect(await waiting).toEqual({ done: true, value: undefined });
    expect(ends()).toBe(1);
  });
});
