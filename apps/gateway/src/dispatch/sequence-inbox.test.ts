import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SequenceEvent } from '../vocabulary.js';
import { AnswerInbox } from './answer-inbox.js';
import { ContentCheck } from './content-check.js';
import { SequenceInbox } from './sequence-inbox.js';

const prompt = { kind: 'text', text: '' } as const;
const usage = { promptTokens: 1, completionTokens: 3, cachedTokens: 0 };
const begun = { kind: 'begun', promptTokens: 1, cachedTokens: 0, waitedMs: 0 } as const;
const finished = { kind: 'finished', reason: 'stop', usage } as const;
const logprob = (token: number) => ({ token, bytes: new Uint8Array([token]), logprob: -token, top: [] });

/** An answer of so many sequences, and what each told its connection. */
function open(sequences = 1) {
  const leaving = new AbortController();
  const told: string[] = [];
  const inboxes = Array.from({ length: sequences }, (_, index) => {
    const name = index === 0 ? '' : ` ${index}`;
    const controls = {
      read: (tokens: number) => told.push(`read ${tokens}${name}`),
      cancel: () => told.push(`cancel${name}`),
    };
    return new SequenceInbox(index, controls, new ContentCheck(prompt));
  });
  return { inbox: inboxes[0]!, inboxes, answer: new AnswerInbox(inboxes, leaving.signal), leaving, told };
}

