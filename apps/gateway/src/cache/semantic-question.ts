import { createHash } from 'node:crypto';
import type { ValidRequest } from '../vocabulary.js';
import { cacheKey } from './cache-key.js';
import { type Gist, gistOf } from './same-meaning.js';

/** A question that another one may stand in for. Digests tell nothing of what was asked. */
export interface SemanticQuestion {
  /** The last turn: of this the vector is made. */
  readonly text: string;
  /** A digest of whose it is. */
  readonly tenant: string;
  /**
   * A digest of everything but the last turn that shapes the answer (tenant, model, system prompt and earlier turns, tools, parameters,
   * format), and of what of the last turn must be equal but for capitals.
   */
  readonly about: string;
  /** A digest of what of the last turn must be equal, capitals too. */
  readonly wording: string;
  /** As of the gist. */
  readonly hasNoCapitals: boolean;
}

type Asked = Pick<ValidRequest, 'prompts' | 'n' | 'bestOf' | 'logprobs' | 'echo' | 'exact'>;

/**
 * Undefined where no other question could stand in: for texts that are no chat, several answers, log-probabilities (they are of the very
 * tokens), verdicts, a last turn that is no user's or not text alone, an answer that goes on with one, and a turn that has no gist.
 */
export function semanticQuestion(request: ValidRequest, keyId: string | undefined): SemanticQuestion | undefined {
  const text = lastTurn(request);
  const gist = text === undefined ? undefined : gistOf(text);
  if (text === undefined || gist === undefined) return undefined;
  const context = cacheKey(withoutLastTurn(request), keyId);
  return { text, tenant: digest('tenant', keyId ?? ''), ...digestsOf(gist, context) };
}

function digestsOf({ text, folded, hasNoCapitals }: Gist, context: string) {
  return { about: digest('about', context, folded), wording: digest('wording', context, text), hasNoCapitals };
}

function lastTurn({ prompts, n, bestOf, logprobs, echo, exact }: Asked): string | undefined {
  const [prompt] = prompts;
  if (prompts.length !== 1 || prompt?.kind !== 'chat' || n !== 1 || bestOf !== 1) return undefined;
  if (exact || logprobs !== undefined || echo || prompt.continueFinal) return undefined;
  // What is no text, such as an image, may be another one under the same name.
  const areTexts = prompt.messages.every(({ content }) => content == null || typeof content === 'string');
  const last = prompt.messages.at(-1);
  return areTexts && last?.role === 'user' && typeof last.content === 'string' ? last.content : undefined;
}

function withoutLastTurn(request: ValidRequest): ValidRequest {
  const [prompt] = request.prompts;
  if (prompt?.kind !== 'chat') return request;
  const last = { ...prompt.messages.at(-1), content: null };
  return { ...request, prompts: [{ ...prompt, messages: [...prompt.messages.slice(0, -1), last] }] };
}

function digest(...parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url');
}
