import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type AnswerEvent, BACKGROUND_PRIORITY_MAX, InferenceError, UPSTREAM_PRESETS } from '@millrace/contracts';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import {
  ANSWERS_ON_THE_WIRE,
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
  listOf,
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

async function upstreamOf(...plays: Play[]): Promise<ScriptedUpstream> {
  const upstream = await startUpstream(plays);
  opened.push(() => upstream.close());
  return upstream;
}

async function engineOn(...[upstream, options]: [ScriptedUpstream, Parameters<typeof openEngine>[1]?]) {
  const test = await openEngine(upstream.url, options);
  opened.push(() => test.engine.close());
  return test;
}

describe('an answer of another server', () => {
  it.each(UPSTREAM_PRESETS)('is the same from every kind of server: %s', async (preset) => {
    const upstream = await upstreamOf(stream(ANSWERS_ON_THE_WIRE[preset]));
    const { engine } = await engineOn(upstream, {
      upstream: { preset },
      environment: { OPENAI_API_KEY: 'k-1', GROQ_API_KEY: 'k-1', FIREWORKS_API_KEY: 'k-1' },
    });

    const whole = await collect(engine.answer(request(), FOREVER));

    expect(whole).toMatchObject({
      text: 'Hello',
      reasoning: '',
      calls: [],
      finished: { reason: 'stop', usage: { promptTokens: 9, completionTokens: 3, cachedTokens: 0 } },
    });
  });

  it('counts every token once where it goes on with another: the server reads what was delivered with the prompt', async () => {
    const upstream = await upstreamOf(stream(HELLO));
    const { engine } = await engineOn(upstream, { upstream: { preset: 'vllm' } });
    const resume = { tokens: [], unnumbered: 4, text: 'Once upon' };
    const { finished } = await collect(engine.answer(request({ resume }), FOREVER));
    expect(finished?.usage).toMatchObject({ promptTokens: 9 - 4, completionTokens: 4 + 3 });
  });

  it('is asked for at the right path, with a stream and the numbers', async () => {
    const upstream = await upstreamOf(stream(HELLO));
    const { engine } = await engineOn(upstream, { upstream: { model: 'their-name' } });
    await collect(engine.answer(request(), FOREVER));

    expect(upstream.calls).toMatchObject([
      {
        method: 'POST',
        path: '/v1/chat/completions',
        headers: { 'accept-encoding': 'identity', 'content-type': 'application/json' },
        body: {
          model: 'their-name',
          stream: true,
          stream_options: { include_usage: true },
          messages: [{ role: 'user', content: 'Hi' }],
        },
      },
    ]);
  });

  it('continues a text, and gives it back where that is asked for', async () => {
    const text = chunks(
      { choices: [{ index: 0, text: ' upon', finish_reason: null }] },
      {
        choices: [{ index: 0, text: ' a', finish_reason: 'length' }],
        usage: { prompt_tokens: 1, completion_tokens: 2 },
      },
    );
    const upstream = await upstreamOf(stream(text));
    const { engine } = await engineOn(upstream);
    const prompt = { kind: 'text', text: 'Once' } as const;
    const whole = await collect(engine.answer(request({ prompt, echo: true, maxTokens: 2 }), FOREVER));

    expect(whole).toMatchObject({ text: 'Once upon a', finished: { reason: 'length' } });
    expect(upstream.calls[0]).toMatchObject({ path: '/v1/completions', body: { prompt: 'Once', max_tokens: 2 } });
    expect(upstream.calls[0]!.body).not.toHaveProperty('echo');
  });

  it('is taken whole from a server that does not stream', async () => {
    const message = {
      role: 'assistant',
      content: 'Hello',
      tool_calls: [{ id: 'x', function: { name: 'f', arguments: '{}' } }],
    };
    const body = {
      choices: [{ index: 0, message, finish_reason: 'tool_calls' }],
      usage: { prompt_tokens: 4, completion_tokens: 7 },
    };
    const { engine } = await engineOn(await upstreamOf(json(200, body)));

    expect(await collect(engine.answer(request(), FOREVER))).toMatchObject({
      text: 'Hello',
      calls: [{ name: 'f', arguments: '{}' }],
      finished: { reason: 'tool_calls', usage: { promptTokens: 4, completionTokens: 7 } },
    });
  });

  it('is read the same however its bytes are cut', async () => {
    const bytes = Buffer.from(
      `\ufeff: hello\r\nevent: message\r\nid: 1\r\n${chunks(
        delta({ role: 'assistant', reasoning_content: 'Grüße 👋' }),
        delta({ content: 'naïve 😀\u2028' }),
        delta({ tool_calls: [{ index: 0, id: 'a', function: { name: 'f', arguments: '{"k":"é' } }] }),
        delta({ tool_calls: [{ index: 0, function: { arguments: '"}' } }] }),
        delta({}, 'tool_calls'),
        { choices: [], usage: { prompt_tokens: 1, completion_tokens: 5 } },
      )}`,
    );
    let cuts: readonly number[] = [];
    const upstream = await upstreamOf(async (response) => {
      beginStream(response);
      response.socket?.setNoDelay(true);
      let from = 0;
      for (const cut of [...cuts, bytes.length]) {
        if (cut > from) {
          await new Promise<void>((resolve) => response.write(bytes.subarray(from, cut), () => resolve()));
          await new Promise((resolve) => setImmediate(resolve));
        }
        from = Math.max(from, cut);
      }
      response.end();
    });
    const { engine } = await engineOn(upstream);
    const events = async (): Promise<AnswerEvent[]> => {
      const all = await listOf(engine.answer(request(), FOREVER));
      return all.map((each) => (each.kind === 'begun' ? { ...each, waitedMs: 0 } : each));
    };
    const whole = await events();
    expect(whole.map(({ kind }) => kind)).toEqual(['begun', 'tokens', 'tokens', 'tokens', 'tokens', 'finished']);

    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(bytes.length), { maxLength: 12 }), async (places) => {
        cuts = places.toSorted((one, other) => one - other);
        expect(await events()).toEqual(whole);
      }),
      { numRuns: 60 },
    );
  });

  it('leaves out the stop text that a server lets through', async () => {
    const upstream = await upstreamOf(
      stream(chunks(delta({ content: 'one EN' }), delta({ content: 'D' }), delta({}, 'stop'))),
    );
    const { engine } = await engineOn(upstream, { upstream: { preset: 'ovms' } });

    const { text, finished } = await collect(engine.answer(request({ stop: ['END'] }), FOREVER));
    expect(text).toBe('one ');
    expect(finished).toMatchObject({ reason: 'stop', stopText: 'END' });
  });

  it.each([
    ['the stop text that vLLM says ended it', 'END', 'END'],
    ['none where it says a token', 2, undefined],
    ['none where it says another reason', 'eos', undefined],
  ])('tells %s', async (_what, stop_reason, stopText) => {
    const last = { choices: [{ index: 0, delta: {}, finish_reason: 'stop', stop_reason }] };
    const upstream = await upstreamOf(stream(chunks(delta({ content: 'one' }), last)));
    const { engine } = await engineOn(upstream);
    const { finished } = await collect(engine.answer(request({ stop: ['END'] }), FOREVER));
    expect(finished?.stopText).toBe(stopText);
  });

  it('gives back what only looked like a stop text', async () => {
    const upstream = await upstreamOf(stream(chunks(delta({ content: 'one EN' }), delta({}, 'stop'))));
    const { engine } = await engineOn(upstream, { upstream: { preset: 'ovms' } });

    expect((await collect(engine.answer(request({ stop: ['END'] }), FOREVER))).text).toBe('one EN');
  });
});

