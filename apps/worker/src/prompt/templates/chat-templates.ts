import { InferenceError } from '@millrace/contracts';
import type { AnswerForm } from '../answer-forms/answer-form.js';
import type { ChatPrompt } from '../chat-model.js';
import { ChatTemplate } from './chat-template.js';
import { TemplateOverrun } from './jinja.js';
import type { ModelTemplates } from './model-templates.js';
import { OUR_NAMES } from './template-globals.js';

/** For model files without a template of their own: the form that most instruction models have at least seen. */
const CHAT_ML =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + (message['content'] or '') + '<|im_end|>\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/** The longest prompt that is rendered: more than any model's context holds. */
const RENDERED_CHARACTERS_MAX = 16_777_216;

/** A prompt, and the form of the answer to it. */
export interface RenderedChat {
  readonly text: string;
  readonly form: AnswerForm;
}

/** A model's chat templates: turn messages into the text that the model was trained to read. */
export class ChatTemplates {
  readonly #default: ChatTemplate;
  readonly #toolUse: ChatTemplate | undefined;
  readonly #rag: ChatTemplate | undefined;

  /**
   * @param timeLimitMs of one rendering.
   * @throws Error in a sentence when a template is not Jinja that we can read; InferenceError when it is endless.
   */
  constructor({ defaultTemplate, namedTemplates, ...texts }: ModelTemplates, timeLimitMs: number) {
    const limits = { timeMs: timeLimitMs, charactersMax: RENDERED_CHARACTERS_MAX };
    const read = (source: string) => readTemplate(source, texts, limits);
    const { default: named, tool_use: toolUse, rag } = namedTemplates;
    this.#toolUse = toolUse === undefined ? undefined : read(toolUse);
    this.#rag = rag === undefined ? undefined : read(rag);
    const source = defaultTemplate ?? named;
    this.#default = source === undefined ? (this.#toolUse ?? read(CHAT_ML)) : read(source);
  }

  /** Control tokens that are marks in the answers to any of them. */
  get marks(): readonly string[] {
    const all = [this.#default, this.#toolUse, this.#rag].flatMap((template) => template?.form.marks ?? []);
    return [...new Set(all)];
  }

  /** @throws InferenceError `invalid_request` when the template refuses the messages, or a variable has a name of ours. */
  render(prompt: ChatPrompt, now: Date): RenderedChat {
    checkNames(prompt.templateVariables);
    const template = this.#templateFor(prompt);
    try {
      return { text: template.render(prompt, now), form: template.form };
    } catch (error) {
      throw error instanceof InferenceError ? error : refusal(error);
    }
  }

  /**
   * `tool_use` with tools, `rag` with documents. With both, the one that knows both: Command-R's two generations differ
   * in that.
   */
  #templateFor({ tools, documents = [] }: ChatPrompt): ChatTemplate {
    const wanted = [
      ...(tools.length > 0 && this.#toolUse !== undefined ? [this.#toolUse] : []),
      ...(documents.length > 0 && this.#rag !== undefined ? [this.#rag] : []),
      this.#default,
    ];
    if (documents.length === 0) return wanted[0]!;
    const withDocuments = wanted.filter((template) => template.mentions('documents'));
    if (withDocuments.length === 0) throw documentsRefused('This model’s chat template has no place for documents.');
    if (tools.length === 0) return withDocuments[0]!;
    const withBoth = withDocuments.find((template) => template.abilities.tools);
    if (withBoth === undefined) throw documentsRefused('This model takes tools or documents, not both.');
    return withBoth;
  }
}

function readTemplate(...[source, texts, limits]: ConstructorParameters<typeof ChatTemplate>): ChatTemplate {
  try {
    return new ChatTemplate(source, texts, limits);
  } catch (error) {
    throw error instanceof TemplateOverrun ? refusal(error) : error;
  }
}

function documentsRefused(why: string): InferenceError {
  return new InferenceError('invalid_request', `${why} Put their text into a message instead.`, { param: 'documents' });
}

/** A caller's variable must not replace the messages, nor what we promise templates; nor be left out in silence. */
function checkNames(variables: ChatPrompt['templateVariables']): void {
  const taken = Object.keys(variables).find((name) => OUR_NAMES.has(name));
  if (taken === undefined) return;
  throw new InferenceError(
    'invalid_request',
    `chat_template_kwargs can't set \`${taken}\`: every template is given it already. Leave it out.`,
    { param: 'chat_template_kwargs' },
  );
}

/**
 * Everything a template throws is about the messages, whether by `raise_exception` ("roles must alternate") or because
 * it reads a key that they lack: the same template renders other messages. So the caller gets its sentence.
 */
function refusal(error: unknown): InferenceError {
  const message = error instanceof Error ? error.message : String(error);
  const sentence =
    error instanceof TemplateOverrun
      ? `The model's chat template ${message}`
      : `The model's chat template refuses these messages: ${/[.!?]$/.test(message) ? message : `${message}.`} Change the messages.`;
  return new InferenceError('invalid_request', sentence, { param: 'messages', cause: error });
}
