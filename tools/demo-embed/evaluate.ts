// Asks a server for the vectors of every line of eval/*.jsonl, and counts how often a paraphrase is nearer to its
// statement (by cosine) than a different statement is.
//
//   node tools/demo-embed/evaluate.ts --url http://127.0.0.1:8000/v1 [--model millrace-demo-embed] [--key …] [--show 5]
//
// Exit status 1 below 95 % of the trained triples or 90 % of the held-out ones.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

type Line = { kind: string; unknown_frame: boolean; anchor: string; paraphrase: string; different: string };
type Reply = { data: { index: number; embedding: number[] }[] };
type Outcome = { line: Line; near: number; far: number };

const SETS = [
  { name: 'trained', leastPercent: 95 },
  { name: 'held-out', leastPercent: 90 },
];
const TEXTS_A_REQUEST = 96;
const REQUESTS_AT_ONCE = 4;

const { values: options } = parseArgs({
  options: {
    url: { type: 'string', default: 'http://127.0.0.1:8000/v1' },
    model: { type: 'string', default: 'millrace-demo-embed' },
    key: { type: 'string', default: process.env.OPENAI_API_KEY ?? 'none' },
    show: { type: 'string', default: '5' },
  },
});

async function embed(texts: readonly string[]): Promise<number[][]> {
  const response = await fetch(`${options.url}/embeddings`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${options.key}` },
    body: JSON.stringify({ model: options.model, input: texts }),
  });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  const vectors: number[][] = [];
  for (const { index, embedding } of ((await response.json()) as Reply).data) vectors[index] = embedding;
  return vectors;
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, each, at) => sum + each * b[at]!, 0);
}

function cosine(a: readonly number[], b: readonly number[]): number {
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

async function judgeAll(lines: readonly Line[]): Promise<Outcome[]> {
  const linesARequest = TEXTS_A_REQUEST / 3;
  const parts = Array.from({ length: Math.ceil(lines.length / linesARequest) }, (_, at) =>
    lines.slice(at * linesARequest, (at + 1) * linesARequest),
  );
  const outcomes: Outcome[] = [];
  const waiting = parts.values(); // One iterator for all askers: each takes the next part.
  const asker = async (): Promise<void> => {
    for (const part of waiting) {
      const vectors = await embed(part.flatMap((line) => [line.anchor, line.paraphrase, line.different]));
      for (const [at, line] of part.entries()) {
        const [anchor, paraphrase, different] = vectors.slice(3 * at, 3 * at + 3) as [number[], number[], number[]];
        outcomes.push({ line, near: cosine(anchor, paraphrase), far: cosine(anchor, different) });
      }
    }
  };
  await Promise.all(Array.from({ length: REQUESTS_AT_ONCE }, asker));
  return outcomes;
}

function isRight({ near, far }: Outcome): boolean {
  return near > far;
}

function percent(outcomes: readonly Outcome[]): number {
  return (100 * outcomes.filter(isRight).length) / outcomes.length;
}

function row(name: string, outcomes: readonly Outcome[]): string {
  const right = `${String(outcomes.filter(isRight).length).padStart(5)} / ${String(outcomes.length).padEnd(5)}`;
  return `  ${name.padEnd(22)} ${right} ${percent(outcomes).toFixed(1).padStart(6)} %`;
}

function table(outcomes: readonly Outcome[]): string {
  const byKind = Map.groupBy(outcomes, ({ line }) => line.kind);
  const rows = [...byKind].map(([kind, group]) => row(kind, group));
  const unknown = outcomes.filter(({ line }) => line.unknown_frame);
  return [...rows, ...(unknown.length > 0 ? [row('(of unknown frames)', unknown)] : [])].join('\n');
}

let enough = true;
for (const { name, leastPercent } of SETS) {
  const text = readFileSync(new URL(`eval/${name}.jsonl`, import.meta.url), 'utf8');
  const outcomes = await judgeAll(
    text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Line),
  );
  const score = percent(outcomes);
  enough &&= score >= leastPercent;
  console.log(`${name}\n${table(outcomes)}`);
  for (const { line, near, far } of outcomes.filter((each) => !isRight(each)).slice(0, Number(options.show))) {
    console.log(`    wrong [${line.kind}] ${JSON.stringify(line.anchor)}`);
    console.log(`      ${near.toFixed(3)} ${JSON.stringify(line.paraphrase)}`);
    console.log(`      ${far.toFixed(3)} ${JSON.stringify(line.different)}`);
  }
  console.log(`  total ${score.toFixed(1)} % of ${outcomes.length}, at least ${leastPercent} % wanted\n`);
}
process.exit(enough ? 0 : 1);