describe('a wire fault is repaired', () => {
  const answers: [string, string | Buffer, object][] = [
    [
      'no usage: estimated',
      chunks(delta({ content: 'a' }), delta({ content: 'b' }), delta({}, 'stop')),
      { text: 'ab', finished: { reason: 'stop', usage: { promptTokens: 1, completionTokens: 2 } } },
    ],
    ['no reason at [DONE]', chunks(delta({ content: 'a' })), { text: 'a', finished: { reason: 'stop' } }],
    [
      'no [DONE] after the reason',
      event(delta({ content: 'a' }, 'length')),
      { text: 'a', finished: { reason: 'length' } },
    ],
    [
      'half an event after the reason',
      `${event(delta({ content: 'a' }, 'stop'))}data: {"choi`,
      { text: 'a', finished: { reason: 'stop' } },
    ],
    [
      'calls that end with stop',
      chunks(delta({ tool_calls: [{ index: 0, function: { name: 'f', arguments: '{}' } }] }), delta({}, 'stop')),
      { calls: [{ name: 'f', arguments: '{}' }], finished: { reason: 'tool_calls' } },
    ],
    [
      'a call without arguments',
      chunks(delta({ tool_calls: [{ index: 0, function: { name: 'f' } }] }), delta({}, 'tool_calls')),
      { calls: [{ name: 'f', arguments: '{}' }], finished: { reason: 'tool_calls' } },
    ],
    [
      'a call that was cut before its arguments: it has none that could be carried out',
      chunks(delta({ tool_calls: [{ index: 0, function: { name: 'f' } }] }), delta({}, 'length')),
      { calls: [{ name: 'f', arguments: '' }], finished: { reason: 'length' } },
    ],
    [
      'tool_calls without a call',
      chunks(delta({ content: 'a' }), delta({}, 'tool_calls')),
      { finished: { reason: 'stop' } },
    ],
    ['the reasons of others', chunks(delta({ content: 'a' }, 'eos_token')), { finished: { reason: 'stop' } }],
    [
      'null for everything',
      chunks(
        {
          choices: [
            {
              index: 0,
              delta: { role: null, content: null, tool_calls: null, reasoning: null, function_call: null },
              finish_reason: null,
              logprobs: null,
            },
          ],
          usage: null,
        },
        delta({ content: 'a' }, 'stop'),
      ),
      { text: 'a' },
    ],
    ['an index that is a text', chunks({ choices: [{ index: '0', delta: { content: 'a' } }] }), { text: 'a' }],
    [
      'a choice without a delta',
      chunks({ choices: [{ index: 0 }] }, { choices: [null] }, delta({ content: 'a' }, 'stop')),
      { text: 'a' },
    ],
    [
      'other choices',
      chunks(
        {
          choices: [
            { index: 1, delta: { content: 'no' } },
            { index: 0, delta: { content: 'a' } },
          ],
        },
        delta({}, 'stop'),
      ),
      { text: 'a' },
    ],
    [
      'reasoning under both names',
      chunks(delta({ reasoning: 'hm', reasoning_content: 'hm' }), delta({ content: 'a' }, 'stop')),
      { reasoning: 'hm', text: 'a' },
    ],
    [
      'content in parts',
      chunks(
        delta(
          {
            content: [
              { type: 'text', text: 'a' },
              { type: 'text', text: 'b' },
            ],
          },
          'stop',
        ),
      ),
      { text: 'ab' },
    ],
    [
      'events without a space, and carriage returns alone',
      `data:${JSON.stringify(delta({ content: 'a' }, 'stop'))}\r\rdata:[DONE]\r\r`,
      { text: 'a', finished: { reason: 'stop' } },
    ],
    [
      'data over several lines',
      'data: {"choices":\ndata: [{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
      { text: 'a' },
    ],
    [
      'a call of the old kind',
      chunks(
        delta({ function_call: { name: 'f', arguments: '{' } }),
        delta({ function_call: { arguments: '}' } }),
        delta({}, 'function_call'),
      ),
      { calls: [{ name: 'f', arguments: '{}' }], finished: { reason: 'tool_calls' } },
    ],
    ['what OpenAI calls a refusal', chunks(delta({ refusal: 'I can’t.' }, 'stop')), { text: 'I can’t.' }],
  ];

  it.each(answers)('%s', async (_name, bytes, expected) => {
    const { engine } = await engineOn(await upstreamOf(stream(bytes)));
    expect(await collect(engine.answer(request(), FOREVER))).toMatchObject(expected);
  });

  it('a server that keeps the connection open after the end is not waited for', async () => {
    const upstream = await upstreamOf((response) => {
      beginStream(response);
      response.write(event(delta({ content: 'a' }, 'stop')));
    });
    const { engine } = await engineOn(upstream, { upstream: { silenceMsMax: 60_000 } });

    expect(await collect(engine.answer(request(), FOREVER))).toMatchObject({ text: 'a', finished: { reason: 'stop' } });
    await until(() => upstream.calls[0]!.left);
  });
});

