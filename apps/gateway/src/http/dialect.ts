import type { IncomingHttpHeaders } from 'node:http';
import { toAnthropicResponse, toOpenAiResponse } from '@millrace/contracts';
import { servedUrl, withoutOrigin } from './path-aliases.js';

/** What tells in whose words a request is asked and wants its answer. */
export interface Asked {
  /** Before aliases, where `url` is the one behind them. */
  readonly originalUrl?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: IncomingHttpHeaders;
}

const MESSAGES = /^\/v1\/messages(?=[/?]|$)/;
const MODELS = /^\/v1\/models(?=[/?]|$)/;
const API = /^\/v1\//;

/** The base URL that only its clients are given: whatever they ask for below it, also what there is not. */
const ANTHROPICS = /^\/anthropic\//;

/** At its own paths, and below `/v1` whoever says so: Anthropic's clients send the header with every request. */
export function speaksAnthropic({ url = '/', originalUrl = url, headers }: Asked): boolean {
  const served = servedUrl(url);
  if (ANTHROPICS.test(withoutOrigin(originalUrl))) return true;
  return MESSAGES.test(served) || (headers['anthropic-version'] !== undefined && API.test(served));
}

/** Asked in Anthropic's words for what is OpenAI's: an answer would be one that its client can't read. */
export function isOpenAisAlone(asked: Asked): boolean {
  const served = servedUrl(asked.url ?? '/');
  return API.test(served) && !MESSAGES.test(served) && !MODELS.test(served) && speaksAnthropic(asked);
}

/** The answer to a request that failed: status, headers and a body in its words. */
export function failureAnswer(error: unknown, asked: Asked, requestId: string) {
  return speaksAnthropic(asked) ? toAnthropicResponse(error, requestId) : toOpenAiResponse(error);
}

/** The headers that say which request this is, by the names that its client looks for. */
export function idHeaders(asked: Asked, requestId: string): Readonly<Record<string, string>> {
  return { 'x-request-id': requestId, ...(speaksAnthropic(asked) && { 'request-id': requestId }) };
}
