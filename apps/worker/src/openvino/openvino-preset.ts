import type { Preset } from '@millrace/openai-engine';

/** What `tools/openvino-server` can do; its README has the same in words. */
export const OPENVINO_PRESET: Preset = {
  sampling: {
    temperature: 'temperature',
    topP: 'top_p',
    topK: 'top_k',
    minP: 'min_p',
    seed: 'seed',
    presencePenalty: 'presence_penalty',
    frequencyPenalty: 'frequency_penalty',
    repeatPenalty: 'repetition_penalty',
    ignoreEos: 'ignore_eos',
  },
  // The model's generation_config.json may have others.
  always: ['temperature', 'topP', 'topK', 'minP', 'repeatPenalty'],
  maxTokens: 'max_tokens',
  // Its grammars are EBNF, and not llama.cpp's GBNF.
  formats: { json: true, schema: true },
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
  embeddings: false,
  rerank: false,
};
