import * as z from 'zod';
import { EFFORTS_ASKED } from '../engine.js';
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
const otherPart = z.looseObject({
  type: z.enum(['image_url', 'input_audio', 'file', 'video_url', 'input_video', 'audio_url']),
});

/**
 * Far beyond any conversation that was seen. Zod looks at the length of a list before it looks at its items, so a list of
 * millions costs one comparison.
 */
export const CONTENT_PARTS_MAX = 1_000;
export const TOOL_CALLS_MAX = 128;
export const CALL_ID_LENGTH_MAX = 512;
/** Of a call's arguments, which a model wrote and a client sends back: they need not be JSON. */
export const CALL_ARGUMENTS_LENGTH_MAX = 1_000_000;
export const TOOLS_MAX = 128;
export const TOOL_KEYS_MAX = 1_000;
const TEMPLATE_VARIABLES_MAX = 1_000;
export const DOCUMENTS_MAX = 1_000;
const DOCUMENT_KEYS_MAX = 100;

const partsOf = <P extends z.ZodType>(part: P) => z.array(part).min(1).max(CONTENT_PARTS_MAX);

const textContent = z.union([z.string(), partsOf(textPart)]);

export const callId = z.string().min(1, { abort: true }).max(CALL_ID_LENGTH_MAX);

export const functionCallSchema = z.object({
  name: z.string().min(1, { abort: true }).max(CALL_ID_LENGTH_MAX),
  arguments: z.string().max(CALL_ARGUMENTS_LENGTH_MAX),
});

export const toolCallSchema = z.object({ id: callId, type: z.literal('function'), function: functionCallSchema });

const name = z.string().nullish();

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
    tool_calls: z.array(toolCallSchema).max(TOOL_CALLS_MAX).nullish(),
    /** Of the form with `functions`. */
    function_call: functionCallSchema.nullish(),
    reasoning_content: z.string().nullish(),
    /** Another name of the same, which some servers give it. */
    reasoning: z.string().nullish(),
    name,
  }),
  z.object({ role: z.literal('tool'), content: textContent, tool_call_id: callId, name }),
  /** Of the form with `functions`. */
  z.object({ role: z.literal('function'), content: z.string().nullish(), name: functionCallSchema.shape.name }),
]);

export const functionName = z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/, {
  error: 'must be 1 to 64 letters, digits, underscores or dashes',
});

const functionSchema = z.object({
  name: functionName,
  description: z.string().nullish(),
  parameters: recordOf(TOOL_KEYS_MAX).nullish(),
});

const toolSchema = z.object({
  type: z.literal('function'),
  function: functionSchema.extend({ strict: z.boolean().nullish() }),
});

const namedTool = z.object({ type: z.literal('function'), function: z.object({ name: z.string() }) });

const toolChoice = z
  .union([
    z.enum(['none', 'auto', 'required']),
    z.discriminatedUnion('type', [
      namedTool,
      z.object({
        type: z.literal('allowed_tools'),
        allowed_tools: z.object({
          mode: z.enum(['auto', 'required']),
          tools: z.array(namedTool).min(1).max(TOOLS_MAX),
        }),
      }),
    ]),
  ])
  .nullish();

export const documentsSchema = z
  .array(z.union([z.string(), recordOf(DOCUMENT_KEYS_MAX)]))
  .max(DOCUMENTS_MAX)
  .nullish();

/** What makes the prompt, and how much of it may be an answer. */
export const chatPromptFields = {
  messages: z.array(chatMessageSchema).min(1).max(10_000),
  tools: z.array(toolSchema).max(TOOLS_MAX).nullish(),
  tool_choice: toolChoice,
  parallel_tool_calls: z.boolean().nullish(),
  functions: z.array(functionSchema).max(TOOLS_MAX).nullish(),
  function_call: z.union([z.enum(['none', 'auto']), z.object({ name: z.string() })]).nullish(),
  documents: documentsSchema,
  chat_template_kwargs: recordOf(TEMPLATE_VARIABLES_MAX).nullish(),
  reasoning_effort: z.enum(EFFORTS_ASKED).nullish(),
  continue_final_message: z.boolean().nullish(),
  add_generation_prompt: z.boolean().nullish(),
};

