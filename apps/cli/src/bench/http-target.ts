import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest, Agent as SecuredAgent } from 'node:https';
import { CommandError } from '../command.js';
import { trustFor } from '../fetch-gateway.js';
import { messageOf } from '../gateway-client.js';
import { type BenchRequest, messagesOf, type Sample, type Target } from './target.js';

export interface HttpTargetOptions {
  readonly url: string;
  readonly clientsMax: number;
  /** Left out where the server has a default, as ours has. */
  readonly model?: string;
  /** Off for servers that end the connection after each streamed answer, as llama-server does. */
  readonly keepAlive: boolean;
  /** Such as the one with the API key. */
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * A server that speaks OpenAI's protocol, asked over HTTP: our gateway, or another one beside it.
 *
 * node:http and a look at the bytes rather than fetch and an event parser: what is measured is the server, and on two
 * cores a comfortable client would take a good part of its time.
 */
export class HttpTarget implements Target {
  readonly #base: URL;
  readonly #model: string | undefined;
  readonly #agent: Agent;
  readonly #headers: Readonly<Record<string, string>>;

  constructor({ url, clientsMax, model, keepAlive, headers = {} }: HttpTargetOptions) {
    this.#headers = headers;
    this.#base = new URL(url);
    this.#model = model;
    // With a limit, Node's agent keeps connections alive whatever the first option says.
    const sockets = { keepAlive, maxSockets: keepAlive ? clientsMax : Number.POSITIVE_INFINITY };
    this.#agent = this.#isSecured ? new SecuredAgent({ ...sockets, ...trustFor(url) }) : new Agent(sockets);
  }

  ask(asked: BenchRequest): Promise<Sample> {
    const body = JSON.stringify({ model: this.#model, ...bodyOf(asked) });
    const path = asked.completion ? '/v1/completions' : '/v1/chat/completions';
    const headers = {
      ...this.#headers,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      'x-millrace-cache': 'off', // What is measured is an answer, and not that it was kept. Other servers pass it over.
    };
    return new Promise((resolve, reject) => {
      const startedMs = performance.now();
      const options = { method: 'POST', agent: this.#agent, headers };
      const request = (this.#isSecured ? httpsRequest : httpRequest)(new URL(path, this.#base), options, (response) => {
        readAnswer(response, startedMs, asked.onFirstToken).then(resolve, reject);
      });
      request.once('error', (error) =>
        reject(new CommandError(`The server at ${this.#base.origin}: ${error.message}.`)),
      );
      request.end(body);
    });
  }

  get #isSecured(): boolean {
    return this.#base.protocol === 'https:';
  }

  async close(): Promise<void> {
    this.#agent.destroy();
  }
}

/** The older `max_tokens`, since other servers may not know the newer name. */
function bodyOf(asked: BenchRequest): object {
  const { temperature = 0, maxTokens, ignoreEos } = asked;
  return {
    ...(asked.completion ? { prompt: asked.prompt } : { messages: messagesOf(asked) }),
    max_tokens: maxTokens,
    temperature,
    // OpenAI's defaults, said aloud: llama-server has others, and so would draw from fewer tokens.
    ...(temperature > 0 && { top_p: 1, top_k: 0, min_p: 0 }),
    ...(ignoreEos && { ignore_eos: true }),
    stream: true,
    stream_options: { include_usage: true },
  };
}

interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly prompt_tokens_details?: { readonly cached_tokens?: number };
}

async function readAnswer(
  response: IncomingMessage,
  startedMs: number,
  onFirstToken: (() => void) | undefined,
): Promise<Sample> {
  response.setEncoding('utf8');
  let firstTokenMs: number | undefined;
  let usage: Usage | undefined;
  let rest = '';
  for await (const piece of response as AsyncIterable<string>) {
    const lines = (rest + piece).split('\n');
    rest = lines.pop()!;
    for (const line of lines) {
      if (firstTokenMs === undefined && hasText(line)) {
        firstTokenMs = performance.now() - startedMs;
        onFirstToken?.();
      }
      if (line.includes('"usage":{')) usage = usageIn(line);
      if (line.startsWith('data: {"error"')) rest = line.slice('data: '.length);
    }
  }
  if (response.statusCode !== 200 || usage === undefined) {
    throw new CommandError(`A request failed with ${response.statusCode}: ${messageOf(rest) ?? 'the answer was cut'}`);
  }
  const totalMs = performance.now() - startedMs;
  return {
    firstTokenMs: firstTokenMs ?? totalMs,
    totalMs,
    tokens: usage.completion_tokens,
    promptTokens: usage.prompt_tokens,
    cachedTokens: usage.prompt_tokens_details?.cached_tokens ?? 0,
  };
}

/** `content` of a chat, `text` of a completion. */
function hasText(line: string): boolean {
  return /"(content|text)":"[^"]/.test(line);
}

function usageIn(line: string): Usage {
  return (JSON.parse(line.slice('data: '.length)) as { usage: Usage }).usage;
}
