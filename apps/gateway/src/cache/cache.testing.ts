import type { ModelDescription, TokenLogprob } from '@millrace/contracts';
import type { SequenceEvent, ValidAnswerRequest, ValidRequest } from '../vocabulary.js';

export function aModel(changes: Partial<ModelDescription> = {}): ModelDescription {
  return {
    id: 'demo',
    aliases: [],
    contextLength: 8_192,
    capabilities: ['chat', 'completion'],
    engine: 'fake 1',
    created: 1_700_000_000,
    samplingDefaults: {},
    isDefault: true,
    ...changes,
  };
}

/** A repeatable chat, but for what a test says. */
export function aRequest(changes: Partial<ValidRequest> = {}): ValidAnswerRequest {
  const request: ValidRequest = {
    model: aModel(),
    fallbacks: [],
    prompts: [{ kind: 'chat', messages: [{ role: 'user', content: 'hello' }], tools: [], templateVariables: {} }],
    n: 1,
    bestOf: 1,
    sampling: { temperature: 0 },
    stop: [],
    stream: false,
    includeUsage: false,
    ...changes,
  };
  return request as ValidAnswerRequest;
}

export const begun = (index = 0): SequenceEvent => ({
  kind: 'begun',
  index,
  promptTokens: 3,
  cachedTokens: 1,
  waitedMs: 0,
});
export const words = (text: string, index = 0, more: Partial<TokensEvent> = {}): TokensEvent => ({
  kind: 'tokens',
  index,
  tokens: [1],
  text,
  ...more,
});
export const finished = (index = 0, reason: FinishedEvent['reason'] = 'stop', completionTokens = 4): FinishedEvent => ({
  kind: 'finished',
  index,
  reason,
  usage: { promptTokens: 3, completionTokens, cachedTokens: 1, reasoningTokens: 0 },
});
export const logprobOf = (text: string, logprob = -0.5): TokenLogprob => ({
  token: 7,
  bytes: Buffer.from(text),
  logprob,
  top: [{ token: 8, bytes: Buffer.from([0xff, 0]), logprob: -1 }],
});

type TokensEvent = Extract<SequenceEvent, { kind: 'tokens' }>;
type FinishedEvent = Extract<SequenceEvent, { kind: 'finished' }>;
