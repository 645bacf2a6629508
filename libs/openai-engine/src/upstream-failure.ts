import { InferenceError, PROMPT_TOO_LONG } from '@millrace/contracts';
import type { Secret } from './secret.js';

/** Whether it may be tried again: a connection that was kept too long at once, what may pass after a while. */
export type Retry = 'never' | 'at once' | 'later';

/** An attempt that failed: what the caller is told if it was the last, and whether it need be. */
export class UpstreamFailure extends Error {
  constructor(
    readonly error: InferenceError,
    readonly retry: Retry,
    /** What the upstream asked to wait, in milliseconds. */
    readonly retryAfterMs?: number,
  ) {
    super(error.message, { cause: error });
  }
}

/** What a failure is told about. */
export interface UpstreamSubject {
  /** The model, as the caller knows it. */
  readonly model: string;
  /** The kind of server. */
  readonly preset: string;
  readonly secret: Secret;
}

/** Of an upstream's own sentence, as much as is passed on. */
const SENTENCE_CHARACTERS_MAX = 500;
/** Errors within errors; proxies wrap those of the servers behind them. */
const NESTED_MAX = 8;
const RETRY_AFTER_SECONDS_MAX = 3_600;

const TOO_LONG =
  /maximum context length|context[ _](?:length|size|window)|exceed_context|max_model_len|maximum model length|prompt is too long|too many tokens/i;
const NO_MODEL = /\bmodel\b.{0,300}\b(?:not found|does not exist|not loaded|is not supported|unknown)/is;
const BUSY = /\bbusy\b|overload|queue|pending requests|too many|capacity|rate limit/i;
const LOADING = /\bloading\b|starting up|warming up/i;

interface Told {
  readonly message: string;
  readonly code: string;
}

/** What an answer with a status that is no success means. */
export function failureOfStatus(
  status: number,
  headers: Readonly<Record<string, unknown>>,
  body: string,
  subject: UpstreamSubject,
): UpstreamFailure {
  const told = toldIn(body);
  return failureOf(status, told, retryAfterMsOf(headers), subject);
}

/** What an error in the place of an answer means, such as an upstream sends after its status is spent. */
export function failureOfEvent(value: unknown, subject: UpstreamSubject): UpstreamFailure {
  const told = toldBy(value);
  return failureOf(statusIn(value), told, undefined, subject);
}

/** It answered, but with something else than an answer. Not tried again: it would do the same. */
export function noAnswer(what: string, { model, preset }: UpstreamSubject): UpstreamFailure {
  const said = `The server of \`${model}\` (${preset}) sent ${what}. Is \`upstream.url\` right?`;
  return new UpstreamFailure(new InferenceError('upstream_failed', said), 'never');
}

/** The answer ended before it was said how. */
export function brokenOff(retry: Retry, { model, preset }: UpstreamSubject): UpstreamFailure {
  const said = `The server of \`${model}\` (${preset}) ended its answer in the middle.`;
  return new UpstreamFailure(new InferenceError('upstream_failed', said), retry);
}

function failureOf(
  status: number,
  told: Told,
  retryAfterMs: number | undefined,
  subject: UpstreamSubject,
): UpstreamFailure {
  const { model, preset } = subject;
  const said = sentence(told.message, subject.secret);
  const who = `The server of \`${model}\` (${preset})`;
  if (status === 401 || status === 403) {
    return new UpstreamFailure(
      new InferenceError('upstream_unauthorized', `${who} refuses the key that it is given.`),
      'never',
    );
  }
  if (status === 429 || status === 529 || (status === 503 && BUSY.test(told.message))) {
    const retryAfterSeconds = Math.min(
      RETRY_AFTER_SECONDS_MAX,
      Math.max(1, Math.ceil((retryAfterMs ?? 1_000) / 1_000)),
    );
    const error = new InferenceError(
      'rate_limit_exceeded',
      `${who} takes no more requests just now${said && `: ${said}`}`,
      { retryAfterSeconds, limit: 'upstream' },
    );
    return new UpstreamFailure(error, 'later', retryAfterMs);
  }
  if (status === 503 && LOADING.test(told.message)) {
    const error = new InferenceError('model_not_ready', `${who} is still loading the model.`, { retryAfterSeconds: 5 });
    return new UpstreamFailure(error, 'later', retryAfterMs);
  }
  if (status === 404 || (status >= 400 && NO_MODEL.test(told.message))) {
    const remedy = 'Whoever runs Millrace has to correct `upstream.model` or `upstream.url` in the models file.';
    return new UpstreamFailure(
      new InferenceError('upstream_failed', `${who} has no such model or path${said && `: ${said}`} ${remedy}`),
      'never',
    );
  }
  if (isTooLong(status, told)) {
    const saying = said || `${who} says that the prompt is too long. Shorten it, or ask for fewer tokens.`;
    // Clients know it by the words of contextExceeded.
    const known = /maximum context length/i.test(saying) && saying.includes(PROMPT_TOO_LONG);
    const tooLong = known ? saying : `This model's maximum context length is exceeded, ${PROMPT_TOO_LONG}: ${saying}`;
    return new UpstreamFailure(new InferenceError('context_length_exceeded', tooLong, { param: 'messages' }), 'never');
  }
  if (status === 400 || status === 413 || status === 422 || status === 501) {
    const error = new InferenceError('invalid_request', `${who} refuses the request${said && `: ${said}`}`);
    return new UpstreamFailure(error, 'never');
  }
  const error = new InferenceError('upstream_failed', `${who} failed with status ${status}${said && `: ${said}`}`);
  return new UpstreamFailure(error, [500, 502, 503, 504].includes(status) ? 'later' : 'never', retryAfterMs);
}

