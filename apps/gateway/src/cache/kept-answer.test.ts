import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SequenceEvent } from '../vocabulary.js';
import { begun, finished, logprobOf, words } from './cache.testing.js';
import { decodeAnswer, encodeAnswer } from './kept-answer.js';

const answer = (events: readonly SequenceEvent[]) => ({ model: 'demo', engine: 'fake 1', events });
const kept = (events: readonly SequenceEvent[], sequences = 1) => decodeAnswer(encodeAnswer(answer(events)), sequences);

/** What a caller can see of an answer, whatever pieces it comes in. */
function seen(events: readonly SequenceEvent[]) {
  const sequences = new Map<number, Record<string, unknown[]>>();
  for (const event of events) {
    const one = sequences.get(event.index) ?? {
      begun: [],
      text: [],
      reasoning: [],
      echo: [],
      order: [],
      calls: [],
      rest: [],
    };
    sequences.set(event.index, one);
    const channel = (name: string, value: string | undefined) => {
      if (!value) return;
      one[name]!.push(value);
      if (one.order!.at(-1) !== name) one.order!.push(name);
    };
    if (event.kind === 'begun') one.begun!.push(event.promptTokens, event.cachedTokens);
    if (event.kind === 'echo') {
      channel('echo', event.text);
      one.rest!.push(...event.logprobs.map((logprob) => ['echo', String(logprob.logprob)]));
    }
    if (event.kind === 'finished') one.rest!.push([event.reason, event.usage, event.stopText]);
    if (event.kind !== 'tokens') continue;
    channel('reasoning', event.reasoning);
    channel('text', event.text);
    for (const { index, name, arguments: bit } of event.calls ?? []) {
      if (name !== undefined) one.calls!.push([index, name, '']);
      const call = one.calls!.at(-1) as [number, string, string];
      call[2] += bit;
      if (one.order!.at(-1) !== 'calls') one.order!.push('calls');
    }
    one.rest!.push(...(event.citations ?? []));
    one.rest!.push(
      ...(event.logprobs ?? []).map((logprob) => JSON.stringify({ ...logprob, n: String(logprob.logprob) })),
    );
  }
  return [...sequences].sort().map(([index, { text, reasoning, echo, ...one }]) => {
    return { index, text: text!.join(''), reasoning: reasoning!.join(''), echo: echo!.join(''), ...one };
  });
}

const bytes = fc.uint8Array({ maxLength: 4 }).map((array) => Buffer.from(array));
const logprob = fc.oneof(fc.constant(Number.NaN), fc.constant(-9999), fc.double({ max: 0, min: -50, noNaN: true }));
const chance = fc.record({ token: fc.nat(0xffff_ffff), bytes, logprob });
const logprobs = fc.option(
  fc.array(
    fc.tuple(chance, fc.array(chance, { maxLength: 2 })).map(([one, top]) => ({ ...one, top })),
    { maxLength: 2 },
  ),
  { nil: undefined },
);
const text = fc.string({ maxLength: 30, unit: 'binary' });
/** Calls as they come: a name opens the next, and bits belong to the last that was opened. */
const tokens = (index: number): fc.Arbitrary<SequenceEvent[]> =>
  fc
    .array(
      fc.record({
        text,
        reasoning: fc.option(text, { nil: undefined }),
        bit: fc.option(fc.tuple(fc.boolean(), text), { nil: undefined }),
        logprobs,
        unnumbered: fc.option(fc.nat(3), { nil: undefined }),
      }),
      { maxLength: 12 },
    )
    .map((items) => {
      let calls = -1;
      return items.map(({ bit, ...item }): SequenceEvent => {
        if (bit === undefined) return { kind: 'tokens', index, tokens: [1, 2], ...item };
        const opens = bit[0] || calls < 0;
        if (opens) calls++;
        const call = opens ? { index: calls, name: 'f', arguments: bit[1] } : { index: calls, arguments: bit[1] };
        return { kind: 'tokens', index, tokens: [1, 2], ...item, calls: [call] };
      });
    });
const sequence = (index: number): fc.Arbitrary<SequenceEvent[]> =>
  fc
    .tuple(
      tokens(index),
      fc.constantFrom('stop' as const, 'length' as const, 'tool_calls' as const),
      fc.array(text, { maxLength: 2 }),
      fc.option(fc.string({ minLength: 1 }), { nil: undefined }),
    )
    .map(([events, reason, echoes, stopText]) => [
      begun(index),
      ...echoes.map(
        (one): SequenceEvent => ({ kind: 'echo', index, text: one, logprobs: [logprobOf('e', Number.NaN)] }),
      ),
      ...events,
      { ...finished(index, reason), ...(stopText !== undefined && { stopText }) },
    ]);

