import {
  COMPLETE_UPLOAD_PARAMETERS,
  type CompleteUploadBody,
  type CreateFileFields,
  type CreateUploadBody,
  completeUploadSchema,
  createFileSchema,
  createUploadSchema,
  FILE_PARAMETERS,
  filename as filenameSchema,
  InferenceError,
  LIST_FILES_PARAMETERS,
  type ListFilesQuery,
  listFilesSchema,
  MADE_PURPOSES,
  UPLOAD_PARAMETERS,
} from '@millrace/contracts';
import * as z from 'zod';
import { checkBody } from './check-body.js';

/** What comes with files. @throws InferenceError a 400 that names the field. */

export function parseCreateFile(fields: ReadonlyMap<string, string>): CreateFileFields {
  const body = unflattened(fields);
  refuseMadePurpose(body.purpose);
  return checkBody(body, FILE_PARAMETERS, createFileSchema);
}

export function parseCreateUpload(body: unknown): CreateUploadBody {
  refuseMadePurpose((body as { purpose?: unknown } | null | undefined)?.purpose);
  return checkBody(body, UPLOAD_PARAMETERS, createUploadSchema);
}

export function parseCompleteUpload(body: unknown): CompleteUploadBody {
  return checkBody(body, COMPLETE_UPLOAD_PARAMETERS, completeUploadSchema);
}

export function parseListFiles(query: unknown): ListFilesQuery {
  return checkBody(query ?? {}, LIST_FILES_PARAMETERS, listFilesSchema);
}

const named = z.object({ file: filenameSchema });

/** What a file may be called: clients read it again in headers, lists and logs. */
export function parseFilename(given: string): string {
  return checkBody({ file: given }, { file: { status: 'supported' } }, named).file;
}

/** These are known, and yet not to be uploaded. */
function refuseMadePurpose(purpose: unknown): void {
  if (!MADE_PURPOSES.some((one) => one === purpose)) return;
  throw new InferenceError(
    'invalid_request',
    `\`purpose\` is "${purpose}", which only files have that this server makes itself. Use user_data for your own.`,
    { param: 'purpose' },
  );
}

/** `expires_after[seconds]` becomes a key within `expires_after`, as OpenAI's clients write what a form can't nest. */
function unflattened(fields: ReadonlyMap<string, string>): Record<string, unknown> {
  const body: Record<string, unknown> = Object.create(null);
  for (const [name, value] of fields) {
    const [, outer, inner] = /^([^[\]]+)\[([^[\]]+)\]$/.exec(name) ?? [];
    if (outer === undefined || inner === undefined) body[name] = value;
    else body[outer] = { ...(body[outer] as object | undefined), [inner]: value };
  }
  return body;
}
