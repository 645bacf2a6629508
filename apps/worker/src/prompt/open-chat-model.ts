import { createHash } from 'node:crypto';
import { InferenceError, type OutputFormat } from '@millrace/contracts';
import { openReader } from './answer-forms/answer-form.js';
import type { ChatModel, ChatPrompt, PreparedChat } from './chat-model.js';
import type { PromptWork } from './process/prompt-work.js';
import type { ModelTemplates } from './templates/model-templates.js';

export interface ChatModelOptions {
  /** Jinja, as in the model's file or from the models file. Absent: ChatML. */
  readonly defaultTemplate: string | undefined;
  /** Further templates of the model's file, such as `tool_use` and `rag`. Left out where `defaultTemplate` replaces the file's. */
  readonly namedTemplates: Readonly<Record<string, string>>;
  /** Texts of the tokens that templates ask for; empty where the model has none. */
  readonly beginningText: string;
  readonly endText: string;
  /** Shared by all models of a worker; not closed with this one. */
  readonly work: PromptWork;
  readonly now?: (() => Date) | undefined;
}

/**
 * Reads a model's templates, and finds out what they can do.
 *
 * @throws Error in a sentence when one can't be read; the signal's reason.
 */
export async function openChatModel(options: ChatModelOptions, signal: AbortSignal): Promise<ChatModel> {
  const { defaultTemplate, namedTemplates, beginningText, endText, work, now = () => new Date() } = options;
  const content = { defaultTemplate, namedTemplates, beginningText, endText };
  const key = createHash('sha256').update(JSON.stringify(content)).digest('base64url');
  const model = { key, ...content };
  const { marks } = await work.do({ kind: 'open', model }, signal).catch((error: unknown) => {
    throw signal.aborted ? error : unusable(error);
  });
  return new OpenedChatModel(model, marks, work, now);
}

/** Nobody asked for anything yet: what would refuse a request is the template's fault here. */
function unusable(error: unknown): unknown {
  if (!(error instanceof InferenceError) || error.code !== 'invalid_request') return error;
  return new Error(
    `The model's chat template can't be used, since it fails for the shortest chats. ${error.message} Give the model another one, as \`chatTemplate\` in the models file.`,
    { cause: error },
  );
}

class OpenedChatModel implements ChatModel {
  constructor(
    private readonly model: ModelTemplates,
    readonly marks: readonly string[],
    private readonly work: PromptWork,
    private readonly now: () => Date,
  ) {}

  async prepare(prompt: ChatPrompt, format: OutputFormat | undefined, signal: AbortSignal): Promise<PreparedChat> {
    const { model } = this;
    const nowMs = this.#nowMs(prompt);
    const { text, plan } = await this.work.do({ kind: 'prepare', model, prompt, format, nowMs }, signal);
    return { text, openReader: () => openReader(plan) };
  }

  render(prompt: ChatPrompt, signal: AbortSignal): Promise<string> {
    return this.work.do({ kind: 'render', model: this.model, prompt, nowMs: this.#nowMs(prompt) }, signal);
  }

  compile(format: OutputFormat, signal: AbortSignal): Promise<string> {
    return this.work.do({ kind: 'compile', format }, signal);
  }

  /** Who asks knows when it began to ask: an answer that goes on elsewhere is one to the same prompt. */
  #nowMs({ nowSeconds }: ChatPrompt): number {
    return nowSeconds === undefined ? this.now().getTime() : nowSeconds * 1000;
  }
}
