import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AnswerEvent, AnswerRequest, Engine, Prompt, UpstreamEntry, UpstreamPreset } from '@millrace/contracts';
import { createLogger } from '@millrace/runtime';
import { type OpenAiEngineOptions, openOpenAiEngine } from './open-openai-engine.js';

/** A request as the upstream saw it. */
export interface SeenCall {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  // biome-ignore lint/suspicious/noExplicitAny: the tests look into whatever was sent.
  readonly body: any;
  /** Whether whoever asked has hung up before the answer was complete. */
  left: boolean;
}

/** What the upstream does with a request. */
export type Play = (response: ServerResponse, call: SeenCall) => unknown;

export interface ScriptedUpstream {
  readonly url: string;
  readonly calls: SeenCall[];
  /** Connections that are open. */
  readonly sockets: number;
  /** Most requests that were worked on at a time. */
  readonly busiest: number;
  close(): Promise<void>;
}

/**
 * A server on a port of its own, which plays whatever it is told: one play for each request, the last for all further ones.
 * Asked for its models, it tells `models`, unless `onModels` does something else.
 */
export async function startUpstream(
  plays: Play | readonly Play[],
  onModels: Play = json(200, { object: 'list', data: [{ id: 'm' }] }),
): Promise<ScriptedUpstream> {
  const script = typeof plays === 'function' ? [plays] : plays;
  const calls: SeenCall[] = [];
  let sockets = 0;
  let busy = 0;
  let busiest = 0;
  const server = createServer((request, response) => {
    void read(request).then(async (body) => {
      const { method = '', url: path = '', headers } = request;
      const call: SeenCall = { method, path, headers, body, left: false };
      busiest = Math.max(busiest, ++busy);
      // A play that writes much waits for it to be taken many times over.
      response.setMaxListeners(0);
      response.once('close', () => {
        busy--;
        call.left = !response.writableFinished;
      });
      if (path.endsWith('/models')) return void onModels(response, call);
      calls.push(call);
      await script[Math.min(calls.length, script.length) - 1]?.(response, call);
    });
  });
  server.on('connection', (socket) => {
    sockets++;
    socket.once('close', () => sockets--);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    calls,
    get sockets() {
      return sockets;
    },
    get busiest() {
      return busiest;
    },
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function read(request: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return parts.length === 0 ? undefined : JSON.parse(Buffer.concat(parts).toString());
}

// ------------------------------------------------------------------------------------------------------------- plays

export function json(status: number, body: unknown, headers: Record<string, string> = {}): Play {
  return (response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(body));
  };
}

export function page(status: number, text: string, contentType = 'text/html; charset=utf-8'): Play {
  return (response) => {
    response.writeHead(status, { 'content-type': contentType });
    response.end(text);
  };
}

/** The bytes of a stream, as they stand. */
export function stream(bytes: string | Buffer): Play {
  return (response) => {
    beginStream(response);
    response.end(bytes);
  };
}

export function beginStream(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
}

/** Chunks, and the end of them. */
export function chunks(...all: readonly unknown[]): string {
  return `${all.map(event).join('')}data: [DONE]\n\n`;
}

export function event(chunk: unknown): string {
  return `data: ${JSON.stringify(chunk)}\n\n`;
}

export function delta(content: Record<string, unknown>, finishReason: string | null = null): unknown {
  return { choices: [{ index: 0, delta: content, finish_reason: finishReason }] };
}

/** An ordinary short answer. */
export const HELLO = chunks(
  delta({ role: 'assistant', content: '' }),
  delta({ content: 'Hel' }),
  delta({ content: 'lo' }),
  delta({}, 'stop'),
  { choices: [], usage: { prompt_tokens: 9, completion_tokens: 3, total_tokens: 12 } },
);

/** Hangs up without a word. */
export const hangUp: Play = (response) => void response.destroy();

// ------------------------------------------------------------------------------------------------------------ engines

export interface TestEngine {
  readonly engine: Engine;
  /** Every line that was logged, and every sentence that was reported. */
  readonly told: string[];
}

type Options = Partial<Omit<OpenAiEngineOptions, 'upstream' | 'model' | 'limits'>> & {
  readonly model?: Partial<OpenAiEngineOptions['model']>;
  readonly limits?: Partial<OpenAiEngineOptions['limits']>;
  readonly upstream?: Partial<UpstreamEntry>;
};

export async function openEngine(
  url: string | undefined,
  { model, limits, upstream, ...rest }: Options = {},
): Promise<TestEngine> {
  const told: string[] = [];
  const logger = createLogger(
    { name: 'worker', level: 'debug', format: 'json' },
    { write: (line) => void told.push(line) },
  );
  const engine = await openOpenAiEngine(
    {
      model: {
        id: 'm',
        aliases: [],
        capabilities: ['chat', 'completion', 'embedding', 'rerank'],
        created: 0,
        samplingDefaults: {},
        isDefault: true,
        contextLength: 4_096,
        ...model,
      },
      upstream: upstreamEntry({ url, ...upstream }),
      environment: {},
      limits: { queueMax: 8, requestTimeoutMs: 20_000, backgroundTimeoutMs: 20_000, ...limits },
      logger,
      report: (sentence) => void told.push(sentence),
      ...rest,
    },
    new AbortController().signal,
  );
  return { engine, told };
}

function upstreamEntry(entry: Partial<UpstreamEntry>): UpstreamEntry {
  return {
    preset: 'generic',
    maxConcurrent: 4,
    connectTimeoutMs: 2_000,
    silenceMsMax: 5_000,
    retriesMax: 0,
    ...entry,
  };
}

export function chat(text = 'Hi', more: Partial<Extract<Prompt, { kind: 'chat' }>> = {}): Prompt {
  return { kind: 'chat', messages: [{ role: 'user', content: text }], tools: [], templateVariables: {}, ...more };
}

export function request(more: Partial<AnswerRequest> = {}): AnswerRequest {
  return { requestId: 'req_1', model: 'm', prompt: chat(), sampling: {}, stop: [], priority: 0, ...more };
}

export const FOREVER = new AbortController().signal;

/** What an answer came to. */
export interface Whole {
  text: string;
  reasoning: string;
  calls: { name: string; arguments: string }[];
  tokens: number;
  begun: Extract<AnswerEvent, { kind: 'begun' }> | undefined;
  finished: Extract<AnswerEvent, { kind: 'finished' }> | undefined;
}

export async function collect(events: AsyncIterable<AnswerEvent>): Promise<Whole> {
  const whole: Whole = { text: '', reasoning: '', calls: [], tokens: 0, begun: undefined, finished: undefined };
  for await (const each of events) {
    if (each.kind === 'begun') whole.begun = each;
    else if (each.kind === 'finished') whole.finished = each;
    else if (each.kind === 'tokens') addTokens(whole, each);
    else whole.text += each.text;
  }
  return whole;
}

function addTokens(whole: Whole, tokens: Extract<AnswerEvent, { kind: 'tokens' }>): void {
  whole.text += tokens.text;
  whole.reasoning += tokens.reasoning ?? '';
  whole.tokens += tokens.tokens.length + (tokens.unnumbered ?? 0);
  for (const { index, name, arguments: text } of tokens.calls ?? []) {
    if (name !== undefined) whole.calls[index] = { name, arguments: '' };
    whole.calls[index]!.arguments += text;
  }
}

export async function listOf(events: AsyncIterable<AnswerEvent>): Promise<AnswerEvent[]> {
  const list: AnswerEvent[] = [];
  for await (const each of events) list.push(each);
  return list;
}

/** What `events` failed with. */
export async function failureOf(events: AsyncIterable<AnswerEvent>): Promise<unknown> {
  try {
    await collect(events);
  } catch (error) {
    return error;
  }
  throw new Error('The answer did not fail.');
}

/** Waits until `claim` holds. */
export async function until(claim: () => boolean, timeoutMs = 5_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!claim()) {
    if (performance.now() > deadline) throw new Error(`It did not come true within ${timeoutMs} ms: ${claim}`);
    await sleep(5);
  }
}

// -------------------------------------------------------------------------------------------------- what servers send

/** One answer, in the words of each kind of server, with what each gets wrong. */
export const ANSWERS_ON_THE_WIRE: Readonly<Record<UpstreamPreset, string>> = {
  generic: HELLO,
  openai: chunks(
    {
      id: 'c',
      object: 'chat.completion.chunk',
      created: 1,
      model: 'm',
      choices: [
        { index: 0, delta: { role: 'assistant', content: '', refusal: null }, logprobs: null, finish_reason: null },
      ],
      usage: null,
    },
    {
      id: 'c',
      choices: [{ index: 0, delta: { content: 'Hel' }, logprobs: null, finish_reason: null }],
      usage: null,
      obfuscation: 'x',
    },
    { id: 'c', choices: [{ index: 0, delta: { content: 'lo' }, logprobs: null, finish_reason: null }], usage: null },
    { id: 'c', choices: [{ index: 0, delta: {}, logprobs: null, finish_reason: 'stop' }], usage: null },
    {
      id: 'c',
      choices: [],
      usage: { prompt_tokens: 9, completion_tokens: 3, total_tokens: 12, prompt_tokens_details: { cached_tokens: 0 } },
    },
  ),
  // A comment now and then, `content` null in the first chunk, numbers of its own, the end in a chunk with them.
  'llama-server': `:\n\n${chunks(
    {
      choices: [{ finish_reason: null, index: 0, delta: { role: 'assistant', content: null } }],
      created: 1,
      id: 'chatcmpl-x',
      model: 'm.gguf',
      system_fingerprint: 'b1',
      object: 'chat.completion.chunk',
    },
    delta({ content: 'Hel' }),
    delta({ content: 'lo' }),
    { choices: [{ finish_reason: 'stop', index: 0, delta: {} }], created: 2 },
    {
      choices: [],
      created: 2,
      usage: { completion_tokens: 3, prompt_tokens: 9, total_tokens: 12, prompt_tokens_details: { cached_tokens: 0 } },
      timings: { cache_n: 0, prompt_n: 9 },
    },
  )}`,
  // The role in every chunk; CRLF, and an id of no meaning.
  'max-serve': chunks(
    {
      id: 'r',
      choices: [{ index: 0, delta: { role: 'assistant', content: 'Hel' }, finish_reason: null }],
      system_fingerprint: null,
      usage: null,
    },
    { id: 'r', choices: [{ index: 0, delta: { role: 'assistant', content: 'lo' }, finish_reason: null }] },
    { id: 'r', choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: 'stop' }] },
    { id: 'r', choices: [], usage: { prompt_tokens: 9, completion_tokens: 3, total_tokens: 12 } },
  ).replaceAll('\n', '\r\n'),
  // The same reasoning under two names, were there any; usage in every chunk.
  vllm: chunks(
    {
      id: 'c',
      choices: [
        {
          index: 0,
          delta: { role: 'assistant', content: '', reasoning_content: null },
          logprobs: null,
          finish_reason: null,
        },
      ],
      usage: { prompt_tokens: 9, completion_tokens: 0 },
    },
    {
      id: 'c',
      choices: [
        { index: 0, delta: { content: 'Hel', reasoning: null }, logprobs: null, finish_reason: null, token_ids: null },
      ],
      usage: { prompt_tokens: 9, completion_tokens: 1 },
    },
    {
      id: 'c',
      choices: [{ index: 0, delta: { content: 'lo' }, logprobs: null, finish_reason: null, stop_reason: null }],
      usage: { prompt_tokens: 9, completion_tokens: 2 },
    },
    {
      id: 'c',
      choices: [{ index: 0, delta: { content: '' }, logprobs: null, finish_reason: 'stop', stop_reason: null }],
      usage: { prompt_tokens: 9, completion_tokens: 3 },
    },
    { id: 'c', choices: [], usage: { prompt_tokens: 9, total_tokens: 12, completion_tokens: 3 } },
  ),
  // No id, nothing but what must be there.
  ovms: chunks(
    {
      choices: [{ index: 0, logprobs: null, finish_reason: null, delta: { content: 'Hel' } }],
      created: 1,
      model: 'm',
      object: 'chat.completion.chunk',
    },
    { choices: [{ index: 0, logprobs: null, finish_reason: null, delta: { content: 'lo' } }] },
    { choices: [{ index: 0, logprobs: null, finish_reason: 'stop', delta: {} }] },
    { choices: [], usage: { prompt_tokens: 9, completion_tokens: 3, total_tokens: 12 } },
  ),
  // The role in every chunk, and an id that others have too.
  ollama: chunks(
    {
      id: 'chatcmpl-1',
      system_fingerprint: 'fp_ollama',
      choices: [{ index: 0, delta: { role: 'assistant', content: 'Hel' }, finish_reason: null }],
    },
    { id: 'chatcmpl-1', choices: [{ index: 0, delta: { role: 'assistant', content: 'lo' }, finish_reason: null }] },
    { id: 'chatcmpl-1', choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: 'stop' }] },
    { id: 'chatcmpl-1', choices: [], usage: { prompt_tokens: 9, completion_tokens: 3, total_tokens: 12 } },
  ),
  // The numbers in a corner of its own.
  groq: chunks(
    {
      id: 'c',
      choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }],
      x_groq: { id: 'req' },
    },
    delta({ content: 'Hel' }),
    delta({ content: 'lo' }),
    {
      id: 'c',
      choices: [{ index: 0, delta: {}, finish_reason: 'stop' }],
      x_groq: { id: 'req', usage: { prompt_tokens: 9, completion_tokens: 3, total_tokens: 12 } },
    },
  ),
  // The numbers with the end.
  fireworks: chunks(delta({ role: 'assistant' }), delta({ content: 'Hel' }), delta({ content: 'lo' }), {
    choices: [{ index: 0, delta: {}, finish_reason: 'stop' }],
    usage: { prompt_tokens: 9, completion_tokens: 3, total_tokens: 12 },
  }),
};
