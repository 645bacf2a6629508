import type { EmbedRequest, Ranking, RerankRequest, Tokenized, WorkRequest } from '@millrace/contracts';
import type * as protocol from '@millrace/contracts/protocol';
import type { TextOrChat } from '../vocabulary.js';
import { malformed } from './malformed.js';
import { chatField, failureOf } from './protocol-frames.js';
import type { DetokenizeWork, RenderWork, TokenizeWork, Vectors } from './worker-client.js';

/** Between our words and the protocol's messages for work that is no answer. Their meaning stands in inference.proto. */

const FLOAT_BYTES = 4;

function headingField({ requestId, model, deadlineMs = 0, priority, trace }: WorkRequest): protocol.WorkHeading {
  const { traceparent = '', tracestate = '' } = trace ?? {};
  return { requestId, model, deadlineMs, priority, traceparent, tracestate };
}

export function embedMessage(request: EmbedRequest): protocol.EmbedRequest {
  const inputs = request.inputs.map((input): protocol.EmbedInput => {
    if (input.kind === 'text') return { input: { $case: 'text', value: input.text } };
    return { input: { $case: 'tokens', value: { ids: [...input.tokens] } } };
  });
  return { heading: headingField(request), inputs, dimensions: request.dimensions ?? 0 };
}

/** The parts of one reply, joined. @throws InferenceError that a part brought. */
export function vectorsOf(parts: readonly protocol.EmbedPart[], inputs: number): Vectors {
  for (const part of parts) throwFailure(part);
  const vectors = parts.flatMap((part) => part.vectors);
  const [first] = vectors;
  const alike = vectors.every(({ length }) => length === first?.length && length > 0 && length % FLOAT_BYTES === 0);
  if (vectors.length !== inputs || !alike) throw malformed(`${vectors.length} vectors for ${inputs} inputs`);
  return { vectors, promptTokens: parts.at(-1)?.promptTokens ?? 0 };
}

export function rerankMessage(request: RerankRequest): protocol.RerankRequest {
  return { heading: headingField(request), query: request.query, documents: [...request.documents] };
}

export function rankingOf(reply: protocol.RerankReply, documents: number): Ranking {
  throwFailure(reply);
  if (reply.scores.length !== documents) throw malformed(`${reply.scores.length} scores for ${documents} documents`);
  return { scores: reply.scores, promptTokens: reply.promptTokens };
}

export function tokenizeMessage(request: TokenizeWork): protocol.TokenizeRequest {
  const { addSpecial, parseSpecial } = request;
  return { heading: headingField(request), prompt: promptField(request.prompt), addSpecial, parseSpecial };
}

function promptField(prompt: TextOrChat): protocol.TokenizeRequest['prompt'] {
  if (prompt.kind === 'text') return { $case: 'text', value: prompt.text };
  return { $case: 'chat', value: chatField(prompt) };
}

export function tokenizedOf(reply: protocol.TokenizeReply): Tokenized {
  throwFailure(reply);
  const { tokens, pieces } = reply;
  if (tokens.length !== pieces.length) throw malformed(`${pieces.length} pieces for ${tokens.length} tokens`);
  return { tokens, pieces };
}

export function detokenizeMessage(request: DetokenizeWork): protocol.DetokenizeRequest {
  return { heading: headingField(request), tokens: [...request.tokens] };
}

export function renderPromptMessage(request: RenderWork): protocol.RenderPromptRequest {
  return { heading: headingField(request), chat: chatField(request.prompt) };
}

export function textOf(reply: protocol.DetokenizeReply | protocol.RenderPromptReply): string {
  throwFailure(reply);
  return reply.text;
}

/**
 * The bytes of messages, tools, variables and documents. Of all that is sent, only these may be larger than the body they came in:
 * `1e20` goes on with all of its digits.
 */
export function chatBytes(chat: protocol.ChatPrompt | undefined): number {
  if (chat === undefined) return 0;
  const texts = [chat.messagesJson, chat.toolsJson, chat.templateVariablesJson, chat.documentsJson];
  return texts.reduce((bytes, text) => bytes + Buffer.byteLength(text), 0);
}

function throwFailure({ failure }: { readonly failure: protocol.Failure | undefined }): void {
  if (failure) throw failureOf({ reason: 'failed', failure });
}
