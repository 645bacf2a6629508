import * as z from 'zod';
import type { ParameterTable } from './fields.js';
import { listOf } from './list-of.js';

/** OpenAI's files: https://platform.openai.com/docs/api-reference/files. */

/** What may be uploaded. */
export const UPLOADED_PURPOSES = ['assistants', 'batch', 'fine-tune', 'vision', 'user_data', 'evals'] as const;
/** What this server makes itself. */
export const MADE_PURPOSES = ['assistants_output', 'batch_output', 'fine-tune-results'] as const;
export const FILE_PURPOSES = [...UPLOADED_PURPOSES, ...MADE_PURPOSES] as const;
export type FilePurpose = (typeof FILE_PURPOSES)[number];

/** OpenAI's: an hour to thirty days. */
const EXPIRES_SECONDS_MIN = 3_600;
const EXPIRES_SECONDS_MAX = 2_592_000;
/** OpenAI's, for batch files that don't say. */
export const BATCH_FILE_SECONDS = EXPIRES_SECONDS_MAX;

const FILENAME_LENGTH_MAX = 500;

export const filename = z
  .string()
  .min(1)
  .max(FILENAME_LENGTH_MAX)
  .regex(/^[^\p{Cc}]+$/u, { error: 'must not hold control characters' });

export const expiresAfter = z.object({
  anchor: z.literal('created_at'),
  seconds: z.int().min(EXPIRES_SECONDS_MIN).max(EXPIRES_SECONDS_MAX),
});

/** Numbers of a form are texts. */
const secondsInForm = z
  .string()
  .regex(/^\d{1,10}$/, { error: 'must be a whole number of seconds' })
  .transform(Number)
  .pipe(expiresAfter.shape.seconds);

/** The fields of the form, but for the file itself. */
export const createFileSchema = z
  .object({
    purpose: z.enum(UPLOADED_PURPOSES),
    expires_after: z.object({ anchor: expiresAfter.shape.anchor, seconds: secondsInForm }).nullish(),
  })
  .meta({ id: 'CreateFileFields' });

export type CreateFileFields = z.infer<typeof createFileSchema>;

/** As it stands in the OpenAPI document: a form has the file in it. */
export const createFileFormSchema = z
  .object({
    file: z.string().meta({ format: 'binary' }),
    purpose: z.enum(UPLOADED_PURPOSES),
    'expires_after[anchor]': expiresAfter.shape.anchor.optional(),
    'expires_after[seconds]': expiresAfter.shape.seconds.optional(),
  })
  .meta({ id: 'CreateFileRequest' });

const FILES_LISTED_MAX = 10_000;

export const listFilesSchema = z
  .object({
    after: z.string().max(200).optional().describe('The id of a file: the list goes on behind it.'),
    limit: z.coerce.number().int().min(1).max(FILES_LISTED_MAX).default(FILES_LISTED_MAX),
    order: z.enum(['asc', 'desc']).default('desc').describe('By when they were made.'),
    purpose: z.enum(FILE_PURPOSES).optional(),
  })
  .meta({ id: 'ListFilesQuery' });

export type ListFilesQuery = z.infer<typeof listFilesSchema>;

export const fileSchema = z
  .object({
    id: z.string(),
    object: z.literal('file'),
    bytes: z.int(),
    created_at: z.int().describe('Unix seconds, as `expires_at`.'),
    expires_at: z.int().optional().describe('Absent: it stays until it is deleted.'),
    filename: z.string(),
    purpose: z.enum(FILE_PURPOSES),
    status: z.literal('processed'),
  })
  .meta({ id: 'OpenAIFile' });

export type FileBody = z.infer<typeof fileSchema>;

export const fileListSchema = listOf(fileSchema, 'ListFilesResponse');

export type FileListBody = z.infer<typeof fileListSchema>;

export const deletedFileSchema = z
  .object({ id: z.string(), object: z.literal('file'), deleted: z.literal(true) })
  .meta({ id: 'DeleteFileResponse' });

export type DeletedFileBody = z.infer<typeof deletedFileSchema>;

export const FILE_PARAMETERS = {
  file: {
    status: 'supported',
    note: 'One file, before or behind the other fields of the form; never held in memory. At most `fileBytesMax`.',
  },
  purpose: {
    status: 'supported',
    note: `${UPLOADED_PURPOSES.map((one) => `\`${one}\``).join(', ')}. A batch file has at most \`batchFileBytesMax\`.`,
  },
  expires_after: {
    status: 'supported',
    note: '`created_at`, and 3,600 to 2,592,000 seconds. Left out: batch files expire after 30 days, and others never.',
  },
} as const satisfies ParameterTable;

export const LIST_FILES_PARAMETERS = {
  after: { status: 'supported', note: 'Also the id of a file that was deleted meanwhile.' },
  limit: { status: 'supported', note: '1 to 10,000; left out, 10,000.' },
  order: { status: 'supported', note: '`desc` or `asc`; left out, `desc`.' },
  purpose: { status: 'supported' },
} as const satisfies ParameterTable;
