import * as z from 'zod';
import { metadata, type ParameterTable, recordOf } from './fields.js';
import { listOf } from './list-of.js';

/** OpenAI's vector stores: https://platform.openai.com/docs/api-reference/vector-stores. */

export const CHUNK_TOKENS_MIN = 100;
export const CHUNK_TOKENS_MAX = 4_096;
/** OpenAI's defaults, where the model can take so much. */
export const CHUNK_TOKENS_DEFAULT = 800;
export const OVERLAP_TOKENS_DEFAULT = 400;
export const BATCH_FILES_MAX = 2_000;
const CREATED_FILES_MAX = 500;
const EXPIRES_DAYS_MAX = 365;
const RESULTS_MAX = 50;
const QUERIES_MAX = 10;
const QUERY_CHARACTERS_MAX = 4_096 * 8;

const name = z.string().max(256);
const fileId = z.string().min(1).max(200);

const ATTRIBUTES_MAX = 16;
const ATTRIBUTE_KEY_LENGTH_MAX = 64;
const ATTRIBUTE_VALUE_LENGTH_MAX = 512;
const attributeValue = z.union([z.string().max(ATTRIBUTE_VALUE_LENGTH_MAX), z.number(), z.boolean()]);

const attributes = recordOf(ATTRIBUTES_MAX, {
  propertyNames: { type: 'string', maxLength: ATTRIBUTE_KEY_LENGTH_MAX },
  additionalProperties: {
    anyOf: [{ type: 'string', maxLength: ATTRIBUTE_VALUE_LENGTH_MAX }, { type: 'number' }, { type: 'boolean' }],
  },
})
  .pipe(z.record(z.string().min(1).max(ATTRIBUTE_KEY_LENGTH_MAX), attributeValue))
  .nullish();

export const staticChunking = z
  .object({
    max_chunk_size_tokens: z.int().min(CHUNK_TOKENS_MIN).max(CHUNK_TOKENS_MAX),
    chunk_overlap_tokens: z.int().min(0),
  })
  .superRefine(({ max_chunk_size_tokens, chunk_overlap_tokens }, { addIssue }) => {
    if (2 * chunk_overlap_tokens <= max_chunk_size_tokens) return;
    const message = `must be at most half of \`max_chunk_size_tokens\`, which is ${max_chunk_size_tokens}`;
    addIssue({ code: 'custom', message, path: ['chunk_overlap_tokens'], input: chunk_overlap_tokens });
  });

const chunkingStrategy = z
  .discriminatedUnion('type', [
    z.object({ type: z.literal('auto') }),
    z.object({ type: z.literal('static'), static: staticChunking }),
  ])
  .nullish();

const expiresAfter = z
  .object({ anchor: z.literal('last_active_at'), days: z.int().min(1).max(EXPIRES_DAYS_MAX) })
  .nullish();

export const createVectorStoreSchema = z
  .object({
    name: name.nullish(),
    description: z.string().max(4_096).nullish(),
    file_ids: z.array(fileId).max(CREATED_FILES_MAX).nullish(),
    chunking_strategy: chunkingStrategy,
    expires_after: expiresAfter,
    metadata,
    embedding_model: z.string().min(1).max(500).nullish(),
  })
  .meta({ id: 'CreateVectorStoreRequest' });

export const CREATE_VECTOR_STORE_PARAMETERS = {
  name: { status: 'supported' },
  description: { status: 'supported', note: 'Kept, and given back.' },
  file_ids: { status: 'supported', note: `Up to ${CREATED_FILES_MAX}.` },
  chunking_strategy: {
    status: 'supported',
    note: `Of \`file_ids\`. \`auto\` is ${CHUNK_TOKENS_DEFAULT} tokens with an overlap of ${OVERLAP_TOKENS_DEFAULT}, or what the model can take.`,
  },
  expires_after: {
    status: 'supported',
    note: 'What is in the store goes for good then; the store itself stays, as `expired`.',
  },
  metadata: { status: 'supported' },
  embedding_model: {
    status: 'supported',
    note: 'An extension: the model whose vectors the store holds, for as long as it is there. Left out: the setting `vectorStoreModel`, or the only one that there is.',
  },
} as const satisfies ParameterTable;

export const changeVectorStoreSchema = z
  .object({ name: name.nullish(), expires_after: expiresAfter, metadata })
  .meta({ id: 'ChangeVectorStoreRequest' });

export const CHANGE_VECTOR_STORE_PARAMETERS = {
  name: { status: 'supported' },
  expires_after: { status: 'supported', note: 'null: it never expires.' },
  metadata: { status: 'supported', note: 'All of it is replaced.' },
} as const satisfies ParameterTable;

const attachedFile = { file_id: fileId, attributes, chunking_strategy: chunkingStrategy };

