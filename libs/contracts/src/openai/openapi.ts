import * as z from 'zod';
import {
  changeKeySchema,
  createKeySchema,
  keyListSchema,
  keySchema,
  listKeysSchema,
  newKeySchema,
  rotateKeySchema,
} from '../admin/keys.js';
import {
  addModelSchema,
  modelJobListSchema,
  modelJobSchema,
  pullModelSchema,
  removedModelSchema,
  removeModelQuerySchema,
  storedModelListSchema,
  storedModelSchema,
  warmedModelSchema,
} from '../admin/models.js';
import { usageQuerySchema, usageReportSchema } from '../admin/usage.js';
import { ERROR_CATALOG } from '../errors/inference-error.js';
import { VERSION } from '../version.js';
import { batchListSchema, batchSchema, createBatchSchema, listBatchesSchema } from './batches.js';
import { CACHE_ASKS, CACHE_HEADER, CACHE_HEADER_TEXTS } from './cache-header.js';
import { chatChunkSchema, chatCompletionSchema, chatRequestSchema } from './chat.js';
import { DISPATCH_ASKS, DISPATCH_HEADER, DISPATCH_HEADER_TEXT } from './dispatch-header.js';
import { embeddingsRequestSchema, embeddingsSchema } from './embeddings.js';
import { usage } from './fields.js';
import { createFileFormSchema, deletedFileSchema, fileListSchema, fileSchema, listFilesSchema } from './files.js';
import { modelListSchema, modelSchema } from './models.js';
import { plainAnswerSchema, plainChatRequestSchema, plainModelListSchema, plainPieceSchema } from './plain-chat.js';
import { rerankRequestSchema, rerankSchema } from './rerank.js';
import { errorSchema, healthSchema, healthzSchema, readyzSchema } from './service.js';
import { textCompletionSchema, textRequestSchema } from './text.js';
import {
  appliedTemplateSchema,
  applyTemplateRequestSchema,
  detokenizedSchema,
  detokenizeRequestSchema,
  tokenizedSchema,
  tokenizeRequestSchema,
} from './tokenize.js';
import {
  completeUploadSchema,
  createUploadSchema,
  uploadPartFormSchema,
  uploadPartSchema,
  uploadSchema,
} from './uploads.js';
import {
  changeVectorStoreFileSchema,
  changeVectorStoreSchema,
  createFileBatchSchema,
  createVectorStoreFileSchema,
  createVectorStoreSchema,
  deletedVectorStoreFileSchema,
  deletedVectorStoreSchema,
  fileBatchSchema,
  listVectorStoreFilesSchema,
  listVectorStoresSchema,
  searchResultsSchema,
  searchVectorStoreSchema,
  vectorStoreFileContentSchema,
  vectorStoreFileListSchema,
  vectorStoreFileSchema,
  vectorStoreListSchema,
  vectorStoreSchema,
} from './vector-stores.js';

interface PathParameter {
  readonly name: string;
  readonly description: string;
}

interface Endpoint {
  readonly method: 'get' | 'post' | 'delete';
  readonly path: string;
  readonly tag: string;
  readonly summary: string;
  readonly body?: z.ZodType;
  /** The body is a form with a file in it. */
  readonly isForm?: true;
  readonly answers: Readonly<Record<number, { readonly description: string; readonly schema?: z.ZodType }>>;
  /** The chunks of the answer when it is streamed. */
  readonly streamed?: z.ZodType;
  readonly text?: string;
  readonly pathParameter?: PathParameter;
  /** Several of them. */
  readonly pathParameters?: readonly PathParameter[];
  /** Parameters of the query. */
  readonly query?: z.ZodObject;
  /** The body may be left out. */
  readonly bodyIsOptional?: true;
  /** Only the admin key opens it. */
  readonly admin?: true;
  /** Its answers are kept. */
  readonly cached?: true;
}

const ADMIN_ERRORS = [400, 401, 503];
/** Where a key stands in a path. */
const MODEL_ID = { name: 'id', description: 'The id of the model in the registry or the bucket.' };
const JOB_ID = { name: 'id', description: 'The id of the job.' };
const KEY_ID = { name: 'id', description: 'The id of the key: what stands in it behind `sk-mr-`.' };

