import { InferenceError } from '@millrace/contracts';
import type { ChatPrompt } from '../chat-model.js';
import { Jinja, TemplateOverrun } from './jinja.js';
import type { ModelTemplates } from './model-templates.js';
import { OUR_NAMES, templateGlobals } from './template-globals.js';

type Message = ChatPrompt['messages'][number];

/** For model files without a template of their own: the form that most instruction models have at least seen. */
const CHAT_ML =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + (message['content'] or '') + '<|im_end|>\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/** The longest prompt that is rendered: more than any model's context holds. */
const RENDERED_CHARACTERS_MAX = 16_777_216;

/** A model's chat templates: turn messages into the text that the model was trained to read. */
export class ChatTemplates {
  readonly #jinja: Jinja;
  readonly #knowsDeveloper: boolean;

  /**
   * @param timeLimitMs of one rendering.
   * @throws Error in a sentence when a template is not Jinja that we can read.
   */
  constructor(
    private readonly model: ModelTemplates,
    private readonly timeLimitMs: number,
  ) {
    const text = model.defaultTemplate ?? CHAT_ML;
    this.#jinja = readTemplate(text);
    this.#knowsDeveloper = text.includes('developer');
  }

  /** @throws InferenceError `invalid_request` when the template refuses the messages, or a variable has a name of ours. */
  render(prompt: ChatPrompt, now: Date): string {
    checkNames(prompt.templateVariables);
    const { beginningText, endText } = this.model;
    try {
      return this.#jinja.render(
        {
          ...prompt.templateVariables,
          messages: prompt.messages.map((message) => this.#forTemplate(message)),
          // Templates ask `if tools`, but also `tools is defined` and `tools is not none`: absent says no to all three.
          ...(prompt.tools.length > 0 && { tools: prompt.tools }),
          ...(prompt.documents !== undefined && { documents: prompt.documents }),
          add_generation_prompt: true,
          bos_token: beginningText,
          eos_token: endText,
          ...templateGlobals(now),
        },
        { timeMs: this.timeLimitMs, charactersMax: RENDERED_CHARACTERS_MAX },
      );
    } catch (error) {
      throw refusal(error);
    }
  }

  #forTemplate(message: Message): Message {
    const { role, content, tool_calls: toolCalls } = message;
    return {
      ...message,
      // OpenAI renamed `system` to `developer`; a template from before that would refuse it or leave it out.
      ...(role === 'developer' && !this.#knowsDeveloper && { role: 'system' }),
      ...(Array.isArray(content) && { content: joinedText(content) }),
      ...(Array.isArray(toolCalls) && { tool_calls: toolCalls.map(withArgumentsAsObject) }),
    };
  }
}

function readTemplate(text: string): Jinja {
  try {
    return new Jinja(text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Error(
      `The model's chat template can't be read: ${why}. Give the model another one, as \`chatTemplate\` in the models file.`,
      { cause },
    );
  }
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

/** The texts of a message given in parts, with line breaks between, as vLLM and llama.cpp's server join them. */
function joinedText(parts: readonly unknown[]): string {
  return parts
    .map((part) => (typeof part === 'string' ? part : (part as { text?: unknown } | null)?.text))
    .filter((text) => typeof text === 'string')
    .join('\n');
}

/**
 * OpenAI sends the arguments of a call as JSON text; templates are written for the object and would put quotation
 * marks around the text. What is not JSON stays as it is: a model may have written it so.
 */
function withArgumentsAsObject(call: Record<string, unknown>): Record<string, unknown> {
  const called = call.function as { arguments?: unknown } | undefined;
  if (typeof called?.arguments !== 'string') return call;
  try {
    return { ...call, function: { ...called, arguments: JSON.parse(called.arguments) } };
  } catch {
    return call;
  }
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
