import * as z from 'zod';
import { CALL_ARGUMENTS_LENGTH_MAX, CALL_ID_LENGTH_MAX, CONTENT_PARTS_MAX, callId } from './chat.js';
import { recordOf, TOP_LOGPROBS_MAX } from './fields.js';

/**
 * What goes into a response and comes out of it: https://platform.openai.com/docs/api-reference/responses. There are two forms of each item:
 * as a client may send it, in which much can be left out, and as it is kept and given back, which is complete.
 */

const ITEM_ID_LENGTH_MAX = 512;
const QUERIES_MAX = 100;
const RESULTS_MAX = 1_000;
const ATTRIBUTES_MAX = 16;
const ANNOTATIONS_MAX = 1_000;
/** Of one text, as many as an answer may have. */
const LOGPROBS_MAX = 250_000;
/** Of one token. */
const TOKEN_BYTES_MAX = 1_000;
/** A thought of three megabytes, and what is around it. */
const ENCRYPTED_LENGTH_MAX = 5_000_000;

export const itemId = z.string().min(1, { abort: true }).max(ITEM_ID_LENGTH_MAX);

const itemStatus = z.enum(['in_progress', 'completed', 'incomplete']);

// ------------------------------------------------------------------------------------------------------- as sent

const partsOf = <P extends z.ZodType>(part: P) => z.array(part).max(CONTENT_PARTS_MAX);

const inputText = z.object({ type: z.literal('input_text'), text: z.string() });
/** Parts that a text model cannot read; accepted by the schema so that the refusal can name them. */
const otherPart = z.looseObject({ type: z.enum(['input_image', 'input_file', 'input_audio']) });

const sentChance = {
  token: z.string(),
  logprob: z.number(),
  bytes: z.array(z.int()).max(TOKEN_BYTES_MAX).nullish(),
};
const sentLogprob = z.object({
  ...sentChance,
  top_logprobs: z.array(z.object(sentChance)).max(TOP_LOGPROBS_MAX).nullish(),
});

const sentAnnotation = z.discriminatedUnion('type', [
  z.object({ type: z.literal('file_citation'), file_id: z.string(), filename: z.string().nullish(), index: z.int() }),
  z.object({
    type: z.literal('url_citation'),
    start_index: z.int(),
    end_index: z.int(),
    title: z.string().nullish(),
    url: z.string(),
  }),
  z.object({
    type: z.literal('container_file_citation'),
    container_id: z.string(),
    file_id: z.string(),
    filename: z.string().nullish(),
    start_index: z.int(),
    end_index: z.int(),
  }),
  z.object({ type: z.literal('file_path'), file_id: z.string(), index: z.int() }),
]);

const sentText = z.object({
  type: z.literal('output_text'),
  text: z.string(),
  annotations: z.array(sentAnnotation).max(ANNOTATIONS_MAX).nullish(),
  logprobs: z.array(sentLogprob).max(LOGPROBS_MAX).nullish(),
});
const refusalPart = z.object({ type: z.literal('refusal'), refusal: z.string() });

const askingContent = z.union([z.string(), partsOf(z.discriminatedUnion('type', [inputText, otherPart]))]);
const answerContent = z.union([
  z.string(),
  partsOf(z.discriminatedUnion('type', [sentText, refusalPart, inputText, otherPart])),
]);

/** What any item may have, and need not. */
const sentItem = { id: itemId.nullish(), status: itemStatus.nullish() };

/** What OpenAI's newer models say of what they tell: on the way, or at last. */
const phase = z.enum(['commentary', 'final_answer']);

/** OpenAI's easy form has no type. */
const sentMessage = { ...sentItem, type: z.literal('message').optional() };

const sentMessageSchema = z.discriminatedUnion('role', [
  z.object({ ...sentMessage, role: z.literal('user'), content: askingContent }),
  z.object({ ...sentMessage, role: z.literal('system'), content: askingContent }),
  z.object({ ...sentMessage, role: z.literal('developer'), content: askingContent }),
  z.object({ ...sentMessage, role: z.literal('assistant'), content: answerContent, phase: phase.nullish() }),
]);

const functionCall = {
  type: z.literal('function_call'),
  call_id: callId,
  name: z.string().min(1, { abort: true }).max(CALL_ID_LENGTH_MAX),
  arguments: z.string().max(CALL_ARGUMENTS_LENGTH_MAX),
};

const summary = z.object({ type: z.literal('summary_text'), text: z.string() });
const thought = z.object({ type: z.literal('reasoning_text'), text: z.string() });

const attributes = recordOf(ATTRIBUTES_MAX).pipe(z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])));

const sentResult = z.object({
  file_id: z.string().nullish(),
  filename: z.string().nullish(),
  score: z.number().nullish(),
  text: z.string().nullish(),
  attributes: attributes.nullish(),
});