const STORE_ERRORS = [401, 429, 503];
const UPLOAD_ID = { name: 'upload_id', description: 'The id of an upload: `upload_…`.' };
const BATCH_ID = { name: 'batch_id', description: 'The id of a batch: `batch_…`.' };
const FILE_ID = { name: 'file_id', description: 'The id of a file: `file-…`.' };

const STORE_ID = { name: 'id', description: 'The id of the vector store.' };
const STORE_FILE_ID = { name: 'file', description: 'The id of the file.' };
const FILE_BATCH_ID = { name: 'batch', description: 'The id of the batch.' };
const VECTOR_STORE_ERRORS = [400, 401, 404, 413, 415, 429, 500, 503];

const WORK_ERRORS = [400, 401, 403, 404, 413, 415, 429, 500, 503, 504];

/** Everything the gateway serves; the document below is made from it and from the schemas that validate. */
const ENDPOINTS: readonly Endpoint[] = [
  {
    method: 'post',
    path: '/v1/chat/completions',
    tag: 'Generation',
    summary: 'Answer a conversation, whole or streamed.',
    body: chatRequestSchema,
    answers: withErrors({ 200: { description: 'The answer.', schema: chatCompletionSchema } }, WORK_ERRORS),
    streamed: chatChunkSchema,
    cached: true,
  },
  {
    method: 'post',
    path: '/v1/completions',
    tag: 'Generation',
    summary: 'Continue a text, whole or streamed.',
    body: textRequestSchema,
    answers: withErrors({ 200: { description: 'The answer.', schema: textCompletionSchema } }, WORK_ERRORS),
    streamed: textCompletionSchema,
    cached: true,
  },
  {
    method: 'post',
    path: '/chat',
    tag: 'Generation',
    summary: 'Answer a conversation, in fewer words: who answered, how much it took, and how long.',
    body: plainChatRequestSchema,
    answers: withErrors({ 200: { description: 'The answer.', schema: plainAnswerSchema } }, WORK_ERRORS),
    streamed: plainPieceSchema,
    cached: true,
  },
  {
    method: 'post',
    path: '/v1/embeddings',
    tag: 'Vectors',
    summary: 'Vectors of texts.',
    body: embeddingsRequestSchema,
    answers: withErrors({ 200: { description: 'The vectors.', schema: embeddingsSchema } }, WORK_ERRORS),
  },
  {
    method: 'post',
    path: '/v1/rerank',
    tag: 'Vectors',
    summary: 'Sort documents by how near they are to a query. Also at `/rerank`.',
    body: rerankRequestSchema,
    answers: withErrors({ 200: { description: 'The documents, best first.', schema: rerankSchema } }, WORK_ERRORS),
  },
  {
    method: 'post',
    path: '/v1/vector_stores',
    tag: 'Vector stores',
    summary: 'Make a vector store.',
    body: createVectorStoreSchema,
    answers: withErrors({ 200: { description: 'The store.', schema: vectorStoreSchema } }, VECTOR_STORE_ERRORS),
  },
  {
    method: 'get',
    path: '/v1/vector_stores',
    tag: 'Vector stores',
    summary: 'List the vector stores of the key.',
    query: listVectorStoresSchema,
    answers: withErrors(
      { 200: { description: 'A page of stores.', schema: vectorStoreListSchema } },
      VECTOR_STORE_ERRORS,
    ),
  },
  {
    method: 'get',
    path: '/v1/vector_stores/{id}',
    tag: 'Vector stores',
    summary: 'One vector store, and how far its files are.',
    answers: withErrors({ 200: { description: 'The store.', schema: vectorStoreSchema } }, VECTOR_STORE_ERRORS),
    pathParameters: [STORE_ID],
  },
  {
    method: 'post',
    path: '/v1/vector_stores/{id}',
    tag: 'Vector stores',
    summary: 'Change the name, expiry or metadata of a vector store.',
    body: changeVectorStoreSchema,
    answers: withErrors(
      { 200: { description: 'The store, changed.', schema: vectorStoreSchema } },
      VECTOR_STORE_ERRORS,
    ),
    pathParameters: [STORE_ID],
  },
  {
    method: 'delete',
    path: '/v1/vector_stores/{id}',
    tag: 'Vector stores',
    summary: 'Delete a vector store, with all texts and vectors in it. The files stay.',
    answers: withErrors(
      { 200: { description: 'It is deleted.', schema: deletedVectorStoreSchema } },
      VECTOR_STORE_ERRORS,
    ),
    pathParameters: [STORE_ID],
  },
  {
    method: 'post',
    path: '/v1/vector_stores/{id}/search',
    tag: 'Vector stores',
    summary: 'The chunks of a vector store that are nearest to a query.',
    body: searchVectorStoreSchema,
    answers: withErrors({ 200: { description: 'The chunks, nearest first.', schema: searchResultsSchema } }, [
      ...WORK_ERRORS,
    ]),
    pathParameters: [STORE_ID],
  },
  {
    method: 'post',
    path: '/v1/vector_stores/{id}/files',
    tag: 'Vector stores',
    summary: 'Attach a file to a vector store. It is read in the background.',
    body: createVectorStoreFileSchema,
    answers: withErrors(
      { 200: { description: 'The file, in the store.', schema: vectorStoreFileSchema } },
      VECTOR_STORE_ERRORS,
    ),
    pathParameters: [STORE_ID],
  },
  {
    method: 'get',
    path: '/v1/vector_stores/{id}/files',
    tag: 'Vector stores',
    summary: 'List the files of a vector store.',
    query: listVectorStoreFilesSchema,
    answers: withErrors(
      { 200: { description: 'A page of files.', schema: vectorStoreFileListSchema } },
      VECTOR_STORE_ERRORS,
    ),
    pathParameters: [STORE_ID],
  },
  {
    method: 'get',
    path: '/v1/vector_stores/{id}/files/{file}',
    tag: 'Vector stores',
    summary: 'One file of a vector store, and how far it is.',
    answers: withErrors({ 200: { description: 'The file.', schema: vectorStoreFileSchema } }, VECTOR_STORE_ERRORS),
    pathParameters: [STORE_ID, STORE_FILE_ID],
  },
  {
    method: 'post',
    path: '/v1/vector_stores/{id}/files/{file}',
    tag: 'Vector stores',
    summary: 'Replace the attributes of a file of a vector store.',
    body: changeVectorStoreFileSchema,
    answers: withErrors({ 200: { description: 'The file.', schema: vectorStoreFileSchema } }, VECTOR_STORE_ERRORS),
    pathParameters: [STORE_ID, STORE_FILE_ID],
  },
  {
    method: 'delete',
    path: '/v1/vector_stores/{id}/files/{file}',
    tag: 'Vector stores',
    summary: 'Remove a file from a vector store, with its texts and vectors. The file stays.',
    answers: withErrors(
      { 200: { description: 'It is removed.', schema: deletedVectorStoreFileSchema } },
      VECTOR_STORE_ERRORS,
    ),
    pathParameters: [STORE_ID, STORE_FILE_ID],
  },
  {
    method: 'get',
    path: '/v1/vector_stores/{id}/files/{file}/content',
    tag: 'Vector stores',
    summary: 'The text of a file, as it was read.',
    answers: withErrors(
      { 200: { description: 'Its text, in parts.', schema: vectorStoreFileContentSchema } },
      VECTOR_STORE_ERRORS,
    ),
    pathParameters: [STORE_ID, STORE_FILE_ID],
  },
  {
    method: 'post',
    path: '/v1/vector_stores/{id}/file_batches',
    tag: 'Vector stores',
    summary: 'Attach several files to a vector store.',
    body: createFileBatchSchema,
    answers: withErrors({ 200: { description: 'The batch.', schema: fileBatchSchema } }, VECTOR_STORE_ERRORS),
    pathParameters: [STORE_ID],
  },
  {
    method: 'get',
    path: '/v1/vector_stores/{id}/file_batches/{batch}',
    tag: 'Vector stores',
    summary: 'One batch of files, and how far it is.',
    answers: withErrors({ 200: { description: 'The batch.', schema: fileBatchSchema } }, VECTOR_STORE_ERRORS),
    pathParameters: [STORE_ID, FILE_BATCH_ID],
  },
  {
    method: 'post',
    path: '/v1/vector_stores/{id}/file_batches/{batch}/cancel',
    tag: 'Vector stores',
    summary: 'Cancel what of a batch is not read yet.',
    answers: withErrors({ 200: { description: 'The batch.', schema: fileBatchSchema } }, VECTOR_STORE_ERRORS),
    pathParameters: [STORE_ID, FILE_BATCH_ID],
  },
  {
    method: 'get',
    path: '/v1/vector_stores/{id}/file_batches/{batch}/files',
    tag: 'Vector stores',
    summary: 'List the files of a batch.',
    query: listVectorStoreFilesSchema,
    answers: withErrors(
      { 200: { description: 'A page of files.', schema: vectorStoreFileListSchema } },
      VECTOR_STORE_ERRORS,
    ),
    pathParameters: [STORE_ID, FILE_BATCH_ID],
  },
  {
    method: 'post',
    path: '/v1/tokenize',
    tag: 'Tokens',
    summary: 'The tokens of a text or a chat. Also at `/tokenize`.',
    body: tokenizeRequestSchema,
    answers: withErrors({ 200: { description: 'The tokens.', schema: tokenizedSchema } }, WORK_ERRORS),
  },
  {
    method: 'post',
    path: '/v1/detokenize',
    tag: 'Tokens',
    summary: 'The text of tokens. Also at `/detokenize`.',
    body: detokenizeRequestSchema,
    answers: withErrors({ 200: { description: 'The text.', schema: detokenizedSchema } }, WORK_ERRORS),
  },
  {
    method: 'post',
    path: '/v1/apply-template',
    tag: 'Tokens',
    summary: "The prompt that the model's template makes of a chat. Also at `/apply-template`.",
    body: applyTemplateRequestSchema,
    answers: withErrors({ 200: { description: 'The prompt.', schema: appliedTemplateSchema } }, WORK_ERRORS),
  },
  {
    method: 'get',
    path: '/v1/models',
    tag: 'Models',
    summary: 'List the models that are served: to a key, those that it may use.',
    answers: withErrors({ 200: { description: 'The models.', schema: modelListSchema } }, [401, 503]),
  },
  {
    method: 'get',
    path: '/v1/models/{model}',
    tag: 'Models',
    summary: 'One model, by its id or an alias.',
    answers: withErrors({ 200: { description: 'The model.', schema: modelSchema } }, [401, 403, 404, 503]),
    pathParameter: { name: 'model', description: 'The id or an alias; it may contain slashes.' },
  },
  {
    method: 'get',
    path: '/models',
    tag: 'Models',
    summary: 'Every name that a key may ask for, aliases among them, and who answers to it.',
    answers: withErrors({ 200: { description: 'The names.', schema: plainModelListSchema } }, [401, 503]),
  },
  {
    method: 'post',
    path: '/v1/files',
    tag: 'Files',
    summary: 'Keep a file.',
    body: createFileFormSchema,
    isForm: true,
    answers: withErrors({ 200: { description: 'The file.', schema: fileSchema } }, [
      400,
      ...STORE_ERRORS,
      408,
      413,
      415,
      507,
    ]),
  },
  {
    method: 'get',
    path: '/v1/files',
    tag: 'Files',
    summary: 'List the files of the key, the newest first.',
    query: listFilesSchema,
    answers: withErrors({ 200: { description: 'A page of files.', schema: fileListSchema } }, [400, ...STORE_ERRORS]),
  },
  {
    method: 'get',
    path: '/v1/files/{file_id}',
    tag: 'Files',
    summary: 'What is known of a file.',
    answers: withErrors({ 200: { description: 'The file.', schema: fileSchema } }, [404, ...STORE_ERRORS]),
    pathParameter: FILE_ID,
  },
  {
    method: 'get',
    path: '/v1/files/{file_id}/content',
    tag: 'Files',
    summary: 'The content of a file, or the part of it that `Range` asks for (206).',
    answers: withErrors({ 200: { description: 'The content.' } }, [404, ...STORE_ERRORS, 416]),
    text: 'application/octet-stream',
    pathParameter: FILE_ID,
  },
  {
    method: 'delete',
    path: '/v1/files/{file_id}',
    tag: 'Files',
    summary: 'Remove a file.',
    answers: withErrors({ 200: { description: 'It is gone.', schema: deletedFileSchema } }, [404, ...STORE_ERRORS]),
    pathParameter: FILE_ID,
  },
  {
    method: 'post',
    path: '/v1/uploads',
    tag: 'Files',
    summary: 'Begin with a file that comes in parts.',
    body: createUploadSchema,
    answers: withErrors({ 200: { description: 'The upload.', schema: uploadSchema } }, [400, 413, ...STORE_ERRORS]),
  },
  {
    method: 'post',
    path: '/v1/uploads/{upload_id}/parts',
    tag: 'Files',
    summary: 'Add a part, of up to 64 MiB.',
    body: uploadPartFormSchema,
    isForm: true,
    answers: withErrors({ 200: { description: 'The part.', schema: uploadPartSchema } }, [
      400,
      404,
      ...STORE_ERRORS,
      408,
      413,
      415,
      507,
    ]),
    pathParameter: UPLOAD_ID,
  },
  {
    method: 'post',
    path: '/v1/uploads/{upload_id}/complete',
    tag: 'Files',
    summary: 'Make a file of the parts. Again, it answers the same.',
    body: completeUploadSchema,
    answers: withErrors({ 200: { description: 'The upload, with its file.', schema: uploadSchema } }, [
      400,
      404,
      ...STORE_ERRORS,
      507,
    ]),
    pathParameter: UPLOAD_ID,
  },
  {
    method: 'post',
    path: '/v1/uploads/{upload_id}/cancel',
    tag: 'Files',
    summary: 'Give it up, and remove its parts.',
    answers: withErrors({ 200: { description: 'The upload.', schema: uploadSchema } }, [400, 404, ...STORE_ERRORS]),
    pathParameter: UPLOAD_ID,
  },
  {
    method: 'post',
    path: '/v1/batches',
    tag: 'Batch jobs',
    summary: 'Have the requests of a file answered, when nobody else wants to be.',
    body: createBatchSchema,
    answers: withErrors({ 200: { description: 'The batch.', schema: batchSchema } }, [400, ...STORE_ERRORS, 413, 415]),
  },
  {
    method: 'get',
    path: '/v1/batches',
    tag: 'Batch jobs',
    summary: 'List the batches of the key, the newest first.',
    query: listBatchesSchema,
    answers: withErrors({ 200: { description: 'A page of batches.', schema: batchListSchema } }, [
      400,
      404,
      ...STORE_ERRORS,
    ]),
  },
  {
    method: 'get',
    path: '/v1/batches/{batch_id}',
    tag: 'Batch jobs',
    summary: 'How a batch stands.',
    answers: withErrors({ 200: { description: 'The batch.', schema: batchSchema } }, [404, ...STORE_ERRORS]),
    pathParameter: BATCH_ID,
  },
  {
    method: 'post',
    path: '/v1/batches/{batch_id}/cancel',
    tag: 'Batch jobs',
    summary: 'Begin no more lines of a batch. What was answered stays.',
    answers: withErrors({ 200: { description: 'The batch, cancelling.', schema: batchSchema } }, [
      404,
      409,
      ...STORE_ERRORS,
    ]),
    pathParameter: BATCH_ID,
  },
  {
    method: 'post',
    path: '/admin/keys',
    tag: 'Admin',
    summary: 'Make an API key. The answer has the key itself, which is never shown again.',
    body: createKeySchema,
    answers: withErrors({ 200: { description: 'The new key.', schema: newKeySchema } }, ADMIN_ERRORS),
    admin: true,
  },
  {
    method: 'get',
    path: '/admin/keys',
    tag: 'Admin',
    summary: 'List API keys, newest first, revoked and expired ones among them.',
    query: listKeysSchema,
    answers: withErrors({ 200: { description: 'A page of keys.', schema: keyListSchema } }, [...ADMIN_ERRORS, 404]),
    admin: true,
  },
  {
    method: 'get',
    path: '/admin/keys/{id}',
    tag: 'Admin',
    summary: 'One API key.',
    answers: withErrors({ 200: { description: 'The key.', schema: keySchema } }, [401, 404, 503]),
    pathParameter: KEY_ID,
    admin: true,
  },
  {
    method: 'post',
    path: '/admin/keys/{id}',
    tag: 'Admin',
    summary: 'Change what an API key may do. What is absent stays as it is; null takes a limit away.',
    body: changeKeySchema,
    answers: withErrors({ 200: { description: 'The key, changed.', schema: keySchema } }, [...ADMIN_ERRORS, 404]),
    pathParameter: KEY_ID,
    admin: true,
  },
  {
    method: 'delete',
    path: '/admin/keys/{id}',
    tag: 'Admin',
    summary: 'Revoke an API key, for good. Its running requests go on.',
    answers: withErrors({ 200: { description: 'The key, revoked.', schema: keySchema } }, [401, 404, 503]),
    pathParameter: KEY_ID,
    admin: true,
  },
  {
    method: 'post',
    path: '/admin/keys/{id}/rotate',
    tag: 'Admin',
    summary: 'Replace an API key by a new one of the same id. The former is valid for `grace_seconds` more.',
    body: rotateKeySchema,
    bodyIsOptional: true,
    answers: withErrors({ 200: { description: 'The new key.', schema: newKeySchema } }, [...ADMIN_ERRORS, 404]),
    pathParameter: KEY_ID,
    admin: true,
  },
  {
    method: 'post',
    path: '/admin/models',
    tag: 'Admin',
    summary: 'Fetch a model into the registry of this gateway. The answer is a job, which goes on by itself.',
    body: addModelSchema,
    answers: withErrors({ 202: { description: 'The job.', schema: modelJobSchema } }, [...ADMIN_ERRORS, 429]),
    admin: true,
  },
  {
    method: 'get',
    path: '/admin/models',
    tag: 'Admin',
    summary: 'The models of the registry and of the bucket.',
    answers: withErrors({ 200: { description: 'The models.', schema: storedModelListSchema } }, [401, 503]),
    admin: true,
  },
  {
    method: 'get',
    path: '/admin/models/{id}',
    tag: 'Admin',
    summary: 'One model of the registry or the bucket.',
    answers: withErrors({ 200: { description: 'The model.', schema: storedModelSchema } }, [400, 401, 404, 503]),
    pathParameter: MODEL_ID,
    admin: true,
  },
  {
    method: 'delete',
    path: '/admin/models/{id}',
    tag: 'Admin',
    summary: 'Take a model out of the registry, and with `bucket=true` out of the bucket.',
    query: removeModelQuerySchema,
    answers: withErrors({ 200: { description: 'It is gone.', schema: removedModelSchema } }, [400, 401, 404, 409, 503]),
    pathParameter: MODEL_ID,
    admin: true,
  },
  {
    method: 'post',
    path: '/admin/models/{id}/verify',
    tag: 'Admin',
    summary: 'Read all of a model again, and compare it with its digest. The answer is a job.',
    answers: withErrors({ 202: { description: 'The job.', schema: modelJobSchema } }, [400, 401, 404, 429, 503]),
    pathParameter: MODEL_ID,
    admin: true,
  },
  {
    method: 'post',
    path: '/admin/models/{id}/pull',
    tag: 'Admin',
    summary: 'Bring a model from the bucket to this gateway. The answer is a job.',
    body: pullModelSchema,
    bodyIsOptional: true,
    answers: withErrors({ 202: { description: 'The job.', schema: modelJobSchema } }, [400, 401, 404, 429, 503]),
    pathParameter: MODEL_ID,
    admin: true,
  },
  {
    method: 'post',
    path: '/admin/models/{id}/push',
    tag: 'Admin',
    summary: 'Send a model of this gateway to the bucket. The answer is a job.',
    answers: withErrors({ 202: { description: 'The job.', schema: modelJobSchema } }, [400, 401, 404, 429, 503]),
    pathParameter: MODEL_ID,
    admin: true,
  },
  {
    method: 'post',
    path: '/admin/models/{id}/warm',
    tag: 'Admin',
    summary: 'Have every worker that serves a model load it. Answered when they have.',
    answers: withErrors({ 200: { description: 'How it went.', schema: warmedModelSchema } }, [401, 404]),
    pathParameter: MODEL_ID,
    admin: true,
  },
  {
    method: 'get',
    path: '/admin/model-jobs',
    tag: 'Admin',
    summary: 'What runs on models at this gateway, and the last that ended; the latest first.',
    answers: withErrors({ 200: { description: 'The jobs.', schema: modelJobListSchema } }, [401]),
    admin: true,
  },
  {
    method: 'get',
    path: '/admin/model-jobs/{id}',
    tag: 'Admin',
    summary: 'How far a job is, and how it ended.',
    answers: withErrors({ 200: { description: 'The job.', schema: modelJobSchema } }, [401, 404]),
    pathParameter: JOB_ID,
    admin: true,
  },
  {
    method: 'delete',
    path: '/admin/model-jobs/{id}',
    tag: 'Admin',
    summary: 'End a job. What it has fetched is kept for the next that fetches the same.',
    answers: withErrors({ 200: { description: 'The job, ended.', schema: modelJobSchema } }, [401, 404]),
    pathParameter: JOB_ID,
    admin: true,
  },
  {
    method: 'get',
    path: '/admin/usage',
    tag: 'Admin',
    summary: 'Requests and tokens of each key, model and day.',
    query: usageQuerySchema,
    answers: withErrors(
      { 200: { description: 'The totals, latest day first.', schema: usageReportSchema } },
      ADMIN_ERRORS,
    ),
    admin: true,
  },
  {
    method: 'get',
    path: '/healthz',
    tag: 'Service',
    summary: 'Whether the process lives.',
    answers: { 200: { description: 'It lives.', schema: healthzSchema } },
  },
  {
    method: 'get',
    path: '/readyz',
    tag: 'Service',
    summary: 'Whether requests can be answered now.',
    answers: {
      200: { description: 'Ready, and for what.', schema: readyzSchema },
      503: { description: 'Not ready, and why.', schema: readyzSchema },
    },
  },
  {
    method: 'get',
    path: '/health',
    tag: 'Service',
    summary: 'Health, readiness, versions and workers in one answer.',
    answers: { 200: { description: 'The state of this gateway.', schema: healthSchema } },
  },
  {
    method: 'get',
    path: '/metrics',
    tag: 'Service',
    summary: "Metrics in Prometheus' text format.",
    answers: { 200: { description: 'The metrics.' } },
    text: 'text/plain',
  },
];

