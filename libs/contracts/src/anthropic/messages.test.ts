import type Anthropic from '@anthropic-ai/sdk';
import { expect, it } from 'vitest';
import {
  COUNT_TOKENS_PARAMETERS,
  MESSAGES_PARAMETERS,
  type MessageAnswerBody,
  type MessageEvent,
  messagesRequestSchema,
} from './messages.js';
import type { AnthropicModelBody } from './models.js';

/** What the official client sends as headers. */
type Headers = 'betas' | 'user_profile_id' | 'workspace_id';
type Beta = Anthropic.Beta.Messages.MessageCreateParamsNonStreaming;
type Parameters = Exclude<keyof Anthropic.MessageCreateParamsNonStreaming | keyof Beta, Headers>;
type Counted = Exclude<
  keyof Anthropic.MessageCountTokensParams | keyof Anthropic.Beta.Messages.MessageCountTokensParams,
  Headers
>;
/** Of models older than the client, which took them. */
type Sampling = 'temperature' | 'top_p' | 'top_k';

it('lists every parameter of the official client, and no other', () => {
  // The compiler compares them: one that is missing, or is no more, does not compile.
  const all: Record<Parameters | Sampling, unknown> = MESSAGES_PARAMETERS;
  const none: Record<Exclude<keyof typeof MESSAGES_PARAMETERS, Parameters | Sampling>, never> = {};
  const counted: Record<Counted, unknown> = COUNT_TOKENS_PARAMETERS;
  const noneCounted: Record<Exclude<keyof typeof COUNT_TOKENS_PARAMETERS, Counted>, never> = {};
  expect(Object.keys(all)).toEqual(expect.arrayContaining(Object.keys(counted)));
  expect([none, noneCounted]).toEqual([{}, {}]);
});

it('takes every effort of the official client', () => {
  const efforts: Record<NonNullable<Anthropic.OutputConfig['effort']>, true> = {
    low: true,
    medium: true,
    high: true,
    xhigh: true,
    max: true,
  };
  for (const effort of Object.keys(efforts)) {
    const asked = { max_tokens: 1, messages: [{ role: 'user', content: 'Hi' }], output_config: { effort } };
    expect(messagesRequestSchema.safeParse(asked).success, effort).toBe(true);
  }
});

it('answers in the types of the official client', () => {
  const message = (body: MessageAnswerBody): Anthropic.Message => body;
  const event = (one: Exclude<MessageEvent, { type: 'ping' }>): Anthropic.RawMessageStreamEvent => one;
  const model = (body: AnthropicModelBody): Anthropic.ModelInfo => body;
  expect([message, event, model]).toHaveLength(3);
});