export const createVectorStoreFileSchema = z.object(attachedFile).meta({ id: 'CreateVectorStoreFileRequest' });

export const CREATE_VECTOR_STORE_FILE_PARAMETERS = {
  file_id: { status: 'supported' },
  attributes: {
    status: 'supported',
    note: `Up to ${ATTRIBUTES_MAX}: texts, numbers and booleans. Left out, a file that is there already keeps its own.`,
  },
  chunking_strategy: {
    status: 'supported',
    note: 'A size that the model can not take fails the file, with both numbers in `last_error`.',
  },
} as const satisfies ParameterTable;

export const changeVectorStoreFileSchema = z.object({ attributes }).meta({ id: 'ChangeVectorStoreFileRequest' });

export const CHANGE_VECTOR_STORE_FILE_PARAMETERS = {
  attributes: { status: 'supported', note: 'All of them are replaced.' },
} as const satisfies ParameterTable;

export const createFileBatchSchema = z
  .object({
    file_ids: z.array(fileId).min(1).max(BATCH_FILES_MAX).nullish(),
    files: z.array(z.object(attachedFile)).min(1).max(BATCH_FILES_MAX).nullish(),
    attributes,
    chunking_strategy: chunkingStrategy,
  })
  .meta({ id: 'CreateVectorStoreFileBatchRequest' });

export const CREATE_FILE_BATCH_PARAMETERS = {
  file_ids: { status: 'supported', note: `Up to ${BATCH_FILES_MAX.toLocaleString('en')}.` },
  files: {
    status: 'supported',
    note: 'In place of `file_ids`, each with its own `attributes` and `chunking_strategy`.',
  },
  attributes: { status: 'supported', note: 'Of all `file_ids`.' },
  chunking_strategy: { status: 'supported', note: 'Of all `file_ids`.' },
} as const satisfies ParameterTable;

const query = z.string().min(1).max(QUERY_CHARACTERS_MAX);

export const searchVectorStoreSchema = z
  .object({
    query: z.union([query, z.array(query).min(1).max(QUERIES_MAX)]),
    filters: recordOf(8).nullish(),
    max_num_results: z.int().min(1).max(RESULTS_MAX).nullish(),
    ranking_options: z
      .object({
        ranker: z.enum(['none', 'auto', 'default-2024-11-15']).nullish(),
        score_threshold: z.number().min(0).max(1).nullish(),
      })
      .nullish(),
    rewrite_query: z.boolean().nullish(),
  })
  .meta({ id: 'SearchVectorStoreRequest' });

export const SEARCH_VECTOR_STORE_PARAMETERS = {
  query: { status: 'supported', note: `A text, or up to ${QUERIES_MAX}: then the best of all of them.` },
  filters: {
    status: 'supported',
    note: '`eq`, `ne`, `gt`, `gte`, `lt`, `lte`, `in`, `nin`, joined by `and` and `or`. A file without the attribute passes `ne` and `nin` alone; what is not of one type is neither more nor less.',
  },
  max_num_results: { status: 'supported', note: `1 to ${RESULTS_MAX}; left out, 10.` },
  ranking_options: {
    status: 'supported',
    note: '`score_threshold`, of the cosine. `ranker` is accepted and ignored: nothing is ranked anew.',
  },
  rewrite_query: { status: 'ignored', note: 'The query is searched for as it stands, and told so in `search_query`.' },
} as const satisfies ParameterTable;

const paging = {
  limit: z.coerce.number().int().min(1).max(100).default(20),
  order: z.enum(['asc', 'desc']).default('desc').describe('By when they were made.'),
  after: z.string().max(200).optional().describe('An id: the page begins behind it.'),
  before: z.string().max(200).optional().describe('An id: the page ends before it.'),
};

export const listVectorStoresSchema = z.object(paging).meta({ id: 'ListVectorStoresQuery' });
export const listVectorStoreFilesSchema = z
  .object({ ...paging, filter: z.enum(['in_progress', 'completed', 'failed', 'cancelled']).optional() })
  .meta({ id: 'ListVectorStoreFilesQuery' });

export const LIST_VECTOR_STORES_PARAMETERS = {
  limit: { status: 'supported', note: '1 to 100; left out: 20.' },
  order: { status: 'supported', note: '`desc` if left out.' },
  after: { status: 'supported' },
  before: { status: 'supported' },
} as const satisfies ParameterTable;

export const LIST_VECTOR_STORE_FILES_PARAMETERS = {
  ...LIST_VECTOR_STORES_PARAMETERS,
  filter: { status: 'supported' },
} as const satisfies ParameterTable;

const fileCounts = z.object({
  in_progress: z.int(),
  completed: z.int(),
  failed: z.int(),
  cancelled: z.int(),
  total: z.int(),
});

