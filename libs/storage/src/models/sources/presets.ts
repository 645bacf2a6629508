import type { ModelTask } from '../registry-entry.js';

export interface Preset {
  /** `owner/repo/file` on the hub. */
  readonly file: string;
  /** Absent: nobody of ours has seen it; the hub's own is taken, and kept in the registry. */
  readonly sha256?: string;
  readonly task: ModelTask;
  readonly licence: string;
}

/**
 * Models that many ask for, by short names. Each is one file of the hub, mostly 4-bit.
 *
 * A digest that stands here is the one that LocalAI's gallery publishes for the same file (https://github.com/mudler/LocalAI, commit
 * 82c191afadf5, gallery/index.yaml); those whose digest could be read nowhere have none.
 */
export const PRESETS: Readonly<Record<string, Preset>> = {
  'qwen3-0.6b': {
    file: 'MaziyarPanahi/Qwen3-0.6B-GGUF/Qwen3-0.6B.Q4_K_M.gguf',
    sha256: 'dc4503da5d7cc7254055a86cd90e1a8c9d16c6ac71eb3a32b34bf48a1f4e0999',
    task: 'chat',
    licence: 'apache-2.0',
  },
  'qwen3-1.7b': {
    file: 'MaziyarPanahi/Qwen3-1.7B-GGUF/Qwen3-1.7B.Q4_K_M.gguf',
    sha256: 'ea2aa5f1cce3c8df81ae5fd292a6ed265b8393cc89534dc21fc5327cc974116a',
    task: 'chat',
    licence: 'apache-2.0',
  },
  'qwen3-4b': {
    file: 'unsloth/Qwen3-4B-GGUF/Qwen3-4B-Q4_K_M.gguf',
    sha256: 'f6f851777709861056efcdad3af01da38b31223a3ba26e61a4f8bf3a2195813a',
    task: 'chat',
    licence: 'apache-2.0',
  },
  'qwen3-8b': {
    file: 'unsloth/Qwen3-8B-GGUF/Qwen3-8B-Q4_K_M.gguf',
    sha256: '120307ba529eb2439d6c430d94104dabd578497bc7bfe7e322b5d9933b449bd4',
    task: 'chat',
    licence: 'apache-2.0',
  },
  'qwen2.5-7b-instruct': {
    file: 'bartowski/Qwen2.5-7B-Instruct-GGUF/Qwen2.5-7B-Instruct-Q4_K_M.gguf',
    task: 'chat',
    licence: 'apache-2.0',
  },
  'llama-3.2-1b-instruct': {
    file: 'bartowski/Llama-3.2-1B-Instruct-GGUF/Llama-3.2-1B-Instruct-Q4_K_M.gguf',
    task: 'chat',
    licence: 'llama3.2',
  },
  'llama-3.2-3b-instruct': {
    file: 'bartowski/Llama-3.2-3B-Instruct-GGUF/Llama-3.2-3B-Instruct-Q4_K_M.gguf',
    task: 'chat',
    licence: 'llama3.2',
  },
  'gemma-3-1b-it': {
    file: 'ggml-org/gemma-3-1b-it-GGUF/gemma-3-1b-it-Q4_K_M.gguf',
    sha256: '8ccc5cd1f1b3602548715ae25a66ed73fd5dc68a210412eea643eb20eb75a135',
    task: 'chat',
    licence: 'gemma',
  },
  'smollm2-1.7b-instruct': {
    file: 'HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF/smollm2-1.7b-instruct-q4_k_m.gguf',
    sha256: 'decd2598bc2c8ed08c19adc3c8fdd461ee19ed5708679d1c54ef54a5a30d4f33',
    task: 'chat',
    licence: 'apache-2.0',
  },
  'mistral-7b-instruct-v0.3': {
    file: 'MaziyarPanahi/Mistral-7B-Instruct-v0.3-GGUF/Mistral-7B-Instruct-v0.3.Q4_K_M.gguf',
    sha256: '14850c84ff9f06e9b51d505d64815d5cc0cea0257380353ac0b3d21b21f6e024',
    task: 'chat',
    licence: 'apache-2.0',
  },
  'qwen3-embedding-0.6b': {
    file: 'Qwen/Qwen3-Embedding-0.6B-GGUF/Qwen3-Embedding-0.6B-Q8_0.gguf',
    sha256: '06507c7b42688469c4e7298b0a1e16deff06caf291cf0a5b278c308249c3e439',
    task: 'embedding',
    licence: 'apache-2.0',
  },
  'embeddinggemma-300m': {
    file: 'ggml-org/embeddinggemma-300m-qat-q8_0-GGUF/embeddinggemma-300m-qat-Q8_0.gguf',
    sha256: '6fa0c02a9c302be6f977521d399b4de3a46310a4f2621ee0063747881b673f67',
    task: 'embedding',
    licence: 'gemma',
  },
  'granite-embedding-125m-english': {
    file: 'bartowski/granite-embedding-125m-english-GGUF/granite-embedding-125m-english-f16.gguf',
    sha256: 'e2950cf0228514e0e81c6f0701a62a9e4763990ce660b4a3c0329cd6a4acd4b9',
    task: 'embedding',
    licence: 'apache-2.0',
  },
  'nomic-embed-text-v1.5': {
    file: 'mradermacher/nomic-embed-text-v1.5-GGUF/nomic-embed-text-v1.5.f16.gguf',
    sha256: 'af8cb9e4ca0bf19eb54d08c612fdf325059264abbbd2c619527e5d2dda8de655',
    task: 'embedding',
    licence: 'apache-2.0',
  },
  'qwen3-reranker-0.6b': {
    file: 'mradermacher/Qwen3-Reranker-0.6B-GGUF/Qwen3-Reranker-0.6B.Q8_0.gguf',
    sha256: 'c525a7449243f690a7062e6377d6cf5adbb289354bd4316312367cd20e187ab7',
    task: 'rerank',
    licence: 'apache-2.0',
  },
};