describe('an answer that has ended', () => {
  it('is not held up by a server that goes on with comments', async () => {
    const upstream = await upstreamOf((response) => {
      beginStream(response);
      response.write(event(delta({ content: 'a' }, 'stop')));
      const ticking = setInterval(() => response.write(':\n'), 50);
      response.once('close', () => clearInterval(ticking));
    });
    const { engine } = await engineOn(upstream, { limits: { requestTimeoutMs: 10_000 } });

    expect(await collect(engine.answer(request(), FOREVER))).toMatchObject({ text: 'a', finished: { reason: 'stop' } });
    await until(() => upstream.calls[0]!.left);
  });

  it('is told with numbers that can be true, whatever the server counts', async () => {
    const usage = {
      prompt_tokens: 1e300,
      completion_tokens: 5e9,
      prompt_tokens_details: { cached_tokens: 2 ** 40 },
      completion_tokens_details: { reasoning_tokens: -3 },
    };
    const { engine } = await engineOn(
      await upstreamOf(stream(chunks(delta({ content: 'a' }, 'stop'), { choices: [], usage }))),
    );

    const { finished } = await collect(engine.answer(request(), FOREVER));
    expect(finished!.usage).toEqual({ promptTokens: 1, completionTokens: 1, cachedTokens: 0 });
  });
});

