import type { BatchBody, BatchEndpoint } from '@millrace/contracts';
import type { BatchError } from './check-input.js';

/** OpenAI's words. */
export type BatchStatus =
  | 'validating'
  | 'failed'
  | 'in_progress'
  | 'finalizing'
  | 'completed'
  | 'expired'
  | 'cancelling'
  | 'cancelled';

export type BatchEnding = 'completed' | 'expired' | 'cancelled' | 'failed';

/** A row of the table `batches`, as the database gives it. */
export interface BatchRow {
  readonly id: string;
  readonly key_id: string | null;
  readonly endpoint: BatchEndpoint;
  readonly input_file_id: string;
  readonly completion_window: string;
  readonly metadata: Readonly<Record<string, string>> | null;
  readonly output_expires_after: number | null;
  readonly status: BatchStatus;
  readonly ending: Exclude<BatchEnding, 'completed'> | null;
  readonly errors: readonly BatchError[] | null;
  readonly model: string | null;
  readonly total: number;
  readonly completed: number;
  readonly failed: number;
  readonly input_tokens: number;
  readonly cached_tokens: number;
  readonly output_tokens: number;
  readonly reasoning_tokens: number;
  readonly output_file_id: string | null;
  readonly error_file_id: string | null;
  readonly created_at: Date;
  readonly expires_at: Date;
  readonly in_progress_at: Date | null;
  readonly finalizing_at: Date | null;
  readonly completed_at: Date | null;
  readonly failed_at: Date | null;
  readonly expired_at: Date | null;
  readonly cancelling_at: Date | null;
  readonly cancelled_at: Date | null;
}

/** Nothing of it changes any more. */
export function isOver({ status }: Pick<BatchRow, 'status'>): boolean {
  return OVER.has(status);
}

const OVER: ReadonlySet<BatchStatus> = new Set(['completed', 'failed', 'expired', 'cancelled']);

/** As OpenAI shows it. */
export function batchBody(row: BatchRow): BatchBody {
  const { input_tokens, output_tokens, cached_tokens, reasoning_tokens } = row;
  return {
    id: row.id,
    object: 'batch',
    endpoint: row.endpoint,
    model: row.model,
    errors: row.errors && { object: 'list', data: [...row.errors] },
    input_file_id: row.input_file_id,
    completion_window: row.completion_window,
    status: row.status,
    // One may be there before the other.
    output_file_id: isOver(row) ? row.output_file_id : null,
    error_file_id: isOver(row) ? row.error_file_id : null,
    created_at: unixSeconds(row.created_at)!,
    in_progress_at: unixSeconds(row.in_progress_at),
    expires_at: unixSeconds(row.expires_at)!,
    finalizing_at: unixSeconds(row.finalizing_at),
    completed_at: unixSeconds(row.completed_at),
    failed_at: unixSeconds(row.failed_at),
    expired_at: unixSeconds(row.expired_at),
    cancelling_at: unixSeconds(row.cancelling_at),
    cancelled_at: unixSeconds(row.cancelled_at),
    request_counts: { total: row.total, completed: row.completed, failed: row.failed },
    usage: {
      input_tokens,
      input_tokens_details: { cached_tokens },
      output_tokens,
      output_tokens_details: { reasoning_tokens },
      total_tokens: input_tokens + output_tokens,
    },
    metadata: row.metadata && { ...row.metadata },
  };
}

function unixSeconds(date: Date | null): number | null {
  return date && Math.floor(date.getTime() / 1_000);
}
