import type { Sampling, UpstreamPreset } from '@millrace/contracts';

/** Everything by which one choice of the next token is told from another, as the upstreams call it. */
type SamplingWords = { readonly [Key in keyof Sampling]?: string };

/**
 * What a kind of server is, can do and gets wrong. docs/reference/engines.md has the table; test/tidy compares the two.
 */
export interface Preset {
  /**
   * Where it is when the models file doesn't say; OpenAI's paths are put behind it. Absent for servers whose usual port is
   * 8000: that is Millrace's own, and a worker that asks its own gateway would wait for itself.
   */
  readonly url?: string;
  /** The environment variable with its key. */
  readonly keyEnv?: string;
  /** Without a key it answers nothing. */
  readonly needsKey?: boolean;
  /** How it calls what of the sampling it honours. Never sent what is not here. */
  readonly sampling: SamplingWords;
  /** Sent even where the request leaves them out, since the server's own defaults are others than OpenAI's. */
  readonly always: readonly (keyof Sampling)[];
  /** What it takes for "consider all tokens". Absent: 0. */
  readonly allTopK?: number;
  /** What it calls the limit of a chat's answer. */
  readonly maxTokens: 'max_tokens' | 'max_completion_tokens';
  /** Without a limit it stops a text after a few tokens, unless it is told `null`. */
  readonly textLimitNull?: boolean;
  readonly formats: {
    readonly json: boolean;
    readonly schema: boolean;
    /** With a schema it neither streams nor takes tools; its answer comes whole. */
    readonly schemaAlone?: boolean;
    /** Where a grammar goes. */
    readonly grammar?: 'grammar' | 'structured_outputs' | 'response_format';
  };
  readonly tools: {
    /** `named`: one that is named can be demanded. */
    readonly choices: 'auto' | 'required' | 'named';
    /** Whether `parallel_tool_calls` means anything to it. Where it does not, further calls are left out here. */
    readonly parallel: boolean;
  };
  readonly chat: {
    /** Where documents go. */
    readonly documents?: 'documents' | 'chat_template_kwargs';
    readonly templateVariables: boolean;
    readonly continueFinal: boolean;
    readonly reasoningEffort?: 'reasoning_effort' | 'chat_template_kwargs';
    /** Whether the role `developer` is known; else it becomes `system`. */
    readonly developer: boolean;
    /** Whether messages may carry a `name`; else it is left out. */
    readonly names: boolean;
    /** What it calls the thoughts of an earlier answer. Absent: they are left out. */
    readonly reasoningBack?: 'reasoning_content' | 'reasoning';
    /** Whether it knows an assistant's `refusal`; else that becomes what it said. */
    readonly refusals: boolean;
  };
  readonly text: {
    readonly completions: boolean;
    readonly tokens: boolean;
    readonly suffix: boolean;
  };
  /** Beside tools, its log-probabilities come only with an answer that is whole. */
  readonly toolLogprobsWhole?: boolean;
  /** How many of the likeliest tokens it tells; absent: no log-probabilities at all. */
  readonly logprobsMax?: { readonly chat?: number; readonly text?: number };
  readonly embeddings: boolean;
  readonly rerank: boolean;
  /** Whose endpoints for tokens it has, beside OpenAI's paths. */
  readonly tokens?: 'llama-server' | 'vllm';
  /** The stop text that ended an answer is part of it, and is cut off here. */
  readonly stopIncluded?: boolean;
  /** Whether it serves one model, whatever it is asked for. */
  readonly anyModel?: boolean;
}

const OPENAI_SAMPLING = {
  temperature: 'temperature',
  topP: 'top_p',
  seed: 'seed',
  presencePenalty: 'presence_penalty',
  frequencyPenalty: 'frequency_penalty',
} as const satisfies SamplingWords;

const ANSWERS = { completions: true, tokens: false, suffix: false } as const;

