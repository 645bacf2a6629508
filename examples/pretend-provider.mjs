// A provider that only pretends: it speaks OpenAI's protocol, takes one key, and says the last message back. For trying out
// how Millrace serves providers, without one: docs/how-to/providers.md.
//
//   node examples/pretend-provider.mjs [port] [key]
import { createServer } from 'node:http';

const [port = '9100', key = 'pretend'] = process.argv.slice(2);
const MODELS = ['llama-3.1-8b-instant', 'accounts/fireworks/models/qwen2p5-7b-instruct'];

createServer(async (request, response) => {
  let text = '';
  for await (const piece of request) text += piece;
  const send = (status, body) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  if (request.headers.authorization !== `Bearer ${key}`) return send(401, { error: { message: 'Invalid API Key' } });
  if (request.url === '/v1/models') return send(200, { object: 'list', data: MODELS.map((id) => ({ id })) });

  const { messages, stream } = JSON.parse(text);
  const words = `You said: ${messages.at(-1).content}`.split(/(?<= )/);
  const usage = { prompt_tokens: 9, completion_tokens: words.length, total_tokens: 9 + words.length };
  if (!stream) {
    const message = { role: 'assistant', content: words.join('') };
    return send(200, { choices: [{ index: 0, message, finish_reason: 'stop' }], usage });
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const say = (delta, finish_reason = null, more = {}) =>
    response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason }], ...more })}\n\n`);
  for (const content of words) say({ content });
  say({}, 'stop', { usage });
  response.end('data: [DONE]\n\n');
}).listen(Number(port), '127.0.0.1', () => console.log(`A pretend provider listens on 127.0.0.1:${port}.`));