/** Deeper than any function that calls itself can follow. */
const nested = (before: string, after: string) => `${before.repeat(200_000)}"x"${after.repeat(200_000)}`;

describe('a failure of the server', () => {
  const failures: [string, Play, string, RegExp][] = [
    ['HTML', page(200, '<html>Welcome to nginx</html>'), 'upstream_failed', /HTML/],
    [
      'HTML that calls itself something else',
      page(200, 'data: <html>\n\n', 'text/event-stream'),
      'upstream_failed',
      /no JSON/,
    ],
    ['HTML with a status', page(502, '<html>Bad Gateway</html>'), 'upstream_failed', /status 502\.?$/],
    ['half an event', stream('data: {"choices":[{"delta":{"content":"a"}}'), 'upstream_failed', /middle/],
    ['an end in the middle', stream(event(delta({ content: 'a' }))), 'upstream_failed', /middle/],
    ['nothing at all', stream(''), 'upstream_failed', /middle/],
    ['[DONE] and nothing else', stream('data: [DONE]\n\n'), 'upstream_failed', /middle/],
    [
      'an error first, with the status 200',
      stream(event({ error: { message: 'CUDA out of memory', code: 500 } })),
      'upstream_failed',
      /CUDA out of memory/,
    ],
    [
      'an error in the middle',
      stream(event(delta({ content: 'a' })) + event({ error: { message: 'boom', code: 500 } })),
      'upstream_failed',
      /boom/,
    ],
    [
      'an error in the middle, of the caller',
      stream(event(delta({ content: 'a' })) + event({ error: { message: 'no', code: 400 } })),
      'invalid_request',
      /no/,
    ],
    ['an error that is a text', stream(event({ error: 'no' })), 'upstream_failed', /: no/],
    ['an answer given up', stream(event(delta({ content: 'a' }, 'abort'))), 'upstream_failed', /gave the answer up/],
    ['401', json(401, { error: 'Unauthorized' }), 'upstream_unauthorized', /refuses the key that it is given/],
    ['403', json(403, { detail: 'no' }), 'upstream_unauthorized', /refuses/],
    [
      '401 in the middle',
      stream(event(delta({ content: 'a' })) + event({ error: { message: 'expired', code: 401 } })),
      'upstream_unauthorized',
      /refuses/,
    ],
    [
      '404',
      json(404, { error: { message: 'The model `m` does not exist.', type: 'NotFoundError', code: 404 } }),
      'upstream_failed',
      /does not exist.*upstream\.model/,
    ],
    [
      '400 for the model',
      json(400, { error: { message: "model 'm' not found", code: 400 } }),
      'upstream_failed',
      /not found.*upstream\.model/,
    ],
    [
      '400',
      json(400, { error: { message: 'temperature is wrong', type: 'invalid_request_error' } }),
      'invalid_request',
      /temperature is wrong/,
    ],
    [
      '422 in the words of FastAPI',
      json(422, { detail: [{ loc: ['body'], msg: 'field required' }, { msg: 'also' }] }),
      'invalid_request',
      /field required; also/,
    ],
    ['400 in the words of MAX', json(400, { detail: 'Value error.' }), 'invalid_request', /Value error/],
    [
      'too long for llama-server',
      json(400, {
        error: {
          code: 400,
          type: 'exceed_context_size_error',
          message: 'the request exceeds the available context size',
          n_prompt_tokens: 9,
          n_ctx: 4,
        },
      }),
      'context_length_exceeded',
      /context size/,
    ],
    [
      'too long for vLLM',
      json(400, {
        object: 'error',
        message: "This model's maximum context length is 4096 tokens.",
        type: 'BadRequestError',
        code: 400,
      }),
      'context_length_exceeded',
      /4096/,
    ],
    [
      'too long for OpenAI',
      json(400, { error: { message: 'too long', code: 'context_length_exceeded' } }),
      'context_length_exceeded',
      /too long/,
    ],
    [
      'too long, without a word',
      json(400, { error: { code: 'context_length_exceeded' } }),
      'context_length_exceeded',
      /prompt is too long/,
    ],
    ['500', json(500, { error: { message: 'oh' } }), 'upstream_failed', /status 500: oh/],
    ['a detail with an error in it', json(422, { detail: { error: 'bad tool' } }), 'invalid_request', /: bad tool/],
    ['errors without end', stream(`data: ${nested('{"error":', '}')}\n\n`), 'upstream_failed', /status 500/],
    [
      'arguments without end',
      stream(
        `data: {"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":${nested('{"a":', '}')}}}]}}]}\n\n`,
      ),
      'upstream_failed',
      /nested too deep/,
    ],
    [
      'content without end',
      stream(`data: {"choices":[{"delta":{"content":${nested('[{"text":', '}]')}}}]}\n\n`),
      'upstream_failed',
      /middle/,
    ],
    [
      'a status, and a body that never comes whole',
      (response) => void response.writeHead(429, { 'content-length': 99 }).write('{"err'),
      'rate_limit_exceeded',
      /no more requests just now$/,
    ],
    [
      'a status, and a body that is cut',
      (response) => {
        response.writeHead(401, { 'content-length': 99 }).write('{"err');
        setTimeout(() => response.destroy(), 20);
      },
      'upstream_unauthorized',
      /refuses/,
    ],
    [
      'another protocol',
      (response) =>
        void response.socket?.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'),
      'upstream_failed',
      /broke the connection off/,
    ],
    [
      '503 busy',
      json(503, { error: { message: 'server busy, please try again.  maximum pending requests exceeded' } }),
      'rate_limit_exceeded',
      /busy/,
    ],
    [
      '503 loading',
      json(503, { error: { message: 'Loading model', type: 'unavailable_error', code: 503 } }),
      'model_not_ready',
      /loading/,
    ],
    ['529', json(529, {}), 'rate_limit_exceeded', /no more requests/],
    [
      'a redirect',
      (response) => void response.writeHead(307, { location: 'http://127.0.0.1:1/v1' }).end(),
      'upstream_failed',
      /status 307/,
    ],
    ['a connection that is cut', hangUp, 'upstream_failed', /broke the connection off/],
    [
      'compression nobody asked for',
      (response) =>
        void response
          .writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' })
          .end(Buffer.alloc(64)),
      'upstream_failed',
      /gzip/,
    ],
    [
      'too large headers',
      (response) => void response.writeHead(200, { 'x-large': 'x'.repeat(20_000) }).end(),
      'upstream_failed',
      /broke/,
    ],
  ];

  it.each(failures)('%s', async (_name, play, code, message) => {
    const { engine } = await engineOn(await upstreamOf(play));
    const error = await failureOf(engine.answer(request(), FOREVER));

    expect(error).toBeInstanceOf(InferenceError);
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
    expect(engine.load()).toEqual({ running: 0, waiting: 0 });
  });

  it('is told with how long to wait, where the server says it', async () => {
    const { engine } = await engineOn(
      await upstreamOf(json(429, { error: { message: 'slow' } }, { 'retry-after': '40' })),
    );

    expect(await failureOf(engine.answer(request(), FOREVER))).toMatchObject({
      code: 'rate_limit_exceeded',
      details: { retryAfterSeconds: 40, limit: 'upstream' },
    });
  });

  it('is told to whoever runs it, before and behind the first token, and with the name of the request', async () => {
    const broken = event(delta({ content: 'a' })) + event({ error: { message: 'boom', code: 500 } });
    const { engine, told } = await engineOn(await upstreamOf(json(401, {}), stream(broken), json(400, {})));
    for (let count = 0; count < 3; count++) await failureOf(engine.answer(request(), FOREVER));

    expect(told.map((line) => JSON.parse(line))).toMatchObject([
      { level: 'warn', requestId: 'req_1', code: 'upstream_unauthorized' },
      { level: 'warn', requestId: 'req_1', code: 'upstream_failed', detail: expect.stringMatching(/boom/) },
    ]);
  });

  it('a server that can not be reached is not ready', async () => {
    const upstream = await startUpstream(stream(HELLO));
    const { engine } = await engineOn(upstream);
    await upstream.close();

    expect(await failureOf(engine.answer(request(), FOREVER))).toMatchObject({
      code: 'model_not_ready',
      message: expect.stringMatching(/ECONNREFUSED/),
    });
  });

  it('a long page about an error is read in part, and its status counts', async () => {
    const { engine } = await engineOn(await upstreamOf(page(500, 'x'.repeat(1_000_000), 'text/plain')));

    const error = (await failureOf(engine.answer(request(), FOREVER))) as InferenceError;
    expect(error.message).toMatch(/status 500: x{500}…$/);
  });

  it('a connection that never comes to stand is given up', async () => {
    // It takes the connection, and never begins with TLS.
    const silent = createServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    opened.push(async () => void silent.close());
    const { engine, told } = await openEngine(`https://127.0.0.1:${port}/v1`, { upstream: { connectTimeoutMs: 100 } });
    opened.push(() => engine.close());

    expect(told).toEqual([expect.stringMatching(/is away: .*ETIMEDOUT/)]);
    expect(await failureOf(engine.answer(request(), FOREVER))).toMatchObject({
      code: 'model_not_ready',
      message: expect.stringMatching(/ETIMEDOUT/),
    });
  });

  it('40 MB in one line is not read to its end', async () => {
    let written = 0;
    const upstream = await upstreamOf(async (response) => {
      beginStream(response);
      response.write('data: ');
      const piece = Buffer.alloc(65_536, 'x');
      while (written < 40_000_000 && !response.destroyed) {
        written += piece.length;
        if (!response.write(piece))
          await Promise.race([
            new Promise((resolve) => response.once('drain', resolve)),
            new Promise((resolve) => response.once('close', resolve)),
          ]);
      }
    });
    const { engine } = await engineOn(upstream);

    expect(await failureOf(engine.answer(request(), FOREVER))).toMatchObject({
      code: 'upstream_failed',
      message: expect.stringMatching(/4,194,304 bytes in one event/),
    });
    await until(() => upstream.calls[0]!.left);
    expect(written).toBeLessThan(20_000_000);
  });

  it('a silent server is given up', async () => {
    const upstream = await upstreamOf(() => undefined);
    const { engine } = await engineOn(upstream, { upstream: { silenceMsMax: 150 } });

    expect(await failureOf(engine.answer(request(), FOREVER))).toMatchObject({
      code: 'upstream_failed',
      message: expect.stringMatching(/said nothing for 150 ms/),
    });
    await until(() => upstream.calls[0]!.left);
  });

  it('single bytes of a line that never ends are no sign of life', async () => {
    const upstream = await upstreamOf(async (response) => {
      beginStream(response);
      for (let count = 0; count < 150 && !response.destroyed; count++) {
        response.write('x');
        await sleep(20);
      }
      response.end();
    });
    const { engine } = await engineOn(upstream, { upstream: { silenceMsMax: 1_000 } });

    expect(await failureOf(engine.answer(request(), FOREVER))).toMatchObject({
      message: expect.stringMatching(/said nothing for 1,000 ms/),
    });
  });

  it('comments are one: a server may take its time as long as it says so', async () => {
    const upstream = await upstreamOf(async (response) => {
      beginStream(response);
      for (let count = 0; count < 8; count++) {
        response.write(':\n\n');
        await sleep(200);
      }
      response.end(HELLO);
    });
    const { engine } = await engineOn(upstream, { upstream: { silenceMsMax: 1_200 } });

    expect((await collect(engine.answer(request(), FOREVER))).text).toBe('Hello');
  });

  it('an answer that takes longer than it may ends with the deadline', async () => {
    const upstream = await upstreamOf((response) => {
      beginStream(response);
      const ticking = setInterval(() => response.write(event(delta({ content: 'x' }))), 10);
      response.once('close', () => clearInterval(ticking));
    });
    const { engine } = await engineOn(upstream);

    expect(await failureOf(engine.answer(request({ deadlineMs: 150 }), FOREVER))).toMatchObject({
      code: 'deadline_exceeded',
      message: expect.stringMatching(/150 ms/),
    });
    await until(() => upstream.calls[0]!.left);
  });

  it('an answer that nobody waits for has another limit, which the error names', async () => {
    const upstream = await upstreamOf(async (response) => {
      beginStream(response);
      await sleep(300);
      response.end(HELLO);
    });
    const unawaited = request({ priority: BACKGROUND_PRIORITY_MAX });
    const { engine } = await engineOn(upstream, { limits: { requestTimeoutMs: 150 } });
    expect(await failureOf(engine.answer(request(), FOREVER))).toMatchObject({
      message: expect.stringMatching(/150 ms.*`requestTimeoutMs`/),
    });
    expect((await collect(engine.answer(unawaited, FOREVER))).text).toBe('Hello');
    const { engine: hasty } = await engineOn(upstream, { limits: { backgroundTimeoutMs: 150 } });
    expect(await failureOf(hasty.answer(unawaited, FOREVER))).toMatchObject({
      message: expect.stringMatching(/150 ms.*`backgroundTimeoutMs`/),
    });
  });
});
