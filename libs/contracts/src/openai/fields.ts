import * as z from 'zod';

/** What several endpoints share. `null` means "not set", as OpenAI's clients send it. */

export const model = z.string().min(1).max(500).nullish();
export const maxTokens = z.int().min(1).max(2_147_483_647).nullish();
export const temperature = z.number().min(0).max(2).nullish();
export const topP = z.number().gt(0).max(1).nullish();
export const penalty = z.number().min(-2).max(2).nullish();
/** OpenAI's is a 64-bit integer; only integers that a double holds exactly are accepted. */
export const seed = z.int().nullish();

/** A longer one would be compared with the answer at every character; the worker has the same limit. */
const stopText = z.string().min(1).max(4_096);
export const stop = z.union([stopText, z.array(stopText).max(4)]).nullish();

export const streamOptions = z
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

/** OpenAI's limits. */
export const metadata = recordOf(METADATA_KEYS_MAX, {
  propertyNames: { type: 'string', maxLength: METADATA_KEY_LENGTH_MAX },
  additionalProperties: { type: 'string', maxLength: METADATA_VALUE_LENGTH_MAX },
})
  .pipe(z.record(z.string().max(METADATA_KEY_LENGTH_MAX), z.string().max(METADATA_VALUE_LENGTH_MAX)))
  .nullish();

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
