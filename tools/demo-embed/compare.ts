// Compares llama.cpp's tokens and vectors with those of training.
//
//   python3 samples.py --checkpoint … | node compare.ts ../../models/millrace-demo-embed.gguf

import { createInterface } from 'node:readline';

// Read where the worker has it: this folder is no package, and nothing else here needs a dependency.
const engine = new URL('../../apps/worker/node_modules/node-llama-cpp/dist/index.js', import.meta.url);
const { getLlama } = await import(engine.href);

const COSINE_MIN = 0.999;

const llama = await getLlama({ gpu: false, build: 'never' });
const model = await llama.loadModel({ modelPath: process.argv[2]! });
const context = await model.createEmbeddingContext({ contextSize: 512 });

function cosine(a: readonly number[], b: readonly number[]): number {
  const dot = (x: readonly number[], y: readonly number[]): number =>
    x.reduce((sum, each, at) => sum + each * y[at]!, 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

let texts = 0;
let wrong = 0;
let vectors = 0;
let least = 1;
for await (const line of createInterface({ input: process.stdin })) {
  const sample = JSON.parse(line) as { text: string; ids: number[]; vector?: number[] };
  // Control tokens are put around the text by whoever embeds it; "[CLS]" within a text is text.
  const got: number[] = model.tokenize(sample.text, false);
  const ids = sample.ids.slice(1, -1);
  texts += 1;
  if (got.length !== ids.length || !got.every((id, index) => id === ids[index])) {
    wrong += 1;
    if (wrong <= 10) console.log(JSON.stringify({ text: sample.text.slice(0, 100), ids, got }));
  }
  if (sample.vector && got.length > 0) {
    const { vector } = await context.getEmbeddingFor(got);
    least = Math.min(least, cosine(vector as number[], sample.vector));
    vectors += 1;
  }
}
console.log(`${texts} texts, ${wrong} cut differently; ${vectors} vectors, least cosine ${least.toFixed(6)}`);
process.exit(wrong === 0 && least >= COSINE_MIN ? 0 : 1);
