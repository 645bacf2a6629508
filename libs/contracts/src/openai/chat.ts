import * as z from 'zod';
import {
  FORMAT_NOTES,
  GENERATION_PARAMETERS,
  generationFields,
  maxTokens,
  metadata,
  type ParameterTable,
  recordOf,
  TOP_LOGPROBS_MAX,
  usage,
} from './fields.js';

/** OpenAI's chat completions: https://platform.openai.com/docs/api-reference/chat. Types are inferred, never written twice. */

const textPart = z.object({ type: z.literal('text'), text: z.string() });
const refusalPart = z.object({ type: z.literal('refusal'), refusal: z.string() });
/** Parts that a text model cannot read; accepted by the schema so that the refusal can name them. */
const otherPart = z.looseObject({ type: z.enum(['image_url', 'input_audio', 'file']) });

/**
 * Far beyond any conversation that was seen. Zod looks at the length of a list before it looks at its items, so a list of
 * millions costs one comparison.
 */
const CONTENT_PARTS_MAX = 1_000;
const TOOL_CALLS_MAX = 128;
const TOOL_KEYS_MAX = 1_000;
const TEMPLATE_VARIABLES_MAX = 1_000;

const partsOf = <P extends z.ZodType>(part: P) => z.array(part).min(1).max(CONTENT_PARTS_MAX);

const textContent = z.union([z.string(), partsOf(textPart)]);

const toolCall = z.object({
  id: z.string(),
  type: z.literal('function'),
  function: z.object({ name: z.string().min(1, { abort: true }), arguments: z.string() }),
});

const name = z.string().optional();

export const chatMessageSchema = z.discriminatedUnion('role', [
  z.object({ role: z.literal('system'), content: textContent, name }),
  z.object({ role: z.literal('developer'), content: textContent, name }),
  z.object({
    role: z.literal('user'),
    content: z.union([z.string(), partsOf(z.discriminatedUnion('type', [textPart, otherPart]))]),
    name,
  }),
  z.object({
    role: z.literal('assistant'),
    content: z.union([z.string(), partsOf(z.discriminatedUnion('type', [textPart, refusalPart])), z.null()]).optional(),
    refusal: z.string().nullish(),
    tool_calls: z.array(toolCall).max(TOOL_CALLS_MAX).optional(),
    name,
  }),
  z.object({ role: z.literal('tool'), content: textContent, tool_call_id: z.string() }),
]);

const toolSchema = z.object({
  type: z.literal('function'),
  function: z.object({
    name: z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/, {
      error: 'must be 1 to 64 letters, digits, underscores or dashes',
    }),
    description: z.string().optional(),
    parameters: recordOf(TOOL_KEYS_MAX).optional(),
    strict: z.boolean().nullish(),
  }),
});

export const chatRequestSchema = z
  .object({
    ...generationFields,
    messages: z.array(chatMessageSchema).min(1).max(10_000),
    max_tokens: maxTokens,
    max_completion_tokens: maxTokens,
    logprobs: z.boolean().nullish(),
    top_logprobs: z.int().min(0).max(TOP_LOGPROBS_MAX).nullish(),
    tools: z.array(toolSchema).max(128).nullish(),
    tool_choice: z.enum(['none', 'auto']).nullish(),
    chat_template_kwargs: recordOf(TEMPLATE_VARIABLES_MAX).nullish(),
    metadata,
  })
  .meta({ id: 'CreateChatCompletionRequest' });

export type ChatRequestBody = z.infer<typeof chatRequestSchema>;
export type ChatMessage = z.infer<typeof chatMessageSchema>;

