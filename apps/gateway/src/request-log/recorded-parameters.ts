import type { OutputFormat, Sampling } from '@millrace/contracts';

/** What a request may have that its record tells. All of it was validated. */
export interface Parameterised {
  readonly sampling?: Sampling;
  readonly maxTokens?: number | undefined;
  readonly n?: number;
  readonly bestOf?: number;
  readonly stop?: readonly string[];
  readonly format?: OutputFormat | undefined;
  readonly logprobs?: number | undefined;
  readonly echo?: boolean | undefined;
  readonly prompts?: readonly unknown[];
  /** Of embeddings. */
  readonly inputs?: readonly unknown[];
  readonly dimensions?: number | undefined;
  /** Of a ranking. */
  readonly documents?: readonly unknown[];
  readonly topN?: number;
}

/** OpenAI's names, or those that others gave. Lists are told by their length alone. */
const SAMPLING: Readonly<Record<keyof Sampling, string>> = {
  temperature: 'temperature',
  topP: 'top_p',
  topK: 'top_k',
  minP: 'min_p',
  seed: 'seed',
  presencePenalty: 'presence_penalty',
  frequencyPenalty: 'frequency_penalty',
  repeatPenalty: 'repeat_penalty',
  repeatLastN: 'repeat_last_n',
  dryMultiplier: 'dry_multiplier',
  dryBase: 'dry_base',
  dryAllowedLength: 'dry_allowed_length',
  dryLastN: 'dry_last_n',
  drySequenceBreakers: 'dry_sequence_breakers',
  xtcProbability: 'xtc_probability',
  xtcThreshold: 'xtc_threshold',
  logitBias: 'logit_bias',
  ignoreEos: 'ignore_eos',
};

/** Parameters that were given and matter afterwards: numbers, choices and counts, never a text of the caller's. */
export function recordedParameters(request: Parameterised): Readonly<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  const add = (name: string, value: unknown) => {
    if (value !== undefined && value !== null) found[name] = Array.isArray(value) ? value.length : value;
  };
  for (const [field, value] of Object.entries(request.sampling ?? {})) add(SAMPLING[field as keyof Sampling], value);
  add('max_tokens', request.maxTokens);
  add('n', request.n === 1 ? undefined : request.n);
  add('best_of', request.bestOf === request.n ? undefined : request.bestOf);
  add('stop', request.stop?.length === 0 ? undefined : request.stop);
  add('response_format', request.format?.kind);
  add('logprobs', request.logprobs);
  add('echo', request.echo || undefined);
  add('inputs', request.inputs);
  add('dimensions', request.dimensions);
  add('documents', request.documents);
  add('top_n', request.topN);
  addPrompt(request.prompts, add);
  return found;
}

function addPrompt(prompts: readonly unknown[] = [], add: (name: string, value: unknown) => void): void {
  add('prompts', prompts.length > 1 ? prompts : undefined);
  const [prompt] = prompts;
  if (!isChat(prompt)) return;
  add('messages', prompt.messages);
  add('tools', prompt.tools?.length === 0 ? undefined : prompt.tools);
  add('tool_choice', typeof prompt.toolChoice === 'object' ? 'function' : prompt.toolChoice);
  add('parallel_tool_calls', prompt.parallelCalls);
  add('documents', prompt.documents);
  add('reasoning_effort', prompt.reasoningEffort);
}

interface Chat {
  readonly messages: readonly unknown[];
  readonly tools?: readonly unknown[];
  readonly toolChoice?: string | object;
  readonly parallelCalls?: boolean;
  readonly documents?: readonly unknown[];
  readonly reasoningEffort?: string;
}

function isChat(prompt: unknown): prompt is Chat {
  return typeof prompt === 'object' && prompt !== null && 'messages' in prompt;
}
