/**
 * A server that answers every chat at once with the same words: no model, no waiting. What a client waits for beyond this
 * is the way to it. It streams where it is asked to, and says as many pieces as `max_tokens` allows, else as many as its
 * argument. Asked to `Wait.`, it says one piece and then nothing until the client leaves. Prints its port.
 *
 *   node test/bench/bare-upstream.ts [pieces]
 */
import { createServer, type ServerResponse } from 'node:http';

interface Asked {
  readonly stream?: boolean;
  readonly max_tokens?: number;
  readonly messages?: readonly { readonly content: unknown }[];
}

interface Prepared {
  readonly whole: string;
  readonly events: readonly string[];
}

const PROMPT_TOKENS = 9;
const PIECES_MAX = 10_000;
const piecesUnsaid = Number(process.argv[2] ?? 32);
const heading = { id: 'chatcmpl-bare', created: 1, model: 'bare' };
const prepared = new Map<number, Prepared>();

function chunk(delta: object, finishReason: string | null = null): string {
  const choices = [{ index: 0, delta, finish_reason: finishReason }];
  return `data: ${JSON.stringify({ ...heading, object: 'chat.completion.chunk', choices })}\n\n`;
}

/** Made once for each length: what is measured is not this server. */
function answerOf(pieces: number): Prepared {
  const known = prepared.get(pieces);
  if (known !== undefined) return known;
  const words = Array.from({ length: pieces }, (_, index) => ` word${index}`);
  const usage = {
    prompt_tokens: PROMPT_TOKENS,
    completion_tokens: pieces,
    total_tokens: PROMPT_TOKENS + pieces,
  };
  const message = { role: 'assistant', content: words.join('') };
  const choices = [{ index: 0, message, finish_reason: 'stop' }];
  const made = {
    whole: JSON.stringify({ ...heading, object: 'chat.completion', choices, usage }),
    events: [
      chunk({ role: 'assistant', content: '' }),
      ...words.map((content) => chunk({ content })),
      chunk({}, 'stop'),
      `data: ${JSON.stringify({ ...heading, object: 'chat.completion.chunk', choices: [], usage })}\n\n`,
      'data: [DONE]\n\n',
    ],
  };
  prepared.set(pieces, made);
  return made;
}

function answer(body: Asked, response: ServerResponse): void {
  const { whole, events } = answerOf(Math.min(PIECES_MAX, body.max_tokens ?? piecesUnsaid));
  if (body.stream !== true) {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(whole) });
    response.end(whole);
    return;
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const waits = body.messages?.at(-1)?.content === 'Wait.';
  for (const event of waits ? events.slice(0, 2) : events) response.write(event);
  if (!waits) response.end();
}

const server = createServer((request, response) => {
  if (request.method === 'GET') {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify({ object: 'list', data: [{ id: 'bare', object: 'model', created: 1, owned_by: 'us' }] }),
    );
    return;
  }
  const parts: Buffer[] = [];
  request.on('data', (part: Buffer) => parts.push(part));
  request.on('end', () => answer(JSON.parse(Buffer.concat(parts).toString()), response));
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  process.send?.({ kind: 'listening', port });
  if (process.send === undefined) process.stdout.write(`${port}\n`);
});
// Nobody is left to be answered.
process.once('disconnect', () => process.exit());
