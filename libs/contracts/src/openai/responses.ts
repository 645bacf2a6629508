import * as z from 'zod';
import { EFFORTS_ASKED } from '../engine.js';
import { functionName, TOOL_KEYS_MAX, TOOLS_MAX } from './chat.js';
import { jsonSchema, maxTokens, metadata, model, type ParameterTable, recordOf, TOP_LOGPROBS_MAX } from './fields.js';
import {
  inputItemSchema,
  outputItemSchema,
  outputTextPart,
  reasoningTextPart,
  responseAnnotation,
  responseLogprob,
  summaryTextPart,
} from './response-items.js';

/** OpenAI's responses: https://platform.openai.com/docs/api-reference/responses. Types are inferred, never written twice. */

/** As many as a chat may have messages. */
const INPUT_ITEMS_MAX = 10_000;
const STORES_MAX = 10;
const RESULTS_MAX = 50;
const INCLUDES_MAX = 100;
/** Searches of one response, whatever it asks for: each is a turn of the model, with a longer prompt. */
export const SEARCHES_PER_RESPONSE_MAX = 16;
const TOOL_CALLS_MAX = 10_000;
const KEPT_ID_LENGTH_MAX = 200;

/** Of what it names, this server has `file_search_call.results`, `message.output_text.logprobs` and `reasoning.encrypted_content`. */
export const INCLUDES = [
  'file_search_call.results',
  'web_search_call.results',
  'web_search_call.action.sources',
  'message.input_image.image_url',
  'computer_call_output.output.image_url',
  'code_interpreter_call.outputs',
  'reasoning.encrypted_content',
  'message.output_text.logprobs',
] as const;
export type Include = (typeof INCLUDES)[number];

const functionTool = z.object({
  type: z.literal('function'),
  name: functionName,
  description: z.string().nullish(),
  parameters: recordOf(TOOL_KEYS_MAX).nullish(),
  strict: z.boolean().nullish(),
});

const ranker = z.enum(['none', 'auto', 'default-2024-11-15']);

const rankingOptions = z.object({
  ranker: ranker.nullish(),
  score_threshold: z.number().min(0).max(1).nullish(),
  hybrid_search: recordOf(8).nullish(),
});

const fileSearchTool = z.object({
  type: z.literal('file_search'),
  vector_store_ids: z.array(z.string().min(1).max(KEPT_ID_LENGTH_MAX)).min(1).max(STORES_MAX),
  max_num_results: z.int().min(1).max(RESULTS_MAX).nullish(),
  filters: recordOf(8).nullish(),
  ranking_options: rankingOptions.nullish(),
});

const tools = z.array(z.discriminatedUnion('type', [functionTool, fileSearchTool])).max(TOOLS_MAX);

const chosenTool = z.discriminatedUnion('type', [
  z.object({ type: z.literal('function'), name: z.string() }),
  z.object({ type: z.literal('file_search') }),
]);

const toolChoice = z.union([
  z.enum(['none', 'auto', 'required']),
  z.discriminatedUnion('type', [
    ...chosenTool.options,
    z.object({
      type: z.literal('allowed_tools'),
      mode: z.enum(['auto', 'required']),
      tools: z.array(chosenTool).min(1).max(TOOLS_MAX),
    }),
  ]),
]);

const textFormat = z.discriminatedUnion('type', [
  z.object({ type: z.literal('text') }),
  z.object({ type: z.literal('json_object') }),
  z.object({
    type: z.literal('json_schema'),
    name: functionName,
    description: z.string().nullish(),
    schema: jsonSchema,
    strict: z.boolean().nullish(),
  }),
]);

const verbosity = z.enum(['low', 'medium', 'high']);
const SUMMARIES = ['auto', 'concise', 'detailed'] as const;
const summaryKind = z.enum(SUMMARIES).nullish();
const keptId = z.string().min(1).max(KEPT_ID_LENGTH_MAX);

/** What makes the prompt. */
const promptFields = {
  model,
  input: z.union([z.string(), z.array(inputItemSchema).max(INPUT_ITEMS_MAX)]).nullish(),
  instructions: z.string().nullish(),
  previous_response_id: keptId.nullish(),
  conversation: z.union([keptId, z.object({ id: keptId })]).nullish(),
  tools: tools.nullish(),
  tool_choice: toolChoice.nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  reasoning: z
    .object({
      effort: z.enum(EFFORTS_ASKED).nullish(),
      summary: summaryKind,
      generate_summary: summaryKind,
    })
    .nullish(),
  text: z.object({ format: textFormat.nullish(), verbosity: verbosity.nullish() }).nullish(),
};