/** Every parameter of OpenAI's reference, and ours: what happens to it. docs/reference/openai-compatibility.md is made from it. */
export const CHAT_PARAMETERS = {
  messages: {
    status: 'supported',
    note: 'Text parts are joined, a line each. Image, audio and file parts are a 400 that names the part.',
  },
  ...GENERATION_PARAMETERS,
  max_tokens: { status: 'supported' },
  max_completion_tokens: { status: 'supported', note: 'Wins over `max_tokens`.' },
  logprobs: { status: 'supported', note: 'Before penalties, biases, grammar and sampling change them.' },
  top_logprobs: { status: 'supported', note: `0 to ${TOP_LOGPROBS_MAX}, with \`logprobs\`: true.` },
  response_format: { status: 'supported', note: FORMAT_NOTES.response_format },
  grammar: { status: 'supported', note: FORMAT_NOTES.grammar },
  tools: {
    status: 'supported',
    note: "Rendered by the model's own template. A call comes back as the text that the model wrote; it is not parsed yet.",
  },
  tool_choice: {
    status: 'refused',
    note: 'Only `auto` and `none` for now; `none` leaves the tools out of the prompt.',
    allows: ['auto', 'none'],
  },
  parallel_tool_calls: { status: 'ignored', note: 'The model decides.' },
  chat_template_kwargs: { status: 'supported', note: 'An extension: further variables for the chat template.' },
  reasoning_effort: { status: 'ignored', note: 'No reasoning model is recognised yet.' },
  functions: { status: 'refused', note: 'Use `tools`.' },
  function_call: { status: 'refused', note: 'Use `tools`.' },
  audio: { status: 'refused', note: 'Text only.' },
  modalities: { status: 'refused', note: 'Only `["text"]`.', allows: [['text']] },
  prediction: { status: 'ignored', note: 'A hint for speed only.' },
  web_search_options: { status: 'refused', note: 'There is no web search.' },
  moderation: { status: 'refused', note: 'Not yet.' },
  store: { status: 'refused', note: 'Answers are not stored; only `false`.', allows: [false] },
  metadata: { status: 'ignored', note: 'Accepted and checked; not stored yet.' },
  safety_identifier: { status: 'ignored' },
  service_tier: { status: 'ignored', note: 'There is one tier.' },
  verbosity: { status: 'ignored' },
  prompt_cache_key: { status: 'ignored', note: 'A hint for speed only.' },
  prompt_cache_options: { status: 'ignored', note: 'A hint for speed only.' },
  prompt_cache_retention: { status: 'ignored', note: 'A hint for speed only.' },
} as const satisfies ParameterTable;

// ------------------------------------------------------------------------------------------------------- answers

const finishReason = z.enum(['stop', 'length', 'tool_calls', 'content_filter', 'function_call']);

const chance = z.object({ token: z.string(), logprob: z.number(), bytes: z.array(z.int()).nullable() });
const tokenLogprob = chance.extend({ top_logprobs: z.array(chance) });

/** A token that is no whole character is written with `\\xf0` for each byte that belongs to none; `bytes` is exact. */
const logprobs = z
  .object({ content: z.array(tokenLogprob), refusal: z.null() })
  .nullable()
  .meta({ description: 'Null unless they were asked for.' });

export const chatCompletionSchema = z
  .object({
    id: z.string(),
    object: z.literal('chat.completion'),
    created: z.int(),
    model: z.string(),
    choices: z.array(
      z.object({
        index: z.int(),
        message: z.object({
          role: z.literal('assistant'),
          content: z.string().nullable(),
          refusal: z.string().nullable(),
        }),
        logprobs,
        finish_reason: finishReason,
      }),
    ),
    usage,
    system_fingerprint: z.string(),
  })
  .meta({ id: 'CreateChatCompletionResponse' });

export const chatChunkSchema = z
  .object({
    id: z.string(),
    object: z.literal('chat.completion.chunk'),
    created: z.int(),
    model: z.string(),
    system_fingerprint: z.string(),
    choices: z.array(
      z.object({
        index: z.int(),
        delta: z.object({
          role: z.literal('assistant').optional(),
          content: z.string().nullable().optional(),
          refusal: z.string().nullable().optional(),
        }),
        logprobs,
        finish_reason: finishReason.nullable(),
      }),
    ),
    usage: usage.nullable().optional(),
  })
  .meta({ id: 'CreateChatCompletionStreamResponse' });

export type ChatCompletion = z.infer<typeof chatCompletionSchema>;
export type ChatChunk = z.infer<typeof chatChunkSchema>;
export type ChatTokenLogprob = z.infer<typeof tokenLogprob>;
