import * as z from 'zod';
import { TOKEN_ID_MAX } from './tokens.js';

/** What several endpoints share. `null` means "not set", as OpenAI's clients send it. */

export const model = z.string().min(1).max(500).nullish();
/**
 * Sequences that one request may make: answers to each prompt times prompts. To one prompt a worker gives no more than
 * its `maxBatchSize`, which is not known here.
 */
export const SEQUENCES_MAX = 128;
export const TOP_LOGPROBS_MAX = 20;
const INT_MAX = 2_147_483_647;

const tokenCount = z.int().max(INT_MAX);
export const maxTokens = tokenCount.min(1).nullish();
/** OpenAI's has 64 bits and a sign, and some clients draw them all; as JSON's numbers are read, those beyond 53 bits are rounded. */
const SEED_MAX = 2 ** 63;
const seed = z
  .number()
  .min(-SEED_MAX)
  .max(SEED_MAX)
  .check(({ value, issues }) => {
    if (!Number.isInteger(value)) issues.push({ code: 'invalid_type', expected: 'int', input: value });
  })
  .meta({ type: 'integer' });
const penalty = z.number().min(-2).max(2).nullish();
const repeatPenalty = z.number().gt(0).max(2).nullish();
const zeroToOne = z.number().min(0).max(1).nullish();

/** A longer one would be compared with the answer at every character; the worker has the same limit. */
const stopText = z.string().min(1).max(4_096);
const stop = z.union([stopText, z.array(stopText).max(4)]).nullish();

const streamOptions = z
  .object({ include_usage: z.boolean().nullish(), include_obfuscation: z.boolean().nullish() })
  .nullish();

/** An object whose keys are counted before anything else is done with it, since `z.record` has no largest size. */
export function recordOf(keysMax: number, inOpenApi: object = { additionalProperties: {} }) {
  return z
    .custom<Record<string, unknown>>()
    .superRefine((value: unknown, { addIssue }) => {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) {
        addIssue({ code: 'invalid_type', expected: 'record', input: value, continue: false });
        return;
      }
      if (Object.hasOwn(value, '__proto__')) {
        // Zod leaves this key out without a word, and what was asked for with it.
        const message = 'must have no key `__proto__`';
        addIssue({ code: 'custom', message, input: value, continue: false });
        return;
      }
      const keys = Object.keys(value).length;
      if (keys <= keysMax) return;
      const message = `must have at most ${keysMax} keys, and has ${keys}`;
      addIssue({ code: 'custom', message, input: value, continue: false });
    })
    .meta({ type: 'object', maxProperties: keysMax, ...inOpenApi })
    .pipe(z.record(z.string(), z.unknown()));
}

const METADATA_KEYS_MAX = 16;
const METADATA_KEY_LENGTH_MAX = 64;
const METADATA_VALUE_LENGTH_MAX = 512;

/** What is kept in a database, which takes neither NUL nor half of a surrogate pair. */
export const keptText = (lengthMax: number) =>
  z
    .string()
    .max(lengthMax)
    .refine((text) => text.isWellFormed() && !text.includes('\0'), {
      error: 'must be text without the character NUL (U+0000) and without halves of surrogate pairs',
    });

/** OpenAI's limits. */
export const metadata = recordOf(METADATA_KEYS_MAX, {
  propertyNames: { type: 'string', maxLength: METADATA_KEY_LENGTH_MAX },
  additionalProperties: { type: 'string', maxLength: METADATA_VALUE_LENGTH_MAX },
})
  .pipe(z.record(keptText(METADATA_KEY_LENGTH_MAX), keptText(METADATA_VALUE_LENGTH_MAX)))
  .nullish();

const LOGIT_BIAS_TOKENS_MAX = 1_024;
/** A number as JSON writes it, so that no token has two keys. */
const TOKEN_ID = /^(0|[1-9]\d{0,9})$/;

const logitBias = recordOf(LOGIT_BIAS_TOKENS_MAX, {
  propertyNames: { type: 'string', pattern: TOKEN_ID.source },
  additionalProperties: { type: 'number', minimum: -100, maximum: 100 },
})
  .superRefine((biases, { addIssue }) => {
    const key = Object.keys(biases).find((text) => !(TOKEN_ID.test(text) && Number(text) <= TOKEN_ID_MAX));
    if (key === undefined) return;
    const message = `must have a token id in place of the key ${JSON.stringify(key.slice(0, 60))}: a whole number, as text`;
    addIssue({ code: 'custom', message, input: biases, continue: false });
  })
  .pipe(z.record(z.string(), z.number().min(-100).max(100)))
  .nullish();

/** Keys at the top of a schema, not its properties: the worker counts those, and says what it makes of each keyword. */
const SCHEMA_KEYS_MAX = 1_000;
export const jsonSchema = recordOf(SCHEMA_KEYS_MAX);

const responseFormat = z
  .discriminatedUnion('type', [
    z.object({ type: z.literal('text') }),
    z.object({ type: z.literal('json_object'), schema: jsonSchema.nullish() }),
    z.object({
      type: z.literal('json_schema'),
      json_schema: z.object({
        name: z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/, {
          error: 'must be 1 to 64 letters, digits, underscores or dashes',
        }),
        description: z.string().nullish(),
        schema: jsonSchema,
        strict: z.boolean().nullish(),
      }),
    }),
  ])
  .nullish();

