import * as z from 'zod';

/** The admin API: `/admin/models`, the registry of models and the bucket; and `/admin/model-jobs`, what takes its time with them. */

export const MODEL_JOB_KINDS = ['add', 'verify', 'pull', 'push'] as const;

const modelTask = z.enum(['chat', 'completion', 'embedding', 'rerank']);
const shortText = z.string().min(1).max(500);

export const addModelSchema = z
  .strictObject({
    source: z
      .string()
      .min(1)
      .max(4_000)
      .describe('An address that begins with https://, http://, s3:// or hf:, or the name of a preset. Never a path.'),
    id: z
      .string()
      .min(1)
      .max(200)
      .nullish()
      .describe('What it is called in requests. Absent: after the preset, or the file.'),
    task: modelTask.nullish().describe('What it does. Absent: as its file says.'),
    template: z
      .string()
      .min(1)
      .max(1_000_000)
      .nullish()
      .describe('A chat template (Jinja) in place of that of its file.'),
    licence: shortText.nullish(),
    quantisation: z.string().min(1).max(100).nullish(),
    sha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/, { error: 'must be 64 lower-case hexadecimal digits' })
      .nullish()
      .describe('The digest that its file has to have.'),
    replace: z.boolean().default(false).describe('Whether it takes the place of a model of the same id.'),
    push: z.boolean().default(false).describe('Whether it is sent to the bucket as well, from where workers take it.'),
  })
  .meta({ id: 'AddModelRequest' });

export const pullModelSchema = z
  .strictObject({
    replace: z.boolean().default(false).describe('Whether it takes the place of another of the same id.'),
  })
  .meta({ id: 'PullModelRequest' });

export const removeModelQuerySchema = z.strictObject({
  bucket: z.enum(['true', 'false']).default('false').describe('Whether it is removed from the bucket as well.'),
});

export const storedModelSchema = z
  .object({
    id: z.string(),
    object: z.literal('stored_model'),
    where: z.enum(['here', 'bucket', 'both']).describe('On the gateway’s disk, in the bucket, or both.'),
    source: z.string(),
    digest: z.string().describe('SHA-256; of several files, that of the list of theirs.'),
    size: z.int().describe('Bytes.'),
    format: z.string(),
    task: modelTask,
    has_template: z.boolean().describe('Whether a chat template stands in for that of its file.'),
    quantisation: z.string().nullable(),
    licence: z.string().nullable(),
    added: z.string().describe('ISO 8601.'),
  })
  .meta({ id: 'StoredModel' });

export const storedModelListSchema = z
  .object({
    object: z.literal('list'),
    data: z.array(storedModelSchema),
    trouble: z.string().nullable().describe('Why models of the bucket are missing; null: they are not.'),
  })
  .meta({ id: 'StoredModelList' });

export const modelJobSchema = z
  .object({
    id: z.string(),
    object: z.literal('model_job'),
    kind: z.enum(MODEL_JOB_KINDS),
    model: z.string().nullable().describe('Its id; null while it is not known yet.'),
    status: z.enum(['running', 'done', 'failed', 'cancelled']),
    phase: z.enum(['waiting', 'fetching', 'reading', 'sending']).nullable(),
    bytes: z.int(),
    bytes_all: z.int().nullable().describe('null: nobody knows yet.'),
    problems: z.array(z.string()).describe('What is wrong with it; of a verification, with its files.'),
    created_at: z.int().describe('Unix seconds.'),
    ended_at: z.int().nullable(),
  })
  .meta({ id: 'ModelJob' });

export const modelJobListSchema = z
  .object({ object: z.literal('list'), data: z.array(modelJobSchema) })
  .meta({ id: 'ModelJobList' });

export const removedModelSchema = z
  .object({ id: z.string(), object: z.literal('stored_model'), deleted: z.literal(true) })
  .meta({ id: 'RemovedModel' });

export const warmedModelSchema = z
  .object({
    model: z.string(),
    workers: z.array(z.object({ worker: z.string(), ok: z.boolean(), detail: z.string() })),
  })
  .meta({ id: 'WarmedModel' });

export type AddModelBody = z.infer<typeof addModelSchema>;
export type StoredModelBody = z.infer<typeof storedModelSchema>;
export type StoredModelListBody = z.infer<typeof storedModelListSchema>;
export type ModelJobBody = z.infer<typeof modelJobSchema>;
export type ModelJobListBody = z.infer<typeof modelJobListSchema>;
export type RemovedModelBody = z.infer<typeof removedModelSchema>;
export type WarmedModelBody = z.infer<typeof warmedModelSchema>;
