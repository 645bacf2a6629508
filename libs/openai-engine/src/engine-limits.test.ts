import { getEventListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AnswerEvent } from '@millrace/contracts';
import { afterEach, describe, expect, it } from 'vitest';
import {
  beginStream,
  chunks,
  collect,
  delta,
  event,
  FOREVER,
  failureOf,
  HELLO,
  hangUp,
  json,
  openEngine,
  type Play,
  page,
  request,
  type ScriptedUpstream,
  startUpstream,
  stream,
  until,
} from './upstream.testing.js';

const opened: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

/** Silence is no way out of anything here, unless a test says so. */
async function serve(plays: Play | Play[], { upstream: entry, ...options }: Parameters<typeof openEngine>[1] = {}) {
  const upstream = await startUpstream(plays);
  opened.push(() => upstream.close());
  const test = await openEngine(upstream.url, { upstream: { silenceMsMax: 60_000, ...entry }, ...options });
  opened.push(() => test.engine.close());
  return { upstream, ...test };
}

/** Begins an answer and never ends it. */
const endless: Play = (response) => {
  beginStream(response);
  response.write(event(delta({ content: 'a' })));
};

const left = (upstream: ScriptedUpstream) => until(() => upstream.calls[0]?.left === true);

async function firstTokens(events: AsyncIterable<AnswerEvent>): Promise<AsyncIterator<AnswerEvent>> {
  const iterator = events[Symbol.asyncIterator]();
  expect((await iterator.next()).value).toMatchObject({ kind: 'begun' });
  expect((await iterator.next()).value).toMatchObject({ kind: 'tokens', text: 'a' });
  return iterator;
}

