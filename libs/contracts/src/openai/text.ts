import * as z from 'zod';
import {
  FORMAT_NOTES,
  GENERATION_PARAMETERS,
  generationFields,
  type ParameterTable,
  SEQUENCES_MAX,
  TOP_LOGPROBS_MAX,
  usage,
} from './fields.js';
import { tokenListInOpenApi, wrongInTokens } from './tokens.js';

/** OpenAI's (legacy) completions: https://platform.openai.com/docs/api-reference/completions. */

/** Of all prompts together. */
const TOKENS_MAX = 10_485_760;

/**
 * A list of texts, of tokens, or of lists of tokens. One loop that stops at the first wrong entry, and not a schema of
 * each: that would cost an object for every token of a list that may have millions.
 */
const promptList = z
  .custom<readonly string[] | readonly number[] | readonly (readonly number[])[]>()
  .superRefine((list: unknown, { addIssue }) => {
    const wrong = wrongInPromptList(list);
    // Not to be continued, or the union around this would take the branch for the right one.
    if (wrong) addIssue({ ...wrong, continue: false } as Parameters<typeof addIssue>[0]);
  })
  .meta({
    anyOf: [
      { type: 'array', minItems: 1, maxItems: SEQUENCES_MAX, items: { type: 'string' } },
      tokenListInOpenApi(TOKENS_MAX),
      { type: 'array', minItems: 1, maxItems: SEQUENCES_MAX, items: tokenListInOpenApi(TOKENS_MAX) },
    ],
  });

function wrongInPromptList(list: unknown): object | undefined {
  if (!Array.isArray(list)) return { code: 'invalid_type', expected: 'array', input: list };
  const [first] = list;
  if (typeof first !== 'string' && !Array.isArray(first)) return wrongInTokens(list, TOKENS_MAX);
  if (list.length > SEQUENCES_MAX) {
    const message = `must hold at most ${SEQUENCES_MAX} prompts; send the others in another request`;
    return { code: 'too_big', origin: 'array', maximum: SEQUENCES_MAX, input: list, message };
  }
  return typeof first === 'string' ? wrongInTexts(list) : wrongInTokenLists(list);
}

function wrongInTexts(list: readonly unknown[]): object | undefined {
  const index = list.findIndex((text) => typeof text !== 'string');
  return index === -1 ? undefined : { code: 'invalid_type', expected: 'string', input: list[index], path: [index] };
}

function wrongInTokenLists(list: readonly unknown[]): object | undefined {
  let tokensMax = TOKENS_MAX;
  for (const [index, tokens] of list.entries()) {
    const wrong: { readonly path?: readonly number[] } | undefined = Array.isArray(tokens)
      ? wrongInTokens(tokens, tokensMax)
      : ({ code: 'invalid_type', expected: 'array', input: tokens } as object);
    if (wrong) return { ...wrong, path: [index, ...(wrong.path ?? [])] };
    tokensMax -= (tokens as readonly unknown[]).length;
  }
  return undefined;
}

export const textRequestSchema = z
  .object({
    ...generationFields,
    prompt: z.union([z.string(), promptList]),
    max_tokens: z.int().min(0).max(2_147_483_647).nullish(),
    best_of: z.int().min(1).max(SEQUENCES_MAX).nullish(),
    echo: z.boolean().nullish(),
    suffix: z.string().nullish(),
    logprobs: z.int().min(0).max(TOP_LOGPROBS_MAX).nullish(),
  })
  .meta({ id: 'CreateCompletionRequest' });

export type TextRequestBody = z.infer<typeof textRequestSchema>;

export const TEXT_PARAMETERS = {
  ...GENERATION_PARAMETERS,
  prompt: {
    status: 'supported',
    note: `A text, a list of token ids, or a list of either: choices come prompt by prompt. Prompts times the larger of \`n\` and \`best_of\` may be ${SEQUENCES_MAX}.`,
  },
  max_tokens: {
    status: 'supported',
    note: 'OpenAI stops at 16 tokens when it is left out; here the model’s default holds. 0 with `echo` only: it scores the prompt.',
  },
  best_of: {
    status: 'supported',
    note: `At least \`n\`, and no more than \`n\` may be; the \`n\` answers with the highest mean log-probability per token come back, the best first, and \`usage\` counts all. More than \`n\` cannot be streamed.`,
  },
  echo: { status: 'supported', note: 'Not together with `suffix`.' },
  suffix: { status: 'supported', note: 'For prompts of text, and models made for infilling; else a 400.' },
  logprobs: {
    status: 'supported',
    note: `0 to ${TOP_LOGPROBS_MAX}; OpenAI stops at 5. \`text_offset\` counts characters (code points) of the choice's \`text\`.`,
  },
  response_format: { status: 'supported', note: `An extension here. ${FORMAT_NOTES.response_format}` },
  grammar: { status: 'supported', note: FORMAT_NOTES.grammar },
} as const satisfies ParameterTable;

/**
 * OpenAI's older shape: four lists of one entry per token. A token that is no whole character is spelt `bytes:` and
 * `\\xf0` for each byte that belongs to none. The first token of an echoed prompt follows nothing and has null.
 */
const logprobs = z
  .object({
    tokens: z.array(z.string()),
    token_logprobs: z.array(z.number().nullable()),
    top_logprobs: z.array(z.record(z.string(), z.number()).nullable()),
    text_offset: z.array(z.int()),
  })
  .nullable()
  .meta({ description: 'Null unless they were asked for.' });

export const textCompletionSchema = z
  .object({
    id: z.string(),
    object: z.literal('text_completion'),
    created: z.int(),
    model: z.string(),
    choices: z.array(
      z.object({
        index: z.int(),
        text: z.string(),
        logprobs,
        finish_reason: z.enum(['stop', 'length', 'content_filter']).nullable(),
      }),
    ),
    system_fingerprint: z.string(),
    usage: usage.nullable().optional(),
  })
  .meta({ id: 'CreateCompletionResponse' });

/** Whole answers and the chunks of streamed ones have the same shape. */
export type TextCompletion = z.infer<typeof textCompletionSchema>;
export type TextLogprobs = NonNullable<z.infer<typeof logprobs>>;