export const chatRequestSchema = z
  .object({
    ...generationFields,
    ...chatPromptFields,
    max_tokens: maxTokens,
    max_completion_tokens: maxTokens,
    logprobs: z.boolean().nullish(),
    top_logprobs: z.int().min(0).max(TOP_LOGPROBS_MAX).nullish(),
    store: z.boolean().nullish(),
    metadata,
    service_tier: z.enum(['auto', 'default', 'flex', 'scale', 'priority', 'fast']).nullish(),
  })
  .meta({ id: 'CreateChatCompletionRequest' });

export type ChatRequestBody = z.infer<typeof chatRequestSchema>;
export type ChatMessage = z.infer<typeof chatMessageSchema>;
/** Of the fields of a request, those that make its prompt. */
export type ChatPromptBody = Pick<ChatRequestBody, keyof typeof chatPromptFields>;

/** What becomes of `chatPromptFields`. */
export const CHAT_PROMPT_PARAMETERS = {
  messages: {
    status: 'supported',
    note: 'Text parts are joined, a line each. Image, audio and file parts are a 400 that names the part. Every tool call must be answered by a `tool` message before the next other message. An assistant’s `reasoning_content` (or `reasoning`) goes to the template.',
  },
  tools: {
    status: 'supported',
    note: `Functions, up to ${TOOLS_MAX}, each with a name of its own. Arguments always obey their schema; docs/reference/structured-output.md lists the keywords.`,
  },
  tool_choice: {
    status: 'supported',
    note: '`auto`, `none` (the tools leave the prompt), `required`, a function by its name, or `{"type": "allowed_tools", …}`, which narrows the tools.',
  },
  parallel_tool_calls: { status: 'supported', note: 'Whether one answer may call several times. Left out: yes.' },
  functions: {
    status: 'supported',
    note: `What \`tools\` were called before; not together with them. Up to ${TOOLS_MAX}; an empty list is none, as one of \`tools\` is. The answer calls one of them at most, has the call as \`function_call\`, and ends with \`function_call\`. A message with the role \`function\` answers the call of the message before it.`,
  },
  function_call: { status: 'supported', note: 'Of `functions`: `auto`, `none`, or `{"name": …}`.' },
  documents: {
    status: 'supported',
    note: `An extension, as at vLLM: up to ${DOCUMENTS_MAX.toLocaleString('en')} texts, or objects such as \`{"title": …, "text": …}\`, that the answer should be grounded in. What the model cites comes back as \`annotations\`.`,
  },
  chat_template_kwargs: {
    status: 'supported',
    note: 'An extension: further variables for the chat template. `documents` may stand in it, as at llama-server; what has a parameter of its own may not.',
  },
  reasoning_effort: {
    status: 'supported',
    note: 'How much a model that reasons should do so; `none` turns it off where its template can, `max` is `xhigh`. Others ignore it.',
  },
  continue_final_message: {
    status: 'supported',
    note: 'An extension, as at vLLM: the answer goes on with the last message, which must be the assistant’s and have text. The answer begins behind it.',
  },
  add_generation_prompt: {
    status: 'supported',
    note: 'An extension: `false` only together with `continue_final_message`, and `true` only without.',
  },
} as const satisfies ParameterTable;

