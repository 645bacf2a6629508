import { type AnswerRequest, InferenceError, type Prompt, type Sampling } from '@millrace/contracts';
import type { Preset } from './presets.js';
import { samplingFields } from './sampling-fields.js';
import { wordedMessage } from './worded-message.js';

type ChatPrompt = Extract<Prompt, { kind: 'chat' }>;
type Fields = Record<string, unknown>;

/** What stands between a request and an upstream. */
export interface BodyTerms {
  readonly preset: Preset;
  readonly presetName: string;
  /** What the model is called there. */
  readonly upstreamModel: string;
  readonly samplingDefaults: Sampling;
  readonly maxTokensDefault: number | undefined;
}

export interface UpstreamBody {
  readonly path: '/chat/completions' | '/completions';
  readonly json: string;
}

/**
 * What the upstream is asked: only what its preset knows.
 *
 * @throws InferenceError `unsupported_parameter` or `tools_not_supported` for what was asked for and can't be honoured
 *   there: left out, the caller would get something else than it asked for, and not know.
 */
export function upstreamBody(request: AnswerRequest, terms: BodyTerms): UpstreamBody {
  const { upstreamModel, preset } = terms;
  const resumed = resumedPrompt(request, terms);
  const common: Fields = {
    model: upstreamModel,
    ...(comesWhole(request, preset) ? { stream: false } : { stream: true, stream_options: { include_usage: true } }),
    ...samplingFields(request.sampling, terms.samplingDefaults, preset, refuse(terms)),
    ...(request.stop.length > 0 && { stop: request.stop }),
  };
  const fields = resumed.kind === 'chat' ? chatFields(request, resumed, terms) : textFields(request, resumed, terms);
  const path = resumed.kind === 'chat' ? '/chat/completions' : '/completions';
  return { path, json: JSON.stringify({ ...common, ...fields }) };
}

/** Where a stream would be refused for what is asked beside it. */
function comesWhole({ prompt, format, logprobs }: AnswerRequest, { formats, toolLogprobsWhole }: Preset): boolean {
  if (format?.kind === 'schema' && formats.schemaAlone) return true;
  return toolLogprobsWhole === true && logprobs !== undefined && prompt.kind === 'chat' && prompt.tools.length > 0;
}

type Refuse = (param: string, remedy?: string) => InferenceError;

function refuse({ presetName }: BodyTerms): Refuse {
  return (param, remedy = 'Leave it out, or choose another model.') =>
    new InferenceError(
      'unsupported_parameter',
      `\`${param}\` can't be honoured by the server behind this model (${presetName}). ${remedy}`,
      { param },
    );
}

// ---------------------------------------------------------------------------------------------------------------- chat

function chatFields(request: AnswerRequest, prompt: ChatPrompt, terms: BodyTerms): Fields {
  const { preset } = terms;
  const limit = answerLimit(request, terms);
  return {
    messages: prompt.messages.map((message) => wordedMessage(message, preset)),
    ...(limit !== undefined && { [preset.maxTokens]: limit }),
    ...toolFields(prompt, terms),
    ...formatFields(request, terms),
    ...templateFields(prompt, terms),
    ...chatLogprobs(request, terms),
  };
}

function toolFields({ tools, toolChoice, parallelCalls }: ChatPrompt, terms: BodyTerms): Fields {
  const { choices, parallel } = terms.preset.tools;
  if (tools.length === 0) return {};
  const parallelField = parallelCalls !== undefined && parallel ? { parallel_tool_calls: parallelCalls } : {};
  if (toolChoice === undefined || toolChoice === 'auto') return { tools, ...parallelField };
  if (toolChoice === 'none') return choices === 'auto' ? {} : { tools, tool_choice: 'none', ...parallelField };
  if (choices === 'auto') throw cannotDemand(terms.presetName);
  if (toolChoice === 'required') return { tools, tool_choice: 'required', ...parallelField };
  if (choices === 'named') {
    return { tools, tool_choice: { type: 'function', function: { name: toolChoice.name } }, ...parallelField };
  }
  // Whoever must call a tool, and has but one, calls that one.
  return { tools: tools.filter((tool) => nameOf(tool) === toolChoice.name), tool_choice: 'required', ...parallelField };
}