/** What both endpoints take, in the same words. */
export const generationFields = {
  model,
  stream: z.boolean().nullish(),
  stream_options: streamOptions,
  n: z.int().min(1).max(SEQUENCES_MAX).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  top_k: z.int().min(-1).max(1_000_000).nullish(),
  min_p: zeroToOne,
  /** OpenAI's is a 64-bit integer; only integers that a double holds exactly are accepted. */
  seed: seed.nullish(),
  stop,
  presence_penalty: penalty,
  frequency_penalty: penalty,
  repeat_penalty: repeatPenalty,
  repetition_penalty: repeatPenalty,
  repeat_last_n: tokenCount.min(-1).nullish(),
  dry_multiplier: z.number().min(0).max(100).nullish(),
  dry_base: z.number().min(1).max(10).nullish(),
  dry_allowed_length: tokenCount.min(0).nullish(),
  dry_penalty_last_n: tokenCount.min(-1).nullish(),
  dry_sequence_breakers: z.array(z.string().min(1).max(64)).max(16).nullish(),
  xtc_probability: zeroToOne,
  xtc_threshold: zeroToOne,
  logit_bias: logitBias,
  ignore_eos: z.boolean().nullish(),
  response_format: responseFormat,
  grammar: z.string().min(1).nullish(),
  user: z.string().nullish(),
};

export const usage = z
  .object({
    prompt_tokens: z.int(),
    completion_tokens: z.int(),
    total_tokens: z.int(),
    prompt_tokens_details: z.object({ cached_tokens: z.int() }),
    completion_tokens_details: z.object({ reasoning_tokens: z.int() }),
  })
  .meta({ id: 'CompletionUsage' });

export type UsageBody = z.infer<typeof usage>;

export type ParameterStatus = 'supported' | 'ignored' | 'refused';

export interface Parameter {
  readonly status: ParameterStatus;
  readonly note?: string;
  /** Values that ask for nothing, so that a refused parameter may carry them. `null` always may. */
  readonly allows?: readonly unknown[];
}

export type ParameterTable = Readonly<Record<string, Parameter>>;

const LAST_N = 'A number of tokens; -1 means all that the context holds.';

/** What becomes of `generationFields`. */
export const GENERATION_PARAMETERS = {
  model: {
    status: 'supported',
    note: 'May be left out: the default model answers if it can, or the only one that can.',
  },
  stream: { status: 'supported' },
  stream_options: { status: 'supported', note: '`include_usage`; `include_obfuscation` is accepted and ignored.' },
  n: {
    status: 'supported',
    note: `As many as the worker's \`maxBatchSize\`, and ${SEQUENCES_MAX} at most. The prompt is read once for all answers. With a \`seed\`, answer number i has the seed + i.`,
  },
  temperature: { status: 'supported', note: '0 takes the likeliest token.' },
  top_p: { status: 'supported' },
  top_k: { status: 'supported', note: 'An extension; 0 and -1 consider all tokens.' },
  min_p: { status: 'supported', note: 'An extension.' },
  seed: { status: 'supported', note: 'Same seed, same prompt, same answer on the same worker build.' },
  stop: { status: 'supported', note: 'A text, or up to four; may span tokens; never part of the answer.' },
  presence_penalty: { status: 'supported', note: 'Looks at the tokens of the answer.' },
  frequency_penalty: { status: 'supported', note: 'Looks at the tokens of the answer.' },
  repeat_penalty: {
    status: 'supported',
    note: "An extension, llama.cpp's: above 0 to 2. Looks at the last `repeat_last_n` tokens of prompt and answer.",
  },
  repetition_penalty: { status: 'supported', note: 'An extension: another name for `repeat_penalty`, which wins.' },
  repeat_last_n: { status: 'supported', note: `An extension. ${LAST_N}` },
  dry_multiplier: {
    status: 'supported',
    note: "An extension: llama.cpp's DRY, together with the other `dry_` parameters. 0 is off.",
  },
  dry_base: { status: 'supported', note: 'An extension: 1 to 10.' },
  dry_allowed_length: { status: 'supported', note: 'An extension: repetitions shorter than so many tokens are free.' },
  dry_penalty_last_n: { status: 'supported', note: `An extension. ${LAST_N} 0 turns DRY off.` },
  dry_sequence_breakers: {
    status: 'supported',
    note: 'An extension: up to 16 texts of up to 64 characters, over which no repetition reaches.',
  },
  xtc_probability: { status: 'supported', note: "An extension, llama.cpp's. 0 is off." },
  xtc_threshold: { status: 'supported', note: 'An extension; above 0.5 it does nothing.' },
  logit_bias: {
    status: 'supported',
    note: `Up to ${LOGIT_BIAS_TOKENS_MAX.toLocaleString('en')} token ids, -100 to 100 each; those that end an answer as well.`,
  },
  ignore_eos: {
    status: 'supported',
    note: 'An extension: the answer ends by `stop`, `max_tokens` or the context. Not together with `response_format` or `grammar`.',
  },
  user: { status: 'ignored' },
} as const satisfies ParameterTable;

/** Of the two that say what an answer must look like; the text endpoint has them as extensions. */
export const FORMAT_NOTES = {
  response_format:
    '`text`, `json_object` or `json_schema`, which is always strict. `{"type": "json_object", "schema": …}`, as llama-server has it, is taken too. docs/reference/structured-output.md lists the keywords.',
  grammar: "An extension: a grammar in llama.cpp's GBNF, up to 65,536 bytes. Not together with a `response_format`.",
} as const;
