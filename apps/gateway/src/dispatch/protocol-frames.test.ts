import { REASONING_EFFORTS } from '@millrace/contracts';
import { GatewayFrame } from '@millrace/contracts/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { failureOf, startBytes, startFrames } from './protocol-frames.js';
import type { AnswerAttempt } from './worker-client.js';

/** Characters of one to four bytes, of which the last has two units. */
const text = fc.string({ unit: fc.constantFrom('a', 'é', '€', '😀'), maxLength: 40 });
const some = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });
const objects = fc.array(fc.dictionary(text, text, { maxKeys: 2 }), { maxLength: 3 });

const chat = fc.record({
  kind: fc.constant('chat' as const),
  messages: objects,
  tools: objects,
  templateVariables: fc.dictionary(text, text, { maxKeys: 2 }),
  toolChoice: some(fc.oneof(fc.constantFrom('auto' as const, 'required' as const), fc.record({ name: text }))),
  parallelCalls: some(fc.boolean()),
  documents: some(objects),
  continueFinal: some(fc.boolean()),
  reasoningEffort: some(fc.constantFrom(...REASONING_EFFORTS)),
});
const resume = fc.record({
  tokens: fc.array(uint32, { maxLength: 9 }),
  text,
  reasoning: some(text),
  calls: some(fc.array(fc.record({ index: uint32, name: some(text), arguments: text }), { maxLength: 200 })),
  citations: some(uint32),
  unnumbered: some(uint32),
  logprobs: some(uint32),
});

const attempt: fc.Arbitrary<AnswerAttempt> = fc
  .record({
    prompts: fc.array(chat, { minLength: 1, maxLength: 3 }),
    answers: fc.integer({ min: 1, max: 5 }),
    resume: some(resume),
    model: text,
    stop: fc.array(text, { maxLength: 4 }),
    maxTokens: some(uint32),
    deadlineMs: some(uint32),
    biases: fc.array(fc.record({ token: uint32, bias: fc.float({ noNaN: true }) }), { maxLength: 300 }),
  })
  .map(({ biases, prompts, answers, resume, ...rest }) => ({
    ...rest,
    sequences: prompts.flatMap((prompt, promptIndex) =>
      Array.from({ length: answers }, (_, answer) => ({
        index: promptIndex * answers + answer,
        prompt,
        promptIndex,
        seed: 0xffff_ffff,
        resume: answer === 0 ? resume : undefined,
      })),
    ),
    requestId: 'x'.repeat(128),
    attempt: 1,
    trace: undefined,
    sampling: { seed: 0xffff_ffff, logitBias: biases },
    priority: 0,
    nowSeconds: 0xffff_ffff,
  }));

describe('the bytes of a Start', () => {
  it('are never more than is guessed, whatever the request holds', () => {
    fc.assert(
      fc.property(attempt, (request) => {
        const ids = request.sequences.map(() => 0xffff_ffff);
        const starts = startFrames(request, ids, 0xffff_ffff);
        const exact = starts.reduce((sum, start) => sum + GatewayFrame.encode(start).finish().length, 0);
        expect(startBytes(starts, 0)).toBe(exact);
        expect(startBytes(starts, Number.POSITIVE_INFINITY)).toBeGreaterThanOrEqual(exact);
      }),
    );
  });

  it.each([
    ['text', { text: '€'.repeat(9_000) }],
    ['thoughts', { reasoning: '€'.repeat(9_000) }],
    ['calls', { calls: new Array(9_000).fill({ index: 0xffff_ffff, name: '', arguments: '' }) }],
    ['arguments', { calls: [{ index: 0, name: '€'.repeat(9_000), arguments: '€'.repeat(9_000) }] }],
    ['tokens', { tokens: new Array(9_000).fill(0xffff_ffff) }],
  ])('count all that was delivered before: %s', (_what, resume) => {
    const [request] = fc.sample(attempt, 1) as [AnswerAttempt];
    const starts = startFrames(
      {
        ...request,
        sequences: request.sequences.map((one) => ({ ...one, resume: { tokens: [], text: '', ...resume } })),
      },
      request.sequences.map(() => 1),
      1,
    );
    expect(startBytes(starts, Number.POSITIVE_INFINITY)).toBeGreaterThanOrEqual(startBytes(starts, 0));
  });
});

describe('failureOf', () => {
  const failure = { code: 'rate_limit_exceeded', message: 'Full.', param: '', retryAfterSeconds: 3 };

  it("says whose limit it was: the worker's own, unless that names the server behind it", () => {
    const limits = ['', 'queue', 'upstream', 'made up'].map(
      (limit) => failureOf({ reason: 'failed', failure: { ...failure, limit } }).details.limit,
    );
    expect(limits).toEqual(['queue', 'queue', 'upstream', 'queue']);
    const other = { ...failure, code: 'upstream_failed', limit: 'upstream' };
    expect(failureOf({ reason: 'failed', failure: other }).details.limit).toBeUndefined();
  });
});
