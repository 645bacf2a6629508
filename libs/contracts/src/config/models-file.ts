import * as z from 'zod';
import { type FileProblem, routeProblems } from './model-routes.js';

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
      'The longest answer that a request may ask for. More is a 400; a request that asks for no length gets its default, and no more than this.',
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

const fallbacks = z
  .array(modelName)
  .max(1000)
  .default([])
  .describe(
    'Models or aliases that answer, in this order, where this one does not: no worker has it, its limit is reached, or it fails before the first token. Theirs come after them; at most 8 in all. Only for chat and text: vectors of two models can not be compared.',
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

/** By llama.cpp's names; llama-server has more of them, which nobody was seen to miss. */
export const KV_CACHE_TYPES = ['f16', 'q8_0', 'q4_0'] as const;
export type KvCacheType = (typeof KV_CACHE_TYPES)[number];

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
  registry: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, { error: 'must be the id of a model of the registry' })
    .optional()
    .describe(
      'In place of `path`: the id of a model of the registry or the bucket (docs/how-to/models.md), whose file it is. Not with `openai-compatible`.',
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
  restsAtZero: z
    .boolean()
    .default(false)
    .describe(
      'Whether all of its workers may be away until somebody asks for it, as with a pool that scales to zero: gateways then hold a request for it until one comes, for up to the setting `coldStartWaitMs`, where they would else refuse it at once. For gateways; a worker passes it over.',
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
  kvCacheType: z
    .enum(KV_CACHE_TYPES)
    .optional()
    .describe(
      'How the numbers of its key-value cache are kept: `f16`, 16 bits each, is what absent means; `q8_0` takes 8.5 and `q4_0` 4.5, so that twice or more than three times the context or the sequences fit; answers change a little, and those in the response cache are not told apart by it (docs/concepts/engine.md). Only with `llama.cpp`, for models that generate and whose heads are a multiple of 32 numbers long.',
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
  'llama.cpp': { needs: ['path'], refuses: ['upstream', 'openvino', 'servedBy'] },
  'openai-compatible': {
    needs: ['upstream'],
    refuses: ['path', 'registry', 'sha256', 'chatTemplate', 'kvCacheType', 'openvino'],
  },
  openvino: { needs: ['path'], refuses: ['upstream', 'sha256', 'chatTemplate', 'kvCacheType', 'servedBy'] },
} as const;

/** configs/models.yaml: what can be served. Unknown keys are errors, so that a typo is not a silent default. */
export const modelsFileSchema = z
  .strictObject({
    defaultModel: z
      .string()
      .optional()
      .describe('The model of requests that name none. Absent: the only one, else such requests are refused.'),
    models: z
      .array(modelEntry)
      .max(1000)
      .default([])
      .describe(
        'What can be served. A gateway whose workers have a file of their own may leave it out, and name their models in `aliases`.',
      ),
    aliases: z.array(alias).max(1000).default([]).describe('Further names, each for one or several of the models.'),
  })
  .superRefine((file, context) => {
    const say = ({ path, message }: FileProblem) => context.addIssue({ code: 'custom', path: [...path], message });
    for (const [index, model] of file.models.entries()) entryProblems(model, ['models', index]).forEach(say);
    routeProblems(file).forEach(say);
    if (file.models.length === 0 && file.aliases.length === 0) {
      say({ path: [], message: 'there is neither a model nor an alias in it; list what can be served under `models`' });
    }
    const names = file.models.flatMap(({ id, aliases }) => [id, ...aliases]);
    if (file.defaultModel !== undefined && !names.includes(file.defaultModel)) {
      const message = `"${file.defaultModel}" is none of the models: ${listed(names)}`;
      say({ path: ['defaultModel'], message });
    }
  });

function entryProblems(model: ModelEntry, path: readonly (string | number)[]): FileProblem[] {
  const { engine, defaults, caps, upstream } = model;
  const { needs, refuses } = ENGINE_KEYS[engine];
  const problem = (key: string, message: string): FileProblem => ({ path: [...path, ...key.split('.')], message });
  const extra: string[] = refuses.filter((key) => model[key] !== undefined);
  if (engine !== 'llama.cpp' && model.lora.length > 0) extra.push('lora');
  const problems = [
    ...needs
      .filter((key) => model[key] === undefined && !(key === 'path' && model.registry !== undefined))
      .map((key) => problem(key, `\`${key}\` is missing: engine ${engine} needs it`)),
    ...extra.map((key) => problem(key, `\`${key}\` means nothing to engine ${engine}; leave it out`)),
  ];
  if (model.path !== undefined && model.registry !== undefined)
    problems.push(problem('registry', '`registry` and `path` both say where the file is; leave one of them out'));
  if (servedByGateway(model)) problems.push(...gatewayProblems(model, problem));
  if (defaults.maxTokens !== undefined && caps.maxTokens !== undefined && defaults.maxTokens > caps.maxTokens) {
    const both = `defaults.maxTokens is ${defaults.maxTokens} and caps.maxTokens ${caps.maxTokens}`;
    problems.push(
      problem('defaults.maxTokens', `${both}: a default must not be more than may be asked for. Change one`),
    );
  }
  const able = upstream?.capabilities;
  if (model.fallbacks.length > 0 && able !== undefined && !able.includes('chat') && !able.includes('completion')) {
    const what = `\`fallbacks\` means nothing to a model that does ${able.join(', ')} only`;
    problems.push(problem('fallbacks', `${what}: they stand in for chat and text. Leave it out`));
  }
  return problems;
}

/** Keys of what a worker does, where there is none; and an address, which the gateway can't guess. */
function gatewayProblems(
  { id, upstream, warm, restsAtZero, idleUnloadMs }: ModelEntry,
  problem: (key: string, message: string) => FileProblem,
): FileProblem[] {
  const workers = [
    ...(warm ? ['warm'] : []),
    ...(restsAtZero ? ['restsAtZero'] : []),
    ...(idleUnloadMs === undefined ? [] : ['idleUnloadMs']),
  ];
  const problems = workers.map((key) =>
    problem(key, `\`${key}\` means nothing to "${id}", which the gateway itself has answered elsewhere; leave it out`),
  );
  if (upstream!.url === undefined && !HAVE_AN_ADDRESS.has(upstream!.preset)) {
    const why = `preset ${upstream!.preset} has no address of its own, and the gateway needs one`;
    problems.push(problem('upstream.url', `\`url\` is missing: ${why}`));
  }
  return problems;
}

const LISTED_MAX = 20;

function listed(names: readonly string[]): string {
  const more = names.length - LISTED_MAX;
  return more > 0 ? `${names.slice(0, LISTED_MAX).join(', ')} and ${more} more` : names.join(', ') || 'there are none';
}

/** Presets whose servers are always at the same place. */
const HAVE_AN_ADDRESS: ReadonlySet<UpstreamPreset> = new Set(['llama-server', 'ollama', 'openai', 'groq', 'fireworks']);
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
