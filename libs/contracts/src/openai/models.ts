import * as z from 'zod';

/** https://platform.openai.com/docs/api-reference/models, and what one would like to know beside it. */
export const modelSchema = z
  .object({
    id: z.string(),
    object: z.literal('model'),
    created: z.int(),
    owned_by: z.string(),
    /** Extensions: tokens a sequence may hold, and what the model can do. */
    context_length: z.int(),
    capabilities: z.array(z.string()),
    /** Another: numbers of a vector, of models that make some. */
    embedding_length: z.int().optional(),
  })
  .meta({ id: 'Model' });

export const modelListSchema = z
  .object({ object: z.literal('list'), data: z.array(modelSchema) })
  .meta({ id: 'ListModelsResponse' });

export type ModelBody = z.infer<typeof modelSchema>;
export type ModelListBody = z.infer<typeof modelListSchema>;