export const PRESETS: Readonly<Record<UpstreamPreset, Preset>> = {
  /** OpenAI's own parameters and nothing beyond: what any other server is most likely to honour. */
  generic: {
    sampling: { ...OPENAI_SAMPLING, logitBias: 'logit_bias' },
    always: [],
    maxTokens: 'max_tokens',
    formats: { json: true, schema: true },
    tools: { choices: 'named', parallel: true },
    chat: { templateVariables: false, continueFinal: false, developer: false, names: true, refusals: true },
    text: { ...ANSWERS, suffix: true },
    logprobsMax: { chat: 20, text: 5 },
    embeddings: true,
    rerank: true,
  },
  'llama-server': {
    url: 'http://127.0.0.1:8080/v1',
    keyEnv: 'LLAMA_API_KEY',
    sampling: {
      ...OPENAI_SAMPLING,
      topK: 'top_k',
      minP: 'min_p',
      repeatPenalty: 'repeat_penalty',
      repeatLastN: 'repeat_last_n',
      dryMultiplier: 'dry_multiplier',
      dryBase: 'dry_base',
      dryAllowedLength: 'dry_allowed_length',
      dryLastN: 'dry_penalty_last_n',
      drySequenceBreakers: 'dry_sequence_breakers',
      xtcProbability: 'xtc_probability',
      xtcThreshold: 'xtc_threshold',
      logitBias: 'logit_bias',
      ignoreEos: 'ignore_eos',
    },
    // Its defaults are 0.8, 0.95, 40 and 0.05, or whatever its command line says.
    always: ['temperature', 'topP', 'topK', 'minP', 'repeatPenalty', 'presencePenalty', 'frequencyPenalty'],
    maxTokens: 'max_tokens',
    formats: { json: true, schema: true, grammar: 'grammar' },
    tools: { choices: 'required', parallel: true },
    chat: {
      documents: 'chat_template_kwargs',
      templateVariables: true,
      continueFinal: true,
      reasoningEffort: 'reasoning_effort',
      developer: false,
      names: true,
      reasoningBack: 'reasoning_content',
      refusals: false,
    },
    text: { completions: true, tokens: true, suffix: false },
    logprobsMax: { chat: 20, text: 20 },
    toolLogprobsWhole: true,
    embeddings: true,
    rerank: true,
    tokens: 'llama-server',
    anyModel: true,
  },
  'max-serve': {
    keyEnv: 'MAX_SERVE_API_KEY',
    sampling: {
      ...OPENAI_SAMPLING,
      topK: 'top_k',
      minP: 'min_p',
      repeatPenalty: 'repetition_penalty',
      ignoreEos: 'ignore_eos',
    },
    // The model's generation_config.json has others.
    always: ['temperature', 'topP', 'topK', 'minP', 'repeatPenalty'],
    allTopK: -1,
    maxTokens: 'max_tokens',
    formats: { json: true, schema: true },
    tools: { choices: 'named', parallel: false },
    chat: {
      documents: 'chat_template_kwargs',
      templateVariables: true,
      continueFinal: false,
      reasoningEffort: 'chat_template_kwargs',
      developer: false,
      names: true,
      refusals: false,
    },
    text: ANSWERS,
    // And a token more behind it, with a finish of its own (26.7.0).
    stopIncluded: true,
    logprobsMax: { chat: 5, text: 5 },
    embeddings: true,
    rerank: false,
  },
  vllm: {
    keyEnv: 'VLLM_API_KEY',
    sampling: {
      ...OPENAI_SAMPLING,
      topK: 'top_k',
      minP: 'min_p',
      repeatPenalty: 'repetition_penalty',
      logitBias: 'logit_bias',
      ignoreEos: 'ignore_eos',
    },
    // The model's generation_config.json has others.
    always: ['temperature', 'topP', 'topK', 'minP', 'repeatPenalty'],
    maxTokens: 'max_completion_tokens',
    textLimitNull: true,
    formats: { json: true, schema: true, grammar: 'structured_outputs' },
    tools: { choices: 'named', parallel: true },
    chat: {
      documents: 'documents',
      templateVariables: true,
      continueFinal: true,
      reasoningEffort: 'reasoning_effort',
      developer: false,
      names: true,
      reasoningBack: 'reasoning_content',
      refusals: false,
    },
    text: { completions: true, tokens: true, suffix: false },
    logprobsMax: { chat: 20, text: 20 },
    embeddings: true,
    rerank: true,
    tokens: 'vllm',
  },
  ovms: {
    keyEnv: 'OVMS_API_KEY',
    sampling: {
      ...OPENAI_SAMPLING,
      topK: 'top_k',
      minP: 'min_p',
      repeatPenalty: 'repetition_penalty',
      ignoreEos: 'ignore_eos',
    },
    // top_k is 40 there, and the model's generation_config.json has others.
    always: ['temperature', 'topP', 'topK', 'minP', 'repeatPenalty'],
    allTopK: -1,
    maxTokens: 'max_completion_tokens',
    formats: { json: false, schema: true },
    tools: { choices: 'named', parallel: false },
    chat: {
      documents: 'chat_template_kwargs',
      templateVariables: true,
      continueFinal: false,
      reasoningEffort: 'chat_template_kwargs',
      developer: false,
      names: true,
      reasoningBack: 'reasoning_content',
      refusals: false,
    },
    text: ANSWERS,
    embeddings: true,
    rerank: true,
    stopIncluded: true,
  },
  ollama: {
    url: 'http://127.0.0.1:11434/v1',
    keyEnv: 'OLLAMA_API_KEY',
    sampling: OPENAI_SAMPLING,
    // Its Modelfile has others.
    always: ['temperature', 'topP'],
    // It passes over `max_completion_tokens` in silence, and then knows no limit.
    maxTokens: 'max_tokens',
    formats: { json: true, schema: true },
    tools: { choices: 'auto', parallel: false },
    chat: {
      templateVariables: false,
      continueFinal: false,
      reasoningEffort: 'reasoning_effort',
      developer: false,
      names: true,
      reasoningBack: 'reasoning',
      refusals: false,
    },
    text: { completions: true, tokens: false, suffix: true },
    embeddings: true,
    rerank: false,
  },
  openai: {
    url: 'https://api.openai.com/v1',
    keyEnv: 'OPENAI_API_KEY',
    needsKey: true,
    sampling: { ...OPENAI_SAMPLING, logitBias: 'logit_bias' },
    always: [],
    maxTokens: 'max_completion_tokens',
    formats: { json: true, schema: true },
    tools: { choices: 'named', parallel: true },
    chat: {
      templateVariables: false,
      continueFinal: false,
      reasoningEffort: 'reasoning_effort',
      developer: true,
      names: true,
      refusals: true,
    },
    text: { completions: true, tokens: true, suffix: true },
    logprobsMax: { chat: 20, text: 5 },
    embeddings: true,
    rerank: false,
  },
  groq: {
    url: 'https://api.groq.com/openai/v1',
    keyEnv: 'GROQ_API_KEY',
    needsKey: true,
    // Its page lists the penalties; models differ, and it says so itself.
    sampling: OPENAI_SAMPLING,
    always: [],
    maxTokens: 'max_completion_tokens',
    // A 400, says its page: "Streaming and tool use are not currently supported with Structured Outputs".
    formats: { json: true, schema: true, schemaAlone: true },
    tools: { choices: 'named', parallel: true },
    chat: {
      templateVariables: false,
      continueFinal: false,
      reasoningEffort: 'reasoning_effort',
      developer: false,
      // A 400, says its page.
      names: false,
      reasoningBack: 'reasoning',
      refusals: false,
    },
    text: { completions: false, tokens: false, suffix: false },
    embeddings: false,
    rerank: false,
  },
  fireworks: {
    url: 'https://api.fireworks.ai/inference/v1',
    keyEnv: 'FIREWORKS_API_KEY',
    needsKey: true,
    sampling: {
      ...OPENAI_SAMPLING,
      topK: 'top_k',
      minP: 'min_p',
      repeatPenalty: 'repetition_penalty',
      logitBias: 'logit_bias',
      ignoreEos: 'ignore_eos',
    },
    always: [],
    maxTokens: 'max_tokens',
    formats: { json: true, schema: true, grammar: 'response_format' },
    tools: { choices: 'named', parallel: true },
    chat: {
      templateVariables: false,
      continueFinal: false,
      reasoningEffort: 'reasoning_effort',
      developer: false,
      names: true,
      reasoningBack: 'reasoning_content',
      refusals: false,
    },
    text: { completions: true, tokens: true, suffix: false },
    logprobsMax: { chat: 5, text: 5 },
    embeddings: true,
    rerank: true,
  },
};
