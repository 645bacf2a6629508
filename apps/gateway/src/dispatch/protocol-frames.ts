import {
  type AnswerEvent,
  type CallDelta,
  type Citation,
  type CitationSource,
  FINISH_REASONS,
  InferenceError,
  isErrorCode,
  MODEL_STATES,
  type ModelCapability,
  type ModelDescription,
  type OutputFormat,
  type Prompt,
  REFUSING_LIMITS,
  type RefusingLimit,
  type ResumedAnswer,
  type Sampling,
  type TokenLogprob,
  type ToolChoice,
  type Usage,
} from '@millrace/contracts';
import type * as protocol from '@millrace/contracts/protocol';
import { GatewayFrame } from '@millrace/contracts/protocol';
import type { TokensPiece } from './content-check.js';
import type { AnswerAttempt, AttemptSequence } from './worker-client.js';

/** What a worker says of a model is shown to everybody who asks, and is cut here. */
const DETAIL_LENGTH_MAX = 500;
const SHORT_FIELDS_BYTES = 2_048;
/** A message of two numbers of 32 bits, its tag and length. */
const PAIR_BYTES = 14;
/** As a pair, with the lengths of two texts beside them. */
const CALL_BYTES = 28;

/** Between our words and the protocol's frames. The meaning of every field stands in inference.proto. */

/**
 * One Start for all answers to a prompt that begin together, and one for each that goes on with what was delivered of it.
 * `sequenceIds` has one for each sequence of the request, in their order.
 */
export function startFrames(
  request: AnswerAttempt,
  sequenceIds: readonly number[],
  creditTokens: number,
): protocol.GatewayFrame[] {
  const shared = {
    attempt: request.attempt,
    requestId: request.requestId,
    traceparent: request.trace?.traceparent ?? '',
    tracestate: request.trace?.tracestate ?? '',
    model: request.model,
    maxTokens: request.maxTokens,
    stop: [...request.stop],
    creditTokens,
    deadlineMs: request.deadlineMs ?? 0,
    priority: request.priority,
    format: formatField(request.format),
    logprobs: request.logprobs,
    echo: request.echo ?? false,
  } satisfies Partial<protocol.Start>;
  const numbered = request.sequences.map((sequence, index) => ({ ...sequence, id: sequenceIds[index]! }));
  return togetherBegun(numbered).map(([first, ...others]) => {
    const { id, prompt, seed, resume } = first!;
    const start: protocol.Start = {
      ...shared,
      sequenceId: id,
      sampling: samplingField({ ...request.sampling, seed }),
      siblings: others.map((sibling) => ({ sequenceId: sibling.id, seed: sibling.seed })),
      prompt: promptField(prompt, request.nowSeconds),
      suffix: prompt.kind === 'text' ? prompt.suffix : undefined,
      ...resumeFields(resume),
    };
    return { frame: { $case: 'start', value: start } };
  });
}

/** What begins at the same place of the same prompt is one Start; the others are alone. */
function togetherBegun<S extends AttemptSequence>(sequences: readonly S[]): readonly (readonly S[])[] {
  const begun = new Map<Prompt, S[]>();
  const groups: S[][] = [];
  for (const sequence of sequences) {
    const group = sequence.resume === undefined ? begun.get(sequence.prompt) : undefined;
    if (group !== undefined) {
      group.push(sequence);
      continue;
    }
    const alone = [sequence];
    if (sequence.resume === undefined) begun.set(sequence.prompt, alone);
    groups.push(alone);
  }
  return groups;
}

function resumeFields(resume: ResumedAnswer | undefined) {
  return {
    resumeTokenIds: [...(resume?.tokens ?? [])],
    resumeText: resume?.text ?? '',
    resumeReasoning: resume?.reasoning ?? '',
    resumeCalls: (resume?.calls ?? []).map((call) => ({ ...call, name: call.name ?? '' })),
    resumeCitations: resume?.citations ?? 0,
    resumeUnnumberedTokens: resume?.unnumbered ?? 0,
    resumeLogprobs: resume?.logprobs ?? 0,
  } satisfies Partial<protocol.Start>;
}

