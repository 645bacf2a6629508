import type { OutputFormat } from '@millrace/contracts';
import type { ReadingPlan } from '../answer-forms/reading-plan.js';
import type { ChatPrompt } from '../chat-model.js';
import type { ModelTemplates } from '../templates/model-templates.js';

/**
 * Does what a hostile template or schema could make endless, away from the event loop: rendering prompts, and compiling
 * tools and schemas to grammars.
 */
export interface PromptWork {
  /**
   * @throws InferenceError `invalid_request` for what the job itself refuses, and when it takes too long or too much
   *   memory; `rate_limit_exceeded` when too many wait; the signal's reason.
   */
  do<Kind extends PromptJob['kind']>(
    job: Extract<PromptJob, { kind: Kind }>,
    signal: AbortSignal,
  ): Promise<PromptResults[Kind]>;

  /** Fails what waits, and lets nothing new in. */
  close(): Promise<void>;
}

/** Plain data, all of it: it crosses to another process. */
export type PromptJob =
  /** Reads a model's templates and tries what they can do. */
  | { readonly kind: 'open'; readonly model: ModelTemplates }
  | { readonly kind: 'render'; readonly model: ModelTemplates; readonly prompt: ChatPrompt; readonly nowMs: number }
  | {
      readonly kind: 'prepare';
      readonly model: ModelTemplates;
      readonly prompt: ChatPrompt;
      readonly format: OutputFormat | undefined;
      readonly nowMs: number;
    }
  /** An output format to GBNF. */
  | { readonly kind: 'compile'; readonly format: OutputFormat };

export interface PromptResults {
  readonly open: OpenedTemplates;
  readonly render: string;
  readonly prepare: { readonly text: string; readonly plan: ReadingPlan };
  readonly compile: string;
}

export interface OpenedTemplates {
  /** As `ChatModel.marks`. */
  readonly marks: readonly string[];
}
