import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest, Agent as SecuredAgent } from 'node:https';
import { createParser } from 'eventsource-parser';
import { trustFor } from '../../fetch-gateway.js';
import { cutText, plainText } from '../../plain-text.js';
import type { Message } from './scenarios.js';

export interface LoadRequest {
  readonly messages: readonly Message[];
  readonly maxTokens: number;
  /** When it should have been sent, on the clock of `performance.now()`. Times count from here. */
  readonly dueMs: number;
}

/** Milliseconds since the request was due. */
export interface Answered {
  readonly kind: 'answered';
  /** How much later than it was due it was sent: the load generator's own delay. */
  readonly sentLateMs: number;
  readonly firstTokenMs: number;
  readonly totalMs: number;
  /** Between two pieces of text each. */
  readonly gapsMs: readonly number[];
  /** As the server counts them; pieces of text where it does not. */
  readonly tokens: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  /** Neither text nor thoughts came. */
  readonly isEmpty: boolean;
  readonly text: string;
}

export interface Failed {
  readonly kind: 'failed';
  /** Such as `429 rate_limit_exceeded` or `ECONNREFUSED`. */
  readonly code: string;
  /** The server's own sentence, where it gave one. */
  readonly message: string;
}

export type Outcome = Answered | Failed;

export interface ServerOptions {
  /** Without `/v1`. */
  readonly url: string;
  readonly model: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly temperature: number;
  readonly ignoreEos: boolean;
  /** How long one answer may take in all. */
  readonly timeoutMs: number;
  /** Connections at a time. */
  readonly atOnceMax: number;
}

/** What some servers refuse, and how they are asked then. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  stream_options: 'The server does not take stream_options: tokens are pieces of text.',
  max_tokens: 'The server does not take max_tokens: it was asked with max_completion_tokens.',
  temperature: 'The server does not take this temperature: it was asked without one.',
};

/** A connection that was kept and breaks within this time was closed before the request came; later, with an answer in the works. */
const STALE_MS = 1_000;
const ERROR_BYTES_MAX = 65_536;
const CODE_LENGTH_MAX = 60;
/** One event. A server that goes on beyond it does not stream. */
const EVENT_CHARACTERS_MAX = 8_000_000;

/**
 * Any server with OpenAI's `/v1/chat/completions`, asked for streams, of which every ending is an outcome: under load,
 * refusals are what one wants to count.
 */
export class StreamedServer {
  readonly #options: ServerOptions;
  readonly #agent: Agent;
  readonly #leftOut = new Set<string>();

  constructor(options: ServerOptions) {
    this.#options = options;
    const sockets = { keepAlive: true, maxSockets: options.atOnceMax };
    this.#agent = this.#isSecured ? new SecuredAgent({ ...sockets, ...trustFor(options.url) }) : new Agent(sockets);
  }