describe('an answer of one sequence', () => {
  it('merges what nobody has asked for yet, and returns credit only for what was read', async () => {
    const { inbox, answer, told } = open();
    inbox.begin(begun);
    inbox.add({ tokens: [1], text: 'a' });
    answer.deliver();
    inbox.add({ tokens: [2, 3], text: 'bc' });
    answer.deliver();
    expect((await answer.next()).value).toEqual({ ...begun, index: 0 });
    expect(told).toEqual([]);
    expect((await answer.next()).value).toEqual({ kind: 'tokens', index: 0, tokens: [1, 2, 3], text: 'abc' });
    expect(told).toEqual(['read 3']);
    inbox.finish(finished);
    answer.deliver();
    expect((await answer.next()).value).toEqual({ ...finished, index: 0 });
    expect((await answer.next()).done).toBe(true);
    expect(told).toEqual(['read 3']);
  });

  it('merges log-probabilities with their text, and gives them though their text came before', async () => {
    const { inbox, answer } = open();
    inbox.add({ tokens: [1, 2], text: 'a', logprobs: [logprob(1)] });
    inbox.add({ tokens: [3], text: 'b', logprobs: [logprob(2)] });
    expect((await answer.next()).value).toMatchObject({ text: 'ab', logprobs: [{ token: 1 }, { token: 2 }] });
    inbox.add({ tokens: [], text: '', logprobs: [logprob(3)] });
    expect((await answer.next()).value).toMatchObject({ tokens: [], text: '', logprobs: [{ token: 3 }] });
  });

  it('merges thoughts, calls and citations, each for itself, and gives credit for tokens without a number', async () => {
    const { inbox, answer, told } = open();
    const cited = { start: 0, end: 1, sources: [] };
    inbox.add({ tokens: [1], text: '', reasoning: 'hm', calls: [{ index: 0, name: 'f', arguments: '' }] });
    inbox.add({ tokens: [], unnumbered: 2, text: 'a', reasoning: 'm', calls: [{ index: 0, arguments: '{' }] });
    inbox.add({ tokens: [2], text: '', citations: [cited] });
    const more = [
      { index: 0, arguments: '}' },
      { index: 1, name: 'g', arguments: '[' },
      { index: 1, arguments: ']' },
      { index: 0, arguments: ' ' },
    ];
    inbox.add({ tokens: [], unnumbered: 1, text: 'b', calls: more, citations: [cited] });
    expect((await answer.next()).value).toEqual({
      kind: 'tokens',
      index: 0,
      tokens: [1, 2],
      unnumbered: 3,
      text: 'ab',
      reasoning: 'hmm',
      calls: [
        { index: 0, name: 'f', arguments: '{} ' },
        { index: 1, name: 'g', arguments: '[]' },
      ],
      citations: [cited, cited],
    });
    expect(told).toEqual(['read 5']);
    // What was read is gone: a call goes on with its new piece alone.
    inbox.add({ tokens: [3], text: '', calls: [{ index: 1, arguments: '!' }] });
    expect((await answer.next()).value).toEqual({
      kind: 'tokens',
      index: 0,
      tokens: [3],
      text: '',
      calls: [{ index: 1, arguments: '!' }],
    });
  });

  it('fails and is cancelled when its worker breaks a promise, and hears no more of it', async () => {
    const { inbox, answer, told } = open();
    inbox.begin(begun);
    inbox.add({ tokens: [1], text: 'a' });
    inbox.add({ tokens: [2], text: 'b', calls: [{ index: 0, arguments: '{' }] });
    inbox.add({ tokens: [3], text: 'c' });
    inbox.finish(finished);
    expect(told).toEqual(['cancel']);
    expect((await answer.next()).value).toMatchObject(begun);
    expect((await answer.next()).value).toMatchObject({ kind: 'tokens', text: 'a' });
    await expect(answer.next()).rejects.toMatchObject({ code: 'internal_error' });
    expect((await answer.next()).done).toBe(true);
    expect(told).toEqual(['cancel']);
  });

  it('begins once, however often it is told to', async () => {
    const { inbox, answer } = open();
    inbox.begin(begun);
    await answer.next();
    inbox.begin(begun);
    inbox.finish(finished);
    expect((await answer.next()).value).toMatchObject({ kind: 'finished' });
  });

  it('gives the echo before the answer, and credit for those of its tokens that came with log-probabilities', async () => {
    const { inbox, answer, told } = open();
    inbox.begin(begun);
    inbox.echo('a', [logprob(1)]);
    inbox.echo('bc', [logprob(2), logprob(3)]);
    inbox.add({ tokens: [4], text: 'd' });
    await answer.next();
    expect((await answer.next()).value).toEqual({
      kind: 'echo',
      index: 0,
      text: 'abc',
      logprobs: [logprob(1), logprob(2), logprob(3)],
    });
    expect(told).toEqual(['read 3']);
    expect((await answer.next()).value).toMatchObject({ kind: 'tokens', text: 'd' });
  });

  it('hands over what arrives while it is waited for', async () => {
    const { inbox, answer } = open();
    const next = answer.next();
    inbox.add({ tokens: [1], text: 'a' });
    answer.deliver();
    expect((await next).value).toMatchObject({ text: 'a' });
  });

  it('cancels once when its signal aborts, and throws why to who waits', async () => {
    const { answer, leaving, told } = open();
    const next = answer.next();
    leaving.abort(new Error('left'));
    await expect(next).rejects.toThrow('left');
    await answer.return();
    expect(told).toEqual(['cancel']);
  });

  it('cancels once when its reader returns', async () => {
    const { inbox, answer, leaving, told } = open();
    inbox.add({ tokens: [1], text: 'a' });
    for await (const _event of answer) break;
    leaving.abort(new Error('left'));
    expect(told).toEqual(['read 1', 'cancel']);
    expect((await answer.next()).done).toBe(true);
  });

  it('cancels when the signal had aborted before it began', async () => {
    const leaving = new AbortController();
    leaving.abort(new Error('left'));
    const told: string[] = [];
    const inbox = new SequenceInbox(0, { read: () => {}, cancel: () => told.push('cancel') }, new ContentCheck(prompt));
    await expect(new AnswerInbox([inbox], leaving.signal).next()).rejects.toThrow('left');
    expect(told).toEqual(['cancel']);
  });

  it('begins an answer that is finished before it began', async () => {
    const { inbox, answer } = open();
    inbox.finish(finished);
    expect((await answer.next()).value).toMatchObject(begun);
    expect((await answer.next()).value).toMatchObject(finished);
  });

  it('cancels nothing that is settled, and still gives what the worker had finished', async () => {
    const { inbox, answer, leaving, told } = open();
    inbox.finish(finished);
    leaving.abort(new Error('left'));
    expect((await answer.next()).value).toMatchObject(begun);
    await answer.return();
    expect(told).toEqual([]);
  });

  it('gives what came before a failure, then throws it', async () => {
    const { inbox, answer } = open();
    inbox.add({ tokens: [1], text: 'a' });
    inbox.fail(new Error('lost'));
    inbox.fail(new Error('again'));
    answer.deliver();
    expect((await answer.next()).value).toMatchObject({ text: 'a' });
    await expect(answer.next()).rejects.toThrow('lost');
    expect((await answer.next()).done).toBe(true);
  });
});

const piece = fc.record({
  tokens: fc.array(fc.nat(9), { maxLength: 2 }),
  unnumbered: fc.nat(2),
  text: fc.string({ maxLength: 3 }),
  reasoning: fc.string({ maxLength: 3 }),
  calls: fc.array(
    fc.record({ index: fc.nat(2), name: fc.option(fc.constant('f'), { nil: undefined }), arguments: fc.string() }),
    { maxLength: 2 },
  ),
  citations: fc.array(fc.record({ start: fc.nat(3), end: fc.nat(3), sources: fc.constant([]) }), { maxLength: 1 }),
});

