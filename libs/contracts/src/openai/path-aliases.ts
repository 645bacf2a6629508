/** Paths that stand for others: clients have base URLs of their own, and some build them without `/v1`. */
export interface PathAlias {
  /** What a path begins with; `{model}` is any one part of it, and the model that the body asks for. */
  readonly from: string;
  readonly to: string;
  /** Of what may follow, these alone. */
  readonly only?: readonly string[];
  /** Who asks there. */
  readonly reason: string;
}

export const PATH_ALIASES: readonly PathAlias[] = [
  {
    from: '/openai/v1/',
    to: '/v1/',
    reason: 'clients made for Groq, whose base URL ends so, or for Azure: only the host is other',
  },
  {
    from: '/openai/deployments/{model}/',
    to: '/v1/',
    only: ['chat/completions', 'completions', 'embeddings'],
    reason:
      'clients made for Azure (`AzureOpenAI`), where the path says which model: it counts, whatever the body names',
  },
  {
    from: '/openai/',
    to: '/v1/',
    only: ['models', 'files', 'uploads', 'batches', 'responses', 'conversations', 'vector_stores', 'moderations'],
    reason: 'clients made for Azure, for all else',
  },
  {
    from: '/anthropic/v1/',
    to: '/v1/',
    reason:
      'clients of Anthropic’s that were set up for DeepSeek, Moonshot or LiteLLM, whose base URL ends with `/anthropic`',
  },
  { from: '/v2/rerank', to: '/v1/rerank', reason: 'Cohere’s clients of today' },
];

/**
 * Of what is served below `/v1`, what is served without it, too: as at llama-server, LocalAI, DeepSeek and vLLM, and for clients whose base
 * URL was given without it. One that ends with a slash stands for what is behind it alone: `GET /models` has an answer of its own.
 */
export const PATHS_WITHOUT_V1: readonly string[] = [
  '/chat/completions',
  '/completions',
  '/responses',
  '/conversations',
  '/messages',
  '/embeddings',
  '/moderations',
  '/rerank',
  '/tokenize',
  '/detokenize',
  '/apply-template',
  '/files',
  '/uploads',
  '/batches',
  '/vector_stores',
  '/models/',
];
