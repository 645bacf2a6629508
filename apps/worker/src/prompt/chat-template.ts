import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja';
import { InferenceError, type Prompt } from '@millrace/contracts';
import { formatTime } from './templates/format-time.js';

type ChatPrompt = Extract<Prompt, { kind: 'chat' }>;
type Message = ChatPrompt['messages'][number];

/** For model files without a template of their own: the form that most instruction models have at least seen. */
const CHAT_ML =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + (message['content'] or '') + '<|im_end|>\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

export interface TemplateTexts {
  /** Texts of the tokens that templates ask for; empty where the model has none. */
  readonly beginningText: string;
  readonly endText: string;
}

/** A model's chat template: turns messages into the text that the model was trained to read. */
export class ChatTemplate {
  readonly #program: ReturnType<typeof parse>;
  readonly #knowsDeveloper: boolean;

  /**
   * @param source Jinja, as in the model's file; absent: ChatML.
   * @throws Error in a sentence when the source is not Jinja that we can read.
   */
  constructor(
    source: string | undefined,
    private readonly texts: TemplateTexts,
    private readonly now: () => Date = () => new Date(),
  ) {
    const text = source ?? CHAT_ML;
    this.#program = parseTemplate(text);
    this.#knowsDeveloper = text.includes('developer');
  }

  /** @throws InferenceError `invalid_request` when the template refuses the messages, or a variable has a name of ours. */
  render(prompt: ChatPrompt): string {
    checkNames(prompt.templateVariables);
    try {
      return renderProgram(this.#program, {
        ...prompt.templateVariables,
        messages: prompt.messages.map((message) => this.#forTemplate(message)),
        // Templates ask `if tools`, but also `tools is defined` and `tools is not none`: absent says no to all three.
        ...(prompt.tools.length > 0 && { tools: prompt.tools }),
        add_generation_prompt: true,
        bos_token: this.texts.beginningText,
        eos_token: this.texts.endText,
        ...GLOBALS,
        strftime_now: (format: string) => formatTime(this.now(), format),
      });
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

function parseTemplate(text: string): ReturnType<typeof parse> {
  try {
    // As Hugging Face's transformers set Jinja up, for which templates are written.
    return parse(tokenize(text, { lstrip_blocks: true, trim_blocks: true }));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Error(
      `The model's chat template can't be read: ${why}. Give the model another one, as \`chatTemplate\` in the models file.`,
      { cause },
    );
  }
}

/**
 * What Jinja and Hugging Face's transformers give every template. Not the library's own set (its `Template`), because
 * that knows the date only in the machine's language and does not let us replace it.
 */
const GLOBALS = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
  range: (first: number, end?: number, step = 1) =>
    end === undefined ? range(0, first, step) : range(first, end, step),
  raise_exception: (sentence: string) => {
    throw new Error(sentence);
  },
};

/** What every template is given; `namespace` is the library's own. */
const OUR_NAMES: ReadonlySet<string> = new Set([
  ...Object.keys(GLOBALS),
  ...['messages', 'tools', 'add_generation_prompt', 'bos_token', 'eos_token', 'strftime_now', 'namespace'],
]);

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

function range(first: number, end: number, step: number): number[] {
  const count = Math.max(0, Math.ceil((end - first) / step));
  if (!(count <= RANGE_LENGTH_MAX))
    throw new Error(`range() is asked for ${count} numbers; it gives ${RANGE_LENGTH_MAX}`);
  return Array.from({ length: count }, (_, at) => first + at * step);
}

/** A template may count with a caller's variable; no honest one counts further than there are messages. */
const RANGE_LENGTH_MAX = 100_000;

function renderProgram(program: ReturnType<typeof parse>, variables: Readonly<Record<string, unknown>>): string {
  const environment = new Environment();
  for (const [name, value] of Object.entries(variables)) environment.set(name, value);
  return String((new Interpreter(environment).run(program) as { value: unknown }).value);
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
  const sentence = error instanceof Error ? error.message : String(error);
  return new InferenceError(
    'invalid_request',
    `The model's chat template refuses these messages: ${/[.!?]$/.test(sentence) ? sentence : `${sentence}.`} Change the messages.`,
    { param: 'messages', cause: error },
  );
}