export const responseRequestSchema = z
  .object({
    ...promptFields,
    background: z.boolean().nullish(),
    include: z.array(z.enum(INCLUDES)).max(INCLUDES_MAX).nullish(),
    max_output_tokens: maxTokens,
    max_tool_calls: z.int().min(1).max(TOOL_CALLS_MAX).nullish(),
    metadata,
    prompt_cache_key: z.string().nullish(),
    safety_identifier: z.string().nullish(),
    service_tier: z.enum(['auto', 'default', 'flex', 'scale', 'priority', 'fast', 'ultrafast']).nullish(),
    store: z.boolean().nullish(),
    stream: z.boolean().nullish(),
    stream_options: z.object({ include_obfuscation: z.boolean().nullish() }).nullish(),
    temperature: z.number().min(0).max(2).nullish(),
    top_logprobs: z.int().min(0).max(TOP_LOGPROBS_MAX).nullish(),
    top_p: z.number().gt(0).max(1).nullish(),
    user: z.string().nullish(),
  })
  .meta({ id: 'CreateResponseRequest' });

export const inputTokensRequestSchema = z.object(promptFields).meta({ id: 'CountInputTokensRequest' });

export type ResponseRequestBody = z.infer<typeof responseRequestSchema>;
export type InputTokensRequestBody = z.infer<typeof inputTokensRequestSchema>;
export type ResponseTool = z.infer<typeof tools>[number];
export type ResponseToolChoice = z.infer<typeof toolChoice>;
export type ResponseTextFormat = z.infer<typeof textFormat>;

/** What becomes of `promptFields`. */
const PROMPT_PARAMETERS = {
  model: {
    status: 'supported',
    note: 'May be left out: the default model answers if it can, or the only one that can.',
  },
  input: {
    status: 'supported',
    note: 'A text, or items: messages, `function_call`, `function_call_output`, `reasoning`, `file_search_call` and `item_reference`. Any other item is a 400 that names it, and so is an image, an audio or a file in a message. Every `function_call` must have a `function_call_output` behind it. An empty text is a message without words, as in a chat; a list without a message is a 400, unless there is one in what the response goes on from. `annotations`, `logprobs`, `phase` and `encrypted_content` are checked and kept, and no model reads them, but for the thoughts that this server gave as `encrypted_content`; what else OpenAI’s items may have, such as `prompt_cache_breakpoint`, is accepted and not kept.',
  },
  instructions: {
    status: 'supported',
    note: 'A system message in front of everything; those of the previous response are not taken over.',
  },
  previous_response_id: { status: 'supported', note: 'Not together with `conversation`.' },
  conversation: { status: 'supported', note: 'An id, or `{"id": …}`.' },
  tools: {
    status: 'supported',
    note: `\`function\` and \`file_search\`, up to ${TOOLS_MAX}. Any other tool is a 400 that says which there are. Arguments of functions always obey their schema; docs/reference/structured-output.md lists the keywords.`,
  },
  tool_choice: {
    status: 'supported',
    note: '`auto`, `none` (the tools leave the prompt), `required`, `{"type": "function", "name": …}`, `{"type": "file_search"}`, or `{"type": "allowed_tools", …}`, which narrows the tools.',
  },
  parallel_tool_calls: { status: 'supported', note: 'Whether one answer may call several times. Left out: yes.' },
  reasoning: {
    status: 'supported',
    note: '`effort`, as `reasoning_effort` of a chat; models that do not reason ignore it. Thoughts come in full, as `content` of a `reasoning` item; with `summary`, whichever it is, as its `summary` instead, in one part and as long, since that is what many clients show. `generate_summary` is its older name.',
  },
  text: {
    status: 'supported',
    note: '`format`: `text`, `json_object` or `json_schema`, which is always strict. `verbosity` is accepted and ignored.',
  },
} as const satisfies ParameterTable;

