import * as z from 'zod';

/** What several endpoints share. `null` means "not set", as OpenAI's clients send it. */

export const model = z.string().min(1).max(500).nullish();
export const maxTokens = z.int().min(1).max(2_147_483_647).nullish();
export const temperature = z.number().min(0).max(2).nullish();
export const topP = z.number().gt(0).max(1).nullish();
export const penalty = z.number().min(-2).max(2).nullish();
/** OpenAI's is a 64-bit integer; only integers that a double holds exactly are accepted. */
export const seed = z.int().nullish();

const stopText = z.string().min(1).max(10_000);
export const stop = z.union([stopText, z.array(stopText).max(4)]).nullish();

export const streamOptions = z
  .object({ include_usage: z.boolean().nullish(), include_obfuscation: z.boolean().nullish() })
  .nullish();

export const metadata = z.record(z.string().max(64), z.string().max(512)).nullish();

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
