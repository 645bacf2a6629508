/**
 * What spans are told with. OpenTelemetry's names for generative AI are in development and move: they stand here and nowhere else.
 *
 * From https://github.com/open-telemetry/semantic-conventions-genai (2026-08) and, for HTTP, semantic conventions 1.40. What is ours alone
 * begins with `millrace.`.
 */
export const ATTRIBUTES = {
  operation: 'gen_ai.operation.name',
  provider: 'gen_ai.provider.name',
  requestModel: 'gen_ai.request.model',
  maxTokens: 'gen_ai.request.max_tokens',
  temperature: 'gen_ai.request.temperature',
  topP: 'gen_ai.request.top_p',
  topK: 'gen_ai.request.top_k',
  seed: 'gen_ai.request.seed',
  frequencyPenalty: 'gen_ai.request.frequency_penalty',
  presencePenalty: 'gen_ai.request.presence_penalty',
  choices: 'gen_ai.request.choice.count',
  streamed: 'gen_ai.request.stream',
  responseModel: 'gen_ai.response.model',
  finishReasons: 'gen_ai.response.finish_reasons',
  firstChunkSeconds: 'gen_ai.response.time_to_first_chunk',
  inputTokens: 'gen_ai.usage.input_tokens',
  outputTokens: 'gen_ai.usage.output_tokens',
  cachedTokens: 'gen_ai.usage.cache_read.input_tokens',
  reasoningTokens: 'gen_ai.usage.reasoning.output_tokens',

  method: 'http.request.method',
  route: 'http.route',
  status: 'http.response.status_code',
  serverAddress: 'server.address',
  serverPort: 'server.port',
  errorType: 'error.type',

  requestId: 'millrace.request.id',
  keyId: 'millrace.key.id',
  endpoint: 'millrace.endpoint',
  outcome: 'millrace.outcome',
  cached: 'millrace.cached',
  continued: 'millrace.continued',
  attempt: 'millrace.attempt',
  attempts: 'millrace.attempts',
  resumedTokens: 'millrace.resumed_tokens',
} as const;

/** What a request goes through at the gateway, and an answer at a worker. */
export const STAGES = ['validate', 'limit', 'cache', 'admit', 'route', 'wait', 'prefill', 'decode'] as const;
export type TracedStage = (typeof STAGES)[number];
