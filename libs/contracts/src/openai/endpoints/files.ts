import { createFileFormSchema, deletedFileSchema, fileListSchema, fileSchema, listFilesSchema } from '../files.js';
import {
  completeUploadSchema,
  createUploadSchema,
  uploadPartFormSchema,
  uploadPartSchema,
  uploadSchema,
} from '../uploads.js';
import { type Endpoint, STORE_ERRORS, withErrors } from './endpoint.js';

const UPLOAD_ID = { name: 'upload_id', description: 'The id of an upload: `upload_…`.' };
const FILE_ID = { name: 'file_id', description: 'The id of a file: `file-…`.' };

export const FILES_ENDPOINTS: readonly Endpoint[] = [
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
    answers: withErrors({ 200: { description: 'A page of files.', schema: fileListSchema } }, [
      400,
      404,
      ...STORE_ERRORS,
    ]),
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
    summary: 'The content of a file, or a part of it.',
    answers: withErrors(
      { 200: { description: 'The content.' }, 206: { description: 'The part that was asked for.' } },
      [404, ...STORE_ERRORS, 416],
    ),
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
];
