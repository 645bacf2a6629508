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

export const UPSTREAM_PRESETS = [
  'generic',
  'llama-server',
  'max-serve',
  'vllm',
  'ovms',
  'ollama',
  'openai',
  'groq',
  'fireworks',
] as const;

const upstream = z.strictObject({
  preset: z
    .enum(UPSTREAM_PRESETS)
    .default('generic')
    .describe('Which server it is: its address, its key and what it gets wrong (docs/reference/engines.md).'),
  url: z
    .url({ protocol: /^https?$/ })
    .max(2_000)
    .optional()
    .describe(
      "The address that OpenAI's paths are put behind, such as `http://127.0.0.1:8080/v1`. Absent: the preset's.",
    ),
  model: z.string().min(1).max(500).optional().describe('What the model is called there. Absent: as here, by `id`.'),
  apiKeyEnv: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, { error: 'must be the name of an environment variable, and not a key itself' })
    .optional()
    .describe("The environment variable with the key. Absent: the preset's; servers beside the worker need none."),
  maxConcurrent: z
    .int()
    .min(1)
    .max(4_096)
    .default(32)
    .describe('Answers that the worker asks of it at a time; further ones wait in the worker, at most `queueMax`.'),
  connectTimeoutMs: z.int().min(100).max(60_000).default(5_000).describe('How long a connection may take.'),
  silenceMsMax: z
    .int()
    .min(100)
    .max(3_600_000)
    .default(120_000)
    .describe(
      'How long it may send nothing, before the first token or between two, until the answer counts as failed.',
    ),
  retriesMax: z
    .int()
    .min(0)
    .max(10)
    .default(2)
    .describe('How often an answer that failed before its first token is asked for again.'),
  capabilities: z
    .array(z.enum(['chat', 'completion', 'embedding', 'rerank']))
    .min(1)
    .optional()
    .describe('What the model can do there. Absent: `chat` and `completion`.'),
});

const loraAdapter = z.strictObject({
  path: z.string().min(1).describe('The adapter, a `.gguf` file, relative to the models file.'),
  scale: z.number().min(-100).max(100).default(1).describe('How strongly it is applied.'),
});

const openvino = z.strictObject({
  device: z
    .string()
    .regex(/^[A-Z][A-Z0-9.:,]{0,63}$/, { error: "must be one of OpenVINO's devices, such as CPU, GPU or AUTO" })
    .default('CPU')
    .describe('Where OpenVINO computes.'),
});

const modelLimits = z.strictObject({
  requestsPerMinute: z.int().min(1).max(100_000_000).optional().describe('Requests in any 60 seconds.'),
  tokensPerMinute: z
    .int()
    .min(1)
    .max(1_000_000_000_000)
    .optional()
    .describe('Tokens, read and written, in any 60 seconds.'),
  concurrentRequests: z.int().min(1).max(1_000_000).optional().describe('Requests at a time.'),
});

const caps = z.strictObject({
  maxTokens: z
    .int()
    .min(1)
    .max(10_485_760)
    .optional()
    .describe(
      'The longest answer that a request may ask for. More is a 400; a request that asks for no length gets this.',
    ),
  promptBytes: z
    .int()
    .min(1)
    .max(1_073_741_824)
    .optional()
    .describe('How large the body of a request may be; a larger one is a 400.'),
  n: z.int().min(1).max(128).optional().describe('How many answers a request may ask for, `best_of` included.'),
});

const modelCache = z.strictObject({
  mode: z.enum(['auto', 'asked', 'off']).optional().describe('In place of the setting `cache`.'),
  semantic: z
    .boolean()
    .default(false)
    .describe('Whether an answer may also be given to a question that means the same (docs/concepts/cache.md).'),
  semanticThreshold: z
    .number()
    .min(0.5)
    .max(1)
    .optional()
    .describe('In place of the setting `semanticCacheThreshold`.'),
});

/** The longest chain of models that one request may be handed on along. */
export const FALLBACKS_MAX = 8;

const fallbacks = z
  .array(modelName)
  .default([])
  .describe(
    'Models or aliases that answer, in this order, where no worker of this one does: it is away, or fails before the first token. At most 8. Answers only: vectors of two models can not be compared.',
  );

const target = z.strictObject({
  model: modelName.describe('A model, or another alias.'),
  weight: z.int().min(0).max(1_000_000).default(1).describe('Its share beside the others; 0: only as a fallback.'),
});

const alias = z.strictObject({
  name: modelName.describe('The name in requests and in `GET /v1/models`.'),
  targets: z
    .array(target)
    .min(1)
    .max(32)
    .describe(
      'What it stands for; each request goes to one of them, by weight, and to the others where that one does not answer.',
    ),
  fallbacks,
});

