/**
 * A server that answers every chat at once with the same words: no model, no waiting. What a client waits for beyond this
 * is the way to it. It streams where it is asked to, each event a chunk of its own, and says as many pieces as `max_tokens`
 * allows, else as many as its argument. Asked to `Wait.`, it says one piece and then nothing until the client leaves. Prints
 * its port.
 *
 * It writes answers that were made before over bare sockets, because it shares the machine with what is measured: with
 * node:http, 64 chunks cost it as much processor time as they cost a gateway.
 *
 *   node test/bench/bare-upstream.ts [pieces]
 */
import { createServer, type Socket } from 'node:net';

interface Asked {
  readonly stream?: boolean;
  readonly max_tokens?: number;
  readonly messages?: readonly { readonly content: unknown }[];
}

interface Prepared {
  readonly whole: Buffer;
  readonly streamed: Buffer;
  /** The beginning of a stream, without its end. */
  readonly begun: Buffer;
}

const PROMPT_TOKENS = 9;
const PIECES_MAX = 10_000;
const piecesUnsaid = Number(process.argv[2] ?? 32);
const heading = { id: 'chatcmpl-bare', created: 1, model: 'bare' };
const prepared = new Map<number, Prepared>();
const STREAM_HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n';

function ofLength(body: string, status = '200 OK'): Buffer {
  const length = Buffer.byteLength(body);
  return Buffer.from(
    `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n${body}`,
  );
}

const models = ofLength(
  JSON.stringify({ object: 'list', data: [{ id: 'bare', object: 'model', created: 1, owned_by: 'us' }] }),
);

function chunk(body: object): string {
  return framed(`data: ${JSON.stringify({ ...heading, object: 'chat.completion.chunk', ...body })}\n\n`);
}

function piece(delta: object, finishReason: string | null = null): string {
  return chunk({ choices: [{ index: 0, delta, finish_reason: finishReason }] });
}

function framed(event: string): string {
  return `${Buffer.byteLength(event).toString(16)}\r\n${event}\r\n`;
}

/** Made once for each length. */
function answerOf(pieces: number): Prepared {
  const known = prepared.get(pieces);
  if (known !== undefined) return known;
  const words = Array.from({ length: pieces }, (_, index) => ` word${index}`);
  const usage = { prompt_tokens: PROMPT_TOKENS, completion_tokens: pieces, total_tokens: PROMPT_TOKENS + pieces };
  const message = { role: 'assistant', content: words.join('') };
  const choices = [{ index: 0, message, finish_reason: 'stop' }];
  const opening = piece({ role: 'assistant', content: '' });
  const events = [
    opening,
    ...words.map((content) => piece({ content })),
    piece({}, 'stop'),
    chunk({ choices: [], usage }),
    framed('data: [DONE]\n\n'),
  ];
  const made = {
    whole: ofLength(JSON.stringify({ ...heading, object: 'chat.completion', choices, usage })),
    streamed: Buffer.from(`${STREAM_HEAD}${events.join('')}0\r\n\r\n`),
    begun: Buffer.from(`${STREAM_HEAD}${opening}${piece({ content: ' word0' })}`),
  };
  prepared.set(pieces, made);
  return made;
}

function answerTo(body: Asked): Buffer {
  const { whole, streamed, begun } = answerOf(Math.min(PIECES_MAX, body.max_tokens ?? piecesUnsaid));
  if (body.stream !== true) return whole;
  return body.messages?.at(-1)?.content === 'Wait.' ? begun : streamed;
}

const server = createServer({ noDelay: true }, (socket) => {
  let received = '';
  // Bytes as characters: lengths in headers count bytes.
  socket.setEncoding('latin1');
  socket.on('data', (text: string) => {
    received = answerAll(received + text, socket);
  });
  socket.on('error', () => socket.destroy());
});

/** Answers every whole request. @returns what is left. */
function answerAll(received: string, socket: Socket): string {
  let rest = received;
  for (;;) {
    const headEnd = rest.indexOf('\r\n\r\n');
    if (headEnd === -1) return rest;
    const head = rest.slice(0, headEnd + 2);
    const length = Number(/^content-length: *(\d+)\r$/im.exec(head)?.[1] ?? 0);
    const end = headEnd + 4 + length;
    if (rest.length < end) return rest;
    if (/^transfer-encoding:/im.test(head)) socket.write(ofLength('{}', '411 Length Required'));
    else if (head.startsWith('GET ')) socket.write(models);
    else socket.write(answerTo(JSON.parse(rest.slice(headEnd + 4, end))));
    rest = rest.slice(end);
  }
}

server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  process.send?.({ kind: 'listening', port });
  if (process.send === undefined) process.stdout.write(`${port}\n`);
});
// Nobody is left to be answered.
process.once('disconnect', () => process.exit());
