export * from './admin/keys.js';
export * from './admin/models.js';
export * from './admin/usage.js';
export * from './anthropic/errors.js';
export * from './anthropic/messages.js';
export * from './anthropic/models.js';
export * from './config/migrate-flags.js';
export * from './config/model-routes.js';
export * from './config/models-file.js';
export * from './config/reference.js';
export * from './config/setting.js';
export * from './config/setting-text.js';
export * from './config/settings.js';
export * from './engine.js';
export * from './errors/context-exceeded.js';
export * from './errors/inference-error.js';
export * from './openai/batches.js';
export * from './openai/cache-header.js';
export * from './openai/chat.js';
export * from './openai/dispatch-header.js';
export * from './openai/embeddings.js';
export { DEADLINE_MS_MAX } from './openai/endpoints/headers.js';
export {
  type Parameter,
  type ParameterStatus,
  type ParameterTable,
  SEQUENCES_MAX,
  type UsageBody,
} from './openai/fields.js';
export * from './openai/files.js';
export * from './openai/models.js';
export * from './openai/moderations.js';
export { openApiDocument } from './openai/openapi.js';
export * from './openai/path-aliases.js';
export * from './openai/plain-chat.js';
export * from './openai/rerank.js';
export * from './openai/response-items.js';
export * from './openai/responses.js';
export * from './openai/responses-state.js';
export * from './openai/service.js';
export * from './openai/stored-chats.js';
export * from './openai/text.js';
export * from './openai/tokenize.js';
export * from './openai/uploads.js';
export * from './openai/vector-stores.js';
export * from './presence.js';
export * from './queue.js';
export * from './time-limits.js';
export * from './version.js';
