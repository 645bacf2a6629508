import * as z from 'zod';
import { CHAT_PROMPT_PARAMETERS, chatPromptFields } from './chat.js';
import { model, type ParameterTable } from './fields.js';
import { TOKEN_ID_MAX, tokenList } from './tokens.js';

/** What llama-server calls /tokenize, /detokenize and /apply-template: https://github.com/ggml-org/llama.cpp/tree/master/tools/server. */

/** Far above any context: what there is to count fits, and a worker's reply stays within a message of its own. */
const TEXT_LENGTH_MAX = 1_000_000;
const TOKENS_MAX = 1_000_000;

const text = z.string().max(TEXT_LENGTH_MAX).nullish();

export const tokenizeRequestSchema = z
  .object({
    model,
    content: text,
    prompt: text,
    ...chatPromptFields,
    messages: chatPromptFields.messages.nullish(),
    add_special: z.boolean().nullish(),
    parse_special: z.boolean().nullish(),
    with_pieces: z.boolean().nullish(),
  })
  .meta({ id: 'TokenizeRequest' });

export const detokenizeRequestSchema = z
  .object({ model, tokens: tokenList(TOKENS_MAX) })
  .meta({ id: 'DetokenizeRequest' });

export const applyTemplateRequestSchema = z.object({ model, ...chatPromptFields }).meta({ id: 'ApplyTemplateRequest' });

export type TokenizeRequestBody = z.infer<typeof tokenizeRequestSchema>;

const ANY_MODEL = {
  status: 'supported',
  note: 'May be left out: the default model answers, or the only one.',
} as const;
const CHAT_MODEL = {
  status: 'supported',
  note: 'May be left out: the default model answers if it does chat, or the only one that does.',
} as const;

const AS_IN_CHATS = { status: 'supported', note: 'As in a chat; only with `messages`.' } as const;

const CHAT = Object.fromEntries(Object.keys(CHAT_PROMPT_PARAMETERS).map((name) => [name, AS_IN_CHATS])) as Readonly<
  Record<keyof typeof CHAT_PROMPT_PARAMETERS, typeof AS_IN_CHATS>
>;

export const TOKENIZE_PARAMETERS = {
  content: { status: 'supported', note: 'The text; at most 1,000,000 characters.' },
  prompt: { status: 'supported', note: 'Another name for `content`.' },
  ...CHAT,
  messages: { status: 'supported', note: 'In place of a text: a chat, as the model’s template writes it.' },
  model: ANY_MODEL,
  add_special: {
    status: 'supported',
    note: 'Whether the token that begins a text comes first, if the model wants one. Left out: no. Chats have it from their template.',
  },
  parse_special: {
    status: 'supported',
    note: 'Whether the text of a control token becomes that token. Left out: yes. Chats are always read so.',
  },
  with_pieces: {
    status: 'supported',
    note: 'Each token as `{id, piece}`: its text, or a list of its bytes where they are no whole characters.',
  },
} as const satisfies ParameterTable;

export const DETOKENIZE_PARAMETERS = {
  tokens: { status: 'supported', note: '1 to 1,000,000 token ids.' },
  model: ANY_MODEL,
} as const satisfies ParameterTable;

export const APPLY_TEMPLATE_PARAMETERS = {
  ...CHAT,
  messages: { status: 'supported', note: 'As in a chat.' },
  model: CHAT_MODEL,
} as const satisfies ParameterTable;

const tokenId = z.int().min(0).max(TOKEN_ID_MAX);
const piece = z.union([z.string(), z.array(z.int().min(0).max(255))]);

export const tokenizedSchema = z
  .object({
    tokens: z.union([z.array(tokenId), z.array(z.object({ id: tokenId, piece }))]),
    count: z.int(),
    max_model_len: z.int(),
  })
  .meta({ id: 'TokenizeResponse' });

export const detokenizedSchema = z.object({ content: z.string() }).meta({ id: 'DetokenizeResponse' });

export const appliedTemplateSchema = z.object({ prompt: z.string() }).meta({ id: 'ApplyTemplateResponse' });

export type TokenizedBody = z.infer<typeof tokenizedSchema>;
export type DetokenizedBody = z.infer<typeof detokenizedSchema>;
export type AppliedTemplateBody = z.infer<typeof appliedTemplateSchema>;