  /** Never throws for what the server or the network does; throws when `signal` is aborted. */
  async ask(asked: LoadRequest, signal: AbortSignal): Promise<Outcome> {
    const sentLateMs = Math.max(0, performance.now() - asked.dueMs);
    // One timer that is taken away: those of AbortSignal.timeout would stay until they are due, one for each request.
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), this.#options.timeoutMs);
    try {
      const response = await this.#send(asked, AbortSignal.any([signal, deadline.signal]));
      if (response.statusCode !== 200) return await refusalOf(response);
      const { 'content-type': type = '' } = response.headers;
      if (type.startsWith('application/json')) return await wholeAnswer(response);
      return await readStream(response, asked, sentLateMs);
    } catch (error) {
      signal.throwIfAborted();
      if (deadline.signal.aborted) {
        return { kind: 'failed', code: 'timeout', message: `No whole answer within ${this.#options.timeoutMs} ms.` };
      }
      return connectionFailure(error);
    } finally {
      clearTimeout(timer);
    }
  }

  #send(asked: LoadRequest, signal: AbortSignal): Promise<IncomingMessage> {
    const body = JSON.stringify(this.#bodyOf(asked));
    const headers = {
      ...this.#options.headers,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      'x-millrace-cache': 'off', // What is measured is an answer, and not that it was kept. Other servers pass it over.
    };
    const options = { method: 'POST', agent: this.#agent, headers, signal };
    const sentMs = performance.now();
    const send = this.#isSecured ? httpsRequest : httpRequest;
    return new Promise((resolve, reject) => {
      const again = () => this.#send(asked, signal).then(resolve, reject);
      const request = send(`${this.#options.url}/v1/chat/completions`, options, resolve);
      request.once('error', (error) => {
        const wasIdle = request.reusedSocket && performance.now() - sentMs < STALE_MS;
        // The server closed it while the request was on its way. It ends: the broken connection is used no more.
        if (wasIdle && (error as NodeJS.ErrnoException).code === 'ECONNRESET') again();
        else reject(error);
      });
      request.end(body);
    });
  }

  /** The older `max_tokens`, since other servers may not know the newer name. */
  #bodyOf({ messages, maxTokens }: LoadRequest): object {
    const { model, temperature, ignoreEos } = this.#options;
    const lengthName = this.#leftOut.has('max_tokens') ? 'max_completion_tokens' : 'max_tokens';
    return {
      model,
      messages,
      [lengthName]: maxTokens,
      ...(!this.#leftOut.has('temperature') && { temperature }),
      ...(ignoreEos && { ignore_eos: true }),
      stream: true,
      ...(!this.#leftOut.has('stream_options') && { stream_options: { include_usage: true } }),
    };
  }

  adaptTo({ code, message }: Failed): string | undefined {
    if (!/^(400|422)\b/.test(code)) return undefined;
    const refused = Object.keys(LEFT_OUT).find((name) => message.includes(name) && !this.#leftOut.has(name));
    if (refused === undefined) return undefined;
    this.#leftOut.add(refused);
    return LEFT_OUT[refused];
  }

  get #isSecured(): boolean {
    return this.#options.url.startsWith('https:');
  }

  close(): void {
    this.#agent.destroy();
  }
}

// ------------------------------------------------------------------------------------------------------ what comes back

/** The parts of an event that are read here. */
interface Chunk {
  readonly choices?: readonly {
    readonly delta?: {
      readonly content?: string | null;
      /** Thoughts, as DeepSeek and SGLang name them. */
      readonly reasoning_content?: string | null;
      /** As vLLM and Ollama do. */
      readonly reasoning?: string | null;
    };
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: {
    readonly prompt_tokens?: number;
    readonly completion_tokens?: number;
    readonly prompt_tokens_details?: { readonly cached_tokens?: number } | null;
  } | null;
  readonly error?: unknown;
}

async function readStream(response: IncomingMessage, asked: LoadRequest, sentLateMs: number): Promise<Outcome> {
  response.setEncoding('utf8');
  const reading = new StreamReading();
  for await (const piece of response as AsyncIterable<string>) {
    reading.feed(piece);
    if (reading.isHopeless) break; // Which closes the connection.
  }
  return reading.outcome(asked.dueMs, sentLateMs);
}

class StreamReading {
  readonly #pieces: string[] = [];
  readonly #gapsMs: number[] = [];
  #firstMs: number | undefined;
  #lastMs = 0;
  #ended = false;
  #usage: Chunk['usage'];
  #failed: Failed | undefined;
  isHopeless = false;

  readonly #parser = createParser({
    maxBufferSize: EVENT_CHARACTERS_MAX,
    onEvent: ({ data }) => this.#read(data),
    onError: ({ type, message }) => {
      // Fields and comments that nobody knows are passed over, as a browser does.
      if (type !== 'max-buffer-size-exceeded') return;
      this.isHopeless = true;
      this.#failed ??= { kind: 'failed', code: 'event too long', message };
    },
  });

  feed(piece: string): void {
    this.#parser.feed(piece);
  }

  #read(data: string): void {
    if (data === '[DONE]') {
      this.#ended = true;
      return;
    }
    const chunk = Object(JSON.parse(data)) as Chunk;
    if (chunk.error != null) this.#failed ??= failureOf('in the stream:', data);
    this.#usage = chunk.usage ?? this.#usage;
    const choice = chunk.choices?.[0];
    if (choice?.finish_reason != null) this.#ended = true;
    const { content, reasoning_content, reasoning } = choice?.delta ?? {};
    if (content || reasoning_content || reasoning) this.#take(content || '');
  }

  /** Thoughts are computed, and waited for, like any other text; but they are no part of what a next turn is told. */
  #take(text: string): void {
    const nowMs = performance.now();
    if (this.#firstMs === undefined) this.#firstMs = nowMs;
    else this.#gapsMs.push(nowMs - this.#lastMs);
    this.#lastMs = nowMs;
    this.#pieces.push(text);
  }

  outcome(dueMs: number, sentLateMs: number): Outcome {
    if (this.#failed !== undefined) return this.#failed;
    if (!this.#ended) return { kind: 'failed', code: 'cut short', message: 'The stream ended before the answer did.' };
    const totalMs = performance.now() - dueMs;
    return {
      kind: 'answered',
      sentLateMs,
      // An answer without any text begins when it ends.
      firstTokenMs: this.#firstMs === undefined ? totalMs : this.#firstMs - dueMs,
      totalMs,
      gapsMs: this.#gapsMs,
      tokens: this.#usage?.completion_tokens ?? this.#pieces.length,
      promptTokens: this.#usage?.prompt_tokens ?? 0,
      cachedTokens: this.#usage?.prompt_tokens_details?.cached_tokens ?? 0,
      isEmpty: this.#firstMs === undefined,
      text: this.#pieces.join(''),
    };
  }
}

/** Asked for a stream it gave the whole answer: there is no first token to take the time of. */
async function wholeAnswer(response: IncomingMessage): Promise<Failed> {
  const { code, message } = failureOf('200', await bodyOf(response));
  if (message !== '') return { kind: 'failed', code, message };
  return {
    kind: 'failed',
    code: 'no stream',
    message: 'It answers a request for a stream with application/json. Name a server that streams.',
  };
}

async function refusalOf(response: IncomingMessage): Promise<Failed> {
  return failureOf(String(response.statusCode), await bodyOf(response));
}

async function bodyOf(response: IncomingMessage): Promise<string> {
  response.setEncoding('utf8');
  let body = '';
  for await (const piece of response as AsyncIterable<string>) {
    // The rest is read and dropped, so that the connection can be used again.
    if (body.length < ERROR_BYTES_MAX) body += piece;
  }
  return body;
}

/** What the server calls it, as it can be shown and counted: it may say anything. */
function failureOf(where: string, body: string): Failed {
  const { code, type, message } = errorIn(body);
  const name = [code, type].find((one) => typeof one === 'string' && one !== '') ?? '';
  return {
    kind: 'failed',
    code: cutText(plainText(`${where} ${name}`.trim()), CODE_LENGTH_MAX),
    message: typeof message === 'string' ? plainText(message) : '',
  };
}

function errorIn(body: string): { code?: unknown; type?: unknown; message?: unknown } {
  try {
    return Object(JSON.parse(body).error);
  } catch {
    return {};
  }
}

function connectionFailure(error: unknown): Failed {
  if (error instanceof SyntaxError) {
    return { kind: 'failed', code: 'unreadable stream (json)', message: 'An event of the stream is no JSON.' };
  }
  const { code, message } = error as NodeJS.ErrnoException;
  return { kind: 'failed', code: code ?? 'connection failed', message };
}
