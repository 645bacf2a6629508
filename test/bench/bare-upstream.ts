/**
 * A server that answers every chat at once with the same streamed words: no model, no waiting. What a client waits for
 * beyond this is the way to it. Started by upstream.ts; prints its port.
 *
 *   node test/bench/bare-upstream.ts [pieces]
 */
import { createServer } from 'node:http';

const pieces = Number(process.argv[2] ?? 32);
const heading = { id: 'chatcmpl-bare', object: 'chat.completion.chunk', created: 1, model: 'bare' };

function chunk(delta: object, finishReason: string | null = null): string {
  const choices = [{ index: 0, delta, finish_reason: finishReason }];
  return `data: ${JSON.stringify({ ...heading, choices })}\n\n`;
}

const usage = { prompt_tokens: 9, completion_tokens: pieces, total_tokens: 9 + pieces };
const answer = [
  chunk({ role: 'assistant', content: '' }),
  ...Array.from({ length: pieces }, (_, index) => chunk({ content: ` word${index}` })),
  chunk({}, 'stop'),
  `data: ${JSON.stringify({ ...heading, choices: [], usage })}\n\n`,
  'data: [DONE]\n\n',
];

const server = createServer((request, response) => {
  if (request.method === 'GET') {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify({ object: 'list', data: [{ id: 'bare', object: 'model', created: 1, owned_by: 'us' }] }),
    );
    return;
  }
  request.resume();
  request.on('end', () => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const event of answer) response.write(event);
    response.end();
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  process.stdout.write(`${typeof address === 'object' ? address?.port : address}\n`);
});
