import * as z from 'zod';

/** What `GET /v1/models` answers to Anthropic's clients: https://platform.claude.com/docs/en/api/models-list. */

export const anthropicModelSchema = z
  .object({
    type: z.literal('model'),
    id: z.string(),
    display_name: z.string(),
    created_at: z.string(),
    max_input_tokens: z.int().nullable().meta({ description: 'What its context holds; null until that is known.' }),
    max_tokens: z.int().nullable(),
    capabilities: z.null(),
    line: z.null(),
    lifecycle: z.literal('active'),
    deprecated_at: z.null(),
    retires_at: z.null(),
  })
  .meta({ id: 'AnthropicModel' });

export const anthropicModelListSchema = z
  .object({
    data: z.array(anthropicModelSchema),
    first_id: z.string().nullable(),
    last_id: z.string().nullable(),
    has_more: z.boolean(),
  })
  .meta({ id: 'AnthropicModelList' });

const MODELS_PAGE_MAX = 1_000;
const MODELS_PAGE = 20;

/** Of the query. */
export const anthropicModelsQuerySchema = z.object({
  limit: z.coerce.number().int().min(1).max(MODELS_PAGE_MAX).default(MODELS_PAGE),
  after_id: z.string().optional(),
  before_id: z.string().optional(),
});

export type AnthropicModelBody = z.infer<typeof anthropicModelSchema>;
export type AnthropicModelListBody = z.infer<typeof anthropicModelListSchema>;
export type AnthropicModelsQuery = z.infer<typeof anthropicModelsQuerySchema>;
