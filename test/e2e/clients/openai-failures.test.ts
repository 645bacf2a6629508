import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { sequencesOf } from '../stack.js';
import { type Failure, startFailingFront } from './failing-front.js';
import { openai, url } from './our-side.js';

const model = 'millrace-demo';
const messages = [{ role: 'user' as const, content: 'What is the capital of France?' }];
const ask = { model, messages, temperature: 0 };
/** Which a tiny model does not end by itself. */
const endless = { ...ask, ignore_eos: true, max_tokens: 3_000 } as typeof ask;

/** What goes wrong, as it looks by OpenAI's own package. */
describe('openai: retries, aborts, timeouts and errors', () => {
  const clientOf = (where: string, options: object = {}) => openai({ baseURL: `${where}/v1`, ...options });

  describe('a retry', () => {
    it.each<[string, readonly Failure[], number]>([
      ['a 429 that says when', [{ status: 429, headers: { 'retry-after': '1' } }], 1_000],
      ['a 503 that says when, in milliseconds', [{ status: 503, headers: { 'retry-after-ms': '700' } }], 700],
      ['a 500, and then a lost connection', [{ status: 500 }, { close: true }], 0],
    ])('comes by itself after %s', async (_what, failures, waitMs) => {
      await using front = await startFailingFront(url, failures);
      const startedMs = performance.now();
      const completion = await clientOf(front.url, { maxRetries: 2 }).chat.completions.create(ask);
      expect(completion.choices[0]!.message.content).toContain('Paris');
      expect(performance.now() - startedMs).toBeGreaterThanOrEqual(waitMs);
      expect(front.seen.map((headers) => headers['x-stainless-retry-count'])).toEqual(
        [...failures, null].map((_, index) => String(index)),
      );
    });

    it('of a stream begins anew', async () => {
      await using front = await startFailingFront(url, [{ status: 503 }]);
      const stream = clientOf(front.url, { maxRetries: 1 }).chat.completions.stream(ask);
      expect(await stream.finalContent()).toContain('Paris');
      expect(front.seen).toHaveLength(2);
    });

    it('does not come where we say that it is of no use, nor after a 400', async () => {
      await using front = await startFailingFront(url, [{ status: 503, headers: { 'x-should-retry': 'false' } }]);
      const client = clientOf(front.url, { maxRetries: 2 });
      await expect(client.chat.completions.create(ask)).rejects.toBeInstanceOf(OpenAI.InternalServerError);
      await expect(client.chat.completions.create({ ...ask, temperature: 9 })).rejects.toBeInstanceOf(
        OpenAI.BadRequestError,
      );
      expect(front.seen).toHaveLength(2);
    });
  });

  describe('an abort', () => {
    it('in mid-stream ends the work as well', async () => {
      const stream = await clientOf(url).chat.completions.create({ ...endless, stream: true });
      let chunks = 0;
      for await (const _chunk of stream) {
        if (++chunks === 5) stream.controller.abort();
      }
      expect(chunks).toBeLessThan(3_000);
      await expect.poll(() => sequencesOf(url)).toBe(0);
    });

    it('by a signal ends a request that waits for the whole of it', async () => {
      const leaving = new AbortController();
      const answer = clientOf(url).chat.completions.create(endless, { signal: leaving.signal });
      const refused = expect(answer).rejects.toBeInstanceOf(OpenAI.APIUserAbortError);
      await expect.poll(() => sequencesOf(url)).toBe(1);
      leaving.abort();
      await refused;
      await expect.poll(() => sequencesOf(url)).toBe(0);
    });

    it('of the stream helper is told as one', async () => {
      const runner = clientOf(url).chat.completions.stream(endless);
      runner.once('content', () => runner.abort());
      await expect(runner.done()).rejects.toBeInstanceOf(OpenAI.APIUserAbortError);
      expect(runner.aborted).toBe(true);
      await expect.poll(() => sequencesOf(url)).toBe(0);
    });
  });

  it('a timeout is told as one, and ends the work as well', async () => {
    const answer = clientOf(url).chat.completions.create(endless, { timeout: 300 });
    await expect(answer).rejects.toBeInstanceOf(OpenAI.APIConnectionTimeoutError);
    await expect.poll(() => sequencesOf(url)).toBe(0);
  });

  describe('an error', () => {
    it.each<[string, (client: OpenAI) => Promise<unknown>, object]>([
      [
        'a value out of range',
        (client) => client.chat.completions.create({ ...ask, temperature: 9 }),
        { constructor: OpenAI.BadRequestError, status: 400, code: 'invalid_request', param: 'temperature' },
      ],
      [
        'a prompt that is too long',
        (client) => client.completions.create({ model, prompt: 'word '.repeat(20_000) }),
        { constructor: OpenAI.BadRequestError, status: 400, code: 'context_length_exceeded' },
      ],
      [
        'a model that there is not',
        (client) => client.chat.completions.create({ ...ask, model: 'gpt-9' }),
        { constructor: OpenAI.NotFoundError, status: 404, code: 'model_not_found', param: 'model' },
      ],
      [
        'a file that there is not',
        (client) => client.files.retrieve('file-nothing'),
        { constructor: OpenAI.NotFoundError, status: 404, code: 'file_not_found' },
      ],
      [
        'a path that there is not',
        (client) => client.post('/nothing', { body: {} }),
        { constructor: OpenAI.NotFoundError, status: 404, code: 'unknown_url' },
      ],
      [
        'a body that is too large',
        (client) => client.embeddings.create({ model: 'millrace-demo-embed', input: 'x'.repeat(17_000_000) }),
        { status: 413, code: 'request_too_large' },
      ],
    ])('has its class, its code and the id of its request: %s', async (_what, call, expected) => {
      const error = (await call(clientOf(url)).catch((thrown: unknown) => thrown)) as InstanceType<
        typeof OpenAI.APIError
      >;
      expect(error).toBeInstanceOf(OpenAI.APIError);
      expect(error).toMatchObject({ type: 'invalid_request_error', ...expected });
      expect(error.requestID).toMatch(/^req_/);
      expect(error.message).toMatch(/^\d{3} [A-Z`].{8,}/);
    });

    it('before a stream begins is one like any other', async () => {
      const stream = clientOf(url).chat.completions.create({ ...ask, model: 'gpt-9', stream: true });
      await expect(stream).rejects.toBeInstanceOf(OpenAI.NotFoundError);
      await expect(
        clientOf(url)
          .chat.completions.stream({ ...ask, temperature: 9 })
          .done(),
      ).rejects.toBeInstanceOf(OpenAI.BadRequestError);
    });

    it('of a connection that nobody takes is told as one', async () => {
      await expect(clientOf('http://127.0.0.1:9').models.list()).rejects.toBeInstanceOf(OpenAI.APIConnectionError);
    });
  });
});
