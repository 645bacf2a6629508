import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** How a pretend provider behaves just now. */
export interface ProviderMood {
  /** Of everything: 401 refuses keys, 500 is trouble, 0 hangs up. Absent: it does what it is asked. */
  status?: number | undefined;
  /** Seconds that it asks to wait, beside `status`. */
  retryAfter?: number | undefined;
  /** Of the list of models alone. */
  modelsStatus?: number | undefined;
  /** What it says in the place of an answer. Absent: the last message, word by word. */
  answer?: string | undefined;
}

export interface ProviderCall {
  readonly path: string;
  readonly authorization: string | undefined;
  // biome-ignore lint/suspicious/noExplicitAny: the tests look into whatever was sent.
  readonly body: any;
}

/**
 * A provider on a port of its own, that speaks as Groq's and Fireworks' pages say they do: keys, the list of models,
 * chats whole and streamed, embeddings. It answers what the last message says: `say …`, `endless`, `break`, `silent`, or else
 * the message itself.
 */
export class PretendProvider {
  readonly calls: ProviderCall[] = [];
  /** Pings: how often it was asked for its models. */
  pings = 0;
  /** Chats. */
  running = 0;
  /** Pieces of the newest endless answer. */
  sent = 0;
  mood: ProviderMood = {};
  port = 0;
  readonly #server = createServer((request, response) => void this.#answer(request, response));

  private constructor(
    readonly key: string,
    readonly models: readonly string[],
  ) {}

  static async start(
    key = 'gsk_pretended_0123456789',
    models: readonly string[] = ['m'],
    port = 0,
  ): Promise<PretendProvider> {
    const provider = new PretendProvider(key, models);
    provider.#server.listen(port, '127.0.0.1');
    await once(provider.#server, 'listening');
    provider.port = (provider.#server.address() as AddressInfo).port;
    return provider;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/v1`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { url: path = '', headers } = request;
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const { authorization } = headers;
    const body = parts.length === 0 ? undefined : JSON.parse(Buffer.concat(parts).toString());
    const isPing = path.endsWith('/models');
    if (isPing) this.pings++;
    else this.calls.push({ path, authorization, body });
    const status = (isPing ? this.mood.modelsStatus : undefined) ?? this.mood.status;
    if (status === 0) return void response.destroy();
    if (status !== undefined) {
      if (this.mood.retryAfter !== undefined) response.setHeader('retry-after', this.mood.retryAfter);
      return send(response, status, { error: { message: `mood ${status} of ${authorization}` } });
    }
    if (authorization !== `Bearer ${this.key}`) {
      return send(response, 401, { error: { message: 'Invalid API Key', code: 'invalid_api_key' } });
    }
    if (isPing) {
      const data = this.models.map((id) => ({ id, object: 'model', context_window: 131_072 }));
      return send(response, 200, { object: 'list', data });
    }
    if (path.endsWith('/embeddings')) return this.#embed(response, body);
    this.running++;
    response.once('close', () => this.running--);
    await this.#chat(response, body);
  }

  #embed(response: ServerResponse, { input }: { readonly input: readonly string[] }): void {
    if (input[0] === 'silent') return;
    const data = input.map((text, index) => {
      const numbers = Array.from({ length: 8 }, (_, at) => Math.sin(text.length * (at + 1)));
      const length = Math.hypot(...numbers);
      return { object: 'embedding', index, embedding: numbers.map((number) => number / length) };
    });
    send(response, 200, { object: 'list', data, usage: { prompt_tokens: input.length, total_tokens: input.length } });
  }

  async #chat(
    response: ServerResponse,
    { model, messages, stream }: { model: string; messages: { content: string }[]; stream?: boolean },
  ): Promise<void> {
    const play = this.mood.answer ?? messages.at(-1)!.content;
    const words = play.replace(/^say /, '').split(/(?<= )/);
    const usage = { prompt_tokens: 9, completion_tokens: words.length, total_tokens: 9 + words.length };
    if (play === 'silent') return;
    if (!stream) {
      const message = { role: 'assistant', content: words.join('') };
      return send(response, 200, { id: 'c', model, choices: [{ index: 0, message, finish_reason: 'stop' }], usage });
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(chunk({ role: 'assistant', content: '' }));
    if (play === 'endless') return this.#endless(response);
    if (play === 'break') {
      response.write(chunk({ content: 'one ' }) + chunk({ content: 'two ' }));
      return void response.end('data: {"error":{"message":"it broke","code":502}}\n\n');
    }
    for (const content of words) response.write(chunk({ content }));
    response.end(`${chunk({}, 'stop', { x_groq: { id: 'r', usage } })}data: [DONE]\n\n`);
  }

  async #endless(response: ServerResponse): Promise<void> {
    this.sent = 0;
    const closed = once(response, 'close');
    while (!response.closed) {
      this.sent++;
      const free = response.write(chunk({ content: 'word '.repeat(10_000) }));
      if (!free) await Promise.race([once(response, 'drain'), closed]);
      await sleep(1);
    }
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function chunk(delta: object, finishReason: string | null = null, more: object = {}): string {
  const choices = [{ index: 0, delta, finish_reason: finishReason }];
  return `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', choices, ...more })}\n\n`;
}
