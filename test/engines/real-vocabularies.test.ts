import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openLlamaCpp } from '../../apps/worker/src/token-engine/adapters/llama-cpp/open-llama-cpp.ts';
import { readModelFile } from '../../apps/worker/src/token-engine/adapters/llama-cpp/read-model-file.ts';
import { type Marks, marksContract } from '../../apps/worker/src/token-engine/marks.contract.ts';
import type { TokenEngine } from '../../apps/worker/src/token-engine/token-engine.ts';
import { writeRandomModel } from '../../tools/random-model/write-random-model.ts';
import { LLAMA_CPP, vocabularyFile } from './engines.testing.ts';

/**
 * The names that Llama 3.1 gave to reserved tokens of Llama 3, the second of which llama.cpp takes for an end by its name;
 * and one of Mistral's, whose own vocabulary is not among those that llama.cpp brings.
 */
const LATER_NAMES = {
  '<|reserved_special_token_5|>': '<|python_tag|>',
  '<|reserved_special_token_3|>': '<|eom_id|>',
  '<|reserved_special_token_7|>': '[TOOL_CALLS]',
};

const folder = mkdtempSync(join(tmpdir(), 'millrace-vocabularies-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Vocabularies of real models around random weights: what their control tokens are is real, what they say is not. */
describe.each<[string, string, Readonly<Record<string, string>>, Marks]>([
  ["Llama 3.1's", 'llama-bpe', LATER_NAMES, { mark: '<|python_tag|>', end: '<|eom_id|>', other: '[TOOL_CALLS]' }],
  // With one of DeepSeek's names, whose signs are no ASCII: `▁` is what stands for a space in SentencePiece.
  [
    "Phi 3's, of SentencePiece",
    'phi-3',
    { '<|placeholder1|>': '<｜tool▁calls▁begin｜>' },
    { mark: '<｜tool▁calls▁begin｜>', end: '<|end|>', other: '<|user|>' },
  ],
])('with the vocabulary %s', (name, vocabulary, tokenNames, marks) => {
  let engine: TokenEngine;

  beforeAll(async () => {
    const path = join(folder, `${name.length}-${vocabulary}.gguf`);
    await writeRandomModel({
      vocabulary: vocabularyFile(vocabulary),
      out: path,
      size: 'tiny',
      type: 'q8_0',
      tokenNames,
    });
    engine = await openLlamaCpp({ ...LLAMA_CPP, path });
  });
  afterAll(() => engine.close());

  // Few: llama.cpp compares every token of a large vocabulary with the grammar.
  marksContract(() => engine, marks, 4);
});

describe('what real files have besides', () => {
  it("brings templates for purposes of their own, as Command-R's does", async () => {
    const path = join(folder, 'command-r.gguf');
    await writeRandomModel({ vocabulary: vocabularyFile('command-r'), out: path, size: 'tiny', type: 'q8_0' });
    const { chatTemplate, namedTemplates } = await readModelFile(path);
    expect(Object.keys(namedTemplates).sort()).toEqual(['rag', 'tool_use']);
    expect(namedTemplates.tool_use).toContain('Action:');
    expect(namedTemplates.rag).toContain('Grounded answer');
    expect(Object.values(namedTemplates)).not.toContain(chatTemplate);
  });

  it('has those templates in the model that is opened', async () => {
    const out = join(folder, 'named.gguf');
    const templates = { rerank: 'query: {query}', tool_use: '{{ tools }}', rag: '{{ documents }}' };
    await writeRandomModel({ vocabulary: LLAMA_CPP.path, out, size: 'tiny', type: 'q8_0', templates });
    const engine = await openLlamaCpp({ ...LLAMA_CPP, path: out });
    expect(engine.model.namedTemplates).toEqual({ tool_use: '{{ tools }}', rag: '{{ documents }}' });
    expect(engine.model.chatTemplate).toContain('<|im_start|>');
    await engine.close();
    expect(await readModelFile(out)).toMatchObject({ rerankTemplate: templates.rerank });
  });

  it('takes tokens that a model defines for itself as text, not as control tokens', async () => {
    const out = join(folder, 'qwen.gguf');
    // The number that `<tool_call>` has in Qwen 2.5, where it is no control token either.
    const tokenNames = { '[PAD151657]': '<tool_call>' };
    await writeRandomModel({ vocabulary: vocabularyFile('qwen2'), out, size: 'tiny', type: 'q8_0', tokenNames });
    const engine = await openLlamaCpp({ ...LLAMA_CPP, path: out });
    expect(engine.controlToken('<tool_call>')).toBeUndefined();
    expect(engine.tokenize('<tool_call>', { special: false, beginning: false })).toEqual([151657]);
    expect(engine.openDetokenizer().push(151657)).toBe('<tool_call>');
    await engine.close();
  });
});
