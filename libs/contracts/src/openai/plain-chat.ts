import * as z from 'zod';
import { chatPromptFields } from './chat.js';
import { generationFields, maxTokens, model, type ParameterTable, usage } from './fields.js';
import { modelSchema } from './models.js';

/**
 * POST /chat and GET /models: an answer and what there is to ask, in fewer words than OpenAI's. Whoever asks needs no client library, and is
 * told who answered.
 */

export const plainChatRequestSchema = z
  .object({
    model,
    messages: chatPromptFields.messages,
    params: z
      .object({
        temperature: generationFields.temperature,
        top_p: generationFields.top_p,
        max_tokens: maxTokens,
        seed: generationFields.seed,
        stream: generationFields.stream,
        json_mode: z.boolean().nullish(),
      })
      .nullish(),
  })
  .meta({ id: 'PlainChatRequest' });

export const PLAIN_CHAT_PARAMETERS = {
  model: { status: 'supported', note: 'An id or an alias of `GET /models`. May be left out where there is a default.' },
  messages: { status: 'supported', note: 'As at `/v1/chat/completions`.' },
  params: { status: 'supported', note: 'All of them may be left out; one that is not listed here is a 400.' },
} as const satisfies ParameterTable;

export const PLAIN_CHAT_PARAMS = {
  temperature: { status: 'supported', note: '0 to 2.' },
  top_p: { status: 'supported', note: 'Above 0, at most 1.' },
  max_tokens: { status: 'supported', note: 'The longest answer.' },
  seed: { status: 'supported' },
  stream: { status: 'supported', note: 'Whether the answer comes piece by piece, as server-sent events.' },
  json_mode: { status: 'supported', note: 'Whether the answer must be a JSON object.' },
} as const satisfies ParameterTable;

const finishReason = z.enum(['stop', 'length', 'tool_calls', 'content_filter', 'function_call']);

/** Who answered: a provider that the gateway asks itself, or `millrace` for a worker. */
const provider = z.string();

const answered = {
  provider,
  model: z.string(),
  usage,
  /** From the request's arrival to the end of the answer. */
  latency_ms: z.int(),
  finish_reason: finishReason,
  id: z.string(),
};

export const plainAnswerSchema = z.object({ text: z.string(), ...answered }).meta({ id: 'PlainAnswer' });

/** Pieces of the text, then everything else, once. */
export const plainPieceSchema = z
  .union([z.object({ text: z.string() }), z.object(answered)])
  .meta({ id: 'PlainAnswerPiece' });

export const plainModelSchema = modelSchema
  .extend({
    provider,
    /** What the model is called there. Of a worker's: its id. */
    upstream_model: z.string(),
    /** Further names of the same model. */
    aliases: z.array(z.string()),
  })
  .meta({ id: 'PlainModel' });

export const plainModelListSchema = z
  .object({ object: z.literal('list'), data: z.array(plainModelSchema) })
  .meta({ id: 'PlainModelList' });

export type PlainAnswerBody = z.infer<typeof plainAnswerSchema>;
export type PlainPieceBody = z.infer<typeof plainPieceSchema>;
export type PlainModelBody = z.infer<typeof plainModelSchema>;
export type PlainModelListBody = z.infer<typeof plainModelListSchema>;
