import { type AnswerRequest, InferenceError, type Prompt, type Sampling } from '@millrace/contracts';
import type * as protocol from '@millrace/contracts/protocol';

/** OpenAI's limit; more would cost time at every character. */
const STOPS_MAX = 4;
const STOP_CHARACTERS_MAX = 4_096;

/** Inclusive, save `topP`, which must be above its lowest. */
const RANGES = {
  temperature: [0, 2],
  topP: [0, 1],
  minP: [0, 1],
  presencePenalty: [-2, 2],
  frequencyPenalty: [-2, 2],
} as const satisfies Partial<Record<keyof Sampling, readonly [number, number]>>;

const WIRE_NAMES = {
  temperature: 'temperature',
  topP: 'top_p',
  minP: 'min_p',
  presencePenalty: 'presence_penalty',
  frequencyPenalty: 'frequency_penalty',
} as const satisfies Record<keyof typeof RANGES, string>;

/**
 * A gateway's Start as the engine takes it.
 *
 * The gateway has validated all this; it is checked again because a NaN or a fifth of a million stop texts from a
 * gateway with a bug would hurt every sequence of the step.
 *
 * @throws InferenceError naming the field.
 */
export function toAnswerRequest(start: protocol.Start): AnswerRequest {
  if (start.creditTokens === 0) {
    throw new InferenceError('internal_error', 'The gateway asked for an answer without credit to send any of it.');
  }
  return {
    requestId: start.requestId,
    model: start.model,
    prompt: promptOf(start.prompt),
    sampling: checkedSampling(start.sampling ?? {}),
    maxTokens: start.maxTokens || undefined,
    stop: checkedStops(start.stop),
    resume: start.resumeTokenIds.length > 0 ? { tokens: start.resumeTokenIds, text: start.resumeText } : undefined,
    deadlineMs: start.deadlineMs || undefined,
    priority: start.priority,
  };
}

function promptOf(prompt: protocol.Start['prompt']): Prompt {
  switch (prompt?.$case) {
    case 'text':
      return { kind: 'text', text: prompt.value };
    case 'tokens':
      return { kind: 'tokens', tokens: prompt.value.ids };
    case 'chat':
      return {
        kind: 'chat',
        messages: objectsIn(prompt.value.messagesJson, 'messages'),
        tools: objectsIn(prompt.value.toolsJson, 'tools'),
        templateVariables: objectIn(prompt.value.templateVariablesJson, 'chat_template_kwargs'),
      };
    default:
      throw new InferenceError('invalid_request', 'The request has no prompt. Send messages, a text or tokens.', {
        param: 'prompt',
      });
  }
}

type JsonObject = Readonly<Record<string, unknown>>;

function objectsIn(json: string, param: string): readonly JsonObject[] {
  const value = json === '' ? [] : parsed(json, param);
  if (Array.isArray(value) && value.every(isObject)) return value;
  throw new InferenceError('invalid_request', `${param} must be an array of objects.`, { param });
}

function objectIn(json: string, param: string): JsonObject {
  const value = json === '' ? {} : parsed(json, param);
  if (isObject(value)) return value;
  throw new InferenceError('invalid_request', `${param} must be an object.`, { param });
}

function parsed(json: string, param: string): unknown {
  try {
    return JSON.parse(json);
  } catch (cause) {
    throw new InferenceError('invalid_request', `${param} is not JSON.`, { param, cause });
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function checkedSampling(sampling: Sampling): Sampling {
  for (const [name, [lowest, highest]] of Object.entries(RANGES) as [
    keyof typeof RANGES,
    readonly [number, number],
  ][]) {
    const value = sampling[name];
    // NaN is in no range, so the comparison must be the one that it fails.
    const inRange = value === undefined || (value >= lowest && value <= highest && !(name === 'topP' && value === 0));
    if (inRange) continue;
    const param = WIRE_NAMES[name];
    throw new InferenceError('invalid_request', `${param} is ${value}; it must be from ${lowest} to ${highest}.`, {
      param,
    });
  }
  return sampling;
}

function checkedStops(stops: readonly string[]): readonly string[] {
  const longest = Math.max(0, ...stops.slice(0, STOPS_MAX).map((stop) => stop.length));
  if (stops.length <= STOPS_MAX && longest <= STOP_CHARACTERS_MAX) return stops;
  throw new InferenceError(
    'invalid_request',
    `There are ${stops.length} stop texts, the longest of ${longest} characters; ${STOPS_MAX} of ${STOP_CHARACTERS_MAX} are allowed.`,
    { param: 'stop' },
  );
}
