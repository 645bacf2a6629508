import * as z from 'zod';
import type { EffortAsked } from '../engine.js';
import { model, type ParameterTable, recordOf } from '../openai/fields.js';

/** Anthropic's messages: https://platform.claude.com/docs/en/api/messages. Types are inferred, never written twice. */

const INT_MAX = 2_147_483_647;
const MESSAGES_MAX = 10_000;
/** Zod looks at the length of a list before it looks at its items, so a list of millions costs one comparison. */
const BLOCKS_MAX = 10_000;
/** Anthropic names no number; programs with several MCP servers were seen to send 325. */
const TOOLS_MAX = 1_024;
const SCHEMA_KEYS_MAX = 1_000;
const INPUT_KEYS_MAX = 10_000;
const ID_LENGTH_MAX = 512;
/** As workers have it. */
const STOPS_MAX = 64;
const STOP_LENGTH_MAX = 4_096;
const BUDGET_TOKENS_MIN = 1_024;

const id = z.string().min(1, { abort: true }).max(ID_LENGTH_MAX);

const textBlock = z.object({ type: z.literal('text'), text: z.string() });

/** What a text model cannot read, or what belongs to tools that are not run here; accepted so that the refusal can name it. */
const OTHER_BLOCKS = [
  'image',
  'document',
  'search_result',
  'container_upload',
  'server_tool_use',
  'web_search_tool_result',
  'web_fetch_tool_result',
  'code_execution_tool_result',
  'bash_code_execution_tool_result',
  'text_editor_code_execution_tool_result',
  'tool_search_tool_result',
  'advisor_tool_result',
  'mcp_tool_use',
  'mcp_tool_result',
  'mcp_tool_listing',
  'tool_addition',
  'tool_removal',
  'compaction',
  'fallback',
] as const;

const toolResultBlock = z.object({
  type: z.literal('tool_result'),
  tool_use_id: id,
  content: z
    .union([
      z.string(),
      z
        .array(
          z.discriminatedUnion('type', [
            textBlock,
            z.looseObject({ type: z.enum(['image', 'document', 'search_result', 'tool_reference']) }),
          ]),
        )
        .max(BLOCKS_MAX),
    ])
    .nullish(),
  is_error: z.boolean().nullish(),
});

const contentBlock = z.discriminatedUnion('type', [
  textBlock,
  toolResultBlock,
  // Null is what some models write for a tool that takes nothing; it comes back as it was told.
  z.object({ type: z.literal('tool_use'), id, name: id, input: recordOf(INPUT_KEYS_MAX).nullable() }),
  z.object({ type: z.literal('thinking'), thinking: z.string(), signature: z.string().nullish() }),
  z.object({ type: z.literal('redacted_thinking'), data: z.string() }),
  z.looseObject({ type: z.enum(OTHER_BLOCKS) }),
]);

const message = z.object({
  role: z.enum(['user', 'assistant', 'system']),
  content: z.union([z.string(), z.array(contentBlock).min(1).max(BLOCKS_MAX)]),
});

const customTool = z.object({
  type: z.literal('custom').nullish(),
  name: z.string().regex(/^[a-zA-Z0-9_-]{1,128}$/, {
    error: 'must be 1 to 128 letters, digits, underscores or dashes',
  }),
  description: z.string().nullish(),
  input_schema: recordOf(SCHEMA_KEYS_MAX),
});

/** Tools that Anthropic runs, or whose form only its models know. */
const otherTool = z.looseObject({
  // Aborts: of a tool of the caller's own that is wrong, zod would else tell this alone.
  type: z.string().refine((type) => type !== 'custom', { error: 'must be "custom"', abort: true }),
});

const disableParallel = { disable_parallel_tool_use: z.boolean().nullish() };

const toolChoice = z
  .discriminatedUnion('type', [
    z.object({ type: z.literal('auto'), ...disableParallel }),
    z.object({ type: z.literal('any'), ...disableParallel }),
    z.object({ type: z.literal('tool'), name: z.string(), ...disableParallel }),
    z.object({ type: z.literal('none') }),
  ])
  .nullish();

const display = z.enum(['summarized', 'omitted']).nullish();

const thinking = z
  .discriminatedUnion('type', [
    z.object({ type: z.literal('enabled'), budget_tokens: z.int().min(BUDGET_TOKENS_MIN).max(INT_MAX), display }),
    z.object({ type: z.literal('adaptive'), display }),
    z.object({ type: z.literal('between_tools') }),
    z.object({ type: z.literal('disabled') }),
  ])
  .nullish();

const outputFormat = z.object({ type: z.literal('json_schema'), schema: recordOf(SCHEMA_KEYS_MAX) }).nullish();

const outputConfig = z
  .object({
    effort: z.enum(['low', 'medium', 'high', 'xhigh', 'max'] satisfies EffortAsked[]).nullish(),
    format: outputFormat,
  })
  .nullish();

