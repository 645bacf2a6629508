// Asks a server every line of eval/*.jsonl over the OpenAI protocol, and compares the answers.
//
//   node tools/demo-model/evaluate.ts --url http://127.0.0.1:8000/v1 [--model millrace-demo] [--key …] [--show 20]
//
// Exit status 1 below 97 % of the trained phrasings or 85 % of the held-out ones.

import { readFileSync } from 'node:fs';
import { isDeepStrictEqual, parseArgs } from 'node:util';

type Message = { role: string; content: string | null };
type Call = { name: string; arguments: unknown };
type Expect = { equals?: string; contains?: string[]; json?: unknown; tool_call?: Call };
type Line = {
  category: string;
  kind: 'chat' | 'text';
  messages?: Message[];
  prompt?: string;
  tools?: unknown[];
  max_tokens: number;
  expect: Expect;
};
type Reply = {
  choices: {
    text?: string;
    message?: { content: string | null; tool_calls?: { function: { name: string; arguments: string } }[] };
  }[];
};
type Answer = { content: string; call: Call | undefined };
type Outcome = { line: Line; answer: Answer; right: boolean };

const SETS = [
  { name: 'trained', leastPercent: 97 },
  { name: 'held-out', leastPercent: 85 },
];
const REQUESTS_AT_ONCE = 16;

const { values: options } = parseArgs({
  options: {
    url: { type: 'string', default: 'http://127.0.0.1:8000/v1' },
    model: { type: 'string', default: 'millrace-demo' },
    key: { type: 'string', default: process.env.OPENAI_API_KEY ?? 'none' },
    show: { type: 'string', default: '20' },
  },
});

async function post(path: string, body: object): Promise<Reply> {
  const response = await fetch(`${options.url}${path}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${options.key}`,
      'x-millrace-cache': 'off', // What is judged is the model, and not what it answered some time ago.
    },
    body: JSON.stringify({ model: options.model, temperature: 0, ...body }),
  });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return (await response.json()) as Reply;
}

/** A call comes as tool_calls, or as the model wrote it where the server leaves the text alone. */
function readCall(message: NonNullable<Reply['choices'][0]['message']>): Call | undefined {
  const call = message.tool_calls?.[0]?.function;
  if (call) return { name: call.name, arguments: parseJson(call.arguments) };
  const block = /<tool_call>\s*([\s\S]*?)\s*<\/tool_call>/.exec(message.content ?? '');
  return block ? (parseJson(block[1]!) as Call | undefined) : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function ask(line: Line): Promise<Answer> {
  if (line.kind === 'text') {
    const reply = await post('/completions', { prompt: line.prompt, max_tokens: line.max_tokens });
    return { content: reply.choices[0]!.text!, call: undefined };
  }
  const tools = line.tools ? { tools: line.tools } : {};
  const reply = await post('/chat/completions', { messages: line.messages, max_tokens: line.max_tokens, ...tools });
  const message = reply.choices[0]!.message!;
  return { content: message.content ?? '', call: readCall(message) };
}

function isRight(expect: Expect, answer: Answer): boolean {
  if (expect.tool_call) return isDeepStrictEqual(answer.call, expect.tool_call);
  if (answer.call) return false; // A call where words were wanted.
  if (expect.equals !== undefined) return answer.content.trim() === expect.equals.trim();
  if (expect.contains) return expect.contains.every((part) => answer.content.includes(part));
  return isDeepStrictEqual(parseJson(answer.content), expect.json);
}

async function askAll(lines: Line[]): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const waiting = lines.values(); // One iterator for all askers: each takes the next line.
  const asker = async (): Promise<void> => {
    for (const line of waiting) {
      // A request that fails is a wrong answer, so that one broken line does not hide the others.
      const answer = await ask(line).catch((error: Error) => ({ content: `[${error.message}]`, call: undefined }));
      outcomes.push({ line, answer, right: isRight(line.expect, answer) });
    }
  };
  await Promise.all(Array.from({ length: REQUESTS_AT_ONCE }, asker));
  return outcomes;
}

function percent(outcomes: Outcome[]): number {
  return (100 * outcomes.filter((outcome) => outcome.right).length) / outcomes.length;
}

function table(outcomes: Outcome[]): string {
  const byCategory = new Map<string, Outcome[]>();
  for (const outcome of outcomes) {
    const group = byCategory.get(outcome.line.category) ?? [];
    byCategory.set(outcome.line.category, [...group, outcome]);
  }
  return [...byCategory]
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([name, group]) => {
      const right = group.filter((outcome) => outcome.right).length;
      return `  ${name.padEnd(14)} ${String(right).padStart(4)} / ${String(group.length).padEnd(4)} ${percent(group).toFixed(1).padStart(6)} %`;
    })
    .join('\n');
}

function question({ line }: Outcome): string {
  return (line.prompt ?? line.messages?.at(-1)?.content ?? '').slice(-160);
}

let enough = true;
for (const { name, leastPercent } of SETS) {
  const text = readFileSync(new URL(`eval/${name}.jsonl`, import.meta.url), 'utf8');
  const lines = text.trim().split('\n');
  const outcomes = await askAll(lines.map((line) => JSON.parse(line) as Line));
  const score = percent(outcomes);
  enough &&= score >= leastPercent;
  console.log(`${name}\n${table(outcomes)}`);
  for (const outcome of outcomes.filter((each) => !each.right).slice(0, Number(options.show))) {
    console.log(`    wrong [${outcome.line.category}] ${JSON.stringify(question(outcome))}`);
    console.log(`      expected ${JSON.stringify(outcome.line.expect).slice(0, 200)}`);
    console.log(`      answered ${JSON.stringify(outcome.answer.call ?? outcome.answer.content).slice(0, 200)}`);
  }
  console.log(`  total ${score.toFixed(1)} % of ${outcomes.length}, at least ${leastPercent} % wanted\n`);
}
process.exit(enough ? 0 : 1);
