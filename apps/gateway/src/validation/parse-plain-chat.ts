import { InferenceError, PLAIN_CHAT_PARAMETERS, PLAIN_CHAT_PARAMS, plainChatRequestSchema } from '@millrace/contracts';
import type { ValidChatRequest } from '../vocabulary.js';
import { checkBody } from './check-body.js';
import type { ModelCatalog } from './model-catalog.js';
import { parseChatRequest } from './parse-chat-request.js';

/** The body of POST /chat: unknown before, valid after. It is OpenAI's request in other words, and goes its way. */
export function parsePlainChat(body: unknown, models: ModelCatalog): ValidChatRequest {
  refuseUnknownParams(body);
  const { model, messages, params } = checkBody(body, PLAIN_CHAT_PARAMETERS, plainChatRequestSchema);
  const { json_mode, stream, ...generation } = params ?? {};
  const inOpenAisWords = {
    model,
    messages,
    ...generation,
    // Every answer tells what it took.
    ...(stream && { stream, stream_options: { include_usage: true } }),
    ...(json_mode && { response_format: { type: 'json_object' } }),
  };
  try {
    return parseChatRequest(inOpenAisWords, models);
  } catch (error) {
    throw inPlainWords(error);
  }
}

/** What is wrong with a parameter, under the name by which it was sent. */
export function inPlainWords(error: unknown): unknown {
  if (!(error instanceof InferenceError)) return error;
  const { code, message, details } = error;
  const { param } = details;
  const name = param === 'response_format' ? 'json_mode' : param;
  // What nobody knows stands where it was sent.
  if (
    code === 'unknown_parameter' ||
    param === undefined ||
    name === undefined ||
    !Object.hasOwn(PLAIN_CHAT_PARAMS, name)
  )
    return error;
  const said = message.replaceAll(`\`${param}\``, `\`params.${name}\``);
  return new InferenceError(code, said, { ...details, param: `params.${name}`, cause: error });
}

function refuseUnknownParams(body: unknown): void {
  for (const name of Object.keys(PLAIN_CHAT_PARAMS)) {
    if (typeof body !== 'object' || body === null || !Object.hasOwn(body, name)) continue;
    const where = `Here it stands in \`params\`: {"params": {"${name}": …}}.`;
    throw new InferenceError('unknown_parameter', `Unrecognized request argument supplied: ${name}. ${where}`, {
      param: name,
    });
  }
  for (const name of Object.keys(paramsIn(body) ?? {})) {
    if (Object.hasOwn(PLAIN_CHAT_PARAMS, name)) continue;
    const param = `params.${name.slice(0, 100)}`;
    const known = Object.keys(PLAIN_CHAT_PARAMS).join(', ');
    throw new InferenceError(
      'unknown_parameter',
      `Unrecognized request argument supplied: ${param}. It may be one of ${known}; /v1/chat/completions takes more.`,
      {
        param,
      },
    );
  }
}

function paramsIn(body: unknown): Readonly<Record<string, unknown>> | undefined {
  const params = (body as { params?: unknown } | null | undefined)?.params;
  return typeof params === 'object' && params !== null && !Array.isArray(params)
    ? (params as Readonly<Record<string, unknown>>)
    : undefined;
}