function nameOf(tool: Readonly<Fields>): unknown {
  return (tool.function as Fields | undefined)?.name;
}

function cannotDemand(presetName: string): InferenceError {
  return new InferenceError(
    'tools_not_supported',
    `The server behind this model (${presetName}) can't be made to call a tool: \`tool_choice\` may be auto or none. Choose one of these, or another model.`,
    { param: 'tool_choice' },
  );
}

function templateFields(prompt: ChatPrompt, terms: BodyTerms): Fields {
  const { chat } = terms.preset;
  const refused = refuse(terms);
  const variables: Fields = { ...prompt.templateVariables };
  if (Object.keys(variables).length > 0 && !chat.templateVariables) throw refused('chat_template_kwargs');
  const fields: Fields = {};
  if (prompt.documents !== undefined && prompt.documents.length > 0) {
    if (chat.documents === undefined) throw refused('documents', 'Put them into a message, or choose another model.');
    (chat.documents === 'documents' ? fields : variables).documents = prompt.documents;
  }
  if (prompt.reasoningEffort !== undefined) {
    if (chat.reasoningEffort === undefined) throw refused('reasoning_effort');
    const place = chat.reasoningEffort === 'reasoning_effort' ? fields : variables;
    if (place === variables) variables.enable_thinking ??= prompt.reasoningEffort !== 'none';
    place.reasoning_effort ??= prompt.reasoningEffort;
  }
  if (prompt.continueFinal) {
    if (!chat.continueFinal) throw refused('continue_final_message');
    fields.continue_final_message = true;
    fields.add_generation_prompt = false;
  }
  return { ...fields, ...(Object.keys(variables).length > 0 && { chat_template_kwargs: variables }) };
}

function chatLogprobs({ logprobs }: AnswerRequest, terms: BodyTerms): Fields {
  if (logprobs === undefined) return {};
  checkLogprobs(logprobs, terms.preset.logprobsMax?.chat, logprobs === 0 ? 'logprobs' : 'top_logprobs', terms);
  return { logprobs: true, top_logprobs: logprobs };
}

// ---------------------------------------------------------------------------------------------------------------- text

function textFields(request: AnswerRequest, prompt: Exclude<Prompt, ChatPrompt>, terms: BodyTerms): Fields {
  const { text, textLimitNull } = terms.preset;
  const refused = refuse(terms);
  if (!text.completions) {
    const said = `The server behind this model (${terms.presetName}) continues no texts. Use POST /v1/chat/completions.`;
    throw new InferenceError('generation_not_supported', said, { param: 'model' });
  }
  if (prompt.kind === 'tokens' && !text.tokens) throw refused('prompt', 'Send it as a text, and not as tokens.');
  if (request.echo && prompt.kind === 'tokens' && terms.preset.tokens === undefined) throw refused('echo');
  const suffix = prompt.kind === 'text' ? prompt.suffix : undefined;
  if (suffix !== undefined && !text.suffix) {
    throw new InferenceError(
      'infill_not_supported',
      `The server behind this model (${terms.presetName}) fills no gaps. Leave \`suffix\` out.`,
      { param: 'suffix' },
    );
  }
  const limit = answerLimit(request, terms) ?? (textLimitNull ? null : undefined);
  return {
    prompt: prompt.kind === 'text' ? prompt.text : prompt.tokens,
    ...(suffix !== undefined && { suffix }),
    ...(limit !== undefined && { max_tokens: limit }),
    ...formatFields(request, terms),
    ...textLogprobs(request, terms),
  };
}

function textLogprobs({ logprobs, echo }: AnswerRequest, terms: BodyTerms): Fields {
  if (logprobs === undefined) return {};
  // The prompt is echoed here, and its log-probabilities nobody told us.
  if (echo) throw refuse(terms)('echo', 'Ask for it without `logprobs`, or choose another model.');
  checkLogprobs(logprobs, terms.preset.logprobsMax?.text, 'logprobs', terms);
  return { logprobs };
}

// -------------------------------------------------------------------------------------------------------------- both

function answerLimit(request: AnswerRequest, terms: BodyTerms): number | undefined {
  const limit = request.maxTokens ?? terms.maxTokensDefault;
  if (limit === 0) throw refuse(terms)('max_tokens', 'Ask for at least 1.');
  return limit === undefined ? undefined : Math.max(1, limit - tokensOf(request.resume));
}

