import type { Ranking, RerankRequest } from '@millrace/contracts';
import { guessTokens } from './answer-chunks.js';
import { countIn } from './counts.js';
import { noAnswer, type UpstreamSubject } from './upstream-failure.js';

type Fields = Readonly<Record<string, unknown>>;

/** The scores of a reply in the forms of Cohere, Jina and TEI. @throws UpstreamFailure */
export function rankingIn(reply: unknown, { query, documents }: RerankRequest, subject: UpstreamSubject): Ranking {
  const results = Array.isArray(reply) ? reply : (reply as Fields | null)?.results;
  if (!Array.isArray(results)) throw noAnswer('no scores', subject);
  const scores = new Array<number>(documents.length).fill(Number.NaN);
  for (const result of results) {
    const { index, relevance_score: relevance, score = relevance } = (result ?? {}) as Fields;
    if (typeof index === 'number' && typeof score === 'number' && index in scores) scores[index] = score;
  }
  if (scores.some(Number.isNaN)) {
    throw noAnswer(`${results.length} scores for ${documents.length} documents`, subject);
  }
  return { scores, promptTokens: promptTokensIn(reply) ?? guessTokens([query, ...documents].join('')) };
}

function promptTokensIn(reply: unknown): number | undefined {
  const { usage, meta } = (reply ?? {}) as { usage?: Fields; meta?: { tokens?: Fields } };
  const told = [usage?.prompt_tokens, usage?.total_tokens, meta?.tokens?.input_tokens];
  return told.map(countIn).find((value) => value !== undefined);
}
