import { isAbsolute } from 'node:path';
import * as z from 'zod';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, { error: 'must be 64 lower-case hexadecimal digits' });
const bytes = z.int().min(0);

/** Where a file lies below something: no way out of it. */
const pathBelow = z
  .string()
  .min(1)
  .max(1_000)
  .refine((path) => isBelow(path), { error: 'must be a path without "..", not beginning with "/" or a dot' });

/** What strangers wrote, such as a licence in a model's file, says nothing to a terminal that it is shown on. */
function shownText(lengthMax: number) {
  return z
    .string()
    .max(lengthMax)
    .transform((text) => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '�'));
}

export const MODEL_FILES_MAX = 1_000;
export const MODEL_TASKS = ['chat', 'completion', 'embedding', 'rerank'] as const;
export type ModelTask = (typeof MODEL_TASKS)[number];

/** What the registry knows of one model. Keys that it does not know it keeps: a newer version may have written them. */
export const registryEntrySchema = z.looseObject({
  /** Where it came from: a path, `https://…`, `s3://…`, `hf:…` or `preset:…`. */
  source: z.string().min(1).max(4_000),
  /** The file or folder: relative to the folder of the registry, or absolute. In a bucket: below the model's folder. */
  path: z.string().min(1).max(4_000),
  /** SHA-256 of the file; of several, that of the list of their digests (`digestOfFiles`). */
  digest: sha256,
  /** Bytes of all files together. */
  size: bytes,
  /** `gguf` and `openvino` can be run. */
  format: z.string().min(1).max(100),
  task: z.enum(MODEL_TASKS),
  /** Jinja text in place of the file's chat template; null: the file's. */
  template: z.string().max(1_000_000).nullable().default(null),
  quantisation: shownText(100).nullable().default(null),
  licence: shownText(500).nullable().default(null),
  /** ISO 8601. */
  added: z.iso.datetime(),
  /** Where it has several: each below the folder that `path` is, or beside the file that it is. */
  files: z
    .array(z.looseObject({ path: pathBelow, bytes, sha256 }))
    .min(1)
    .max(MODEL_FILES_MAX)
    .optional(),
});

export type RegistryEntry = z.infer<typeof registryEntrySchema>;
export type ModelFileEntry = NonNullable<RegistryEntry['files']>[number];

export const registrySchema = z.looseObject({
  version: z.literal(1, { error: 'is not 1, the only one that this version of Millrace knows' }),
  models: z.record(z.string(), registryEntrySchema),
});

export type Registry = z.infer<typeof registrySchema>;

/** Whether a relative path stays below where it begins, and hides nowhere. */
export function isBelow(path: string): boolean {
  if (isAbsolute(path) || path.includes('\\') || path.includes('\0')) return false;
  return path.split('/').every((part) => part !== '' && !part.startsWith('.') && part.length <= 200);
}
