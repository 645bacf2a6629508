import { InferenceError } from '@millrace/contracts';
import type { Sampling, Start } from '@millrace/contracts/protocol';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toAnswerRequests } from './answer-request.js';
import { chatMessage, samplingMessage } from './serving.testing.js';

const SEQUENCES_MAX = 8;

const text = (value = 'hello'): Start['prompt'] => ({ $case: 'text', value });
const chat = (messagesJson = '[]'): Start['prompt'] => ({
  $case: 'chat',
  value: chatMessage(messagesJson),
});

function start(more: Partial<Start> = {}): Start {
  return {
    sequenceId: 1,
    attempt: 1,
    requestId: 'request',
    traceparent: '',
    tracestate: '',
    model: 'scripted',
    prompt: text(),
    sampling: undefined,
    maxTokens: undefined,
    stop: [],
    resumeTokenIds: [],
    resumeText: '',
    creditTokens: 100,
    deadlineMs: 0,
    priority: 0,
    format: undefined,
    logprobs: undefined,
    echo: false,
    suffix: undefined,
    siblings: [],
    resumeReasoning: '',
    resumeCalls: [],
    resumeCitations: 0,
    resumeUnnumberedTokens: 0,
    resumeLogprobs: 0,
    ...more,
  };
}

const siblings = (count: number, first = 2) =>
  Array.from({ length: count }, (_, at) => ({ sequenceId: first + at, seed: undefined }));

function refusal(more: Partial<Start>): InferenceError {
  try {
    toAnswerRequests(start(more), SEQUENCES_MAX);
  } catch (error) {
    if (error instanceof InferenceError) return error;
    throw error;
  }
  throw new Error('It was taken.');
}

const sampling = (more: Partial<Sampling>): Partial<Start> => ({ sampling: samplingMessage(more) });

