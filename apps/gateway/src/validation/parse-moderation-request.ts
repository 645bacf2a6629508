import {
  InferenceError,
  MODERATION_PARAMETERS,
  type ModerationRequestBody,
  moderationRequestSchema,
} from '@millrace/contracts';
import type { ChatPrompt, ValidChatRequest, ValidRequest } from '../vocabulary.js';
import { checkBody } from './check-body.js';
import { conversationChance } from './conversation-chance.js';
import type { ModelCatalog, Route } from './model-catalog.js';

/** What OpenAI's clients name where they want the service's own. */
const OPENAIS_MODELS = /^(omni|text)-moderation-/;
/** A verdict and all categories; whoever says more gives none. */
const VERDICT_TOKENS_MAX = 64;
/** The likeliest beside the verdict: `safe` or `unsafe` is among them. */
const LIKELIEST = 5;

export interface ValidModerationRequest extends ValidChatRequest {
  /** The model is the one of the setting, and not one that the caller named. */
  readonly isConfigured: boolean;
}

/**
 * The body of POST /v1/moderations: unknown before, valid after. Each text is a conversation of its own, of which the model says what it
 * thinks of it.
 *
 * @param configured the setting `moderationModel`.
 */
export function parseModerationRequest(
  body: unknown,
  models: ModelCatalog,
  configured: string | undefined,
): ValidModerationRequest {
  const request = checkBody(body, MODERATION_PARAMETERS, moderationRequestSchema);
  const prompts = textsOf(request).map(promptOf);
  const valid: ValidRequest & Pick<ValidModerationRequest, 'isConfigured'> = {
    ...routeOf(request, (name) => models.route(name, 'chat', conversationChance(prompts[0]!)), configured),
    prompts,
    n: 1,
    bestOf: 1,
    sampling: { temperature: 0 },
    maxTokens: VERDICT_TOKENS_MAX,
    logprobs: LIKELIEST,
    exact: true,
    stop: [],
    stream: false,
    includeUsage: false,
  };
  return valid as ValidModerationRequest;
}

/** One of OpenAI's names may be an alias here, and then means that. */
function routeOf(
  { model }: ModerationRequestBody,
  routeTo: (name: string) => Route,
  configured: string | undefined,
): Route & Pick<ValidModerationRequest, 'isConfigured'> {
  try {
    if (model) return { ...routeTo(model), isConfigured: false };
  } catch (error) {
    const isUnknown = error instanceof InferenceError && error.code === 'model_not_found';
    if (!isUnknown || !OPENAIS_MODELS.test(model!)) throw error;
  }
  if (configured === undefined) throw noModel();
  try {
    return { ...routeTo(configured), isConfigured: true };
  } catch (error) {
    throw error instanceof InferenceError ? asConfigured(error) : error;
  }
}

/** The caller has not named it. */
function asConfigured({ code, message, details }: InferenceError): InferenceError {
  const said = `${message} It is the one that \`moderationModel\` names here; name another as \`model\`, or have that setting corrected.`;
  return new InferenceError(code, said, { ...details, param: undefined });
}

function textsOf({ input }: ModerationRequestBody): readonly string[] {
  if (typeof input === 'string') return [input];
  const texts = input.filter((one) => typeof one === 'string');
  if (texts.length === input.length) return texts;
  if (texts.length > 0) throw textsAndParts();
  return [input.map((part, index) => partText(part as Part, index)).join('\n')];
}

interface Part {
  readonly type: string;
  readonly text?: unknown;
}

function partText({ type, text }: Part, index: number): string {
  if (type === 'text') return text as string;
  throw new InferenceError(
    'unsupported_parameter',
    `\`input[${index}]\` is of type ${type}; only text is judged here. Send parts of type text.`,
    { param: `input[${index}]` },
  );
}

function textsAndParts(): InferenceError {
  return new InferenceError(
    'invalid_request',
    '`input` has both texts and parts. Send a list of texts, each of which is judged by itself, or one of parts, which are judged together.',
    { param: 'input' },
  );
}

function promptOf(content: string): ChatPrompt {
  return { kind: 'chat', messages: [{ role: 'user', content }], tools: [], templateVariables: {} };
}

function noModel(): InferenceError {
  return new InferenceError(
    'moderation_not_supported',
    'No model is configured that judges texts. Set `moderationModel` to one that does, such as a Llama Guard, or name it as `model`; docs/how-to/moderation.md says how.',
    { param: 'model' },
  );
}