function isTooLong(status: number, { code, message }: Told): boolean {
  if (code === 'context_length_exceeded' || code === 'exceed_context_size_error') return true;
  return (status === 400 || status === 413 || status === 422) && TOO_LONG.test(message);
}

/** What the body of an error says, in whichever of the forms that are about. */
function toldIn(body: string): Told {
  try {
    return toldBy(JSON.parse(body));
  } catch {
    // Pages for people are no sentence, nor is half a body.
    return { message: /^\s*[<{[]/.test(body) ? '' : body, code: '' };
  }
}

function toldBy(value: unknown, depth = 0): Told {
  if (typeof value === 'string') return { message: value, code: '' };
  if (typeof value !== 'object' || value === null || depth > NESTED_MAX) return { message: '', code: '' };
  const { error, detail, message, code, type, msg } = value as Record<string, unknown>;
  if (error !== undefined && error !== null && error !== true) return toldBy(error, depth + 1);
  if (Array.isArray(detail))
    return {
      message: detail
        .slice(0, 5)
        .map((each) => toldBy(each, depth + 1).message)
        .join('; '),
      code: '',
    };
  if (typeof detail === 'string') return { message: detail, code: '' };
  if (typeof detail === 'object' && detail !== null) return toldBy(detail, depth + 1);
  const text = typeof message === 'string' ? message : typeof msg === 'string' ? msg : '';
  // llama-server has the status as `code` and the name as `type`.
  return { message: text, code: typeof code === 'string' && code !== '' ? code : typeof type === 'string' ? type : '' };
}

/** The status that an error within a stream stands for. */
function statusIn(value: unknown): number {
  const inner = (value as { error?: unknown } | null)?.error;
  for (const holder of [inner, value]) {
    if (typeof holder !== 'object' || holder === null) continue;
    const { code, status, status_code: statusCode } = holder as Record<string, unknown>;
    for (const candidate of [code, status, statusCode]) {
      const number = Number(candidate);
      if (Number.isInteger(number) && number >= 400 && number <= 599) return number;
    }
  }
  const { code } = toldBy(value);
  if (/rate_limit/.test(code)) return 429;
  if (/invalid_request|BadRequest/i.test(code) || code === 'context_length_exceeded') return 400;
  return 500;
}

function retryAfterMsOf(headers: Readonly<Record<string, unknown>>): number | undefined {
  const ms = Number(headers['retry-after-ms'] ?? Number.NaN);
  if (Number.isFinite(ms) && ms >= 0) return ms;
  const after = headers['retry-after'];
  if (typeof after !== 'string') return undefined;
  const seconds = Number(after);
  if (Number.isFinite(seconds) && seconds >= 0) return seconds * 1_000;
  const until = Date.parse(after);
  return Number.isNaN(until) ? undefined : Math.max(0, until - Date.now());
}

/** As the caller may see it: one line, bounded, and without a key. */
export function sentence(text: string, secret: Secret): string {
  // Masked before it is cut: a key that is cut in two is still a key.
  const line = secret
    .mask(text.slice(0, 64 * SENTENCE_CHARACTERS_MAX))
    .replaceAll(/[\s\p{Cc}]+/gu, ' ')
    .trim();
  return line.length > SENTENCE_CHARACTERS_MAX ? `${line.slice(0, SENTENCE_CHARACTERS_MAX)}…` : line;
}
