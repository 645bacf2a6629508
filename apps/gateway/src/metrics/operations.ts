import type { Endpoint } from '../vocabulary.js';

/** OpenTelemetry's names of the operations, whichever API asks for them; what it has no name for keeps ours. */
export const OPERATIONS = {
  chat: 'chat',
  stored_chats: 'stored_chats',
  completion: 'text_completion',
  responses: 'chat',
  messages: 'chat',
  embeddings: 'embeddings',
  rerank: 'rerank',
  moderations: 'moderations',
  tokenize: 'tokenize',
  detokenize: 'detokenize',
  apply_template: 'apply_template',
  files: 'files',
  batches: 'batches',
  vector_stores: 'vector_stores',
  conversations: 'conversations',
  admin: 'admin',
  other: 'other',
} as const satisfies Record<Endpoint, string>;

/** Whoever answers, in OpenTelemetry's words, where the gateway asks no other provider. */
export const OURSELVES = 'millrace';