describe('who leaves', () => {
  it('ends the work of the server when the signal aborts in mid-stream', async () => {
    const { upstream, engine } = await serve(endless);
    const leaving = new AbortController();
    const answer = await firstTokens(engine.answer(request(), leaving.signal));
    const next = answer.next();
    leaving.abort(new Error('the client left'));

    await expect(next).rejects.toThrow('the client left');
    await left(upstream);
    expect(engine.load()).toEqual({ running: 0, waiting: 0 });
  });

  it('ends it by returning while a read is pending', async () => {
    const { upstream, engine } = await serve(endless);
    const answer = await firstTokens(engine.answer(request(), FOREVER));
    const next = answer.next();
    await answer.return?.();

    expect(await next).toMatchObject({ done: true });
    await left(upstream);
    expect(engine.load().running).toBe(0);
  });

  it('ends it by breaking off between two reads', async () => {
    const { upstream, engine } = await serve(endless);
    for await (const each of engine.answer(request(), FOREVER)) if (each.kind === 'tokens') break;

    await left(upstream);
    expect(engine.load().running).toBe(0);
  });

  it('ends it before the first byte', async () => {
    const { upstream, engine } = await serve(() => undefined);
    const answer = engine.answer(request(), FOREVER)[Symbol.asyncIterator]();
    const next = answer.next();
    await until(() => upstream.calls.length === 1);
    await answer.return?.();

    expect(await next).toMatchObject({ done: true });
    await left(upstream);
  });

  it('is the engine itself, once the server sends what is no answer', async () => {
    const { upstream, engine } = await serve((response) => {
      beginStream(response);
      response.write(event(delta({ content: 'a' })) + event({ error: { message: 'oh', code: 500 } }));
    });
    await failureOf(engine.answer(request(), FOREVER));

    await left(upstream);
  });

  it('leaves nothing of itself on its signal', async () => {
    const { engine } = await serve([stream(HELLO), json(400, {}), stream(HELLO)]);
    const { signal } = new AbortController();
    await collect(engine.answer(request(), signal));
    await failureOf(engine.answer(request(), signal));
    for await (const each of engine.answer(request(), signal)) if (each.kind === 'begun') break;

    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  it('leaves nothing behind where it never read', async () => {
    const { upstream, engine } = await serve(stream(HELLO));
    const answer = engine.answer(request(), FOREVER)[Symbol.asyncIterator]();
    await answer.return?.();

    expect(await answer.next()).toMatchObject({ done: true });
    expect(upstream.calls).toEqual([]);
  });

  it('is told so by its own signal, where it had left before', async () => {
    const { upstream, engine } = await serve(stream(HELLO));
    const gone = AbortSignal.abort(new Error('gone'));

    await expect(collect(engine.answer(request(), gone))).rejects.toThrow('gone');
    expect(upstream.calls).toEqual([]);
  });

  it('gives up its place in the line', async () => {
    const { upstream, engine } = await serve(endless, { upstream: { maxConcurrent: 1 } });
    const running = await firstTokens(engine.answer(request(), FOREVER));
    const leaving = new AbortController();
    const waiting = collect(engine.answer(request(), leaving.signal));
    await until(() => engine.load().waiting === 1);
    leaving.abort(new Error('gone'));

    await expect(waiting).rejects.toThrow('gone');
    expect(engine.load()).toEqual({ running: 1, waiting: 0 });
    expect(upstream.calls).toHaveLength(1);
    await running.return?.();
  });
});

describe('the limits', () => {
  it('let so many through at a time, and the others wait', async () => {
    const slow: Play = async (response) => {
      beginStream(response);
      await sleep(20);
      response.end(HELLO);
    };
    const { upstream, engine } = await serve(slow, { upstream: { maxConcurrent: 2 } });
    const all = await Promise.all(Array.from({ length: 8 }, () => collect(engine.answer(request(), FOREVER))));

    expect(all.map(({ text }) => text)).toEqual(Array.from({ length: 8 }, () => 'Hello'));
    expect(upstream.busiest).toBe(2);
    expect(all.filter(({ begun }) => begun!.waitedMs > 0)).toHaveLength(6);
  });

  it('refuse who finds the line full, at once', async () => {
    const { engine } = await serve(endless, { upstream: { maxConcurrent: 1 }, limits: { queueMax: 1 } });
    const running = await firstTokens(engine.answer(request(), FOREVER));
    const leaving = new AbortController();
    const waiting = failureOf(engine.answer(request(), leaving.signal));
    await until(() => engine.load().waiting === 1);

    expect(await failureOf(engine.answer(request(), FOREVER))).toMatchObject({
      code: 'rate_limit_exceeded',
      details: { limit: 'queue', retryAfterSeconds: 1 },
    });
    leaving.abort(new Error('gone'));
    await waiting;
    await running.return?.();
  });

  it('let the more urgent one go first, and then who came first', async () => {
    const order: string[] = [];
    const { engine } = await serve(stream(HELLO), { upstream: { maxConcurrent: 1 } });
    const ask = async (name: string, priority: number) => {
      for await (const each of engine.answer(request({ priority }), FOREVER))
        if (each.kind === 'begun') order.push(name);
    };
    await Promise.all([ask('first', 0), ask('second', 0), ask('third', 0), ask('urgent', 5)]);

    expect(order).toEqual(['first', 'urgent', 'second', 'third']);
  });

  it('count the wait into the deadline', async () => {
    const { engine } = await serve(endless, { upstream: { maxConcurrent: 1 } });
    const running = await firstTokens(engine.answer(request(), FOREVER));

    expect(await failureOf(engine.answer(request({ deadlineMs: 60 }), FOREVER))).toMatchObject({
      code: 'deadline_exceeded',
    });
    expect(engine.load().waiting).toBe(0);
    await running.return?.();
  });

  it('a reader that does not read stops the server, and nothing piles up', async () => {
    let written = 0;
    const flood: Play = async (response) => {
      beginStream(response);
      const piece = event(delta({ content: 'x'.repeat(1_000) })).repeat(8);
      while (!response.destroyed && written < 64_000_000) {
        written += piece.length;
        if (response.write(piece)) continue;
        await Promise.race([
          new Promise((resolve) => response.once('drain', resolve)),
          new Promise((resolve) => response.once('close', resolve)),
        ]);
      }
      response.end(chunks(delta({}, 'stop')));
    };
    const { engine } = await serve(flood, { upstream: { silenceMsMax: 300 } });
    const answer = engine.answer(request(), FOREVER)[Symbol.asyncIterator]();
    await answer.next();
    await answer.next();
    // Longer than the server may be silent: it is the reader that is.
    let before = -1;
    while (before !== written) {
      before = written;
      await sleep(400);
    }

    expect(written).toBeLessThan(32_000_000);
    expect((await answer.next()).value).toMatchObject({ kind: 'tokens' });
    await answer.return?.();
  });

  it('count only what a reader waits for as silence of the server', async () => {
    const slow: Play = async (response) => {
      beginStream(response);
      response.write(event(delta({ content: 'a' })));
      await sleep(1_500);
      response.end(HELLO);
    };
    const { engine } = await serve(slow, { upstream: { silenceMsMax: 1_000 } });
    const answer = await firstTokens(engine.answer(request(), FOREVER));
    await sleep(1_200);

    expect((await answer.next()).value).toMatchObject({ kind: 'tokens', text: expect.stringMatching(/^Hel/) });
    await answer.return?.();
  });

  it('use connections again, and close them in the end', async () => {
    const { upstream, engine } = await serve(stream(HELLO));
    for (let count = 0; count < 5; count++) await collect(engine.answer(request(), FOREVER));

    // A second is opened when a request follows in the very turn in which the first is about to become free.
    expect(upstream.sockets).toBeLessThanOrEqual(2);
    await engine.close();
    await until(() => upstream.sockets === 0);
    expect(await failureOf(engine.answer(request(), FOREVER))).toMatchObject({ code: 'shutting_down' });
  });

  it('closing fails what runs and what waits', async () => {
    const { upstream, engine } = await serve(endless, { upstream: { maxConcurrent: 1 } });
    const running = failureOf(engine.answer(request(), FOREVER));
    await until(() => upstream.calls.length === 1);
    const waiting = failureOf(engine.answer(request(), FOREVER));
    await until(() => engine.load().waiting === 1);
    await engine.close();

    expect(await running).toMatchObject({ code: 'shutting_down' });
    expect(await waiting).toMatchObject({ code: 'shutting_down' });
    await left(upstream);
  });
});

describe('another attempt', () => {
  const again = { upstream: { retriesMax: 2 } };

  it.each<[string, Play]>([
    ['500', json(500, { error: { message: 'oh' } })],
    ['502', json(502, {})],
    ['503', json(503, { error: { message: 'Loading model' } })],
    ['504', json(504, {})],
    ['429 that asks for a moment', json(429, {}, { 'retry-after-ms': '1' })],
    ['a connection that is cut', hangUp],
    ['an error first, with the status 200', stream(event({ error: { message: 'oh', code: 500 } }))],
    ['an end before the first token', stream(event(delta({ role: 'assistant' })))],
  ])('follows %s', async (_name, play) => {
    const { upstream, engine } = await serve([play, stream(HELLO)], again);

    expect((await collect(engine.answer(request(), FOREVER))).text).toBe('Hello');
    expect(upstream.calls).toHaveLength(2);
  });

  it.each<[string, Play]>([
    ['400', json(400, { error: { message: 'no' } })],
    ['401', json(401, {})],
    ['404', json(404, {})],
    ['422', json(422, {})],
    ['an answer that has begun', stream(event(delta({ content: 'a' })))],
    ['429 that asks for an hour', json(429, {}, { 'retry-after': '3600' })],
    ['HTML', page(200, '<html>')],
  ])('does not follow %s', async (_name, play) => {
    const { upstream, engine } = await serve([play, stream(HELLO)], again);

    await failureOf(engine.answer(request(), FOREVER));
    expect(upstream.calls).toHaveLength(1);
  });

  it('is made only so often', async () => {
    const { upstream, engine } = await serve(json(500, { error: { message: 'oh' } }), again);

    expect(await failureOf(engine.answer(request(), FOREVER))).toMatchObject({ code: 'upstream_failed' });
    expect(upstream.calls).toHaveLength(3);
  });

  it('is not made when there is no time left for it', async () => {
    const { upstream, engine } = await serve(json(429, {}, { 'retry-after': '2' }), again);

    expect(await failureOf(engine.answer(request({ deadlineMs: 1_000 }), FOREVER))).toMatchObject({
      code: 'rate_limit_exceeded',
      details: { retryAfterSeconds: 2 },
    });
    expect(upstream.calls).toHaveLength(1);
  });

  it('is not waited for by who has left', async () => {
    const { engine } = await serve(json(429, {}, { 'retry-after': '10' }), again);
    const leaving = new AbortController();
    const answer = collect(engine.answer(request(), leaving.signal));
    await sleep(50);
    leaving.abort(new Error('gone'));

    await expect(answer).rejects.toThrow('gone');
  });

  it('is made at once, and not counted, when the server closed a connection that lay idle', async () => {
    const closing: Play = (response, call) => {
      stream(HELLO)(response, call);
      const { socket } = response;
      // Without the header that would have told of it.
      response.once('finish', () => setTimeout(() => socket?.resetAndDestroy(), 1));
    };
    const { upstream, engine } = await serve(closing, { upstream: { retriesMax: 0 } });
    for (let count = 0; count < 20; count++) {
      expect((await collect(engine.answer(request(), FOREVER))).text).toBe('Hello');
      await sleep(count % 3);
    }
    expect(upstream.calls.length).toBeGreaterThanOrEqual(20);
  });
});
