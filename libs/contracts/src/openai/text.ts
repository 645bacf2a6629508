import * as z from 'zod';
import {
  maxTokens,
  model,
  type ParameterTable,
  penalty,
  seed,
  stop,
  streamOptions,
  temperature,
  topP,
  usage,
} from './fields.js';
import { tokenListInOpenApi, wrongInTokens } from './tokens.js';

/** OpenAI's (legacy) completions: https://platform.openai.com/docs/api-reference/completions. */

const TOKENS_MAX = 10_485_760;

/**
 * A list of one text, or of tokens. One loop that stops at the first wrong entry, and not a schema of each: that would
 * cost an object for every token of a list that may have millions.
 */
const promptList = z
  .custom<readonly [string] | readonly number[]>()
  .superRefine((list: unknown, { addIssue }) => {
    const wrong = wrongInPromptList(list);
    // Not to be continued, or the union around this would take the branch for the right one.
    if (wrong) addIssue({ ...wrong, continue: false } as Parameters<typeof addIssue>[0]);
  })
  .meta({
    anyOf: [{ type: 'array', minItems: 1, maxItems: 1, items: { type: 'string' } }, tokenListInOpenApi(TOKENS_MAX)],
  });

function wrongInPromptList(list: unknown): object | undefined {
  if (!Array.isArray(list)) return { code: 'invalid_type', expected: 'array', input: list };
  if (list.length === 0 || typeof list[0] === 'string') {
    const message = 'must hold exactly one prompt; send one request for each';
    const bound = list.length === 0 ? { code: 'too_small', minimum: 1 } : { code: 'too_big', maximum: 1 };
    return list.length === 1 ? undefined : { ...bound, origin: 'array', input: list, message };
  }
  return wrongInTokens(list, TOKENS_MAX);
}

export const textRequestSchema = z
  .object({
    model,
    prompt: z.union([z.string(), promptList]),
    stream: z.boolean().nullish(),
    stream_options: streamOptions,
    max_tokens: maxTokens,
    temperature,
    top_p: topP,
    top_k: z.int().min(0).max(1_000_000).nullish(),
    min_p: z.number().min(0).max(1).nullish(),
    seed,
    stop,
    presence_penalty: penalty,
    frequency_penalty: penalty,
    n: z.literal(1).nullish(),
    user: z.string().nullish(),
  })
  .meta({ id: 'CreateCompletionRequest' });

export type TextRequestBody = z.infer<typeof textRequestSchema>;

export const TEXT_PARAMETERS = {
  prompt: { status: 'supported', note: 'One text, a list of one text, or a list of token ids.' },
  model: { status: 'supported', note: 'May be left out: the default model answers, or the only one.' },
  stream: { status: 'supported' },
  stream_options: { status: 'supported', note: '`include_usage`.' },
  max_tokens: {
    status: 'supported',
    note: 'OpenAI stops at 16 tokens when it is left out; here the model’s default holds.',
  },
  temperature: { status: 'supported', note: '0 takes the likeliest token.' },
  top_p: { status: 'supported' },
  top_k: { status: 'supported', note: 'An extension; 0 considers all tokens.' },
  min_p: { status: 'supported', note: 'An extension.' },
  seed: { status: 'supported' },
  stop: { status: 'supported', note: 'A text, or up to four; may span tokens; never part of the answer.' },
  presence_penalty: { status: 'supported', note: 'Looks at the tokens of the answer.' },
  frequency_penalty: { status: 'supported', note: 'Looks at the tokens of the answer.' },
  n: { status: 'refused', note: 'Only 1 for now.', allows: [1] },
  best_of: { status: 'refused', note: 'Only 1 for now.', allows: [1] },
  echo: { status: 'refused', note: 'Not yet.', allows: [false] },
  logprobs: { status: 'refused', note: 'Not yet.' },
  logit_bias: { status: 'refused', note: 'Not yet; an empty object is accepted.', allows: [{}] },
  suffix: { status: 'refused', note: 'Not yet.', allows: [''] },
  user: { status: 'ignored' },
} as const satisfies ParameterTable;

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
        logprobs: z.null(),
        finish_reason: z.enum(['stop', 'length', 'content_filter']).nullable(),
      }),
    ),
    system_fingerprint: z.string(),
    usage: usage.nullable().optional(),
  })
  .meta({ id: 'CreateCompletionResponse' });

/** Whole answers and the chunks of streamed ones have the same shape. */
export type TextCompletion = z.infer<typeof textCompletionSchema>;
