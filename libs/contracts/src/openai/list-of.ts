import * as z from 'zod';

/** A page of a list; `id` is its name in the OpenAPI document. */
export function listOf<Item extends z.ZodType>(item: Item, id: string) {
  return z
    .object({
      object: z.literal('list'),
      data: z.array(item),
      first_id: z.string().nullable(),
      last_id: z.string().nullable(),
      has_more: z
        .boolean()
        .describe('More than are listed: behind `last_id`, or before `first_id` where only `before` was asked for.'),
    })
    .meta({ id });
}
