import type { ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { InferenceError } from '@millrace/contracts';
import Fastify from 'fastify';
import { describe, expect, it } from 'vitest';
import { aCall } from '../call.testing.js';
import type { Call } from '../vocabulary.js';
import { callOf } from './call-of.js';
import { type Answer, type StreamLimits, sendAnswer } from './server-sent-events.js';

const LIMITS: StreamLimits = { statusHoldMs: 10_000, heartbeatMs: 10_000, clientStallTimeoutMs: 10_000 };
const DONE = 'data: [DONE]\n\n';

/** A server whose one route answers as a test says. */
async function serving(run: (call: Call) => Promise<Answer>, limits: Partial<StreamLimits> = {}) {
  const server = Fastify();
  server.decorateRequest('caller');
  server.decorateRequest('bodyBytes', 0);
  server.decorateRequest('deadlineMs');
  server.post('/', async (request, reply) => {
    const call = callOf(request, reply);
    await sendAnswer(reply, call, request.body, run(call), { ...LIMITS, ...limits });
    return reply;
  });
  const url = await server.listen({ port: 0, host: '127.0.0.1' });
  const ask = (body: unknown = { stream: true }) =>
    fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  return { ask, [Symbol.asyncDispose]: () => server.close() };
}

async function* chunks(...texts: readonly string[]): AsyncGenerator<readonly object[]> {
  for (const text of texts) yield [{ text }];
}

const streamed = (...texts: readonly string[]): Answer => ({ kind: 'stream', chunks: chunks(...texts) });
const after = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

describe('an answer', () => {
  it('goes out whole, or as events, as the walk has it', async () => {
    await using server = await serving(async () => streamed('a', 'b'));
    expect(await (await server.ask()).text()).toBe(`data: {"text":"a"}\n\ndata: {"text":"b"}\n\n${DONE}`);
    await using other = await serving(async () => ({ kind: 'whole', body: { all: 1 } }));
    expect(await (await other.ask({})).json()).toEqual({ all: 1 });
  });

  it('that is no stream waits for its status, however long', async () => {
    const run = async (): Promise<Answer> => {
      await after(100);
      throw new InferenceError('model_not_ready', 'late');
    };
    await using server = await serving(run, { statusHoldMs: 1, heartbeatMs: 1 });
    const statuses = await Promise.all(
      [{}, { stream: false }, { stream: 'true' }, [], 'stream', null].map(
        async (body) => (await server.ask(body)).status,
      ),
    );
    expect(statuses).toEqual([500, 500, 500, 500, 500, 500]); // Fastify's, of an error that no filter has turned into ours.
  });
});

describe('a stream that has to wait before it has anything to stream', () => {
  it('has its status within statusHoldMs of its arrival, comments, and then its answer', async () => {
    let go = () => {};
    const run = async () => {
      await new Promise<void>((resolve) => {
        go = resolve;
      });
      return streamed('a');
    };
    await using server = await serving(run, { statusHoldMs: 20, heartbeatMs: 20 });
    const response = await server.ask();
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    await after(100);
    go();
    expect(await response.text()).toMatch(/^(: heartbeat\n\n){2,}data: \{"text":"a"\}\n\ndata: \[DONE\]\n\n$/);
  });

  it('counts what had passed when the walk began', async () => {
    const server = Fastify();
    server.post('/', async (request, reply) => {
      const call = aCall({ arrivedMs: performance.now() - 9_990 });
      await sendAnswer(
        reply,
        call,
        request.body,
        after(500).then(() => streamed('a')),
        LIMITS,
      );
      return reply;
    });
    const { body } = await server.inject({ method: 'POST', url: '/', payload: { stream: true } });
    expect(body).toContain(': heartbeat\n\n');
    await server.close();
  });

  it('fails with its own status up to then, and as a last event afterwards', async () => {
    const late = async (ms: number): Promise<Answer> => {
      await after(ms);
      throw new InferenceError('model_not_ready', 'no worker');
    };
    await using early = await serving(() => late(0));
    expect((await early.ask()).status).toBe(500);
    await using tooLate = await serving(() => late(100), { statusHoldMs: 10 });
    const response = await tooLate.ask();
    expect(response.status).toBe(200);
    expect(await response.text()).toBe(
      ': heartbeat\n\ndata: {"error":{"message":"no worker","type":"server_error","param":null,"code":"model_not_ready"}}\n\n',
    );
  });

  it('has the headers that were told before its status went out, and none that were told later', async () => {
    const run = async ({ tell }: Call) => {
      tell({ 'x-ratelimit-limit-requests': '60' });
      await after(100);
      tell({ 'x-ratelimit-remaining-requests': '59' });
      return streamed('a');
    };
    await using held = await serving(run);
    const whole = (await held.ask()).headers;
    expect([whole.get('x-ratelimit-limit-requests'), whole.get('x-ratelimit-remaining-requests')]).toEqual([
      '60',
      '59',
    ]);
    await using gone = await serving(run, { statusHoldMs: 10 });
    const response = await gone.ask();
    expect([...response.headers.keys()].filter((name) => name.startsWith('x-'))).toEqual([
      'x-accel-buffering',
      'x-ratelimit-limit-requests',
    ]);
    expect(await response.text()).toContain(DONE);
  });
});

describe('a stream whose client reads slowly', () => {
  const CHUNK_BYTES = 20_000;

  /** An endless stream, how it stands at the server, and a connection that asked for it and has read nothing. */
  async function slowReader(limits: Partial<StreamLimits>) {
    const seen = { pulled: 0, ended: false, raw: undefined as ServerResponse | undefined };
    async function* endless(): AsyncGenerator<readonly object[]> {
      try {
        for (;;) {
          seen.pulled++;
          await Promise.resolve();
          yield [{ text: 'x'.repeat(CHUNK_BYTES) }];
        }
      } finally {
        seen.ended = true;
      }
    }
    const server = Fastify();
    server.post('/', async (_request, reply) => {
      seen.raw = reply.raw;
      const answer = Promise.resolve({ kind: 'stream' as const, chunks: endless() });
      await sendAnswer(reply, aCall(), { stream: true }, answer, { ...LIMITS, ...limits });
      return reply;
    });
    await server.listen({ port: 0, host: '127.0.0.1' });
    const { port } = server.server.address() as { port: number };
    const socket: Socket = connect({ port, host: '127.0.0.1' });
    socket.pause();
    socket.on('error', () => {});
    socket.write('POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n');
    await expect.poll(() => seen.raw?.writableNeedDrain).toBe(true);
    const close = async () => {
      socket.destroy();
      await server.close();
    };
    return { seen, socket, [Symbol.asyncDispose]: close };
  }

  it('keeps no more of it than Node takes at once, and one step', async () => {
    await using reader = await slowReader({ heartbeatMs: 5 });
    const { raw, pulled } = { raw: reader.seen.raw!, pulled: reader.seen.pulled };
    const unread = raw.writableLength;
    expect(unread).toBeLessThan(raw.writableHighWaterMark + 2 * CHUNK_BYTES);
    await after(200); // Many heartbeats; none of them may be added to what is there.
    expect([raw.writableLength, reader.seen.pulled]).toEqual([unread, pulled]);
  });

  it('ends it when that does not get less for clientStallTimeoutMs, though single bytes are read', async () => {
    await using reader = await slowReader({ clientStallTimeoutMs: 1_500 });
    const byteByByte = setInterval(() => reader.socket.read(1), 10);
    await expect.poll(() => reader.seen.ended).toBe(true);
    clearInterval(byteByByte);
    expect(reader.seen.raw?.destroyed).toBe(true);
  });

  it('goes on with one that reads in time, however slowly', async () => {
    const clientStallTimeoutMs = 1_500;
    await using reader = await slowReader({ clientStallTimeoutMs });
    const { pulled } = reader.seen;
    for (const untilMs = performance.now() + 1.5 * clientStallTimeoutMs; performance.now() < untilMs; ) {
      await after(100);
      reader.socket.resume();
      await after(50);
      reader.socket.pause();
    }
    expect(reader.seen.ended).toBe(false);
    expect(reader.seen.pulled).toBeGreaterThan(pulled);
  });
});
