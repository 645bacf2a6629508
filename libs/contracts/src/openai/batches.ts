import * as z from 'zod';
import { metadata, type ParameterTable } from './fields.js';
import { expiresAfter } from './files.js';
import { listOf } from './list-of.js';

/** OpenAI's batch jobs: https://platform.openai.com/docs/api-reference/batch. */

/** What a line may be sent to. */
export const BATCH_ENDPOINTS = [
  '/v1/chat/completions',
  '/v1/responses',
  '/v1/completions',
  '/v1/embeddings',
  '/v1/moderations',
] as const;
export type BatchEndpoint = (typeof BATCH_ENDPOINTS)[number];

/** OpenAI's only one is `24h`, which is also the longest. */
const WINDOW = /^(?:([1-9]|1\d|2[0-4])h|([1-9]|[1-5]\d)m)$/;
const BATCHES_LISTED_MAX = 100;

export const createBatchSchema = z
  .object({
    input_file_id: z.string().min(1).max(200),
    endpoint: z.enum(BATCH_ENDPOINTS),
    completion_window: z.string().regex(WINDOW, { error: 'must be 24h, or less: 1h to 24h, or 1m to 59m' }),
    metadata,
    output_expires_after: expiresAfter.nullish(),
  })
  .meta({ id: 'CreateBatchRequest' });

export type CreateBatchBody = z.infer<typeof createBatchSchema>;

const HOUR_SECONDS = 3_600;
const MINUTE_SECONDS = 60;

/** @param window as `createBatchSchema` lets it through. */
export function windowSeconds(window: string): number {
  return Number.parseInt(window, 10) * (window.endsWith('h') ? HOUR_SECONDS : MINUTE_SECONDS);
}

export const listBatchesSchema = z
  .object({
    after: z.string().max(200).optional().describe('The id of a batch: the list goes on behind it.'),
    limit: z.coerce.number().int().min(1).max(BATCHES_LISTED_MAX).default(20),
  })
  .meta({ id: 'ListBatchesQuery' });

export type ListBatchesQuery = z.infer<typeof listBatchesSchema>;

const unixSeconds = z.int().nullable();

export const batchSchema = z
  .object({
    id: z.string(),
    object: z.literal('batch'),
    endpoint: z.enum(BATCH_ENDPOINTS),
    model: z.string().nullable().describe('The one that all of its lines name; null: none, or several.'),
    errors: z
      .object({
        object: z.literal('list'),
        data: z.array(
          z.object({
            code: z.string(),
            message: z.string(),
            line: z.int().nullable(),
            param: z.string().nullable(),
          }),
        ),
      })
      .nullable(),
    input_file_id: z.string(),
    completion_window: z.string(),
    status: z.enum([
      'validating',
      'failed',
      'in_progress',
      'finalizing',
      'completed',
      'expired',
      'cancelling',
      'cancelled',
    ]),
    output_file_id: z.string().nullable(),
    error_file_id: z.string().nullable(),
    created_at: z.int().describe('Unix seconds, as all times.'),
    in_progress_at: unixSeconds,
    expires_at: z.int(),
    finalizing_at: unixSeconds,
    completed_at: unixSeconds,
    failed_at: unixSeconds,
    expired_at: unixSeconds,
    cancelling_at: unixSeconds,
    cancelled_at: unixSeconds,
    request_counts: z.object({ total: z.int(), completed: z.int(), failed: z.int() }),
    usage: z.object({
      input_tokens: z.int(),
      input_tokens_details: z.object({ cached_tokens: z.int() }),
      output_tokens: z.int(),
      output_tokens_details: z.object({ reasoning_tokens: z.int() }),
      total_tokens: z.int(),
    }),
    metadata: z.record(z.string(), z.string()).nullable(),
  })
  .meta({ id: 'Batch' });

export type BatchBody = z.infer<typeof batchSchema>;

export const batchListSchema = listOf(batchSchema, 'ListBatchesResponse');

export type BatchListBody = z.infer<typeof batchListSchema>;

export const BATCH_PARAMETERS = {
  input_file_id: {
    status: 'supported',
    note: 'A file of the same key with the purpose `batch`: a request in each line, at most `batchLinesMax`.',
  },
  endpoint: { status: 'supported', note: `${BATCH_ENDPOINTS.map((one) => `\`${one}\``).join(', ')}.` },
  completion_window: {
    status: 'supported',
    note: '`24h`, as OpenAI’s. Here also less: `1h` to `23h`, `1m` to `59m`. What is not answered by then is not answered.',
  },
  metadata: { status: 'supported', note: 'Kept with the batch and shown with it.' },
  output_expires_after: {
    status: 'supported',
    note: 'Of the output and the error file, from when they are made. Left out: they stay until they are deleted.',
  },
} as const satisfies ParameterTable;

export const LIST_BATCHES_PARAMETERS = {
  after: { status: 'supported', note: 'The id of a batch.' },
  limit: { status: 'supported', note: `1 to ${BATCHES_LISTED_MAX}; 20 if left out. Newest first.` },
} as const satisfies ParameterTable;
