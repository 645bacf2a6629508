import { LOGPROB_MIN, TOKEN_UNKNOWN, type TokenChance, type TokenLogprob } from '@millrace/contracts';

type Fields = Readonly<Record<string, unknown>>;

/**
 * Log-probabilities in either form: of chats, `{"content": [{token, logprob, bytes, top_logprobs}]}`, and of texts,
 * `{"tokens": [], "token_logprobs": [], "top_logprobs": [{}]}`. llama-server has the first for both.
 */
export function logprobsIn(value: unknown, topMax: number): TokenLogprob[] {
  if (typeof value !== 'object' || value === null) return [];
  const { content, tokens, token_logprobs: logprobs, top_logprobs: tops } = value as Fields;
  if (Array.isArray(content)) return content.filter(isFields).map((entry) => chatLogprob(entry, topMax));
  if (!Array.isArray(tokens)) return [];
  return tokens.map((token, index) => ({
    ...chance(token, elementOf(logprobs, index)),
    top: textTop(elementOf(tops, index), topMax),
  }));
}

function chatLogprob(entry: Fields, topMax: number): TokenLogprob {
  const { token, logprob, bytes, id, top_logprobs: top } = entry;
  const chances = Array.isArray(top) ? top.filter(isFields) : [];
  return {
    ...chance(token, logprob, bytes, id),
    top: chances.slice(0, topMax).map((other) => chance(other.token, other.logprob, other.bytes, other.id)),
  };
}

/** An object of texts and numbers; the token itself may be there beside those that were asked for. */
function textTop(value: unknown, topMax: number): TokenChance[] {
  if (!isFields(value)) return [];
  return Object.entries(value)
    .map(([token, logprob]) => chance(token, logprob))
    .sort((one, other) => other.logprob - one.logprob)
    .slice(0, topMax);
}

function chance(token: unknown, logprob: unknown, bytes?: unknown, id?: unknown): TokenChance {
  return {
    // llama-server alone tells the number.
    token: typeof id === 'number' ? id : TOKEN_UNKNOWN,
    bytes: bytesOf(token, bytes),
    // JSON knows no infinity, so some say null.
    logprob: typeof logprob === 'number' ? Math.min(0, Math.max(LOGPROB_MIN, logprob)) : LOGPROB_MIN,
  };
}

function bytesOf(token: unknown, bytes: unknown): Uint8Array {
  if (Array.isArray(bytes)) return Uint8Array.from(bytes as number[]);
  const text = typeof token === 'string' ? token : '';
  // How vLLM and OpenAI write a part of a character where only a text fits.
  const part = /^bytes:((?:\\x[0-9a-f]{2})+)$/i.exec(text)?.[1];
  return part === undefined ? Buffer.from(text) : Buffer.from(part.replaceAll('\\x', ''), 'hex');
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null;
}

function elementOf(list: unknown, index: number): unknown {
  return Array.isArray(list) ? list[index] : undefined;
}
