import {
  type FinishReason,
  InferenceError,
  isErrorCode,
  type ModelCapability,
  type ModelDescription,
  type Prompt,
  type Sampling,
  type Usage,
} from '@millrace/contracts';
import type * as protocol from '@millrace/contracts/protocol';
import { GatewayFrame } from '@millrace/contracts/protocol';
import type { AnswerAttempt } from './worker-client.js';

const SHORT_FIELDS_BYTES = 2_048;

/** Between our words and the protocol's frames. The meaning of every field stands in inference.proto. */

export function startFrame(request: AnswerAttempt, sequenceId: number, creditTokens: number): protocol.GatewayFrame {
  const start: protocol.Start = {
    sequenceId,
    attempt: request.attempt,
    requestId: request.requestId,
    traceparent: request.trace?.traceparent ?? '',
    tracestate: request.trace?.tracestate ?? '',
    model: request.model,
    prompt: promptField(request.prompt),
    sampling: { ...request.sampling },
    maxTokens: request.maxTokens ?? 0,
    stop: [...request.stop],
    resumeTokenIds: [...(request.resume?.tokens ?? [])],
    resumeText: request.resume?.text ?? '',
    creditTokens,
    deadlineMs: request.deadlineMs ?? 0,
    priority: request.priority,
  };
  return { frame: { $case: 'start', value: start } };
}

/**
 * The bytes of a Start once encoded, or a number that is larger but still within `bytesMax`: only a request that may not
 * fit is encoded for the sake of its size.
 */
export function startBytes(start: protocol.GatewayFrame, bytesMax: number): number {
  const most = startBytesMost(start);
  return most <= bytesMax ? most : GatewayFrame.encode(start).finish().length;
}

/** A UTF-16 unit takes at most 3 bytes, a number of 32 bits at most 5; the short fields have room enough in the rest. */
function startBytesMost({ frame }: protocol.GatewayFrame): number {
  if (frame?.$case !== 'start') return 0;
  const { prompt, model, tracestate, stop, resumeTokenIds, resumeText } = frame.value;
  const texts = [model, tracestate, resumeText, ...stop, ...promptTexts(prompt)];
  const tokens = resumeTokenIds.length + (prompt?.$case === 'tokens' ? prompt.value.ids.length : 0);
  return SHORT_FIELDS_BYTES + 5 * tokens + 3 * texts.reduce((length, text) => length + text.length, 0);
}

function promptTexts(prompt: protocol.Start['prompt']): readonly string[] {
  if (prompt?.$case === 'text') return [prompt.value];
  if (prompt?.$case !== 'chat') return [];
  const { messagesJson, toolsJson, templateVariablesJson } = prompt.value;
  return [messagesJson, toolsJson, templateVariablesJson];
}

function promptField(prompt: Prompt): protocol.Start['prompt'] {
  switch (prompt.kind) {
    case 'text':
      return { $case: 'text', value: prompt.text };
    case 'tokens':
      return { $case: 'tokens', value: { ids: [...prompt.tokens] } };
    case 'chat':
      return { $case: 'chat', value: chatField(prompt) };
  }
}

export function chatField(prompt: Extract<Prompt, { kind: 'chat' }>): protocol.ChatPrompt {
  return {
    messagesJson: JSON.stringify(prompt.messages),
    toolsJson: jsonUnlessEmpty(prompt.tools),
    templateVariablesJson: jsonUnlessEmpty(prompt.templateVariables),
  };
}

function jsonUnlessEmpty(value: object): string {
  return Object.keys(value).length === 0 ? '' : JSON.stringify(value);
}

export function finishReasonOf(reason: string): FinishReason | undefined {
  return reason === 'stop' || reason === 'length' ? reason : undefined;
}

export function usageOf({ promptTokens, completionTokens, cachedTokens }: protocol.Settled): Usage {
  return { promptTokens, completionTokens, cachedTokens };
}

/** Why a sequence, or other work, ended without an answer. A worker's own words reach the caller only with a code that we know. */
export function failureOf({ reason, failure }: Pick<protocol.Settled, 'reason' | 'failure'>): InferenceError {
  if (failure && isErrorCode(failure.code)) {
    return new InferenceError(failure.code, failure.message, {
      limit: failure.code === 'rate_limit_exceeded' ? 'queue' : undefined,
      param: failure.param || undefined,
      retryAfterSeconds: failure.retryAfterSeconds || undefined,
    });
  }
  if (failure) {
    const cause = new Error(`The worker failed with ${failure.code}: ${failure.message}`);
    return new InferenceError('internal_error', 'The worker failed to answer. Report the x-request-id.', { cause });
  }
  // We did not cancel it, or nobody would read this: the worker gave it up, as it does when it stops.
  return new InferenceError('worker_lost', `The worker ended the answer early (${reason}). Send the request again.`);
}

export function modelOf(model: protocol.ModelDescription): ModelDescription {
  return {
    id: model.id,
    aliases: model.aliases,
    contextLength: model.contextLength,
    capabilities: model.capabilities as ModelCapability[],
    engine: model.engine,
    created: model.created,
    samplingDefaults: (model.samplingDefaults ?? {}) satisfies Sampling,
    maxTokensDefault: model.maxTokensDefault || undefined,
    embeddingLength: model.embeddingLength || undefined,
    isDefault: model.isDefault,
  };
}
