import * as z from 'zod';

/** What a request leaves out; an absent one falls to the setting `default…`. */
const generationDefaults = z.strictObject({
  maxTokens: z.int().min(1).max(10_485_760).optional().describe('In place of the setting `defaultMaxTokens`.'),
  temperature: z.number().min(0).max(2).optional().describe('In place of the setting `defaultTemperature`.'),
  topP: z.number().gt(0).max(1).optional().describe('In place of the setting `defaultTopP`.'),
  topK: z.int().min(0).max(1_000_000).optional().describe('In place of the setting `defaultTopK`; 0 is all tokens.'),
  minP: z.number().min(0).max(1).optional().describe('Drops tokens less likely than this times the likeliest.'),
});

/** How a model may be called, in the models file and by the setting `modelId`. */
export const modelName = z
  .string()
  .min(1)
  .max(200)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._:/-]*$/, {
    error: 'must begin with a letter or digit and hold only letters, digits, and . _ : / -',
  });

const modelEntry = z.strictObject({
  id: modelName.describe('The name in requests and in `GET /v1/models`.'),
  aliases: z.array(modelName).max(32).default([]).describe('Further names for the same model.'),
  engine: z
    .enum(['llama.cpp'])
    .default('llama.cpp')
    .describe("What computes it. `llama.cpp` runs in the worker's own process."),
  path: z.string().min(1).describe('The `.gguf` file, relative to the models file.'),
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, { error: 'must be 64 lower-case hexadecimal digits' })
    .optional()
    .describe("The file's digest; `millrace check` compares it."),
  context: z
    .int()
    .min(64)
    .max(10_485_760)
    .optional()
    .describe(
      'Tokens that a sequence may hold. Absent: the most that the model was made for and the memory holds. The setting `context` wins.',
    ),
  warm: z
    .boolean()
    .default(false)
    .describe('Whether it is loaded at the start, beside the model that was chosen. Others are not loaded for now.'),
  chatTemplate: z.string().min(1).optional().describe('Jinja text in place of the chat template of the file.'),
  defaults: generationDefaults.default({}).describe("This model's own defaults for what a request leaves out."),
});

/** configs/models.yaml: what can be served. Unknown keys are errors, so that a typo is not a silent default. */
export const modelsFileSchema = z
  .strictObject({
    defaultModel: z
      .string()
      .optional()
      .describe('The model of requests that name none. Absent: the only one, else such requests are refused.'),
    models: z.array(modelEntry).min(1).max(1000).describe('What can be served.'),
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