/** The OpenAPI 3.1 document: pure, so that a test can compare it with the committed file. */
export function openApiDocument(): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const endpoint of ENDPOINTS) {
    paths[endpoint.path] = { ...paths[endpoint.path], [endpoint.method]: operation(endpoint) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Millrace',
      version: VERSION,
      description: 'Large language models on your own machines, behind the OpenAI API.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    security: [{}, { bearer: [] }, { header: [] }],
    tags: ['Generation', 'Vectors', 'Vector stores', 'Tokens', 'Files', 'Models', 'Admin', 'Service'].map((name) => ({
      name,
    })),
    paths,
    components: {
      schemas: componentSchemas(),
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'An API key.' },
        header: { type: 'apiKey', in: 'header', name: 'x-api-key', description: 'An API key.' },
        admin: { type: 'http', scheme: 'bearer', description: 'The key of the admin API.' },
      },
    },
  };
}

function operation(endpoint: Endpoint): Record<string, unknown> {
  return {
    tags: [endpoint.tag],
    summary: endpoint.summary,
    operationId: operationId(endpoint),
    ...parametersOf(endpoint),
    ...(endpoint.admin && { security: [{ admin: [] }] }),
    ...(endpoint.body && {
      requestBody: {
        required: endpoint.bodyIsOptional !== true,
        content: {
          [endpoint.isForm ? 'multipart/form-data' : 'application/json']: { schema: reference(endpoint.body) },
        },
      },
    }),
    responses: Object.fromEntries(
      Object.entries(endpoint.answers).map(([status, { description, schema }]) => [
        status,
        {
          description,
          ...(endpoint.cached && status === '200' && { headers: CACHE_TOLD }),
          content: content(endpoint, Number(status), schema),
        },
      ]),
    ),
  };
}