describe('a kept answer', () => {
  it('is what it was, in fewer pieces, whatever it was', () => {
    fc.assert(
      fc.property(sequence(0), sequence(1), fc.infiniteStream(fc.boolean()), (one, other, turns) => {
        const [left, right] = [[...one], [...other]];
        const events: SequenceEvent[] = [];
        // Sequences come in turns.
        while (left.length + right.length > 0) {
          const from = right.length === 0 || (left.length > 0 && turns.next().value) ? left : right;
          events.push(from.shift()!);
        }
        const back = kept(events, 2);
        expect(back).toMatchObject({ model: 'demo', engine: 'fake 1' });
        expect(seen(back!.events)).toEqual(seen(events));
        expect(back!.events.length).toBeLessThanOrEqual(events.length);
      }),
      { numRuns: 300 },
    );
  });

  it('counts its tokens without their numbers, for whoever leaves in the middle', () => {
    const back = kept([begun(), words('a', 0, { tokens: [5, 6], unnumbered: 3 }), finished()]);
    expect(back?.events[1]).toMatchObject({ tokens: [], unnumbered: 5 });
  });

  it('still comes in chunks, and a long one in not many more than a short one', () => {
    const pieces = (count: number) =>
      kept([begun(), ...Array.from({ length: count }, () => words('word ')), finished()])!.events.length;
    expect(pieces(100)).toBeGreaterThan(5);
    expect(pieces(100_000)).toBeGreaterThan(100);
    expect(pieces(100_000)).toBeLessThan(300);
  });

  it('comes in not many more where it is all thoughts, calls, or several answers', () => {
    const pieces = (next: (at: number) => SequenceEvent, sequences = 1) => {
      const every = (event: (index: number) => SequenceEvent) =>
        Array.from({ length: sequences }, (_, at) => event(at));
      const events = Array.from({ length: 20_000 }, (_, at) => next(at));
      return kept([...every((at) => begun(at)), ...events, ...every((at) => finished(at))], sequences)!.events.length;
    };
    expect(pieces(() => words('', 0, { reasoning: 'word ' }))).toBeLessThan(300);
    expect(
      pieces((at) => words('', 0, { calls: [{ index: 0, ...(at === 0 && { name: 'f' }), arguments: 'word ' }] })),
    ).toBeLessThan(300);
    expect(pieces((at) => words('word ', at % 4), 4)).toBeLessThan(300);
  });

  it('is written in a moment, also where it has hardly a character to a token', () => {
    for (const text of ['', 'a']) {
      const events = [
        begun(),
        ...Array.from({ length: 200_000 }, (_, at) => words(text, 0, { tokens: [at] })),
        finished(),
      ];
      expect(kept(events)?.events.at(1)).toMatchObject({ tokens: [] });
    }
  });

  it('is small: a long text is little more than itself', () => {
    const events = [begun(), ...Array.from({ length: 10_000 }, () => words('word ')), finished()];
    expect(encodeAnswer(answer(events)).byteLength).toBeLessThan(50_000 * 1.1);
  });
});

describe('an entry that is none', () => {
  const whole = [begun(), words('one two'), finished()];
  const entry = encodeAnswer(answer(whole));
  /** With the right checksum, whatever it says. */
  const forged = (value: unknown) => {
    const json = Buffer.from(JSON.stringify(value));
    const forgery = Buffer.alloc(5 + json.length);
    forgery.writeUInt8(1, 0);
    forgery.writeUInt32LE(crc32(json), 1);
    json.copy(forgery, 5);
    return forgery;
  };

  it('is found out wherever a byte of it is another, or it ends early', () => {
    for (let at = 0; at < entry.length; at++) {
      const damaged = Buffer.from(entry);
      damaged[at]! ^= 0x10;
      expect(decodeAnswer(damaged, 1), String(at)).toBeUndefined();
      expect(decodeAnswer(entry.subarray(0, at), 1), String(at)).toBeUndefined();
    }
  });

  it('is found out when it is anything else', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => decodeAnswer(bytes, 1) === undefined));
    fc.assert(fc.property(fc.jsonValue(), (value) => decodeAnswer(forged(value), 1) === undefined));
  });

  it.each([
    ['another number of sequences', whole, 2],
    ['a sequence that did not end', [begun(), words('a')], 1],
    ['one that did not begin', [words('a'), finished()], 1],
    ['one that began twice', [begun(), begun(), finished()], 1],
    ['text behind its end', [begun(), finished(), words('a')], 1],
    ['a sequence that was not asked for', [begun(), finished(), begun(7), finished(7)], 1],
    ['one that a provider held back', [begun(), words('a'), finished(0, 'content_filter')], 1],
    ['nothing', [], 1],
  ])('is found out when it has %s', (_, events, sequences) => {
    expect(kept(events, sequences)).toBeUndefined();
  });

  it.each([
    [
      'a token count that is none',
      [
        'd',
        'e',
        [
          ['b', 0, -1, 0],
          ['f', 0, 'stop', 1, 1, 0, 0],
        ],
      ],
    ],
    [
      'a reason that is none',
      [
        'd',
        'e',
        [
          ['b', 0, 1, 0],
          ['f', 0, 'because', 1, 1, 0, 0],
        ],
      ],
    ],
    [
      'a text that is none',
      [
        'd',
        'e',
        [
          ['b', 0, 1, 0],
          ['t', 0, 1, 7, 0, 0, 0, 0],
          ['f', 0, 'stop', 1, 1, 0, 0],
        ],
      ],
    ],
    [
      'an event that is none',
      [
        'd',
        'e',
        [
          ['b', 0, 1, 0],
          ['x', 0],
          ['f', 0, 'stop', 1, 1, 0, 0],
        ],
      ],
    ],
    [
      'an index that is none',
      [
        'd',
        'e',
        [
          ['b', '__proto__', 1, 0],
          ['f', '__proto__', 'stop', 1, 1, 0, 0],
        ],
      ],
    ],
    [
      'no engine',
      [
        'd',
        null,
        [
          ['b', 0, 1, 0],
          ['f', 0, 'stop', 1, 1, 0, 0],
        ],
      ],
    ],
  ])('is found out when it has %s, though its checksum is right', (_, value) => {
    expect(decodeAnswer(forged(value), 1)).toBeUndefined();
    expect(
      decodeAnswer(
        forged([
          'd',
          'e',
          [
            ['b', 0, 1, 0],
            ['f', 0, 'stop', 1, 1, 0, 0],
          ],
        ]),
        1,
      ),
    ).toBeDefined();
  });
});
