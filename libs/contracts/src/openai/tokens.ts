import * as z from 'zod';

/** Lists of token ids, as several endpoints take them. */

export const TOKEN_ID_MAX = 4_294_967_295;

/** What is wrong with a list whose entries should be token ids, as an issue of zod's; undefined if nothing is. */
export function wrongInTokens(list: readonly unknown[], tokensMax: number): object | undefined {
  if (list.length === 0) return { code: 'too_small', origin: 'array', minimum: 1, input: list };
  if (list.length > tokensMax) return { code: 'too_big', origin: 'array', maximum: tokensMax, input: list };
  const index = list.findIndex((token) => !isTokenId(token));
  return index === -1 ? undefined : { ...wrongToken(list[index]), path: [index] };
}

/**
 * At least one token id, and at most `tokensMax`. One loop that stops at the first wrong entry, and not a schema of each:
 * that would cost an object for every token of a list that may have millions.
 */
export function tokenList(tokensMax: number) {
  return z
    .custom<readonly number[]>()
    .superRefine((list: unknown, { addIssue }) => {
      const wrong = Array.isArray(list)
        ? wrongInTokens(list, tokensMax)
        : { code: 'invalid_type', expected: 'array', input: list };
      if (wrong) addIssue({ ...wrong, continue: false } as Parameters<typeof addIssue>[0]);
    })
    .meta(tokenListInOpenApi(tokensMax));
}

export function tokenListInOpenApi(tokensMax: number): Record<string, unknown> {
  return {
    type: 'array',
    minItems: 1,
    maxItems: tokensMax,
    items: { type: 'integer', minimum: 0, maximum: TOKEN_ID_MAX },
  };
}

function isTokenId(token: unknown): boolean {
  return Number.isInteger(token) && (token as number) >= 0 && (token as number) <= TOKEN_ID_MAX;
}

function wrongToken(input: unknown): object {
  if (typeof input !== 'number') return { code: 'invalid_type', expected: 'number', input };
  if (!Number.isInteger(input)) return { code: 'invalid_type', expected: 'int', input };
  if (input < 0) return { code: 'too_small', origin: 'int', minimum: 0, inclusive: true, input };
  return { code: 'too_big', origin: 'int', maximum: TOKEN_ID_MAX, inclusive: true, input };
}