/** What makes the prompt. */
const promptFields = {
  model,
  messages: z.array(message).min(1).max(MESSAGES_MAX),
  system: z.union([z.string(), z.array(textBlock).max(BLOCKS_MAX)]).nullish(),
  tools: z
    .array(z.union([customTool, otherTool]))
    .max(TOOLS_MAX)
    .nullish(),
  tool_choice: toolChoice,
  thinking,
  output_config: outputConfig,
  output_format: outputFormat,
};

export const messagesRequestSchema = z
  .object({
    ...promptFields,
    max_tokens: z.int().min(1).max(INT_MAX),
    stream: z.boolean().nullish(),
    stop_sequences: z.array(z.string().min(1).max(STOP_LENGTH_MAX)).max(STOPS_MAX).nullish(),
    temperature: z.number().min(0).max(1).nullish(),
    top_p: z.number().min(0).max(1).nullish(),
    top_k: z.int().min(0).max(1_000_000).nullish(),
    metadata: z.object({ user_id: z.string().nullish() }).nullish(),
    service_tier: z.enum(['auto', 'standard_only']).nullish(),
  })
  .meta({ id: 'CreateMessageRequest' });

export const countTokensRequestSchema = z.object(promptFields).meta({ id: 'CountMessageTokensRequest' });

export type MessagesRequestBody = z.infer<typeof messagesRequestSchema>;
export type MessageBody = z.infer<typeof message>;
export type MessageBlock = z.infer<typeof contentBlock>;
/** Of the fields of a request, those that make its prompt. */
export type MessagesPromptBody = Pick<MessagesRequestBody, keyof typeof promptFields>;

const NO_TOOLS_OF_THEIRS = 'No tools are run here.';

/** What becomes of `promptFields`. */
const PROMPT_PARAMETERS = {
  model: {
    status: 'supported',
    note: 'An id or an alias of `GET /v1/models`. May be left out: the default model answers if it can, or the only one that can.',
  },
  messages: {
    status: 'supported',
    note: 'Blocks of type `text`, `tool_use`, `tool_result`, `thinking` and `redacted_thinking`, which is passed over; texts of one turn are joined, a line each. Any other block, such as `image` or `document`, is a 400 that names it. Turns of the same role that follow each other are one. Every `tool_use` must be answered in the next turn. If the last turn is the assistant’s, the answer goes on with its text. The result of a tool with `is_error` begins with `Error:`. The role `system` is taken where the model’s template takes it.',
  },
  system: {
    status: 'supported',
    note: 'A text or text blocks. What begins with `x-anthropic-billing-header:` is left out: it is other in each request, and nothing behind it would be found in the prompt cache.',
  },
  tools: {
    status: 'supported',
    note: `Tools of the caller’s own, up to ${TOOLS_MAX.toLocaleString('en')}, and of those as many as their schemas make one grammar of (structured-output.md); arguments always obey \`input_schema\`, \`strict\` or not. A tool of another type than \`custom\` is a 400: no tools are run here, and models know no form of Anthropic’s.`,
  },
  tool_choice: {
    status: 'supported',
    note: '`auto`, `any`, `tool`, `none` (the tools leave the prompt), and `disable_parallel_tool_use`.',
  },
  thinking: {
    status: 'supported',
    note: '`enabled`, `adaptive` and `between_tools` let a model think that can, and show what it thought, unless `display` is `omitted`. Left out or `disabled`: it is turned off where the model runs in a worker and its template can, and never shown. `budget_tokens` is checked, and not kept to.',
  },
  output_config: {
    status: 'supported',
    note: '`format`: a JSON schema, which the answer always obeys; docs/reference/structured-output.md lists the keywords. `effort`: how much a model thinks that does; `max` is `xhigh`.',
  },
  cache_control: {
    status: 'ignored',
    note: 'Here and on every block: prompts are always cached, and `usage.cache_read_input_tokens` says how much was found.',
  },
  output_format: { status: 'supported', note: 'Beta: an older name of `output_config.format`, which wins.' },
  mcp_servers: { status: 'refused', note: `Beta. ${NO_TOOLS_OF_THEIRS}`, allows: [[]] },
  context_management: { status: 'ignored', note: 'Beta. The prompt is read as it is.' },
  compaction: { status: 'refused', note: 'Beta. Conversations are not shortened here.' },
  billing_policy: { status: 'ignored', note: 'Beta. Nobody is billed.' },
  speed: { status: 'ignored', note: 'There is one; `usage.speed` is always `standard`.' },
} as const satisfies ParameterTable;