/** Tokens that an earlier attempt has delivered. */
export function tokensOf(resume: AnswerRequest['resume']): number {
  return (resume?.tokens.length ?? 0) + (resume?.unnumbered ?? 0);
}

function checkLogprobs(asked: number, most: number | undefined, param: string, terms: BodyTerms): void {
  if (most === undefined) throw refuse(terms)(param);
  if (asked <= most) return;
  throw refuse(terms)(param, `It is ${asked}, and ${most} is the most there. Ask for fewer.`);
}

function formatFields(request: AnswerRequest, terms: BodyTerms): Fields {
  const { format } = request;
  const { formats } = terms.preset;
  const refused = refuse(terms);
  if (format === undefined) return {};
  if (format.kind === 'json') {
    if (formats.json) return { response_format: { type: 'json_object' } };
    // A schema that any object obeys.
    if (formats.schema) return { response_format: schemaFormat({ type: 'object' }) };
    throw refused('response_format');
  }
  if (format.kind === 'schema') {
    if (!formats.schema) throw refused('response_format');
    if (formats.schemaAlone && request.prompt.kind === 'chat' && request.prompt.tools.length > 0) {
      throw refused('response_format', 'There it goes without `tools` only. Leave one of them out.');
    }
    if (format.schema === false) throw refused('response_format', 'Its schema allows nothing. Send another.');
    return { response_format: schemaFormat(format.schema === true ? {} : format.schema) };
  }
  const { grammar } = format;
  switch (formats.grammar) {
    case 'grammar':
      return { grammar };
    case 'structured_outputs':
      return { structured_outputs: { grammar } };
    case 'response_format':
      return { response_format: { type: 'grammar', grammar } };
    default:
      throw refused('grammar');
  }
}

function schemaFormat(schema: Readonly<Fields>): Fields {
  return { type: 'json_schema', json_schema: { name: 'answer', strict: true, schema } };
}

/**
 * The prompt with what an earlier attempt has delivered behind it. The tokens are cut anew there, so the answer need not be
 * what it would have been undisturbed; it goes on in the middle of the word, and that is what counts.
 *
 * Not within a thought or a call, which no server takes the beginning of; nor where a format binds the answer, since the
 * server would begin with its first character again.
 */
function resumedPrompt({ prompt, format, resume }: AnswerRequest, { preset, presetName }: BodyTerms): Prompt {
  if (resume === undefined) return prompt;
  const { text, reasoning, calls, citations, tokens } = resume;
  const textOnly = !reasoning && !calls?.length && !citations;
  // Of what was delivered the caller has seen nothing.
  if (textOnly && text === '') return prompt;
  const goesOn = textOnly && format === undefined ? withText(prompt, text, tokens, preset) : undefined;
  if (goesOn !== undefined) return goesOn;
  throw new InferenceError(
    'answer_broken_off',
    `The answer broke off, and the server behind this model (${presetName}) can't go on with it. Send the request again; docs/concepts/survival.md says which answers go on elsewhere.`,
  );
}

/** Undefined where the server can't be given the beginning of an answer. */
function withText(prompt: Prompt, text: string, tokens: readonly number[], { chat }: Preset): Prompt | undefined {
  if (prompt.kind === 'text') return prompt.suffix === undefined ? { ...prompt, text: prompt.text + text } : undefined;
  if (prompt.kind === 'tokens') {
    return tokens.length > 0 ? { ...prompt, tokens: [...prompt.tokens, ...tokens] } : undefined;
  }
  if (!chat.continueFinal || prompt.tools.length > 0) return undefined;
  const last = prompt.messages.at(-1);
  if (!prompt.continueFinal) return withMessage(prompt, prompt.messages, text);
  return typeof last?.content === 'string'
    ? withMessage(prompt, prompt.messages.slice(0, -1), last.content + text)
    : undefined;
}

function withMessage(prompt: ChatPrompt, before: ChatPrompt['messages'], content: string): ChatPrompt {
  return { ...prompt, continueFinal: true, messages: [...before, { role: 'assistant', content }] };
}
