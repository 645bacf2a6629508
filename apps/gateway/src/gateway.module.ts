import type { Settings } from '@millrace/contracts';
import type { Metrics } from '@millrace/runtime';
import { type DynamicModule, Module } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { AdminKeysController } from './http/admin-keys.controller.js';
import { AdminModelsController } from './http/admin-models.controller.js';
import { BatchesController } from './http/batches.controller.js';
import { ChatCompletionsController } from './http/chat-completions.controller.js';
import { CompletionsController } from './http/completions.controller.js';
import { ConversationsController } from './http/conversations.controller.js';
import { DocsController } from './http/docs.controller.js';
import { EmbeddingsController } from './http/embeddings.controller.js';
import { FilesController } from './http/files.controller.js';
import { FORM_PATIENCE } from './http/form-bodies.js';
import { HealthController } from './http/health.controller.js';
import { MessagesController } from './http/messages.controller.js';
import { METRICS, MetricsController } from './http/metrics.controller.js';
import { ModelsController } from './http/models.controller.js';
import { ModerationsController } from './http/moderations.controller.js';
import { OpenAiErrorFilter } from './http/openai-error.filter.js';
import { PlainController } from './http/plain.controller.js';
import { RerankController } from './http/rerank.controller.js';
import { ResponsesController } from './http/responses.controller.js';
import { ResponsesStateController } from './http/responses-state.controller.js';
import { STREAM_LIMITS } from './http/server-sent-events.js';
import { StoredChatsController } from './http/stored-chats.controller.js';
import { TokenizeController } from './http/tokenize.controller.js';
import { UploadsController } from './http/uploads.controller.js';
import { UsageController } from './http/usage.controller.js';
import { VectorStoreBatchesController } from './http/vector-store-batches.controller.js';
import { VectorStoreFilesController } from './http/vector-store-files.controller.js';
import { VectorStoresController } from './http/vector-stores.controller.js';
import { WelcomeController } from './http/welcome.controller.js';
import { AnthropicModels } from './walks/anthropic-models.js';
import { CompleteChat } from './walks/complete-chat.js';
import { CompleteText } from './walks/complete-text.js';
import { CountInputTokens } from './walks/count-input-tokens.js';
import { Embed } from './walks/embed.js';
import { ListModels } from './walks/list-models.js';
import { ManageBatches } from './walks/manage-batches.js';
import { ManageConversations } from './walks/manage-conversations.js';
import { ManageFiles } from './walks/manage-files.js';
import { ManageKeys } from './walks/manage-keys.js';
import { ManageModels } from './walks/manage-models.js';
import { ManageResponses } from './walks/manage-responses.js';
import { ManageStoredChats } from './walks/manage-stored-chats.js';
import { ManageStoredModels } from './walks/manage-stored-models.js';
import { ManageUploads } from './walks/manage-uploads.js';
import { ManageVectorStores } from './walks/manage-vector-stores.js';
import { Messages } from './walks/messages.js';
import { Moderate } from './walks/moderate.js';
import { PlainChat } from './walks/plain-chat.js';
import { QueueResponse } from './walks/queue-response.js';
import { Readiness } from './walks/readiness.js';
import { RefuseRequest } from './walks/refuse-request.js';
import { ReportUsage } from './walks/report-usage.js';
import { Rerank } from './walks/rerank.js';
import { Respond } from './walks/respond.js';
import { SearchVectorStore } from './walks/search-vector-store.js';
import { Tokenize } from './walks/tokenize.js';
import type { Walks } from './wiring.js';

/** The one Nest module: it hands the walks that wiring.ts made to the controllers. */
@Module({})
export class GatewayModule {}

export function gatewayModule(walks: Walks, metrics: Metrics, settings: Settings): DynamicModule {
  return {
    module: GatewayModule,
    controllers: [
      ChatCompletionsController,
      StoredChatsController,
      ModerationsController,
      CompletionsController,
      MessagesController,
      ResponsesController,
      ResponsesStateController,
      ConversationsController,
      EmbeddingsController,
      RerankController,
      TokenizeController,
      FilesController,
      UploadsController,
      BatchesController,
      ModelsController,
      PlainController,
      HealthController,
      MetricsController,
      DocsController,
      WelcomeController,
      AdminKeysController,
      AdminModelsController,
      UsageController,
      VectorStoresController,
      VectorStoreFilesController,
      VectorStoreBatchesController,
    ],
    providers: [
      { provide: CompleteChat, useValue: walks.completeChat },
      { provide: CompleteText, useValue: walks.completeText },
      { provide: Messages, useValue: walks.messages },
      { provide: ManageStoredChats, useValue: walks.manageStoredChats },
      { provide: Moderate, useValue: walks.moderate },
      { provide: Respond, useValue: walks.respond },
      { provide: QueueResponse, useValue: walks.queueResponse },
      { provide: ManageResponses, useValue: walks.manageResponses },
      { provide: ManageConversations, useValue: walks.manageConversations },
      { provide: CountInputTokens, useValue: walks.countInputTokens },
      { provide: Embed, useValue: walks.embed },
      { provide: Rerank, useValue: walks.rerank },
      { provide: Tokenize, useValue: walks.tokenize },
      { provide: ManageModels, useValue: walks.manageModels },
      { provide: AnthropicModels, useValue: walks.anthropicModels },
      { provide: PlainChat, useValue: walks.plainChat },
      { provide: ListModels, useValue: walks.listModels },
      { provide: ManageFiles, useValue: walks.manageFiles },
      { provide: ManageUploads, useValue: walks.manageUploads },
      { provide: ManageBatches, useValue: walks.manageBatches },
      { provide: ManageVectorStores, useValue: walks.manageVectorStores },
      { provide: SearchVectorStore, useValue: walks.searchVectorStore },
      { provide: ManageKeys, useValue: walks.manageKeys },
      { provide: ManageStoredModels, useValue: walks.manageStoredModels },
      { provide: ReportUsage, useValue: walks.reportUsage },
      { provide: Readiness, useValue: walks.readiness },
      { provide: RefuseRequest, useValue: walks.refuseRequest },
      { provide: METRICS, useValue: metrics },
      { provide: FORM_PATIENCE, useValue: { stallMs: settings.bodyTimeoutMs, totalMs: settings.fileUploadTimeoutMs } },
      { provide: STREAM_LIMITS, useValue: settings },
      { provide: APP_FILTER, useClass: OpenAiErrorFilter },
    ],
  };
}
