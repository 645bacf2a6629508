import * as z from 'zod';

/** The admin API: `GET /admin/usage`. */

const day = z.iso.date({ error: 'must be a day such as 2026-11-01' });

export const USAGE_GROUPS = ['key', 'model', 'day'] as const;

export const usageQuerySchema = z
  .strictObject({
    /** First and last day, UTC, both counted. Unsaid: the last 30 days. */
    from: day.optional(),
    to: day.optional(),
    /** A key's id; empty: requests without a key. */
    key: z.string().max(200).optional(),
    model: z.string().max(200).optional(),
    /** What the rows are told apart by, with commas between. Unsaid: all three. */
    group_by: z.string().max(100).optional(),
    limit: z.coerce.number().int().min(1).max(10_000).default(1_000),
  })
  .meta({ id: 'UsageQuery' });

export const usageReportSchema = z
  .object({
    object: z.literal('millrace.usage'),
    from: day,
    to: day,
    data: z.array(
      z.object({
        /** Each is there if the rows are told apart by it. A null key: it was asked without one. */
        day: day.optional(),
        key_id: z.string().nullable().optional(),
        key_name: z.string().nullable().optional(),
        model: z.string().nullable().optional(),
        requests: z.int(),
        /** Of them, those that ended in an error. */
        failed_requests: z.int(),
        prompt_tokens: z.int(),
        cached_tokens: z.int(),
        completion_tokens: z.int(),
        total_tokens: z.int(),
      }),
    ),
    /** There are more rows than `limit`. */
    has_more: z.boolean(),
    /** Requests that this gateway has still to write, and that are in no row yet. */
    pending_records: z.int(),
  })
  .meta({ id: 'UsageReport' });

export type UsageQuery = z.infer<typeof usageQuerySchema>;
export type UsageReportBody = z.infer<typeof usageReportSchema>;
export type UsageGroup = (typeof USAGE_GROUPS)[number];
