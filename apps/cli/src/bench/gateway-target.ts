import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { CommandError } from '../command.js';
import { messageOf } from '../gateway-client.js';
import type { BenchRequest, Sample, Target } from './target.js';

/**
 * A gateway, asked over HTTP.
 *
 * node:http and a look at the bytes rather than fetch and an event parser: what is measured is the gateway, and on two
 * cores a comfortable client would take a good part of its time.
 */
export class GatewayTarget implements Target {
  readonly #url: URL;
  readonly #agent: Agent;

  constructor(base: string, clientsMax: number) {
    this.#url = new URL('/v1/chat/completions', base);
    this.#agent = new Agent({ keepAlive: true, maxSockets: clientsMax });
  }

  ask({ prompt, maxTokens }: BenchRequest): Promise<Sample> {
    const body = JSON.stringify({
      messages: [{ role: 'user', content: prompt }],
      temperature: 0,
      max_completion_tokens: maxTokens,
      stream: true,
      stream_options: { include_usage: true },
    });
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    return new Promise((resolve, reject) => {
      const startedMs = performance.now();
      const request = httpRequest(this.#url, { method: 'POST', agent: this.#agent, headers }, (response) => {
        readAnswer(response, startedMs).then(resolve, reject);
      });
      request.once('error', (error) =>
        reject(new CommandError(`The gateway at ${this.#url.origin}: ${error.message}.`)),
      );
      request.end(body);
    });
  }

  async close(): Promise<void> {
    this.#agent.destroy();
  }
}

async function readAnswer(response: IncomingMessage, startedMs: number): Promise<Sample> {
  response.setEncoding('utf8');
  let firstTokenMs: number | undefined;
  let tokens: number | undefined;
  let rest = '';
  for await (const piece of response as AsyncIterable<string>) {
    const lines = (rest + piece).split('\n');
    rest = lines.pop()!;
    for (const line of lines) {
      if (firstTokenMs === undefined && hasText(line)) firstTokenMs = performance.now() - startedMs;
      if (line.includes('"usage":{')) tokens = tokensIn(line);
      if (line.startsWith('data: {"error"')) rest = line.slice('data: '.length);
    }
  }
  if (response.statusCode !== 200 || tokens === undefined) {
    throw new CommandError(`A request failed with ${response.statusCode}: ${messageOf(rest) ?? 'the answer was cut'}`);
  }
  const totalMs = performance.now() - startedMs;
  return { firstTokenMs: firstTokenMs ?? totalMs, totalMs, tokens };
}

function hasText(line: string): boolean {
  return line.includes('"content":"') && !line.includes('"content":""');
}

function tokensIn(line: string): number {
  const chunk = JSON.parse(line.slice('data: '.length)) as { usage: { completion_tokens: number } };
  return chunk.usage.completion_tokens;
}
