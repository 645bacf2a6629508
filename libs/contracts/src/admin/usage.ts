import * as z from 'zod';

/** The admin API: `GET /admin/usage`. */

const day = z.iso.date({ error: 'must be a day such as 2026-11-01' });
// No database takes a NUL.
const name = z
  .string()
  .max(200)
  .regex(/^\P{Cc}*$/u, { error: 'must not hold control characters' });

export const USAGE_GROUPS = ['key', 'model', 'day'] as const;

export const usageQuerySchema = z
  .strictObject({
    from: day.optional().describe('The first day (UTC). Unsaid: 30 days with the last.'),
    to: day.optional().describe('The last day, counted too. Unsaid: today.'),
    key: name.optional().describe("A key's id; empty: requests without a key."),
    model: name.optional(),
    group_by: z
      .string()
      .max(100)
      .optional()
      .describe('What the rows are told apart by, with commas between. Unsaid: all three.'),
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
        day: day
          .optional()
          .describe('Each is there if the rows are told apart by it. A null key: it was asked without one.'),
        key_id: z.string().nullable().optional(),
        key_name: z.string().nullable().optional(),
        model: z.string().nullable().optional(),
        requests: z.int(),
        failed_requests: z.int().describe('Of them, those that ended in an error.'),
        cached_requests: z
          .int()
          .describe(
            'Of them, those that were answered from the cache. Their tokens were counted once, and are not in these.',
          ),
        prompt_tokens: z.int(),
        cached_tokens: z.int(),
        completion_tokens: z.int(),
        total_tokens: z.int(),
      }),
    ),
    has_more: z.boolean().describe('There are more rows than `limit`.'),
    pending_records: z.int().describe('Requests that this gateway has still to write, and that are in no row yet.'),
  })
  .meta({ id: 'UsageReport' });

export type UsageQuery = z.infer<typeof usageQuerySchema>;
export type UsageReportBody = z.infer<typeof usageReportSchema>;
export type UsageGroup = (typeof USAGE_GROUPS)[number];
