import * as z from 'zod';
import { model, type ParameterTable } from './fields.js';
import { tokenListInOpenApi, wrongInTokens } from './tokens.js';

/** OpenAI's embeddings: https://platform.openai.com/docs/api-reference/embeddings. */

/** OpenAI's limits. */
const INPUTS_MAX = 2_048;
const TOKENS_MAX = 300_000;

/** Longer vectors than of any model that was seen; the model itself has a lower limit. */
const DIMENSIONS_MAX = 65_536;

/** One text, several, one list of token ids, or several. */
type Input = string | readonly string[] | readonly number[] | readonly (readonly number[])[];

/** One loop that stops at the first wrong entry, and not a schema of each: a body may hold millions of tokens. */
const input = z
  .custom<Input>()
  .superRefine((value: unknown, { addIssue }) => {
    const wrong = wrongInInput(value);
    if (wrong) addIssue(wrong as Parameters<typeof addIssue>[0]);
  })
  .meta({
    anyOf: [
      { type: 'string', minLength: 1 },
      { type: 'array', minItems: 1, maxItems: INPUTS_MAX, items: { type: 'string', minLength: 1 } },
      tokenListInOpenApi(TOKENS_MAX),
      { type: 'array', minItems: 1, maxItems: INPUTS_MAX, items: tokenListInOpenApi(TOKENS_MAX) },
    ],
  });

function wrongInInput(value: unknown): object | undefined {
  if (typeof value === 'string') return wrongInText(value);
  if (!Array.isArray(value)) return { code: 'invalid_type', expected: 'a string or a list', input: value };
  // What the first entry is, all of them must be; only of tokens there may be more than INPUTS_MAX.
  if (typeof value[0] === 'number') return wrongInTokens(value, TOKENS_MAX);
  if (value.length === 0) return { code: 'too_small', origin: 'array', minimum: 1, input: value };
  if (value.length > INPUTS_MAX) return { code: 'too_big', origin: 'array', maximum: INPUTS_MAX, input: value };
  return Array.isArray(value[0]) ? wrongInTokenLists(value) : wrongInTexts(value);
}

function wrongInText(text: string): object | undefined {
  return text === '' ? { code: 'too_small', origin: 'string', minimum: 1, input: text } : undefined;
}

function wrongInTexts(texts: readonly unknown[]): object | undefined {
  for (const [index, text] of texts.entries()) {
    const expected = index === 0 ? 'a string, a number or a list' : 'string';
    const wrong = typeof text === 'string' ? wrongInText(text) : { code: 'invalid_type', expected, input: text };
    if (wrong) return { ...wrong, path: [index] };
  }
  return undefined;
}

function wrongInTokenLists(lists: readonly unknown[]): object | undefined {
  let tokens = 0;
  for (const [index, list] of lists.entries()) {
    if (!Array.isArray(list)) return { code: 'invalid_type', expected: 'array', input: list, path: [index] };
    const wrong: { path?: readonly number[] } | undefined = wrongInTokens(list, TOKENS_MAX);
    if (wrong) return { ...wrong, path: [index, ...(wrong.path ?? [])] };
    tokens += list.length;
  }
  if (tokens <= TOKENS_MAX) return undefined;
  const message = `must hold at most ${TOKENS_MAX} tokens together, and holds ${tokens}; send several requests`;
  return { code: 'custom', input: lists, message };
}

export const embeddingsRequestSchema = z
  .object({
    model,
    input,
    encoding_format: z.enum(['float', 'base64']).nullish(),
    dimensions: z.int().min(1).max(DIMENSIONS_MAX).nullish(),
    user: z.string().nullish(),
  })
  .meta({ id: 'CreateEmbeddingRequest' });

export type EmbeddingsRequestBody = z.infer<typeof embeddingsRequestSchema>;

export const EMBEDDINGS_PARAMETERS = {
  input: {
    status: 'supported',
    note: 'A text, a list of texts, a list of token ids, or a list of such lists: at most 2,048 inputs, and at most 300,000 token ids. An empty text or list is a 400; a longer input than the context is one too.',
  },
  model: {
    status: 'supported',
    note: 'May be left out: the default model answers if it makes vectors, or the only one that does.',
  },
  encoding_format: {
    status: 'supported',
    note: '`float`, or `base64` (32-bit floats, little-endian), which OpenAI’s clients ask for by themselves.',
  },
  dimensions: {
    status: 'supported',
    note: 'Keeps the first numbers of each vector and makes it of length 1 again. Meant for models that were trained for it.',
  },
  user: { status: 'ignored' },
} as const satisfies ParameterTable;

export const embeddingsSchema = z
  .object({
    object: z.literal('list'),
    data: z.array(
      z.object({
        object: z.literal('embedding'),
        index: z.int(),
        embedding: z.union([z.array(z.number()), z.string()]),
      }),
    ),
    model: z.string(),
    usage: z.object({ prompt_tokens: z.int(), total_tokens: z.int() }),
  })
  .meta({ id: 'CreateEmbeddingResponse' });

export type EmbeddingsBody = z.infer<typeof embeddingsSchema>;