const CACHE_ASKED = {
  name: CACHE_HEADER,
  in: 'header',
  required: false,
  description: CACHE_HEADER_TEXTS.asked,
  schema: { type: 'string', enum: CACHE_ASKS },
};
const DISPATCH_ASKED = {
  name: DISPATCH_HEADER,
  in: 'header',
  required: false,
  description: DISPATCH_HEADER_TEXT,
  schema: { type: 'string', enum: DISPATCH_ASKS },
};
const CACHE_TOLD = {
  [CACHE_HEADER]: { description: CACHE_HEADER_TEXTS.told, schema: { type: 'string', enum: ['hit', 'miss'] } },
};

function parametersOf({ pathParameter, pathParameters, query, cached }: Endpoint): Record<string, unknown> {
  const inPath = pathParameters ?? (pathParameter ? [pathParameter] : []);
  const path = inPath.map((one) => ({ ...one, in: 'path', required: true, schema: { type: 'string' } }));
  // Without its name, or the properties would stand behind a pointer.
  const { properties = {}, required = [] } = query
    ? z.toJSONSchema(z.object(query.shape), { io: 'input', unrepresentable: 'any' })
    : {};
  const inQuery = Object.entries(properties).map(([name, schema]) => ({
    name,
    in: 'query',
    required: required.includes(name),
    schema,
  }));
  const parameters = [...path, ...inQuery, ...(cached ? [CACHE_ASKED, DISPATCH_ASKED] : [])];
  return parameters.length === 0 ? {} : { parameters };
}

