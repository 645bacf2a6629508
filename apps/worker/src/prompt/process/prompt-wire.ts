import type { ErrorCode } from '@millrace/contracts';
import type { ModelTemplates } from '../templates/model-templates.js';

/** What the worker sends to its prompt process: one job at a time. */
export interface JobMessage {
  readonly id: number;
  /** The job as JSON, with its model's `key` in place of the model: a string crosses more cheaply than an object. */
  readonly job: string;
  /** Sent when the process said `unknownModel`. */
  readonly model?: ModelTemplates;
}

export type ProcessMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'done'; readonly id: number; readonly result: string }
  | { readonly kind: 'unknownModel'; readonly id: number }
  /** The job refuses what it was given. */
  | { readonly kind: 'refused'; readonly id: number; readonly error: WireError }
  /** Anything else that was thrown. */
  | { readonly kind: 'failed'; readonly id: number; readonly message: string };

export interface WireError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly param?: string | undefined;
}