function samplingField(sampling: Sampling): protocol.Sampling {
  const { drySequenceBreakers, logitBias, ...same } = sampling;
  return {
    ...same,
    drySequenceBreakers: drySequenceBreakers && { texts: [...drySequenceBreakers] },
    logitBias: logitBias ? [...logitBias] : [],
  };
}

function formatField(format: OutputFormat | undefined): protocol.OutputFormat | undefined {
  switch (format?.kind) {
    case undefined:
      return undefined;
    case 'json':
      return { format: { $case: 'json', value: true } };
    case 'schema':
      return { format: { $case: 'schemaJson', value: JSON.stringify(format.schema) } };
    case 'grammar':
      return { format: { $case: 'grammar', value: format.grammar } };
  }
}

/**
 * The bytes of Starts once encoded, or a number that is larger but still within `bytesMax`: only a request that may not
 * fit is encoded for the sake of its size. All of them count together, since each repeats the request's schema.
 */
export function startBytes(starts: readonly protocol.GatewayFrame[], bytesMax: number): number {
  const most = sum(starts.map(startBytesMost));
  return most <= bytesMax ? most : sum(starts.map((start) => GatewayFrame.encode(start).finish().length));
}

/** A UTF-16 unit takes at most 3 bytes, a number of 32 bits at most 5; the short fields have room enough in the rest. */
function startBytesMost({ frame }: protocol.GatewayFrame): number {
  if (frame?.$case !== 'start') return 0;
  const { prompt, model, tracestate, stop, resumeTokenIds, format, suffix, sampling, siblings } = frame.value;
  const { resumeText, resumeReasoning, resumeCalls } = frame.value;
  const breakers = sampling?.drySequenceBreakers?.texts ?? [];
  const calls = resumeCalls.flatMap((call) => [call.name, call.arguments]);
  const resumed = [resumeText, resumeReasoning, ...calls];
  const texts = [model, tracestate, suffix ?? '', ...stop, ...breakers, ...resumed, ...promptTexts(prompt)];
  if (format?.format?.$case === 'schemaJson' || format?.format?.$case === 'grammar') texts.push(format.format.value);
  const tokens = resumeTokenIds.length + (prompt?.$case === 'tokens' ? prompt.value.ids.length : 0);
  const pairs = siblings.length + (sampling?.logitBias.length ?? 0);
  const lists = 5 * tokens + PAIR_BYTES * pairs + CALL_BYTES * resumeCalls.length;
  return SHORT_FIELDS_BYTES + lists + 3 * sum(texts.map(({ length }) => length));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function promptTexts(prompt: protocol.Start['prompt']): readonly string[] {
  if (prompt?.$case === 'text') return [prompt.value];
  if (prompt?.$case !== 'chat') return [];
  const { messagesJson, toolsJson, templateVariablesJson, documentsJson } = prompt.value;
  return [messagesJson, toolsJson, templateVariablesJson, documentsJson];
}

function promptField(prompt: Prompt, nowSeconds: number): protocol.Start['prompt'] {
  switch (prompt.kind) {
    case 'text':
      return { $case: 'text', value: prompt.text };
    case 'tokens':
      return { $case: 'tokens', value: { ids: [...prompt.tokens] } };
    case 'chat':
      return { $case: 'chat', value: chatField({ nowSeconds, ...prompt }) };
  }
}

export function chatField(prompt: Extract<Prompt, { kind: 'chat' }>): protocol.ChatPrompt {
  return {
    messagesJson: JSON.stringify(prompt.messages),
    toolsJson: jsonUnlessEmpty(prompt.tools),
    templateVariablesJson: jsonUnlessEmpty(prompt.templateVariables),
    toolChoice: toolChoiceField(prompt.toolChoice),
    singleCall: prompt.parallelCalls === false,
    documentsJson: jsonUnlessEmpty(prompt.documents ?? []),
    continueFinal: prompt.continueFinal ?? false,
    reasoningEffort: prompt.reasoningEffort ?? '',
    nowSeconds: prompt.nowSeconds ?? 0,
  };
}

function toolChoiceField(choice: ToolChoice | undefined): protocol.ToolChoice | undefined {
  // `none` needs no word of its own: such a prompt has no tools.
  if (choice === undefined || choice === 'auto' || choice === 'none') return undefined;
  return {
    choice: choice === 'required' ? { $case: 'required', value: true } : { $case: 'name', value: choice.name },
  };
}

function jsonUnlessEmpty(value: object): string {
  return Object.keys(value).length === 0 ? '' : JSON.stringify(value);
}

export function logprobOf({ token, spelling, logprob, top }: protocol.TokenLogprob): TokenLogprob {
  const likeliest = top.map((one) => ({ token: one.token, bytes: one.spelling, logprob: one.logprob }));
  return { token, bytes: spelling, logprob, top: likeliest };
}

/** What an update brings of the answer itself; undefined if nothing. */
export function pieceOf(update: protocol.SequenceUpdate): TokensPiece | undefined {
  const { tokenIds, unnumberedTokens: unnumbered, text, reasoning, calls, citations, logprobs } = update;
  const tokens = tokenIds.length + unnumbered;
  const content = text.length + reasoning.length + calls.length + citations.length + logprobs.length;
  if (tokens + content === 0) return undefined;
  return {
    tokens: tokenIds,
    unnumbered,
    text,
    reasoning,
    calls: calls.map(callOf),
    citations: citations.map(citationOf),
    logprobs: logprobs.map(logprobOf),
  };
}

function citationOf({ start, end, sources }: protocol.Citation): Citation {
  return { start, end, sources: sources.map(sourceOf).filter((source) => source !== undefined) };
}

/** Undefined for a kind of source that a newer worker may know. */
function sourceOf({ source }: protocol.CitationSource): CitationSource | undefined {
  switch (source?.$case) {
    case undefined:
      return undefined;
    case 'document':
      return { kind: 'document', document: source.value };
    case 'toolResult':
      return { kind: 'toolResult', callId: source.value.callId, result: source.value.result };
  }
}

/** A call's piece; the empty name of the protocol is none. */
function callOf({ index, name, arguments: text }: protocol.CallDelta): CallDelta {
  return { index, name: name || undefined, arguments: text };
}

/** How an answer ended; undefined: without being one. */
export function finishedOf(settled: protocol.Settled): Extract<AnswerEvent, { kind: 'finished' }> | undefined {
  const reason = FINISH_REASONS.find((known) => known === settled.reason);
  if (reason === undefined) return undefined;
  const { stopText } = settled;
  return { kind: 'finished', reason, usage: usageOf(settled), ...(stopText !== '' && { stopText }) };
}

function usageOf({ promptTokens, completionTokens, cachedTokens, reasoningTokens }: protocol.Settled): Usage {
  return { promptTokens, completionTokens, cachedTokens, ...(reasoningTokens > 0 && { reasoningTokens }) };
}

function limitOf({ limit }: protocol.Failure): RefusingLimit {
  return REFUSING_LIMITS.find((known) => known === limit) ?? 'queue';
}

/**
 * Why a sequence, or other work, ended without an answer. A worker's own words reach the caller only with a code that we
 * know. It gets one prompt at a time: which of several it means is ours to say, by `prompt`.
 */
export function failureOf(
  { reason, failure }: Pick<protocol.Settled, 'reason' | 'failure'>,
  prompt?: number,
): InferenceError {
  if (failure && isErrorCode(failure.code)) {
    return new InferenceError(failure.code, failure.message, {
      limit: failure.code === 'rate_limit_exceeded' ? limitOf(failure) : undefined,
      param: failure.param === 'prompt' && prompt !== undefined ? `prompt[${prompt}]` : failure.param || undefined,
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
    samplingDefaults: samplingOf(model.samplingDefaults),
    maxTokensDefault: model.maxTokensDefault || undefined,
    embeddingLength: model.embeddingLength || undefined,
    isDefault: model.isDefault,
    state: MODEL_STATES.find((known) => known === model.state),
    detail: model.detail.slice(0, DETAIL_LENGTH_MAX).toWellFormed(),
  };
}

function samplingOf(sampling: protocol.Sampling | undefined): Sampling {
  if (sampling === undefined) return {};
  return { ...sampling, drySequenceBreakers: sampling.drySequenceBreakers?.texts };
}
