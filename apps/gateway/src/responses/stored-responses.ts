import type { Settings } from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import type { SqlDatabase } from '../stores/sql-database.js';
import { ConversationStore } from './conversation-store.js';
import { ResponseRuns } from './response-runs.js';
import { ResponseSweep } from './response-sweep.js';
import { SqlResponseStore } from './sql-response-store.js';

/** Everything about responses and conversations that is in the database. */
export interface StoredResponses {
  readonly responses: SqlResponseStore;
  readonly conversations: ConversationStore;
  readonly runs: ResponseRuns;
  /** Not started. */
  readonly sweep: ResponseSweep;
}

export type StoredResponsesSettings = Pick<
  Settings,
  | 'responsesKeptDays'
  | 'responsesPerKeyMax'
  | 'responseBytesMax'
  | 'conversationsKeptDays'
  | 'conversationsPerKeyMax'
  | 'backgroundResponsesPerKeyMax'
  | 'bodyBytesMax'
>;

export function openResponses(
  database: SqlDatabase,
  settings: StoredResponsesSettings,
  logger: Logger,
  lockMs?: number,
): StoredResponses {
  const conversations = new ConversationStore(database, settings, lockMs);
  return {
    responses: new SqlResponseStore(database, conversations, settings),
    conversations,
    runs: new ResponseRuns(database, settings),
    sweep: new ResponseSweep(database, settings, logger),
  };
}