export const vectorStoreSchema = z
  .object({
    id: z.string(),
    object: z.literal('vector_store'),
    created_at: z.int(),
    name: z.string(),
    description: z.string().nullable(),
    usage_bytes: z.int().describe('Of texts and vectors.'),
    file_counts: fileCounts,
    status: z.enum(['expired', 'in_progress', 'completed']),
    expires_after: z.object({ anchor: z.literal('last_active_at'), days: z.int() }).nullable(),
    expires_at: z.int().nullable(),
    last_active_at: z.int().nullable(),
    metadata: z.record(z.string(), z.string()),
    embedding_model: z.string().nullable().describe('An extension. Null until its first file is read.'),
  })
  .meta({ id: 'VectorStore' });

export const vectorStoreFileSchema = z
  .object({
    id: z.string().describe('Of the file.'),
    object: z.literal('vector_store.file'),
    usage_bytes: z.int(),
    created_at: z.int(),
    vector_store_id: z.string(),
    status: z.enum(['in_progress', 'completed', 'cancelled', 'failed']),
    last_error: z
      .object({ code: z.enum(['server_error', 'unsupported_file', 'invalid_file']), message: z.string() })
      .nullable(),
    chunking_strategy: z.object({
      type: z.literal('static'),
      static: z.object({ max_chunk_size_tokens: z.int(), chunk_overlap_tokens: z.int() }),
    }),
    attributes: z.record(z.string(), attributeValue),
  })
  .meta({ id: 'VectorStoreFile' });

export const fileBatchSchema = z
  .object({
    id: z.string(),
    object: z.literal('vector_store.files_batch'),
    created_at: z.int(),
    vector_store_id: z.string(),
    status: z.enum(['in_progress', 'completed', 'cancelled', 'failed']),
    file_counts: fileCounts,
  })
  .meta({ id: 'VectorStoreFileBatch' });

export const vectorStoreListSchema = listOf(vectorStoreSchema, 'VectorStoreList');
export const vectorStoreFileListSchema = listOf(vectorStoreFileSchema, 'VectorStoreFileList');

export const deletedVectorStoreSchema = z
  .object({ id: z.string(), object: z.literal('vector_store.deleted'), deleted: z.literal(true) })
  .meta({ id: 'DeletedVectorStore' });
export const deletedVectorStoreFileSchema = z
  .object({ id: z.string(), object: z.literal('vector_store.file.deleted'), deleted: z.literal(true) })
  .meta({ id: 'DeletedVectorStoreFile' });

const textPart = z.object({ type: z.literal('text'), text: z.string() });

export const vectorStoreFileContentSchema = z
  .object({
    object: z.literal('vector_store.file_content.page'),
    data: z
      .array(textPart)
      .describe('Its chunks, without what they repeat: put together they are the text that was read.'),
    has_more: z.literal(false),
    next_page: z.null(),
  })
  .meta({ id: 'VectorStoreFileContent' });

export const searchResultsSchema = z
  .object({
    object: z.literal('vector_store.search_results.page'),
    search_query: z.array(z.string()),
    data: z
      .array(
        z.object({
          file_id: z.string(),
          filename: z.string(),
          score: z.number().describe('The cosine, 0 to 1: what is below 0 is 0.'),
          attributes: z.record(z.string(), attributeValue),
          content: z.array(textPart),
        }),
      )
      .describe('The nearest first, a chunk each.'),
    has_more: z.literal(false),
    next_page: z.null(),
  })
  .meta({ id: 'VectorStoreSearchResults' });

export type ChunkingStrategyBody = z.infer<typeof chunkingStrategy>;
export type CreateVectorStoreBody = z.infer<typeof createVectorStoreSchema>;
export type ChangeVectorStoreBody = z.infer<typeof changeVectorStoreSchema>;
export type CreateVectorStoreFileBody = z.infer<typeof createVectorStoreFileSchema>;
export type CreateFileBatchBody = z.infer<typeof createFileBatchSchema>;
export type SearchVectorStoreBody = z.infer<typeof searchVectorStoreSchema>;
export type ListVectorStoresQuery = z.infer<typeof listVectorStoresSchema>;
export type ListVectorStoreFilesQuery = z.infer<typeof listVectorStoreFilesSchema>;
export type VectorStoreBody = z.infer<typeof vectorStoreSchema>;
export type VectorStoreFileBody = z.infer<typeof vectorStoreFileSchema>;
export type FileBatchBody = z.infer<typeof fileBatchSchema>;
export type VectorStoreListBody = z.infer<typeof vectorStoreListSchema>;
export type VectorStoreFileListBody = z.infer<typeof vectorStoreFileListSchema>;
export type VectorStoreFileContentBody = z.infer<typeof vectorStoreFileContentSchema>;
export type SearchResultsBody = z.infer<typeof searchResultsSchema>;
export type FileAttributes = Readonly<Record<string, string | number | boolean>>;
