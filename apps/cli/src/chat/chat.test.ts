import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { chatCommand } from './chat-command.js';
import { converse } from './converse.js';

/** A gateway that repeats the last message, word by word; some words make it misbehave. */
let server: Server;
let url: string;
let bodies: Record<string, unknown>[];
beforeEach(async () => {
  bodies = [];
  server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = JSON.parse(await text(request)) as { messages: { content: string }[] };
  bodies.push(body);
  const said = body.messages.at(-1)!.content;
  if (said.startsWith('refuse')) {
    const message = said === 'refuse' ? 'The waiting room is full.' : 'No worker is ready. Try again shortly.';
    response.writeHead(429, { 'retry-after': '7' });
    response.end(JSON.stringify({ error: { message, type: 'requests', param: null, code: 'rate_limit_exceeded' } }));
    return;
  }
  if (said === 'nothing') {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end('data: [DONE]\n\n');
    return;
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const send = (chunk: object) => response.write(`data: ${JSON.stringify({ model: 'echo', ...chunk })}\n\n`);
  response.write(': a heartbeat\n\n');
  for (const word of said.split(/(?<= )/)) send({ choices: [{ delta: { content: word }, finish_reason: null }] });
  if (said === 'hang') return;
  if (said === 'cut') {
    response.end();
    return;
  }
  if (said === 'break') {
    send({ error: { message: 'The worker went away.', type: 'server_error', param: null, code: 'worker_lost' } });
    response.end();
    return;
  }
  send({ choices: [{ delta: {}, finish_reason: 'stop' }] });
  send({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 } });
  response.end('data: [DONE]\n\n');
}

async function chat(...args: string[]): Promise<string> {
  let written = '';
  await chatCommand.run({
    args: ['--url', `${url}/v1/`, ...args],
    environment: {},
    workingFolder: import.meta.dirname,
    write: (piece) => {
      written += piece;
    },
    isTerminal: false,
  });
  return written;
}

describe('chat --user', () => {
  it('writes the answer to one question', async () => {
    expect(await chat('--user', 'hello there')).toBe('hello there\n');
  });

  it('sends what it was told, and leaves out what it was not', async () => {
    await chat('--user=hi', '--system=be brief', '--model=tiny', '--temperature=0', '--max-tokens=9');
    await chat('--user=hi');
    expect(bodies[0]).toMatchObject({
      model: 'tiny',
      temperature: 0,
      max_completion_tokens: 9,
      messages: [
        { role: 'system', content: 'be brief' },
        { role: 'user', content: 'hi' },
      ],
    });
    expect(Object.keys(bodies[1]!).sort()).toEqual(['messages', 'stream', 'stream_options']);
  });

  it('prints answer, model, usage and latency as one JSON object', async () => {
    expect(JSON.parse(await chat('--user', 'hello there', '--json'))).toEqual({
      answer: 'hello there',
      model: 'echo',
      usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
      latency_ms: { first_token: expect.any(Number), total: expect.any(Number) },
    });
  });

  it("fails with the server's sentence when it refuses, and when it fails in mid-answer", async () => {
    await expect(chat('--user', 'refuse')).rejects.toThrow('The waiting room is full. Try again in 7 s.');
    await expect(chat('--user', 'break')).rejects.toThrow('The worker went away.');
    await expect(chat('--user', 'cut')).rejects.toThrow('The connection ended before the answer was complete.');
  });

  it('says only once that it can be tried again', async () => {
    await expect(chat('--user', 'refuse shortly')).rejects.toThrow(/^No worker is ready\. Try again shortly\.$/);
  });

  it('says how to start a gateway when there is none', async () => {
    server.close();
    await expect(chat('--user', 'hi')).rejects.toThrow(`No gateway answers at ${url} (ECONNREFUSED). Start one with`);
  });
});

describe('chat at a prompt', () => {
  const question = () => ({ url, model: undefined, temperature: undefined, maxTokens: undefined, messages: [] });

  async function conversation(input: string): Promise<{ written: string; status: number }> {
    const output = new PassThrough();
    const from = new PassThrough();
    from.end(input);
    const status = await converse(question(), { input: from, output });
    output.end();
    return { written: await text(output), status };
  }

  it('remembers what was said, until /clear', async () => {
    await conversation('one\ntwo\n/clear\nthree\n');
    expect(bodies.map(({ messages }) => (messages as { content: string }[]).map(({ content }) => content))).toEqual([
      ['one'],
      ['one', 'one', 'two'],
      ['three'],
    ]);
  });

  it('goes on after a refusal, and forgets the question that was refused', async () => {
    const { written, status } = await conversation('refuse\nhello\n/exit\nnever\n');
    expect(written).toContain('The waiting room is full.');
    expect(written).toContain('hello\n');
    expect(status).toBe(0);
    expect(bodies.at(-1)).toMatchObject({ messages: [{ role: 'user', content: 'hello' }] });
  });

  it('forgets a question that got no word of an answer', async () => {
    await conversation('nothing\nhello\n');
    expect(bodies.at(-1)).toMatchObject({ messages: [{ role: 'user', content: 'hello' }] });
  });

  it('ends with status 1 when the last question failed', async () => {
    expect((await conversation('refuse\n')).status).toBe(1);
  });
});
