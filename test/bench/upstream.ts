/**
 * What the way through Millrace adds to a server that speaks OpenAI's protocol: gateway, worker and the engine
 * `openai-compatible`, in front of a server that answers at once. One client; straight and through Millrace by turns, so
 * that noise of the machine meets both.
 *
 *   node test/bench/upstream.ts [requests] [pieces]
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startStack } from '../e2e/stack.ts';

const [requests, pieces] = [Number(process.argv[2] ?? 600), Number(process.argv[3] ?? 32)];
/** Before anything is counted: connections, and compilers that take a thousand requests until they are done. */
const WARM_UP_REQUESTS = 1_500;

interface Times {
  readonly firstMs: number;
  readonly wholeMs: number;
}

const agent = new Agent({ keepAlive: true, maxSockets: 1 });

function ask(url: string): Promise<Times> {
  const body = JSON.stringify({
    model: 'bare',
    messages: [{ role: 'user', content: 'Say thirty-two words.' }],
    stream: true,
  });
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  return new Promise((resolve, reject) => {
    const startedMs = performance.now();
    let firstMs: number | undefined;
    let tail = '';
    const request = httpRequest(
      new URL('/v1/chat/completions', url),
      { method: 'POST', agent, headers },
      (response) => {
        response.setEncoding('utf8');
        response.on('data', (text: string) => {
          if (firstMs === undefined && text.includes('word0')) firstMs = performance.now() - startedMs;
          tail = (tail + text).slice(-200);
        });
        response.on('end', () => {
          const done = response.statusCode === 200 && firstMs !== undefined && tail.includes('[DONE]');
          if (done) resolve({ firstMs: firstMs!, wholeMs: performance.now() - startedMs });
          else reject(new Error(`${url} answered ${response.statusCode}: ${tail}`));
        });
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

function percentile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]!;
}

async function startUpstream(): Promise<{ readonly url: string; readonly child: ChildProcess }> {
  const script = join(import.meta.dirname, 'bare-upstream.ts');
  const child = spawn(process.execPath, [script, String(pieces)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [port] = (await once(child.stdout, 'data')) as [Buffer];
  return { url: `http://127.0.0.1:${port.toString().trim()}`, child };
}

const folder = mkdtempSync(join(tmpdir(), 'millrace-upstream-'));
const upstream = await startUpstream();
writeFileSync(
  join(folder, 'models.yaml'),
  `models:
  - id: bare
    engine: openai-compatible
    upstream: { preset: generic, url: "${upstream.url}/v1" }
`,
);
const stack = await startStack({ args: ['--models-file', join(folder, 'models.yaml'), '--log-level', 'warn'] });

const targets = { straight: upstream.url, through: stack.url };
const times: Record<keyof typeof targets, Times[]> = { straight: [], through: [] };
for (let turn = 0; turn < WARM_UP_REQUESTS + requests; turn++) {
  for (const name of ['straight', 'through'] as const) {
    const taken = await ask(targets[name]);
    if (turn >= WARM_UP_REQUESTS) times[name].push(taken);
  }
}

for (const [what, key] of [
  ['first token', 'firstMs'],
  ['whole answer', 'wholeMs'],
] as const) {
  const rows = [0.5, 0.95].map((part) => {
    const [straight, through] = [times.straight, times.through].map((all) =>
      percentile(
        all.map((each) => each[key]),
        part,
      ),
    );
    return `p${part * 100}: ${straight!.toFixed(2)} ms straight, ${through!.toFixed(2)} ms through, ${(through! - straight!).toFixed(2)} ms added`;
  });
  process.stdout.write(`${what} of ${pieces} pieces, ${requests} requests: ${rows.join('; ')}\n`);
}

await stack.stop();
upstream.child.kill();
agent.destroy();
rmSync(folder, { recursive: true });