describe('toAnswerRequests', () => {
  it('takes everything that a Start may hold', () => {
    const [request] = toAnswerRequests(
      start({
        prompt: text('before'),
        suffix: 'after',
        sampling: samplingMessage({
          temperature: 2,
          topK: 1_000_000,
          repeatPenalty: 1.5,
          dryBase: 1,
          xtcThreshold: 0.5,
          logitBias: [{ token: 3, bias: -100 }],
          drySequenceBreakers: { texts: ['\n', '*'.repeat(64)] },
        }),
        format: { format: { $case: 'schemaJson', value: '{"type":"object"}' } },
        logprobs: 20,
        echo: true,
        maxTokens: 0,
        stop: ['end'],
        deadlineMs: 50,
        priority: -1,
      }),
      SEQUENCES_MAX,
    );
    expect(request).toEqual({
      requestId: 'request',
      model: 'scripted',
      prompt: { kind: 'text', text: 'before', suffix: 'after' },
      sampling: {
        temperature: 2,
        topK: 1_000_000,
        repeatPenalty: 1.5,
        dryBase: 1,
        xtcThreshold: 0.5,
        logitBias: [{ token: 3, bias: -100 }],
        drySequenceBreakers: ['\n', '*'.repeat(64)],
      },
      format: { kind: 'schema', schema: { type: 'object' } },
      logprobs: 20,
      echo: true,
      maxTokens: 0,
      stop: ['end'],
      resume: undefined,
      deadlineMs: 50,
      priority: -1,
    });
  });

  it('asks for nothing that a Start leaves out', () => {
    const [request, ...others] = toAnswerRequests(start(), SEQUENCES_MAX);
    expect(others).toEqual([]);
    expect(request).toMatchObject({ sampling: {}, stop: [], priority: 0, prompt: { kind: 'text', text: 'hello' } });
    expect(request.logprobs ?? request.echo ?? request.maxTokens ?? request.resume ?? request.format).toBeUndefined();
  });

  it('gives siblings the same prompt object, and each its own seed or none', () => {
    const requests = toAnswerRequests(
      start({
        sampling: samplingMessage({ seed: 5, temperature: 1 }),
        siblings: [
          { sequenceId: 2, seed: 6 },
          { sequenceId: 3, seed: undefined },
        ],
      }),
      SEQUENCES_MAX,
    );
    expect(requests.map(({ sampling }) => sampling.seed)).toEqual([5, 6, undefined]);
    expect(requests.map(({ sampling }) => sampling.temperature)).toEqual([1, 1, 1]);
    expect(new Set(requests.map(({ prompt }) => prompt)).size).toBe(1);
    expect(toAnswerRequests(start({ siblings: siblings(7) }), SEQUENCES_MAX)).toHaveLength(8);
  });

  it.each<[string, Partial<Start>, string, RegExp]>([
    ['a temperature that is no number', sampling({ temperature: Number.NaN }), 'temperature', /NaN.*from 0 to 2/],
    ['a top_p of 0', sampling({ topP: 0 }), 'top_p', /is 0.*above 0 and at most 1/],
    ['an endless penalty', sampling({ presencePenalty: Number.POSITIVE_INFINITY }), 'presence_penalty', /Infinity/],
    ['a frequency penalty', sampling({ frequencyPenalty: -2.1 }), 'frequency_penalty', /-2\.1/],
    ['a repeat penalty of 0', sampling({ repeatPenalty: 0 }), 'repeat_penalty', /above 0/],
    ['a min_p', sampling({ minP: 1.1 }), 'min_p', /1\.1/],
    ['a top_k beyond 31 bits', sampling({ topK: 4_000_000_000 }), 'top_k', /4000000000.*2147483647/],
    ['a repeat_last_n beyond 31 bits', sampling({ repeatLastN: 4_000_000_000 }), 'repeat_last_n', /at most/],
    ['a dry_multiplier', sampling({ dryMultiplier: 101 }), 'dry_multiplier', /101.*from 0 to 100/],
    ['a dry_base', sampling({ dryBase: 0.5 }), 'dry_base', /from 1 to 10/],
    ['a dry_allowed_length', sampling({ dryAllowedLength: 2 ** 31 }), 'dry_allowed_length', /at most/],
    ['a dry_penalty_last_n', sampling({ dryLastN: 2 ** 31 }), 'dry_penalty_last_n', /at most/],
    ['an xtc_probability', sampling({ xtcProbability: -1 }), 'xtc_probability', /from 0 to 1/],
    ['an xtc_threshold', sampling({ xtcThreshold: Number.NaN }), 'xtc_threshold', /NaN/],
    [
      'too many biases',
      sampling({ logitBias: Array.from({ length: 1_025 }, (_, token) => ({ token, bias: 1 })) }),
      'logit_bias',
      /1025 tokens; at most 1024/,
    ],
    [
      'a bias that is no number',
      sampling({ logitBias: [{ token: 7, bias: Number.NaN }] }),
      'logit_bias',
      /token 7.*NaN/,
    ],
    ['a bias beyond 100', sampling({ logitBias: [{ token: 7, bias: 100.5 }] }), 'logit_bias', /100\.5/],
    [
      'too many breakers',
      sampling({ drySequenceBreakers: { texts: Array.from({ length: 17 }, () => 'x') } }),
      'dry_sequence_breakers',
      /17 texts; at most 16/,
    ],
    ['a long breaker', sampling({ drySequenceBreakers: { texts: ['x'.repeat(65)] } }), 'dry_sequence_breakers', /65/],
    ['an empty breaker', sampling({ drySequenceBreakers: { texts: [''] } }), 'dry_sequence_breakers', /0 char/],
    ['100,000 stop texts', { stop: Array.from({ length: 100_000 }, () => 'x') }, 'stop', /100000/],
    ['65 stop texts', { stop: Array.from({ length: 65 }, () => 'x') }, 'stop', /65 .*64 of 4096/],
    ['a long stop text', { stop: ['x'.repeat(4_097)] }, 'stop', /4097/],
    ['no prompt', { prompt: undefined }, 'prompt', /no prompt/],
    ['messages that are no JSON', { prompt: chat('{') }, 'messages', /is not JSON/],
    ['messages that are no objects', { prompt: chat('[1]') }, 'messages', /array of objects/],
    ['21 logprobs of a text', { logprobs: 21 }, 'logprobs', /21.*0 to 20/],
    ['21 logprobs of a chat', { prompt: chat(), logprobs: 21 }, 'top_logprobs', /21/],
    ['an echo of a chat', { prompt: chat(), echo: true }, 'echo', /messages/],
    ['a suffix after a chat', { prompt: chat(), suffix: '' }, 'suffix', /a text/],
    ['a suffix after tokens', { prompt: { $case: 'tokens', value: { ids: [1] } }, suffix: 'x' }, 'suffix', /a text/],
    ['no tokens and no echo', { maxTokens: 0 }, 'max_tokens', /at least 1/],
    [
      'a schema that is no JSON',
      { format: { format: { $case: 'schemaJson', value: '{' } } },
      'response_format',
      /JSON/,
    ],
    [
      'a schema that is a list',
      { format: { format: { $case: 'schemaJson', value: '[]' } } },
      'response_format',
      /object/,
    ],
    ['an unknown format', { format: { format: undefined } }, 'response_format', /does not know/],
    ['an empty grammar', { format: { format: { $case: 'grammar', value: '' } } }, 'grammar', /0 bytes/],
    [
      'a grammar of 64 KiB and a byte',
      { format: { format: { $case: 'grammar', value: `${'é'.repeat(32_768)}x` } } },
      'grammar',
      /65,537 bytes.*65,536/,
    ],
    [
      'a format without an end',
      { format: { format: { $case: 'json', value: true } }, ...sampling({ ignoreEos: true }) },
      'ignore_eos',
      /format/,
    ],
    ['more answers than a step has room for', { siblings: siblings(8) }, 'n', /is 9; .* at most 8/],
  ])('refuses %s, by name', (_what, more, param, sentence) => {
    const { code, message, details } = refusal(more);
    expect({ code, param: details.param }).toEqual({ code: 'invalid_request', param });
    expect(message).toMatch(sentence);
  });

  it('takes the largest of each that it allows', () => {
    const most = start({
      stop: Array.from({ length: 64 }, () => 'x'.repeat(4_096)),
      format: { format: { $case: 'grammar', value: 'x'.repeat(65_536) } },
      sampling: samplingMessage({
        logitBias: Array.from({ length: 1_024 }, (_, token) => ({ token, bias: 100 })),
        drySequenceBreakers: { texts: Array.from({ length: 16 }, () => 'x'.repeat(64)) },
        topK: 2_147_483_647,
        ignoreEos: false,
      }),
      siblings: siblings(7),
    });
    expect(toAnswerRequests(most, SEQUENCES_MAX)).toHaveLength(8);
  });

  it('goes on with what was delivered, also where no token had a number', () => {
    const call = { index: 0, name: 'f', arguments: '{' };
    const delivered: Partial<Start>[] = [
      { resumeTokenIds: [1] },
      { resumeText: 'a' },
      { resumeReasoning: 'a' },
      { resumeCalls: [call] },
      { resumeCitations: 1 },
      { resumeUnnumberedTokens: 2 },
    ];
    const nothing = { tokens: [], text: '', reasoning: '', calls: [], citations: 0, unnumbered: 0, logprobs: 0 };
    expect(delivered.map((more) => toAnswerRequests(start(more), 1)[0].resume)).toEqual([
      { ...nothing, tokens: [1] },
      { ...nothing, text: 'a' },
      { ...nothing, reasoning: 'a' },
      { ...nothing, calls: [call] },
      { ...nothing, citations: 1 },
      { ...nothing, unnumbered: 2 },
    ]);
  });

  it('fails for the gateway, not for the caller, what only a gateway can do wrong', () => {
    expect(refusal({ creditTokens: 0 }).code).toBe('internal_error');
    expect(refusal({ resumeTokenIds: [1], siblings: siblings(1) }).code).toBe('internal_error');
    expect(refusal({ resumeText: 'a', siblings: siblings(1) }).code).toBe('internal_error');
  });

  it('takes or refuses any numbers at all, and lets none through that is no number', () => {
    const number = fc.option(fc.float(), { nil: undefined });
    const count = fc.option(fc.integer({ min: 0, max: 2 ** 32 - 1 }), { nil: undefined });
    const anySampling = fc.record({
      temperature: number,
      topP: number,
      minP: number,
      presencePenalty: number,
      frequencyPenalty: number,
      repeatPenalty: number,
      dryMultiplier: number,
      dryBase: number,
      xtcProbability: number,
      xtcThreshold: number,
      topK: count,
      repeatLastN: count,
      dryAllowedLength: count,
      dryLastN: count,
      seed: count,
    });
    fc.assert(
      fc.property(anySampling, (given) => {
        try {
          const [request] = toAnswerRequests(start(sampling(given)), SEQUENCES_MAX);
          for (const value of Object.values(request.sampling)) {
            if (value !== undefined) expect(value).toSatisfy(Number.isFinite);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(InferenceError);
          expect((error as InferenceError).details.param).toBeTruthy();
        }
      }),
    );
  });
});