const modelEntry = z.strictObject({
  id: modelName.describe('The name in requests and in `GET /v1/models`.'),
  aliases: z.array(modelName).max(32).default([]).describe('Further names for the same model.'),
  engine: z
    .enum(['llama.cpp', 'openai-compatible', 'openvino'])
    .default('llama.cpp')
    .describe(
      "What computes it. `llama.cpp` runs in the worker's own process; `openai-compatible` is another server, beside the worker or far away; `openvino` is a program that the worker starts.",
    ),
  path: z
    .string()
    .min(1)
    .optional()
    .describe(
      'The `.gguf` file, or the folder of an OpenVINO model; relative to the models file. Not with `openai-compatible`.',
    ),
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, { error: 'must be 64 lower-case hexadecimal digits' })
    .optional()
    .describe("The file's digest; `millrace check` compares it. Only with `llama.cpp`."),
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
    .describe(
      'Whether it is loaded at the start, beside the model that was chosen. Others are loaded on first use; the servers of those that run elsewhere are greeted at the start in any case.',
    ),
  idleUnloadMs: z
    .int()
    .min(0)
    .max(604_800_000)
    .optional()
    .describe('In place of the setting `idleUnloadMs`; 0: it is not unloaded for being idle.'),
  chatTemplate: z
    .string()
    .min(1)
    .optional()
    .describe('Jinja text in place of the chat template of the file. Only with `llama.cpp`.'),
  lora: z
    .array(loraAdapter)
    .max(16)
    .default([])
    .describe('LoRA adapters that are applied to every answer of this model. Only with `llama.cpp`.'),
  servedBy: z
    .enum(['worker', 'gateway'])
    .optional()
    .describe(
      'Who speaks to the server of an `openai-compatible` model: `gateway` needs no worker. Absent: `gateway` for the presets of providers (openai, groq, fireworks), `worker` for all others.',
    ),
  upstream: upstream.optional().describe('The server that runs it. Only, and always, with `openai-compatible`.'),
  openvino: openvino.optional().describe('How OpenVINO runs it. Only with `openvino`.'),
  defaults: generationDefaults.default({}).describe("This model's own defaults for what a request leaves out."),
  fallbacks,
  caps: caps.default({}).describe('The most that one request may ask of this model.'),
  cache: modelCache.prefault({}).describe("What is kept of this model's answers."),
  limits: modelLimits
    .default({})
    .describe('What all callers together may ask of this model, over all gateways that share a Redis.'),
});

/** Keys that only some engines know, and those without which an engine can't run. */
const ENGINE_KEYS = {
  'llama.cpp': { needs: ['path'], refuses: ['upstream', 'openvino'] },
  'openai-compatible': { needs: ['upstream'], refuses: ['path', 'sha256', 'chatTemplate', 'openvino'] },
  openvino: { needs: ['path'], refuses: ['upstream', 'sha256', 'chatTemplate'] },
} as const;

/** configs/models.yaml: what can be served. Unknown keys are errors, so that a typo is not a silent default. */
export const modelsFileSchema = z
  .strictObject({
    defaultModel: z
      .string()
      .optional()
      .describe('The model of requests that name none. Absent: the only one, else such requests are refused.'),
    models: z.array(modelEntry).min(1).max(1000).describe('What can be served.'),
    aliases: z.array(alias).max(1000).default([]).describe('Further names, each for one or several of the models.'),
  })
  .superRefine((file, context) => {
    const seen = new Map<string, number>();
    for (const [index, model] of file.models.entries()) {
      const { needs, refuses } = ENGINE_KEYS[model.engine];
      const missing = needs.filter((key) => model[key] === undefined);
      const extra: string[] = refuses.filter((key) => model[key] !== undefined);
      if (model.engine !== 'llama.cpp' && model.lora.length > 0) extra.push('lora');
      for (const key of missing) {
        const message = `\`${key}\` is missing: engine ${model.engine} needs it`;
        context.addIssue({ code: 'custom', path: ['models', index, key], message });
      }
      for (const key of extra) {
        const message = `\`${key}\` means nothing to engine ${model.engine}; leave it out`;
        context.addIssue({ code: 'custom', path: ['models', index, key], message });
      }
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

const PROVIDERS: ReadonlySet<UpstreamPreset> = new Set(['openai', 'groq', 'fireworks']);

/** Whether the gateway itself has the model answered, so that no worker has it. */
export function servedByGateway({ servedBy, upstream }: Pick<ModelEntry, 'servedBy' | 'upstream'>): boolean {
  return upstream !== undefined && (servedBy ?? (PROVIDERS.has(upstream.preset) ? 'gateway' : 'worker')) === 'gateway';
}

export type ModelsFile = z.infer<typeof modelsFileSchema>;
export type ModelEntry = ModelsFile['models'][number];
export type ModelCaps = z.infer<typeof caps>;
export type ModelCache = z.infer<typeof modelCache>;
export type AliasEntry = ModelsFile['aliases'][number];
export type ModelLimits = z.infer<typeof modelLimits>;
export type UpstreamPreset = (typeof UPSTREAM_PRESETS)[number];
/** A server that runs a model, as the models file describes it. */
export type UpstreamEntry = NonNullable<ModelEntry['upstream']>;