function content(endpoint: Endpoint, status: number, schema: z.ZodType | undefined) {
  if (schema === undefined) return { [endpoint.text ?? 'text/plain']: { schema: { type: 'string' } } };
  const json = { 'application/json': { schema: reference(schema) } };
  if (status !== 200 || endpoint.streamed === undefined) return json;
  // A streamed answer is a sequence of such chunks, each behind `data: `, and `data: [DONE]` at the end.
  return { ...json, 'text/event-stream': { schema: reference(endpoint.streamed) } };
}

/** The schemas of all endpoints as JSON Schema, by name; those that have a name and stand inside another are pointers. */
function componentSchemas(): Record<string, unknown> {
  const registry = z.registry<{ id: string }>();
  const schemas = ENDPOINTS.flatMap(({ body, streamed, answers }) => [
    body,
    streamed,
    ...Object.values(answers).map(({ schema }) => schema),
  ]);
  for (const schema of [...schemas, usage]) {
    if (schema !== undefined && !registry.has(schema)) registry.add(schema, { id: nameOf(schema) });
  }
  const { schemas: byName } = z.toJSONSchema(registry, { io: 'input', uri: pointer, unrepresentable: 'any' });
  return Object.fromEntries(
    Object.entries(byName)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, { $schema: _, $id: __, id: ___, ...schema }]) => [name, schema]),
  );
}

function reference(schema: z.ZodType): Record<string, unknown> {
  return { $ref: pointer(nameOf(schema)) };
}

function pointer(name: string): string {
  return `#/components/schemas/${name}`;
}

function nameOf(schema: z.ZodType): string {
  const id = schema.meta()?.id;
  if (id === undefined) throw new Error('Every schema of an endpoint needs a name: .meta({ id }).');
  return id;
}

function operationId({ method, path }: Endpoint): string {
  const words = path.split(/[^A-Za-z0-9]+/).filter((word) => word !== '' && word !== 'v1');
  return [method, ...words.map((word) => word[0]!.toUpperCase() + word.slice(1))].join('');
}

function withErrors(answers: Endpoint['answers'], statuses: readonly number[]): Endpoint['answers'] {
  const errors = statuses.map((status) => {
    const codes = Object.entries(ERROR_CATALOG)
      .filter(([, error]) => error.status === status)
      .map(([code]) => `\`${code}\``);
    return [status, { description: `Codes: ${codes.join(', ')}.`, schema: errorSchema }] as const;
  });
  return { ...answers, ...Object.fromEntries(errors) };
}
