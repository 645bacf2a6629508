import * as z from 'zod';
import { model, type ParameterTable } from './fields.js';

/**
 * Reranking, which OpenAI has not: the shape that Jina (https://jina.ai/reranker), both of Cohere's APIs
 * (https://docs.cohere.com/reference/rerank), vLLM and llama-server have in common.
 */

const DOCUMENTS_MAX = 1_000;

const text = z.string().min(1);

export const rerankRequestSchema = z
  .object({
    model,
    query: text,
    documents: z
      .array(z.union([text, z.object({ text })]))
      .min(1)
      .max(DOCUMENTS_MAX),
    top_n: z.int().min(1).max(2_147_483_647).nullish(),
    return_documents: z.boolean().nullish(),
    max_tokens_per_doc: z.int().min(1).max(2_147_483_647).nullish(),
    user: z.string().nullish(),
  })
  .meta({ id: 'RerankRequest' });

export type RerankRequestBody = z.infer<typeof rerankRequestSchema>;

const WHOLE = 'Documents are read whole; one that is too long is a 400.';

export const RERANK_PARAMETERS = {
  query: { status: 'supported', note: 'A text that is not empty.' },
  documents: {
    status: 'supported',
    note: 'Texts, or objects with a `text`; at most 1,000, none of them empty. Other keys of an object are ignored.',
  },
  model: {
    status: 'supported',
    note: 'May be left out: the default model answers if it ranks, or the only one that does.',
  },
  top_n: { status: 'supported', note: 'How many results to send, best first. Left out: all.' },
  return_documents: { status: 'supported', note: 'Whether each result repeats its text. Left out: no.' },
  max_chunks_per_doc: { status: 'ignored', note: 'Each document is one chunk.' },
  max_tokens_per_doc: {
    status: 'supported',
    note: 'Nothing is cut: it is a 400 where a document has more bytes, and so might have more tokens. Clients of Cohere’s send 4,096.',
  },
  priority: { status: 'ignored', note: 'That of the key holds.' },
  truncation: { status: 'refused', note: WHOLE, allows: [false] },
  truncate: { status: 'refused', note: WHOLE, allows: [false] },
  truncate_prompt_tokens: { status: 'refused', note: WHOLE },
  return_embeddings: { status: 'refused', note: 'Ask `/v1/embeddings` for vectors.', allows: [false] },
  texts: { status: 'refused', note: 'The name at Text Embeddings Inference: send `documents`.' },
  rank_fields: { status: 'refused', note: 'A document is one text.', allows: [['text']] },
  user: { status: 'ignored' },
} as const satisfies ParameterTable;

export const rerankSchema = z
  .object({
    id: z.string(),
    model: z.string(),
    object: z.literal('list'),
    results: z.array(
      z.object({
        index: z.int(),
        relevance_score: z.number(),
        document: z.object({ text: z.string() }).optional(),
      }),
    ),
    usage: z.object({ prompt_tokens: z.int(), total_tokens: z.int() }),
    meta: z
      .object({
        api_version: z.object({ version: z.string() }),
        billed_units: z.object({ search_units: z.int() }),
        tokens: z.object({ input_tokens: z.int() }),
      })
      .describe(
        "What Cohere's clients read in place of `usage`. Nobody is billed: a unit is a query with up to 100 documents.",
      ),
  })
  .meta({ id: 'RerankResponse' });

export type RerankBody = z.infer<typeof rerankSchema>;
