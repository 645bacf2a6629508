import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { Message } from './scenarios.js';

export interface ReceivedBody {
  readonly model: string;
  readonly messages: readonly Message[];
  readonly max_tokens: number;
  readonly stream: boolean;
}

/** A server of somebody else's: it repeats the last message word by word. What that begins with makes it misbehave. */
export class StreamingServer implements AsyncDisposable {
  readonly bodies: ReceivedBody[] = [];
  readonly keys: (string | undefined)[] = [];
  models: unknown = { data: [{ id: 'echo' }] };
  /** Parameters that it does not know, and refuses by name. */
  refused: readonly string[] = [];
  /** Whether it has a list of models at all. */
  listsModels = true;
  url = '';
  readonly #server: Server = createServer((request, response) => void this.#answer(request, response));

  async start(): Promise<this> {
    await new Promise<void>((listening) => this.#server.listen(0, '127.0.0.1', listening));
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    return this;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.keys.push(request.headers.authorization);
    if (request.url === '/v1/models' && !this.listsModels) {
      response.writeHead(404).end('Not Found');
      return;
    }
    if (request.url === '/v1/models') {
      response.end(JSON.stringify(this.models));
      return;
    }
    const body = JSON.parse(await text(request)) as ReceivedBody;
    this.bodies.push(body);
    const said = body.messages.at(-1)!.content;
    const unknown = this.refused.find((name) => name in body);
    if (unknown !== undefined) {
      const error = { message: `Unrecognized request argument supplied: ${unknown}`, type: 'invalid_request_error' };
      response.writeHead(400).end(JSON.stringify({ error }));
    } else if (said.startsWith('refuse')) {
      const error = {
        message: 'The waiting room is full.',
        type: 'requests',
        param: null,
        code: 'rate_limit_exceeded',
      };
      response.writeHead(429).end(JSON.stringify({ error }));
    } else if (said.startsWith('crash')) {
      response.writeHead(502).end('<html>\u001b[31mBad gateway');
    } else if (said.startsWith('whole')) {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end('{"choices": [{"message": {"content": "At once."}, "finish_reason": "stop"}]}');
    } else if (said.startsWith('stranger')) {
      stranger(response, said);
    } else {
      stream(response, said);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((closed) => this.#server.close(closed));
  }
}

function stream(response: ServerResponse, said: string): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const send = (chunk: object) => response.write(`data: ${JSON.stringify(chunk)}\n\n`);
  send({ choices: [{ delta: { role: 'assistant', content: '' } }] });
  if (said.startsWith('hang')) return;
  if (said.startsWith('silent')) {
    send({ choices: [{ delta: {}, finish_reason: 'stop' }] });
    response.end('data: [DONE]\n\n');
    return;
  }
  for (const word of said.startsWith('think') ? ['Hm', '.'] : []) send({ choices: [{ delta: { reasoning: word } }] });
  for (const word of said.split(/(?<= )/)) send({ choices: [{ delta: { content: word } }] });
  if (said.startsWith('cut')) {
    response.end();
    return;
  }
  if (said.startsWith('garble')) {
    response.end('data: {"choices": [\n\n');
    return;
  }
  if (said.startsWith('break')) {
    send({ error: { message: 'The worker went away.', type: 'server_error', param: null, code: 'worker_lost' } });
    response.end();
    return;
  }
  send({ choices: [{ delta: {}, finish_reason: 'stop' }] });
  const usage = { prompt_tokens: 7, completion_tokens: 5, prompt_tokens_details: { cached_tokens: 3 } };
  send({ choices: [], usage });
  response.end('data: [DONE]\n\n');
}

/** As some write it: spaces, other line ends, thoughts first, no usage and no last line. */
function stranger(response: ServerResponse, said: string): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write('data: {"choices": [{"delta": {"reasoning_content": "Hm."}}]}\r\n\r\n');
  for (const word of said.split(' ')) response.write(`data: {"choices": [{"delta": {"content": "${word} "}}]}\r\n\r\n`);
  response.end('data: {"choices": [{"delta": {}, "finish_reason": "length"}]}\r\n\r\n');
}
