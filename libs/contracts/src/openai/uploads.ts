import * as z from 'zod';
import type { ParameterTable } from './fields.js';
import { expiresAfter, FILE_PURPOSES, filename, fileSchema, UPLOADED_PURPOSES } from './files.js';

/** OpenAI's uploads, which are files that come in parts: https://platform.openai.com/docs/api-reference/uploads. */

/** OpenAI's: 64 MB. */
export const PART_BYTES_MAX = 64 * 1024 * 1024;
export const PARTS_MAX = 10_000;

export const createUploadSchema = z
  .object({
    bytes: z.int().min(1),
    filename,
    mime_type: z
      .string()
      .min(1)
      .max(200)
      .regex(/^[^\p{Cc}]+$/u, { error: 'must not hold control characters' }),
    purpose: z.enum(UPLOADED_PURPOSES),
    expires_after: expiresAfter.nullish(),
  })
  .meta({ id: 'CreateUploadRequest' });

export type CreateUploadBody = z.infer<typeof createUploadSchema>;

export const uploadPartFormSchema = z
  .object({ data: z.string().meta({ format: 'binary' }) })
  .meta({ id: 'AddUploadPartRequest' });

export const completeUploadSchema = z
  .object({
    part_ids: z.array(z.string().max(100)).min(1).max(PARTS_MAX),
    md5: z
      .string()
      .regex(/^[0-9a-fA-F]{32}$/, { error: 'must have 32 hexadecimal digits' })
      .nullish(),
  })
  .meta({ id: 'CompleteUploadRequest' });

export type CompleteUploadBody = z.infer<typeof completeUploadSchema>;

export const uploadSchema = z
  .object({
    id: z.string(),
    object: z.literal('upload'),
    bytes: z.int().describe('What was promised.'),
    created_at: z.int(),
    expires_at: z.int(),
    filename: z.string(),
    purpose: z.enum(FILE_PURPOSES),
    status: z.enum(['pending', 'completed', 'cancelled', 'expired']),
    file: fileSchema.optional().describe('Of one that is completed, unless the file was removed.'),
  })
  .meta({ id: 'Upload' });

export type UploadBody = z.infer<typeof uploadSchema>;

export const uploadPartSchema = z
  .object({ id: z.string(), object: z.literal('upload.part'), created_at: z.int(), upload_id: z.string() })
  .meta({ id: 'UploadPart' });

export type UploadPartBody = z.infer<typeof uploadPartSchema>;

export const UPLOAD_PARAMETERS = {
  bytes: { status: 'supported', note: 'At most `uploadBytesMax`. The parts must have as many together.' },
  filename: { status: 'supported' },
  mime_type: { status: 'supported', note: 'Kept, and not looked at.' },
  purpose: { status: 'supported', note: 'As for files.' },
  expires_after: { status: 'supported', note: 'Of the file, from when it was completed.' },
} as const satisfies ParameterTable;

export const COMPLETE_UPLOAD_PARAMETERS = {
  part_ids: { status: 'supported', note: 'In the order of the file. Parts that are not named are removed.' },
  md5: { status: 'supported', note: 'Of the whole file; another is a 400, and the upload stays as it was.' },
} as const satisfies ParameterTable;