describe('whatever a worker sends', () => {
  it('adds up to the same, however it is read, or fails as internal_error and cancels once', async () => {
    const failed = { count: 0 };
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(piece, fc.boolean()), { maxLength: 6 }), async (sent) => {
        const { inbox, answer, told } = open();
        const events: SequenceEvent[] = [];
        const read = async () => {
          const next = await answer.next();
          if (!next.done) events.push(next.value);
        };
        try {
          for (const [one, now] of sent) {
            inbox.add(one);
            if (now) await read();
          }
          inbox.finish(finished);
          for await (const event of answer) events.push(event);
        } catch (error) {
          expect(error).toMatchObject({ code: 'internal_error' });
          expect(told.filter((what) => what === 'cancel').length).toBeLessThanOrEqual(1);
          failed.count++;
          return;
        }
        expect(summary(events)).toEqual(summary(sent.map(([one]) => ({ kind: 'tokens', index: 0, ...one }))));
        expect(events.at(-1)).toMatchObject({ kind: 'finished' });
      }),
      { numRuns: 1_000 },
    );
    expect(failed.count).toBeGreaterThan(0);
    expect(failed.count).toBeLessThan(1_000);
  });
});

/** All that the events bring, each kind of content for itself; citations in any order, and none beyond the text. */
function summary(events: readonly SequenceEvent[]): object {
  const tokens = events.filter((event) => event.kind === 'tokens');
  const text = tokens.map((event) => event.text).join('');
  const citations = tokens.flatMap((event) => event.citations ?? []);
  return {
    tokens: tokens.flatMap((event) => event.tokens),
    unnumbered: tokens.reduce((sum, { unnumbered = 0 }) => sum + unnumbered, 0),
    text,
    reasoning: tokens.map(({ reasoning = '' }) => reasoning).join(''),
    calls: [0, 1, 2].map((index) => {
      const own = tokens.flatMap(({ calls = [] }) => calls.filter((call) => call.index === index));
      return [own[0]?.name, own.map((call) => call.arguments).join('')];
    }),
    citations: citations
      .filter(({ end }) => end <= [...text].length)
      .sort((a, b) => a.end - b.end || a.start - b.start),
  };
}

describe('an answer of several sequences', () => {
  it('is read in turns, however much one of them brings', async () => {
    const { inboxes, answer } = open(3);
    for (const inbox of inboxes) inbox.begin(begun);
    inboxes[0]!.add({ tokens: [1], text: 'a' });
    inboxes[2]!.add({ tokens: [1], text: 'c' });
    const indexes: unknown[] = [];
    for (let read = 0; read < 5; read++) {
      indexes.push((await answer.next()).value?.index);
      inboxes[0]!.add({ tokens: [2], text: 'more' });
    }
    expect(indexes).toEqual([0, 1, 2, 0, 2]);
  });

  it('gives each its own credit', async () => {
    const { inboxes, answer, told } = open(2);
    inboxes[0]!.add({ tokens: [1], text: 'a' });
    inboxes[1]!.add({ tokens: [1, 2], text: 'b' });
    await answer.next();
    await answer.next();
    expect(told).toEqual(['read 1', 'read 2 1']);
  });

  it('ends when the last of them has ended', async () => {
    const { inboxes, answer } = open(2);
    inboxes[1]!.finish(finished);
    expect([(await answer.next()).value?.kind, (await answer.next()).value?.kind]).toEqual(['begun', 'finished']);
    const next = answer.next();
    inboxes[0]!.finish(finished);
    answer.deliver();
    expect((await next).value).toMatchObject({ kind: 'begun', index: 0 });
    expect((await answer.next()).done).toBe(false);
    expect((await answer.next()).done).toBe(true);
  });

  it('is cancelled as a whole when its reader leaves, but for what has ended', async () => {
    const { inboxes, answer, leaving, told } = open(3);
    inboxes[1]!.finish(finished);
    const event = await answer.next();
    expect(event.value).toMatchObject({ index: 1 });
    leaving.abort(new Error('left'));
    await expect(answer.next()).rejects.toThrow('left');
    expect(told).toEqual(['cancel', 'cancel 2']);
  });

  it('fails as a whole when one of them does, and the others are cancelled', async () => {
    const { inboxes, answer, told } = open(3);
    inboxes[0]!.begin(begun);
    inboxes[1]!.fail(new Error('full'));
    await answer.next();
    await expect(answer.next()).rejects.toThrow('full');
    expect(told).toEqual(['cancel', 'cancel 2']);
    expect((await answer.next()).done).toBe(true);
  });
});