/** Every parameter of OpenAI's reference: what happens to it. docs/reference/openai-compatibility.md is made from it. */
export const RESPONSE_PARAMETERS = {
  ...PROMPT_PARAMETERS,
  background: { status: 'supported', note: 'Not together with `store`: false.' },
  background_options: {
    status: 'ignored',
    note: 'What is in the background is answered as soon as there is room for it, which is within any `completion_window`.',
  },
  context_management: { status: 'refused', note: 'Nothing is left out of a prompt, or put together.' },
  image: { status: 'ignored', note: 'There are no images in a prompt.' },
  include: {
    status: 'supported',
    note: '`message.output_text.logprobs`, `file_search_call.results` and `reasoning.encrypted_content`: the thought once more, for clients that send back nothing else of it; it hides nothing. What is not there is accepted and ignored.',
  },
  max_output_tokens: { status: 'supported', note: 'With thoughts, and over all turns of `file_search`.' },
  max_tool_calls: {
    status: 'supported',
    note: `How often \`file_search\` may search: ${SEARCHES_PER_RESPONSE_MAX} times at most. Functions are not counted, as at OpenAI.`,
  },
  metadata: { status: 'supported', note: 'Comes back with the response.' },
  moderation: { status: 'refused', note: 'Responses are not classified here.' },
  prompt: { status: 'refused', note: 'Prompts are not kept here: send `instructions`.' },
  prompt_cache_key: { status: 'ignored', note: 'A hint for speed only; comes back with the response.' },
  prompt_cache_options: { status: 'ignored', note: 'A hint for speed only.' },
  prompt_cache_retention: { status: 'ignored', note: 'A hint for speed only.' },
  safety_identifier: { status: 'ignored', note: 'Comes back with the response.' },
  service_tier: {
    status: 'supported',
    note: '`flex` runs after everything that is not, and by the queue of a pool where one serves the model. Everything else is `default`.',
  },
  store: { status: 'supported', note: 'Left out: true. `false` keeps nothing.' },
  stream: { status: 'supported' },
  stream_options: { status: 'ignored', note: '`include_obfuscation` only: nothing is padded.' },
  temperature: { status: 'supported', note: '0 takes the likeliest token.' },
  top_logprobs: {
    status: 'supported',
    note: `0 to ${TOP_LOGPROBS_MAX}. Log-probabilities come with \`include\`: message.output_text.logprobs, or where this is above 0.`,
  },
  top_p: { status: 'supported' },
  truncation: {
    status: 'refused',
    note: 'Only `disabled`: nothing is left out of a prompt without a word.',
    allows: ['disabled'],
  },
  access_programs: { status: 'ignored', note: 'They are OpenAI’s own.' },
  user: { status: 'ignored', note: 'Comes back with the response.' },
} as const satisfies ParameterTable;

export const INPUT_TOKENS_PARAMETERS = {
  ...PROMPT_PARAMETERS,
  truncation: RESPONSE_PARAMETERS.truncation,
  personality: { status: 'refused', note: 'Write it into `instructions`.' },
} as const satisfies ParameterTable;

// ------------------------------------------------------------------------------------------------------- answers

export const RESPONSE_STATUSES = ['queued', 'in_progress', 'completed', 'incomplete', 'failed', 'cancelled'] as const;
export type ResponseStatus = (typeof RESPONSE_STATUSES)[number];

export const responseUsage = z
  .object({
    input_tokens: z.int(),
    input_tokens_details: z.object({ cached_tokens: z.int(), cache_write_tokens: z.literal(0) }),
    output_tokens: z.int(),
    output_tokens_details: z.object({ reasoning_tokens: z.int() }),
    total_tokens: z.int(),
  })
  .meta({ id: 'ResponseUsage' });

/** Tools as they are told back: nothing is left open. */
const toldFunctionTool = z.object({
  type: z.literal('function'),
  name: z.string(),
  description: z.string().nullable(),
  parameters: recordOf(TOOL_KEYS_MAX).nullable(),
  strict: z.boolean(),
});

const toldFileSearchTool = z.object({
  type: z.literal('file_search'),
  vector_store_ids: z.array(z.string()),
  max_num_results: z.int(),
  filters: recordOf(8).nullable(),
  ranking_options: z.object({ ranker, score_threshold: z.number() }),
});

const toldFormat = z.discriminatedUnion('type', [
  z.object({ type: z.literal('text') }),
  z.object({ type: z.literal('json_object') }),
  z.object({
    type: z.literal('json_schema'),
    name: z.string(),
    description: z.string().exactOptional(),
    schema: jsonSchema,
    strict: z.boolean(),
  }),
]);

export const responseErrorCode = z.enum(['server_error', 'rate_limit_exceeded', 'invalid_prompt']);

