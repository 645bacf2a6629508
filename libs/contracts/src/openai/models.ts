import * as z from 'zod';
import { MODEL_STATES } from '../engine.js';

/** `unavailable`: no worker that takes requests now has it. */
export const modelState = z.enum([...MODEL_STATES, 'unavailable']);

/** https://platform.openai.com/docs/api-reference/models, and what one would like to know beside it. */
export const modelSchema = z
  .object({
    id: z.string(),
    object: z.literal('model'),
    created: z.int(),
    owned_by: z.string(),
    /** Extensions: tokens a sequence may hold, absent until that is known, and what the model can do. */
    context_length: z.int().optional(),
    capabilities: z.array(z.string()),
    /** Another: numbers of a vector, of models that make some. */
    embedding_length: z.int().optional(),
    /** Of an alias: which models it stands for, and how its requests are shared between them. */
    stands_for: z.array(z.object({ model: z.string(), weight: z.int() })).optional(),
    /** Models that are asked where it does not answer, in this order; absent where there are none. */
    fallbacks: z.array(z.string()).optional(),
    /** And another: whether an answer has to wait until it is loaded, or will not come. */
    state: modelState.optional(),
  })
  .meta({ id: 'Model' });

export const modelListSchema = z
  .object({ object: z.literal('list'), data: z.array(modelSchema) })
  .meta({ id: 'ListModelsResponse' });

export const deletedModelSchema = z
  .object({ id: z.string(), object: z.literal('model'), deleted: z.literal(true) })
  .meta({ id: 'DeleteModelResponse' });

export type ModelStateBody = z.infer<typeof modelState>;
export type ModelBody = z.infer<typeof modelSchema>;
export type ModelListBody = z.infer<typeof modelListSchema>;
export type DeletedModelBody = z.infer<typeof deletedModelSchema>;