/** Every parameter of Anthropic's reference: what happens to it. docs/reference/anthropic-compatibility.md is made from it. */
export const MESSAGES_PARAMETERS = {
  ...PROMPT_PARAMETERS,
  max_tokens: { status: 'supported', note: 'Required, as at Anthropic.' },
  stream: { status: 'supported' },
  stop_sequences: {
    status: 'supported',
    note: `Up to ${STOPS_MAX}; may span tokens. \`stop_sequence\` names the one that ended the answer, where that is known: of models in a worker, and behind vLLM, MAX and OVMS; elsewhere it is \`end_turn\`.`,
  },
  temperature: { status: 'supported', note: '0 to 1; 0 takes the likeliest token.' },
  top_p: { status: 'supported' },
  top_k: { status: 'supported', note: '0 considers all tokens.' },
  metadata: { status: 'ignored', note: '`user_id` is checked, and not stored.' },
  service_tier: { status: 'ignored', note: 'There is one tier; `usage.service_tier` is always `standard`.' },
  container: { status: 'refused', note: NO_TOOLS_OF_THEIRS },
  inference_geo: { status: 'refused', note: 'It runs where it runs.' },
  diagnostics: { status: 'ignored', note: '`diagnostics` of an answer is always null.' },
  thread: {
    status: 'refused',
    note: 'Beta. Conversations are not kept here: send them whole. The official client’s tool runner does so once it was told.',
  },
  fallbacks: { status: 'ignored', note: 'Beta. Models that stand in are named in the models file.' },
  fallback_credit_token: { status: 'ignored', note: 'Beta. Nobody is billed.' },
} as const satisfies ParameterTable;

export const COUNT_TOKENS_PARAMETERS = PROMPT_PARAMETERS;

// ------------------------------------------------------------------------------------------------------- answers

const stopReason = z.enum([
  'end_turn',
  'max_tokens',
  'stop_sequence',
  'tool_use',
  'refusal',
  'model_context_window_exceeded',
]);

const answerBlock = z.discriminatedUnion('type', [
  z.object({ type: z.literal('text'), text: z.string(), citations: z.null() }),
  z.object({ type: z.literal('thinking'), thinking: z.string(), signature: z.string() }),
  z.object({
    type: z.literal('tool_use'),
    id: z.string(),
    name: z.string(),
    input: z.unknown(),
    caller: z.object({ type: z.literal('direct') }),
  }),
]);

const counted = {
  input_tokens: z.int().meta({ description: 'Those of the prompt that had to be read.' }),
  cache_creation_input_tokens: z.int().meta({ description: 'Always 0: what is read is cached, and costs no more.' }),
  cache_read_input_tokens: z.int().meta({ description: 'Those of the prompt that were read before.' }),
  output_tokens: z.int(),
  output_tokens_details: z.object({ thinking_tokens: z.int() }),
  server_tool_use: z.null(),
};

const messageUsage = z
  .object({
    ...counted,
    cache_creation: z.null(),
    inference_geo: z.null(),
    service_tier: z.literal('standard'),
    speed: z.literal('standard'),
  })
  .meta({ id: 'MessageUsage' });

const stopDetails = z
  .object({ type: z.literal('refusal'), category: z.null(), explanation: z.null() })
  .nullable()
  .meta({ description: 'Only with the stop reason `refusal`: a provider held the answer back.' });

const ending = {
  stop_reason: stopReason.nullable(),
  stop_sequence: z.string().nullable(),
  stop_details: stopDetails,
  container: z.null(),
};

export const messageSchema = z
  .object({
    id: z.string(),
    type: z.literal('message'),
    role: z.literal('assistant'),
    model: z.string(),
    content: z.array(answerBlock),
    ...ending,
    diagnostics: z.null(),
    usage: messageUsage,
  })
  .meta({ id: 'Message' });

const index = z.int();

export const messageEventSchema = z
  .discriminatedUnion('type', [
    z.object({ type: z.literal('message_start'), message: messageSchema }),
    z.object({ type: z.literal('ping') }),
    z.object({ type: z.literal('content_block_start'), index, content_block: answerBlock }),
    z.object({
      type: z.literal('content_block_delta'),
      index,
      delta: z.discriminatedUnion('type', [
        z.object({ type: z.literal('text_delta'), text: z.string() }),
        z.object({ type: z.literal('thinking_delta'), thinking: z.string() }),
        z.object({ type: z.literal('signature_delta'), signature: z.string() }),
        z.object({ type: z.literal('input_json_delta'), partial_json: z.string() }),
      ]),
    }),
    z.object({ type: z.literal('content_block_stop'), index }),
    z.object({ type: z.literal('message_delta'), delta: z.object(ending), usage: z.object(counted) }),
    z.object({ type: z.literal('message_stop') }),
  ])
  .meta({ id: 'MessageStreamEvent' });

export const messageTokensSchema = z.object({ input_tokens: z.int() }).meta({ id: 'MessageTokensCount' });

export type MessageAnswerBody = z.infer<typeof messageSchema>;
export type MessageAnswerBlock = z.infer<typeof answerBlock>;
export type MessageEvent = z.infer<typeof messageEventSchema>;
export type MessageTokensBody = z.infer<typeof messageTokensSchema>;
