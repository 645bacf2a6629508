import { removeModelQuerySchema } from '../../admin/models.js';
import { anthropicModelListSchema, anthropicModelSchema, anthropicModelsQuerySchema } from '../../anthropic/models.js';
import { deletedModelSchema, modelListSchema, modelSchema } from '../models.js';
import { plainModelListSchema } from '../plain-chat.js';
import { type Endpoint, withErrors } from './endpoint.js';

export const MODELS_ENDPOINTS: readonly Endpoint[] = [
  {
    method: 'get',
    path: '/v1/models',
    tag: 'Models',
    summary:
      'List the models that are served: to a key, those that it may use. With the header `anthropic-version`, as Anthropic’s API does.',
    answers: withErrors({ 200: { description: 'The models.', schema: modelListSchema } }, [400, 401, 503]),
    toAnthropic: { answer: anthropicModelListSchema, query: anthropicModelsQuerySchema },
  },
  {
    method: 'get',
    path: '/v1/models/{model}',
    tag: 'Models',
    summary: 'One model, by its id or an alias. With the header `anthropic-version`, as Anthropic’s API has it.',
    answers: withErrors({ 200: { description: 'The model.', schema: modelSchema } }, [401, 403, 404, 503]),
    toAnthropic: { answer: anthropicModelSchema },
    pathParameter: { name: 'model', description: 'The id or an alias; it may contain slashes.' },
  },
  {
    method: 'delete',
    path: '/v1/models/{model}',
    tag: 'Models',
    summary: 'Take a model out of the registry, as `DELETE /admin/models/{id}` does. Only the admin key may.',
    query: removeModelQuerySchema,
    answers: withErrors(
      { 200: { description: 'It is gone.', schema: deletedModelSchema } },
      [400, 401, 403, 404, 409, 503],
    ),
    pathParameter: { name: 'model', description: 'The id in the registry.' },
    admin: true,
  },
  {
    method: 'get',
    path: '/models',
    tag: 'Models',
    operationId: 'getModelNames',
    summary: 'Every name that a key may ask for, aliases among them, and who answers to it.',
    answers: withErrors({ 200: { description: 'The names.', schema: plainModelListSchema } }, [401, 503]),
  },
];