/** Every parameter of OpenAI's reference, and ours: what happens to it. docs/reference/openai-compatibility.md is made from it. */
export const CHAT_PARAMETERS = {
  ...CHAT_PROMPT_PARAMETERS,
  ...GENERATION_PARAMETERS,
  max_tokens: { status: 'supported' },
  max_completion_tokens: { status: 'supported', note: 'Wins over `max_tokens`.' },
  logprobs: { status: 'supported', note: 'Before penalties, biases, grammar and sampling change them.' },
  top_logprobs: { status: 'supported', note: `0 to ${TOP_LOGPROBS_MAX}, with \`logprobs\`: true.` },
  response_format: { status: 'supported', note: FORMAT_NOTES.response_format },
  grammar: { status: 'supported', note: FORMAT_NOTES.grammar },
  audio: { status: 'refused', note: 'Text only.' },
  modalities: { status: 'refused', note: 'Models here answer in text: only `["text"]`.', allows: [['text']] },
  prediction: { status: 'ignored', note: 'A hint for speed only.' },
  web_search_options: { status: 'refused', note: 'There is no web search.' },
  moderation: {
    status: 'refused',
    note: 'Nothing is held back here on its account: ask `/v1/moderations` before and behind the answer.',
  },
  store: {
    status: 'supported',
    note: 'Keeps the answer, its messages and its metadata for `storedChatDays`; `GET /v1/chat/completions` lists what is kept. Left out: no.',
  },
  metadata: {
    status: 'supported',
    note: 'Up to 16 texts, by which stored answers are found. Without `store` it is checked and forgotten.',
  },
  safety_identifier: { status: 'ignored' },
  service_tier: {
    status: 'supported',
    note: '`flex` runs after everything that is not, and by the queue of a pool where one serves the model. Everything else is `default`. The answer, and each piece of a stream, says which of the two it was.',
  },
  verbosity: { status: 'ignored', note: 'No template here knows it.' },
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

const serviceTier = z
  .enum(['default', 'flex'])
  .optional()
  .meta({ description: 'How it was run. Answers that were stored long ago may lack it.' });

const calledFunction = z.object({ name: z.string(), arguments: z.string() });

/** What is cited has no address of its own unless its document has a `url`. */
const annotation = z
  .object({
    type: z.literal('url_citation'),
    url_citation: z.object({ start_index: z.int(), end_index: z.int(), title: z.string(), url: z.string() }),
  })
  .meta({
    description: 'A passage of the content, counted in code points, and the document or tool result that it is from.',
  });

const reasoningContent = z.string().meta({ description: 'An extension: what the model thought before.' });

const chatCompletion = z.object({
  id: z.string(),
  object: z.literal('chat.completion'),
  created: z.int(),
  model: z.string(),
  service_tier: serviceTier,
  choices: z.array(
    z.object({
      index: z.int(),
      message: z.object({
        role: z.literal('assistant'),
        content: z.string().nullable(),
        refusal: z.string().nullable(),
        reasoning_content: reasoningContent.optional(),
        tool_calls: z
          .array(z.object({ id: z.string(), type: z.literal('function'), function: calledFunction }))
          .optional(),
        function_call: calledFunction.optional().meta({ description: 'In place of `tool_calls`, for `functions`.' }),
        annotations: z.array(annotation).optional(),
      }),
      logprobs,
      finish_reason: finishReason,
    }),
  ),
  usage,
  system_fingerprint: z.string(),
});

export const chatCompletionSchema = chatCompletion.meta({ id: 'CreateChatCompletionResponse' });

/** The first piece of a call says whose it is, all others only go on with the arguments. */
const callDelta = z.union([
  z.strictObject({ index: z.int(), id: z.string(), type: z.literal('function'), function: calledFunction }),
  z.strictObject({ index: z.int(), function: z.strictObject({ arguments: z.string() }) }),
]);

const functionCallDelta = z.union([calledFunction.strict(), z.strictObject({ arguments: z.string() })]);

export const chatChunkSchema = z
  .object({
    id: z.string(),
    object: z.literal('chat.completion.chunk'),
    created: z.int(),
    model: z.string(),
    service_tier: serviceTier,
    system_fingerprint: z.string(),
    choices: z.array(
      z.object({
        index: z.int(),
        delta: z.object({
          role: z.literal('assistant').optional(),
          content: z.string().nullable().optional(),
          refusal: z.string().nullable().optional(),
          reasoning_content: reasoningContent.optional(),
          tool_calls: z.array(callDelta).optional(),
          function_call: functionCallDelta.optional(),
          annotations: z.array(annotation).optional(),
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
export type ChatCallDelta = z.infer<typeof callDelta>;
export type ChatAnnotation = z.infer<typeof annotation>;
export type ChatTokenLogprob = z.infer<typeof tokenLogprob>;
