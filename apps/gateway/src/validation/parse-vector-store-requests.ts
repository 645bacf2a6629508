import {
  CHANGE_VECTOR_STORE_FILE_PARAMETERS,
  CHANGE_VECTOR_STORE_PARAMETERS,
  type ChangeVectorStoreBody,
  type ChunkingStrategyBody,
  CREATE_FILE_BATCH_PARAMETERS,
  CREATE_VECTOR_STORE_FILE_PARAMETERS,
  CREATE_VECTOR_STORE_PARAMETERS,
  type CreateFileBatchBody,
  type CreateVectorStoreBody,
  type CreateVectorStoreFileBody,
  changeVectorStoreFileSchema,
  changeVectorStoreSchema,
  createFileBatchSchema,
  createVectorStoreFileSchema,
  createVectorStoreSchema,
  type FileAttributes,
  InferenceError,
  LIST_VECTOR_STORE_FILES_PARAMETERS,
  LIST_VECTOR_STORES_PARAMETERS,
  type ListVectorStoreFilesQuery,
  type ListVectorStoresQuery,
  listVectorStoreFilesSchema,
  listVectorStoresSchema,
  type ParameterTable,
  SEARCH_VECTOR_STORE_PARAMETERS,
  searchVectorStoreSchema,
} from '@millrace/contracts';
import type * as z from 'zod';
import { checkBody } from './check-body.js';
import { type AttributeFilter, parseAttributeFilter } from './parse-attribute-filter.js';
import { refuseUnknown } from './refuse-unknown.js';

/** The bodies and queries of /v1/vector_stores. @throws InferenceError a 400 that names the field. */

export interface AskedFile {
  readonly fileId: string;
  /** Undefined: none are given. */
  readonly attributes: FileAttributes | undefined;
  /** Undefined: as suits the model. */
  readonly chunking: { readonly chunkTokens: number; readonly overlapTokens: number } | undefined;
}

export interface AskedSearch {
  readonly queries: readonly string[];
  readonly filter: AttributeFilter | undefined;
  readonly resultsMax: number;
  readonly scoreMin: number | undefined;
}

const RESULTS_DEFAULT = 10;
const RANKING = ['ranker', 'score_threshold'];

export function parseCreateStore(body: unknown): CreateVectorStoreBody {
  return checkKept(body ?? {}, CREATE_VECTOR_STORE_PARAMETERS, createVectorStoreSchema);
}

export function parseChangeStore(body: unknown): ChangeVectorStoreBody {
  return checkKept(body ?? {}, CHANGE_VECTOR_STORE_PARAMETERS, changeVectorStoreSchema);
}

export function parseAttachFile(body: unknown): AskedFile {
  return askedFile(checkKept(body, CREATE_VECTOR_STORE_FILE_PARAMETERS, createVectorStoreFileSchema));
}

export function parseChangeFile(body: unknown): FileAttributes {
  return checkKept(body, CHANGE_VECTOR_STORE_FILE_PARAMETERS, changeVectorStoreFileSchema).attributes ?? {};
}

/** Each file with what is said of it, or of all of them. */
export function parseAttachBatch(body: unknown): readonly AskedFile[] {
  const { file_ids, files, attributes, chunking_strategy } = checkKept(
    body,
    CREATE_FILE_BATCH_PARAMETERS,
    createFileBatchSchema,
  ) satisfies CreateFileBatchBody;
  if ((file_ids == null) === (files == null)) {
    throw new InferenceError('invalid_request', 'The body names files in `file_ids` or in `files`: give one of them.', {
      param: 'file_ids',
    });
  }
  return files?.map(askedFile) ?? file_ids!.map((file_id) => askedFile({ file_id, attributes, chunking_strategy }));
}

export function askedFile({ file_id, attributes, chunking_strategy }: CreateVectorStoreFileBody): AskedFile {
  return { fileId: file_id, attributes: attributes ?? undefined, chunking: chunkingOf(chunking_strategy) };
}

function chunkingOf(strategy: ChunkingStrategyBody): AskedFile['chunking'] {
  if (strategy?.type !== 'static') return undefined;
  const { max_chunk_size_tokens: chunkTokens, chunk_overlap_tokens: overlapTokens } = strategy.static;
  return { chunkTokens, overlapTokens };
}

export function parseSearch(body: unknown): AskedSearch {
  const { query, filters, max_num_results, ranking_options } = checkKept(
    body,
    SEARCH_VECTOR_STORE_PARAMETERS,
    searchVectorStoreSchema,
  );
  // A threshold that is mistyped would let everything through.
  refuseUnknown((body as { ranking_options?: object | null }).ranking_options ?? {}, RANKING, 'ranking_options');
  return {
    queries: [query].flat(),
    filter: filters == null ? undefined : parseAttributeFilter(filters, 'filters'),
    resultsMax: max_num_results ?? RESULTS_DEFAULT,
    scoreMin: ranking_options?.score_threshold ?? undefined,
  };
}

export function parseListStores(query: unknown): ListVectorStoresQuery {
  return checkKept(query ?? {}, LIST_VECTOR_STORES_PARAMETERS, listVectorStoresSchema);
}

export function parseListFiles(query: unknown): ListVectorStoreFilesQuery {
  return checkKept(query ?? {}, LIST_VECTOR_STORE_FILES_PARAMETERS, listVectorStoreFilesSchema);
}

/** What is kept, or compared with what is, goes into a database, whose texts hold no NUL. */
function checkKept<T>(body: unknown, parameters: ParameterTable, schema: z.ZodType<T>): T {
  const checked = checkBody(body, parameters, schema);
  const param = nulIn(body, '');
  if (param === undefined) return checked;
  throw new InferenceError(
    'invalid_request',
    `\`${param}\` holds the character NUL, which no text here may. Leave it out.`,
    {
      param,
    },
  );
}

/** The place of the first; how deep a body may be was looked at before. */
function nulIn(value: unknown, path: string): string | undefined {
  if (typeof value === 'string') return value.includes('\0') ? path : undefined;
  if (typeof value !== 'object' || value === null) return undefined;
  for (const [name, one] of Object.entries(value)) {
    const place = Array.isArray(value) ? `${path}[${name}]` : path === '' ? name : `${path}.${name}`;
    const found = name.includes('\0') ? path || 'body' : nulIn(one, place);
    if (found !== undefined) return found;
  }
  return undefined;
}
