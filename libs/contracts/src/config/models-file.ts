import * as z from 'zod';

/** Defaults of one model for what a request leaves out; absent ones fall to the settings `default…`. */
const generationDefaults = z.strictObject({
  maxTokens: z.int().min(1).max(10_485_760).optional(),
  temperature: z.number().min(0).max(2).optional(),
  topP: z.number().gt(0).max(1).optional(),
  topK: z.int().min(0).max(1_000_000).optional(),
  minP: z.number().min(0).max(1).optional(),
});

const modelName = z
  .string()
  .min(1)
  .max(200)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._:/-]*$/, {
    error: 'must begin with a letter or digit and hold only letters, digits, and . _ : / -',
  });

const modelEntry = z.strictObject({
  /** The name in requests and in `GET /v1/models`. */
  id: modelName,
  /** Further names for the same model. */
  aliases: z.array(modelName).max(32).default([]),
  /** What computes it. `llama.cpp` runs in the worker's own process. */
  engine: z.enum(['llama.cpp']).default('llama.cpp'),
  /** The `.gguf` file, relative to the models file. */
  path: z.string().min(1),
  /** Lower-case hex; checked by `millrace check`. */
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, { error: 'must be 64 lower-case hexadecimal digits' })
    .optional(),
  /** Tokens a sequence may hold. Absent: the most that the model was made for and the memory holds. */
  context: z.int().min(64).max(10_485_760).optional(),
  /** Replaces the chat template of the file: Jinja text. */
  chatTemplate: z.string().min(1).optional(),
  defaults: generationDefaults.default({}),
});

/** configs/models.yaml: what can be served. Unknown keys are errors, so that a typo is not a silent default. */
export const modelsFileSchema = z
  .strictObject({
    /** The model of requests that name none. Absent: the only one, else such requests are refused. */
    defaultModel: z.string().optional(),
    models: z.array(modelEntry).min(1).max(1000),
  })
  .superRefine((file, context) => {
    const seen = new Map<string, number>();
    for (const [index, model] of file.models.entries()) {
      for (const name of [model.id, ...model.aliases]) {
        const earlier = seen.get(name);
        if (earlier !== undefined) {
          context.addIssue({
            code: 'custom',
            path: ['models', index],
            message: `the name "${name}" is taken by models[${earlier}] already`,
          });
        }
        seen.set(name, index);
      }
    }
    if (file.defaultModel !== undefined && !seen.has(file.defaultModel)) {
      context.addIssue({
        code: 'custom',
        path: ['defaultModel'],
        message: `"${file.defaultModel}" is none of the models: ${[...seen.keys()].join(', ')}`,
      });
    }
  });

export type ModelsFile = z.infer<typeof modelsFileSchema>;
export type ModelEntry = ModelsFile['models'][number];