export const responseSchema = z
  .object({
    id: z.string(),
    object: z.literal('response'),
    created_at: z.int(),
    status: z.enum(RESPONSE_STATUSES),
    background: z.boolean(),
    completed_at: z.int().nullable(),
    error: z.object({ code: responseErrorCode, message: z.string() }).nullable(),
    incomplete_details: z.object({ reason: z.enum(['max_output_tokens', 'content_filter']) }).nullable(),
    instructions: z.string().nullable(),
    max_output_tokens: z.int().nullable(),
    max_tool_calls: z.int().nullable(),
    model: z.string(),
    output: z.array(outputItemSchema),
    parallel_tool_calls: z.boolean(),
    previous_response_id: z.string().nullable(),
    conversation: z.object({ id: z.string() }).nullable(),
    prompt_cache_key: z.string().nullable(),
    reasoning: z.object({ effort: z.enum(EFFORTS_ASKED).nullable(), summary: z.enum(SUMMARIES).nullable() }),
    safety_identifier: z.string().nullable(),
    service_tier: z.enum(['default', 'flex']),
    store: z.boolean().meta({
      description: 'False as well where it should have been kept, and could not be: nothing can go on from it.',
    }),
    temperature: z.number(),
    text: z.object({ format: toldFormat, verbosity }),
    tool_choice: toolChoice,
    tools: z.array(z.discriminatedUnion('type', [toldFunctionTool, toldFileSearchTool])),
    top_logprobs: z.int(),
    top_p: z.number(),
    truncation: z.literal('disabled'),
    usage: responseUsage.nullable(),
    user: z.string().exactOptional(),
    metadata: z.record(z.string(), z.string()),
    access_programs: z.null(),
  })
  .meta({ id: 'Response' });

export const inputTokensSchema = z
  .object({ object: z.literal('response.input_tokens'), input_tokens: z.int() })
  .meta({ id: 'ResponseInputTokens' });

export type ResponseBody = z.infer<typeof responseSchema>;
export type ResponseUsageBody = z.infer<typeof responseUsage>;
export type ResponseErrorCode = z.infer<typeof responseErrorCode>;
export type InputTokensBody = z.infer<typeof inputTokensSchema>;

// -------------------------------------------------------------------------------------------------------- events

/** Counted from 0, without a gap. */
const numbered = { sequence_number: z.int() };
const ofItem = { ...numbered, item_id: z.string(), output_index: z.int() };
const ofSummary = { ...ofItem, summary_index: z.int() };
const ofPart = { ...ofItem, content_index: z.int() };

/** What the whole response is told with: at its beginning and at its end. */
export const LIFECYCLE_EVENTS = [
  'response.queued',
  'response.created',
  'response.in_progress',
  'response.completed',
  'response.incomplete',
  'response.failed',
] as const;

const part = z.discriminatedUnion('type', [outputTextPart, reasoningTextPart]);

export const responseEventSchema = z
  .discriminatedUnion('type', [
    z.object({ type: z.enum(LIFECYCLE_EVENTS), ...numbered, response: responseSchema }),
    z.object({
      type: z.enum(['response.output_item.added', 'response.output_item.done']),
      ...numbered,
      output_index: z.int(),
      item: outputItemSchema,
    }),
    z.object({ type: z.enum(['response.content_part.added', 'response.content_part.done']), ...ofPart, part }),
    z.object({
      type: z.literal('response.output_text.delta'),
      ...ofPart,
      delta: z.string(),
      logprobs: z.array(responseLogprob),
    }),
    z.object({
      type: z.literal('response.output_text.done'),
      ...ofPart,
      text: z.string(),
      logprobs: z.array(responseLogprob),
    }),
    z.object({
      type: z.literal('response.output_text.annotation.added'),
      ...ofPart,
      annotation_index: z.int(),
      annotation: responseAnnotation,
    }),
    z.object({ type: z.literal('response.reasoning_text.delta'), ...ofPart, delta: z.string() }),
    z.object({ type: z.literal('response.reasoning_text.done'), ...ofPart, text: z.string() }),
    z.object({
      type: z.enum(['response.reasoning_summary_part.added', 'response.reasoning_summary_part.done']),
      ...ofSummary,
      part: summaryTextPart,
    }),
    z.object({ type: z.literal('response.reasoning_summary_text.delta'), ...ofSummary, delta: z.string() }),
    z.object({ type: z.literal('response.reasoning_summary_text.done'), ...ofSummary, text: z.string() }),
    z.object({ type: z.literal('response.function_call_arguments.delta'), ...ofItem, delta: z.string() }),
    z.object({ type: z.literal('response.function_call_arguments.done'), ...ofItem, arguments: z.string() }),
    z.object({
      type: z.enum([
        'response.file_search_call.in_progress',
        'response.file_search_call.searching',
        'response.file_search_call.completed',
      ]),
      ...ofItem,
    }),
    // Both of OpenAI's forms: its reference has them beside the type, its servers send them in `error`.
    z.object({
      type: z.literal('error'),
      ...numbered,
      code: z.string().nullable(),
      message: z.string(),
      param: z.string().nullable(),
      error: z.object({
        type: z.string(),
        code: z.string().nullable(),
        message: z.string(),
        param: z.string().nullable(),
      }),
    }),
  ])
  .meta({ id: 'ResponseStreamEvent' });

export type ResponseEvent = z.infer<typeof responseEventSchema>;