/** An item of `input`. Without a `type` it is a message. */
export const inputItemSchema = z
  .discriminatedUnion('type', [
    sentMessageSchema,
    z.object({ ...sentItem, ...functionCall }),
    z.object({
      ...sentItem,
      type: z.literal('function_call_output'),
      call_id: callId,
      output: z.union([z.string(), partsOf(z.discriminatedUnion('type', [inputText, otherPart]))]),
    }),
    z.object({
      ...sentItem,
      type: z.literal('reasoning'),
      summary: z.array(summary).max(CONTENT_PARTS_MAX).nullish(),
      content: z.array(thought).max(CONTENT_PARTS_MAX).nullish(),
      encrypted_content: z.string().max(ENCRYPTED_LENGTH_MAX).nullish(),
    }),
    z.object({
      id: itemId.nullish(),
      type: z.literal('file_search_call'),
      status: z.enum(['in_progress', 'searching', 'completed', 'incomplete', 'failed']).nullish(),
      queries: z.array(z.string()).max(QUERIES_MAX),
      results: z.array(sentResult).max(RESULTS_MAX).nullish(),
    }),
    z.object({ type: z.literal('item_reference'), id: itemId }),
  ])
  .meta({ id: 'ResponseInputItem' });

export type InputItem = z.infer<typeof inputItemSchema>;

// ------------------------------------------------------------------------------------------- as kept and given back

const chance = z.object({ token: z.string(), logprob: z.number(), bytes: z.array(z.int()) });
export const responseLogprob = chance.extend({ top_logprobs: z.array(chance) });

export const responseAnnotation = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('file_citation'),
    file_id: z.string(),
    filename: z.string(),
    index: z.int().meta({ description: 'Behind which code point of the text the passage ends.' }),
  }),
  z.object({
    type: z.literal('url_citation'),
    start_index: z.int(),
    end_index: z.int(),
    title: z.string(),
    url: z.string(),
  }),
  // These are never made here; they come with what OpenAI's models said before.
  z.object({
    type: z.literal('container_file_citation'),
    container_id: z.string(),
    file_id: z.string(),
    filename: z.string(),
    start_index: z.int(),
    end_index: z.int(),
  }),
  z.object({ type: z.literal('file_path'), file_id: z.string(), index: z.int() }),
]);

export const outputTextPart = z.object({
  type: z.literal('output_text'),
  text: z.string(),
  annotations: z.array(responseAnnotation),
  logprobs: z.array(responseLogprob).meta({ description: 'Empty unless they were asked for.' }),
});

const askingMessageItem = z.object({
  id: z.string(),
  type: z.literal('message'),
  role: z.enum(['user', 'system', 'developer']),
  status: itemStatus,
  content: z.array(inputText),
});

export const messageItemSchema = z.object({
  id: z.string(),
  type: z.literal('message'),
  role: z.literal('assistant'),
  status: itemStatus,
  content: z.array(z.discriminatedUnion('type', [outputTextPart, refusalPart])),
  phase: phase.exactOptional().meta({ description: 'Of a message that was sent with one.' }),
});

export const functionCallItemSchema = z.object({ id: z.string(), ...functionCall, status: itemStatus });

const functionCallOutputItem = z.object({
  id: z.string(),
  type: z.literal('function_call_output'),
  call_id: z.string(),
  output: z.union([z.string(), z.array(inputText)]),
  status: itemStatus,
});

export const reasoningTextPart = thought;
export const summaryTextPart = summary;

export const reasoningItemSchema = z.object({
  id: z.string(),
  type: z.literal('reasoning'),
  summary: z.array(summary),
  content: z.array(thought),
  encrypted_content: z.string().nullable().exactOptional().meta({
    description:
      'The thought, for whoever sends it back and keeps nothing else. Missing unless it was asked for; null where it is too long, or has not ended.',
  }),
  status: itemStatus,
});

const searchResult = z.object({
  file_id: z.string(),
  filename: z.string(),
  score: z.number(),
  text: z.string(),
  attributes,
});

export const fileSearchCallItemSchema = z.object({
  id: z.string(),
  type: z.literal('file_search_call'),
  status: z.enum(['in_progress', 'searching', 'completed', 'incomplete', 'failed']),
  queries: z.array(z.string()),
  results: z.array(searchResult).nullable().meta({ description: 'Null unless they were asked for.' }),
});

/** An item that a model made, or was made for it. */
export const outputItemSchema = z
  .discriminatedUnion('type', [
    messageItemSchema,
    functionCallItemSchema,
    reasoningItemSchema,
    fileSearchCallItemSchema,
  ])
  .meta({ id: 'ResponseOutputItem' });

/** Any item that is kept: of the input, complete and with an id, or of the output. */
export const responseItemSchema = z
  .union([
    askingMessageItem,
    messageItemSchema,
    functionCallItemSchema,
    functionCallOutputItem,
    reasoningItemSchema,
    fileSearchCallItemSchema,
  ])
  .meta({ id: 'ResponseItem' });

export type ResponseItem = z.infer<typeof responseItemSchema>;
export type OutputItem = z.infer<typeof outputItemSchema>;
export type MessageItem = z.infer<typeof messageItemSchema>;
export type FunctionCallItem = z.infer<typeof functionCallItemSchema>;
export type ReasoningItem = z.infer<typeof reasoningItemSchema>;
export type FileSearchCallItem = z.infer<typeof fileSearchCallItemSchema>;
export type FileSearchResult = z.infer<typeof searchResult>;
export type OutputTextPart = z.infer<typeof outputTextPart>;
export type ResponseAnnotation = z.infer<typeof responseAnnotation>;
export type ResponseLogprob = z.infer<typeof responseLogprob>;
