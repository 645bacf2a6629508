import type { OutputFormat } from '@millrace/contracts';
import type { ChatPrompt } from '../chat-model.js';
import { formatGrammar } from '../format-grammar.js';
import { ChatTemplates } from '../templates/chat-templates.js';
import type { ModelTemplates } from '../templates/model-templates.js';
import type { OpenedTemplates, PromptJob, PromptResults } from './prompt-work.js';

/** Read templates and what they can do are kept for as many models; a worker seldom has more in turn. */
const MODELS_MAX = 32;

/** Does the jobs of `PromptWork`, one at a time, wherever it is. */
export class PromptDesk {
  // A Map iterates in insertion order, so putting an entry back when it is used keeps the oldest first.
  readonly #models = new Map<string, ChatTemplates>();

  /** @param timeLimitMs of rendering; what else a job does has limits of its own. */
  constructor(private readonly timeLimitMs: number) {}

  /** Whether a model's templates are known by its key alone. */
  knows(key: string): boolean {
    return this.#models.has(key);
  }

  /** @throws InferenceError, or Error when a template can't be read. */
  do(job: PromptJob): PromptResults[PromptJob['kind']] {
    switch (job.kind) {
      case 'open':
        return this.#open(job.model);
      case 'render':
        return this.#render(job.model, job.prompt, job.nowMs);
      case 'prepare':
        return this.#prepare(job.model, job.prompt, job.format, job.nowMs);
      case 'compile':
        return formatGrammar(job.format);
    }
  }

  #open(model: ModelTemplates): OpenedTemplates {
    return { marks: this.#templatesOf(model).marks };
  }

  #render(model: ModelTemplates, prompt: ChatPrompt, nowMs: number): string {
    return this.#templatesOf(model).render(prompt, new Date(nowMs)).text;
  }

  #prepare(model: ModelTemplates, prompt: ChatPrompt, format: OutputFormat | undefined, nowMs: number) {
    const { text, form } = this.#templatesOf(model).render(prompt, new Date(nowMs));
    return { text, plan: form.plan({ prompt, rendered: text, format }) };
  }

  #templatesOf(model: ModelTemplates): ChatTemplates {
    const { key } = model;
    const templates = this.#models.get(key) ?? new ChatTemplates(model, this.timeLimitMs);
    this.#models.delete(key);
    this.#models.set(key, templates);
    if (this.#models.size > MODELS_MAX) this.#models.delete(this.#models.keys().next().value!);
    return templates;
  }
}
