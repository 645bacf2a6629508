import { type AnswerForm, answerFormOf } from '../answer-forms/answer-form.js';
import type { ChatPrompt } from '../chat-model.js';
import { wantsNineCharacters } from './call-ids.js';
import { continueAnswer, thinkingOf } from './continued-answer.js';
import { type CallsKnown, describeTools } from './described-tools.js';
import { documentVariables } from './document-variables.js';
import { findAbilities } from './find-abilities.js';
import { formatTime } from './format-time.js';
import { Jinja, type RenderLimits } from './jinja.js';
import { type Abilities, type Message, type MessageTraits, shapeMessages, shapeTools } from './message-shape.js';
import { patchPrompt, patchTemplate } from './patch-template.js';
import { preservingVariables, reasoningVariables } from './reasoning-variables.js';
import { templateGlobals } from './template-globals.js';
import { wantsToolResponses, withToolResponses } from './tool-responses.js';

export interface TemplateTexts {
  /** Texts of the tokens that templates ask for; empty where the model has none. */
  readonly beginningText: string;
  readonly endText: string;
}

/** One chat template, and what it can do. */
export class ChatTemplate {
  readonly abilities: Abilities;
  readonly form: AnswerForm;
  readonly #jinja: Jinja;
  readonly #traits: MessageTraits;

  /** @throws Error in a sentence when `source` is not Jinja that we can read. */
  constructor(
    readonly source: string,
    private readonly texts: TemplateTexts,
    private readonly limits: RenderLimits,
  ) {
    this.#jinja = readTemplate(patchTemplate(source));
    this.#traits = traitsOf(source);
    this.abilities = findAbilities(this.#jinja, this.#traits, limits);
    this.form = answerFormOf(source);
  }

  /** Whether the template asks for `variable` anywhere. */
  mentions(variable: 'documents' | 'tools'): boolean {
    return new RegExp(`\\b${variable}\\b`).test(this.source);
  }

  /** @throws what the template throws, and TemplateOverrun; InferenceError for a message that can't be rendered by any. */
  render(prompt: ChatPrompt, now: Date): string {
    const tools = shapeTools(prompt.tools);
    const described = tools.length > 0 && !this.abilities.tools;
    const messages = this.abilities.tools
      ? prompt.messages
      : describeTools(prompt.messages, tools, this.#callsKnown(tools.length > 0));
    const variables = {
      ...dateVariables(now),
      ...reasoningVariables(this.source, prompt.reasoningEffort, thinkingOf(this.source) !== undefined),
      ...preservingVariables(prompt.templateVariables),
      ...(prompt.documents !== undefined && documentVariables(this.source)),
      ...prompt.templateVariables,
      // Templates ask `if tools`, but also `tools is defined` and `tools is not none`: absent says no to all three.
      ...(tools.length > 0 && !described && { tools }),
      ...(prompt.documents !== undefined && { documents: prompt.documents }),
      bos_token: this.texts.beginningText,
      eos_token: this.texts.endText,
      ...templateGlobals(now),
    };
    const render = (some: readonly Message[], newAnswer: boolean) => {
      const shaped = this.#shape(some);
      // Not false, but absent, as in llama.cpp: some templates only ask whether it is defined.
      const asked = newAnswer && { add_generation_prompt: true };
      const text = this.#jinja.render({ ...variables, ...asked, messages: shaped }, this.limits);
      return newAnswer ? patchPrompt(this.source, text) : text;
    };
    return prompt.continueFinal === true ? continueAnswer(messages, this.source, render) : render(messages, true);
  }

  /** What has to be said of calls beside the tools; the same form that answers are read by. */
  #callsKnown(asked: boolean): CallsKnown {
    const { name } = this.form;
    // Without tools nobody reads calls, and earlier ones may stand as the template has them.
    const inTemplate = this.abilities.calls && !(asked && name === 'generic');
    return { inTemplate, toModel: name !== 'generic' && name !== 'hermes' };
  }

  #shape(messages: readonly Message[]): readonly Message[] {
    const shaped = shapeMessages(messages, this.abilities, this.#traits);
    return wantsToolResponses(this.source) ? withToolResponses(shaped) : shaped;
  }
}

function readTemplate(source: string): Jinja {
  try {
    return new Jinja(source);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Error(
      `The model's chat template can't be read: ${why}. Give the model another one, as \`chatTemplate\` in the models file.`,
      { cause },
    );
  }
}

function traitsOf(source: string): MessageTraits {
  return {
    knowsDeveloper: source.includes('<|channel|>'),
    nineCharacterIds: wantsNineCharacters(source),
    reasoning: reasoningPlace(source),
    // StepFun's models think in circles about blanks at the ends.
    trims: source.includes('You have access to the following functions in JSONSchema format'),
  };
}

function reasoningPlace(source: string): MessageTraits['reasoning'] {
  if (source.includes('<|channel|>')) return 'thinking without content';
  const ministral = ['[SYSTEM_PROMPT]', '[TOOL_CALLS]', '[ARGS]'].every((mark) => source.includes(mark));
  if (ministral && !source.includes('[CALL_ID]')) return 'part';
  return /message\.thinking\b|message\[["']thinking["']\]/.test(source) ? 'thinking' : 'reasoning_content';
}

/** Today, as llama.cpp gives it to every template; some ask for no other. */
function dateVariables(now: Date): Readonly<Record<string, string>> {
  return { date_string: formatTime(now, '%d %b %Y'), datetime: formatTime(now, '%b %d %Y') };
}
