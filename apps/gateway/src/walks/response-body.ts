import {
  type ResponseBody,
  type ResponseErrorCode,
  type ResponseRequestBody,
  type ResponseTool,
  type ResponseUsageBody,
  toInferenceError,
  type Usage,
} from '@millrace/contracts';
import { randomHex } from '@millrace/runtime';
import { goneOnFrom } from '../validation/parse-response-request.js';
import type { ValidChatRequest } from '../vocabulary.js';

export { errorEvent } from '../responses/error-event.js';
export { writtenJson } from '../responses/event-json.js';

/** What a response is known by from its beginning on. */
export interface ResponseIds {
  readonly id: string;
  /** Unix seconds. */
  readonly createdAt: number;
}

const ID_BYTES = 24;
/** OpenAI's, where neither the request nor the model says anything. */
const TEMPERATURE_DEFAULT = 1;
const TOP_P_DEFAULT = 1;
const RESULTS_DEFAULT = 10;

export function newResponseIds(): ResponseIds {
  return { id: `resp_${randomHex(ID_BYTES)}`, createdAt: Math.floor(Date.now() / 1000) };
}

/** A response of which nothing has come yet: all that its request says, with what holds where that says nothing. */
export function emptyResponse(
  asked: ResponseRequestBody,
  { model, sampling, serviceTier }: ValidChatRequest,
  { id, createdAt }: ResponseIds,
): ResponseBody {
  const { previousResponseId, conversationId } = goneOnFrom(asked);
  const defaults = model.samplingDefaults;
  return {
    id,
    object: 'response',
    created_at: createdAt,
    status: 'in_progress',
    background: asked.background ?? false,
    completed_at: null,
    error: null,
    incomplete_details: null,
    instructions: asked.instructions ?? null,
    max_output_tokens: asked.max_output_tokens ?? null,
    max_tool_calls: asked.max_tool_calls ?? null,
    model: model.id,
    output: [],
    parallel_tool_calls: asked.parallel_tool_calls ?? true,
    previous_response_id: previousResponseId ?? null,
    conversation: conversationId === undefined ? null : { id: conversationId },
    prompt_cache_key: asked.prompt_cache_key ?? null,
    reasoning: {
      effort: asked.reasoning?.effort ?? null,
      summary: asked.reasoning?.summary ?? asked.reasoning?.generate_summary ?? null,
    },
    safety_identifier: asked.safety_identifier ?? null,
    service_tier: serviceTier ?? 'default',
    store: asked.store ?? true,
    temperature: sampling.temperature ?? defaults.temperature ?? TEMPERATURE_DEFAULT,
    text: { format: toldFormat(asked), verbosity: asked.text?.verbosity ?? 'medium' },
    tool_choice: asked.tool_choice ?? 'auto',
    tools: (asked.tools ?? []).map(toldTool),
    top_logprobs: asked.top_logprobs ?? 0,
    top_p: sampling.topP ?? defaults.topP ?? TOP_P_DEFAULT,
    truncation: 'disabled',
    usage: null,
    ...(asked.user != null && { user: asked.user }),
    metadata: asked.metadata ?? {},
    access_programs: null,
  };
}

function toldFormat({ text }: ResponseRequestBody): ResponseBody['text']['format'] {
  const format = text?.format ?? { type: 'text' };
  if (format.type !== 'json_schema') return format;
  const { type, name, description, schema } = format;
  // Always, whatever was asked for.
  return { type, name, ...(description != null && { description }), schema, strict: true };
}

function toldTool(tool: ResponseTool): ResponseBody['tools'][number] {
  if (tool.type === 'function') {
    const { type, name, description, parameters } = tool;
    return { type, name, description: description ?? null, parameters: parameters ?? null, strict: true };
  }
  const { type, vector_store_ids, max_num_results, filters, ranking_options } = tool;
  return {
    type,
    vector_store_ids,
    max_num_results: max_num_results ?? RESULTS_DEFAULT,
    filters: filters ?? null,
    ranking_options: {
      ranker: ranking_options?.ranker ?? 'auto',
      score_threshold: ranking_options?.score_threshold ?? 0,
    },
  };
}

export function responseUsageBody(usage: Usage): ResponseUsageBody {
  const { promptTokens, completionTokens, cachedTokens, reasoningTokens = 0 } = usage;
  return {
    input_tokens: promptTokens,
    // Nobody pays here for what is kept of a prompt.
    input_tokens_details: { cached_tokens: cachedTokens, cache_write_tokens: 0 },
    output_tokens: completionTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens },
    total_tokens: promptTokens + completionTokens,
  };
}

/** Why a response failed, in the few codes that OpenAI has for it. */
export function responseError(thrown: unknown): NonNullable<ResponseBody['error']> {
  const { code, message } = toInferenceError(thrown);
  return { code: ERROR_CODES[code] ?? 'server_error', message };
}

const ERROR_CODES: Readonly<Record<string, ResponseErrorCode>> = {
  rate_limit_exceeded: 'rate_limit_exceeded',
  insufficient_quota: 'rate_limit_exceeded',
  invalid_request: 'invalid_prompt',
  context_length_exceeded: 'invalid_prompt',
};
