// Compares llama.cpp's tokens with those of training, and checks that every text comes back from its tokens.
//
//   python3 token_samples.py --tokenizer … | node check-tokens.ts ../../models/millrace-demo.gguf

import { createInterface } from 'node:readline';

// Read where the worker has it: this folder is no package, and nothing else here needs a dependency.
const engine = new URL('../../apps/worker/node_modules/node-llama-cpp/dist/index.js', import.meta.url);
const { getLlama } = await import(engine.href);

const llama = await getLlama({ gpu: false, build: 'never' });
const model = await llama.loadModel({ modelPath: process.argv[2]!, vocabOnly: true });

let texts = 0;
let tokens = 0;
let wrong = 0;
for await (const line of createInterface({ input: process.stdin })) {
  const { text, ids } = JSON.parse(line) as { text: string; ids: number[] };
  const got: number[] = model.tokenize(text, true);
  const same = got.length === ids.length && got.every((id, index) => id === ids[index]);
  // Special tokens are read and written as tokens, so that rendered prompts can be compared whole.
  if (!same || model.detokenize(got, true) !== text) {
    wrong += 1;
    if (wrong <= 10)
      console.log(JSON.stringify({ text: text.slice(0, 200), same, ids: ids.slice(0, 40), got: got.slice(0, 40) }));
  }
  texts += 1;
  tokens += ids.length;
}
console.log(`${texts} texts, ${tokens} tokens, ${wrong} different`);
process.exit(wrong === 0 ? 0 : 1);
