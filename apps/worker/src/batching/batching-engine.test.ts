import { BACKGROUND_PRIORITY_MAX, InferenceError } from '@millrace/contracts';
import { afterEach, describe, expect, it } from 'vitest';
import { collect, isIdle, NEVER, openBench, type TestBench, textRequest } from './batching.testing.js';

let bench: TestBench;
afterEach(() => bench.engine.close());

/** Reads the first `count` events. */
async function readSome(answer: AsyncIterator<unknown>, count: number): Promise<void> {
  for (let read = 0; read < count; read++) await answer.next();
}

describe('BatchingEngine', () => {
  it('answers in order: begun, tokens, finished', async () => {
    bench = openBench({ says: (prompt) => `You said ${prompt}.` });
    const { events, text, finished } = await collect(bench.engine.answer(textRequest('hello'), NEVER));

    expect(text).toBe('You said hello.');
    expect(events[0]).toEqual({ kind: 'begun', promptTokens: 5, cachedTokens: 0, waitedMs: expect.any(Number) });
    // 15 bytes and the end token.
    expect(finished).toEqual({
      kind: 'finished',
      reason: 'stop',
      usage: { promptTokens: 5, completionTokens: 16, cachedTokens: 0 },
    });
    expect(bench.observer.outcomes).toEqual(['stop']);
  });

  it("renders messages by the model's template, control tokens included", async () => {
    let seen = '';
    bench = openBench({
      says: (prompt) => {
        seen = prompt;
        return 'ok';
      },
    });
    const messages = [{ role: 'user', content: 'Hi' }];
    const prompt = { kind: 'chat' as const, messages, tools: [], templateVariables: {} };
    const { events } = await collect(bench.engine.answer(textRequest('', { prompt }), NEVER));
    expect(seen).toBe('<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n');
    // Each control token is one token: 'user\nHi' + '\n' + 'assistant\n' and three of them.
    expect(events[0]).toMatchObject({ promptTokens: 7 + 1 + 10 + 3 });
  });

  it('ends with length at max_tokens', async () => {
    bench = openBench();
    const { tokens, finished } = await collect(bench.engine.answer(textRequest('a', { maxTokens: 3 }), NEVER));
    expect(tokens).toHaveLength(3);
    expect(finished).toMatchObject({ reason: 'length', usage: { completionTokens: 3 } });
  });

  it('ends with length when the context is full', async () => {
    bench = openBench({ contextLength: 20 });
    const { finished } = await collect(bench.engine.answer(textRequest('0123456789'), NEVER));
    expect(finished).toMatchObject({ reason: 'length', usage: { promptTokens: 10, completionTokens: 10 } });
  });

  it('takes a prompt one token below the context, and refuses one of its length with both numbers', async () => {
    bench = openBench({ contextLength: 1_000 });
    const { finished } = await collect(bench.engine.answer(textRequest('x'.repeat(999)), NEVER));
    expect(finished?.usage.completionTokens).toBe(1);
    await expect(collect(bench.engine.answer(textRequest('x'.repeat(1_234)), NEVER))).rejects.toMatchObject({
      code: 'context_length_exceeded',
      message:
        "This model's maximum context length is 1,000 tokens, an answer of at least one token included. The prompt has 1,234 tokens, which exceeds the context window (prompt is too long). Shorten it, or choose a model with a longer context.",
      details: { param: 'prompt' },
    });
  });

  it('refuses a huge prompt without tokenising all of it', async () => {
    bench = openBench({ contextLength: 1_000 });
    const tokenised: number[] = [];
    const { tokenEngine } = bench;
    const tokenize = tokenEngine.tokenize.bind(tokenEngine);
    tokenEngine.tokenize = (text, options) => {
      tokenised.push(text.length);
      return tokenize(text, options);
    };
    await expect(collect(bench.engine.answer(textRequest('x'.repeat(5_000_000)), NEVER))).rejects.toMatchObject({
      code: 'context_length_exceeded',
      message: expect.stringMatching(
        /^This model's maximum context length is 1,000 tokens, an .+ The prompt has more than 65,280 tokens, which/,
      ),
    });
    expect(tokenised).toEqual([65_536]);
  });

  it('refuses an empty prompt and tokens that the model does not have', async () => {
    bench = openBench();
    await expect(collect(bench.engine.answer(textRequest(''), NEVER))).rejects.toMatchObject({
      code: 'invalid_request',
      details: { param: 'prompt' },
    });
    for (const tokens of [[1, 264], [-1], [1.5], [Number.NaN]]) {
      const request = textRequest('', { prompt: { kind: 'tokens', tokens } });
      await expect(collect(bench.engine.answer(request, NEVER))).rejects.toMatchObject({ code: 'invalid_request' });
    }
    expect(isIdle(bench)).toBe(true);
  });

  it('cuts the answer at a stop text that spans tokens, and counts what was chosen', async () => {
    bench = openBench({ says: () => 'one two STOP three' });
    const { text, finished } = await collect(bench.engine.answer(textRequest('a', { stop: ['STOP'] }), NEVER));
    expect(text).toBe('one two ');
    expect(finished).toMatchObject({
      reason: 'stop',
      stopText: 'STOP',
      usage: { completionTokens: 'one two STOP'.length },
    });
  });

  it('never splits a character', async () => {
    bench = openBench({ says: () => 'é€😀' });
    const { events, text } = await collect(bench.engine.answer(textRequest('a'), NEVER));
    expect(text).toBe('é€😀');
    for (const event of events) if (event.kind === 'tokens') expect(event.text).not.toContain('\uFFFD');
  });

  it('takes the model default for max_tokens and for sampling when the request is silent', async () => {
    bench = openBench();
    const [greedy, sameSeed, again, unseeded] = await Promise.all(
      [{ temperature: 0 }, { temperature: 2, seed: 7 }, { temperature: 2, seed: 7 }, { temperature: 2 }].map(
        (sampling) => collect(bench.engine.answer(textRequest('a', { sampling, maxTokens: 40 }), NEVER)),
      ),
    );
    const silent = await collect(bench.engine.answer(textRequest('a', { maxTokens: 40 }), NEVER));
    expect(silent.text).toBe(greedy!.text);
    expect(again!.text).toBe(sameSeed!.text);
    expect(unseeded!.text).not.toBe(sameSeed!.text);
  });

  it('goes on after resumed tokens as if it had not been interrupted', async () => {
    const says = () => 'Grüße, one EN two END three';
    bench = openBench({ says });
    const whole = await collect(bench.engine.answer(textRequest('a', { stop: ['END'] }), NEVER));
    expect(whole.text).toBe('Grüße, one EN two ');

    // Cut after every token, in the middle of characters and of stop texts too.
    for (let cut = 0; cut <= whole.tokens.length; cut++) {
      const delivered = textBefore(whole.events, cut);
      const resume = { tokens: whole.tokens.slice(0, cut), text: delivered };
      const rest = await collect(bench.engine.answer(textRequest('a', { stop: ['END'], resume }), NEVER));
      expect(delivered + rest.text).toBe(whole.text);
      const { promptTokens, completionTokens } = whole.finished!.usage;
      expect(rest.finished).toMatchObject({
        reason: 'stop',
        stopText: 'END',
        usage: { promptTokens, completionTokens },
      });
    }
  });

  it('counts resumed tokens toward max_tokens, and ends at once when they use it up', async () => {
    bench = openBench({ says: () => 'abcdef' });
    const resume = { tokens: [...Buffer.from('abc')], text: 'abc' };
    const rest = await collect(bench.engine.answer(textRequest('a', { resume, maxTokens: 5 }), NEVER));
    expect(rest).toMatchObject({ text: 'de', finished: { reason: 'length', usage: { completionTokens: 5 } } });
    const none = await collect(bench.engine.answer(textRequest('a', { resume, maxTokens: 3 }), NEVER));
    expect(none.events.map(({ kind }) => kind)).toEqual(['begun', 'finished']);
    expect(none.finished).toMatchObject({ reason: 'length', usage: { completionTokens: 3 } });
  });

  it('does not begin again what was delivered without the numbers of its tokens', async () => {
    bench = openBench({ says: () => 'abcdef' });
    const nothing = { tokens: [], text: '' };
    for (const more of [
      { text: 'abc' },
      { reasoning: 'a' },
      { calls: [{ index: 0, arguments: '' }] },
      { citations: 1 },
    ]) {
      const resumed = collect(bench.engine.answer(textRequest('a', { resume: { ...nothing, ...more } }), NEVER));
      await expect(resumed).rejects.toMatchObject({ code: 'answer_broken_off' });
    }
    const begun = await collect(bench.engine.answer(textRequest('a', { resume: nothing }), NEVER));
    expect(begun.text).toBe('abcdef');
  });

  it('does not go on with an answer whose tokens mean something else here', async () => {
    bench = openBench({ says: () => 'abcdef' });
    const tokens = [...Buffer.from('abc')];
    for (const resume of [
      { tokens, text: 'abx' },
      { tokens, text: 'xbc' },
      { tokens: [...tokens, 1_000_000], text: 'abc' },
    ]) {
      const rest = collect(bench.engine.answer(textRequest('a', { resume }), NEVER));
      await expect(rest).rejects.toMatchObject({ code: 'answer_broken_off' });
    }
    expect(bench.engine.load()).toEqual({ running: 0, waiting: 0 });
  });

  it('pauses a sequence that nobody reads, and no other', async () => {
    bench = openBench();
    const slow = bench.engine.answer(textRequest('slow', { maxTokens: 100 }), NEVER);
    const quick = await collect(bench.engine.answer(textRequest('quick', { maxTokens: 100 }), NEVER));
    expect(quick.tokens).toHaveLength(100);
    expect(bench.observer.decisions).toContain('paused');
    const { events, tokens } = await collect(slow);
    expect(tokens).toHaveLength(100);
    // Begun, then all that had piled up in one event: the bound on what waits for its reader.
    expect(events[1]).toMatchObject({ tokens: { length: 16 } });
    expect(bench.observer.decisions).toContain('resumed');
  });

  it('drops a sequence that nobody reads for too long, and gives its place away', async () => {
    bench = openBench({}, { stallTimeoutMs: 30 });
    const slow = bench.engine.answer(textRequest('slow'), NEVER);
    await expect.poll(() => bench.observer.outcomes).toEqual(['stalled']);
    await expect.poll(() => isIdle(bench)).toBe(true);
    await expect(collect(slow)).rejects.toMatchObject({ code: 'client_closed_request' });
  });

  it('fails at its deadline while it waits, before it costs a step', async () => {
    bench = openBench({ msPerStep: 5 }, { maxBatchSize: 1 });
    const running = bench.engine.answer(textRequest('running'), NEVER)[Symbol.asyncIterator]();
    await readSome(running, 2);
    const late = collect(bench.engine.answer(textRequest('late', { deadlineMs: 20 }), NEVER));
    await expect(late).rejects.toMatchObject({ code: 'deadline_exceeded' });
    await running.return?.();
    expect(bench.steps.every((works) => works.length === 1 && works[0]?.tokens.length !== 4)).toBe(true);
  });

  it('fails at its deadline in mid-answer, after what was ready is read', async () => {
    bench = openBench({ msPerStep: 2 });
    const answer = bench.engine.answer(textRequest('a', { deadlineMs: 60 }), NEVER)[Symbol.asyncIterator]();
    await readSome(answer, 2);
    await expect(readSome(answer, 1_000)).rejects.toMatchObject({ code: 'deadline_exceeded' });
    await expect.poll(() => isIdle(bench)).toBe(true);
  });

  it('has another time limit where nobody waits for the answer, which the error names', async () => {
    bench = openBench({ msPerStep: 10 }, { requestTimeoutMs: 50, backgroundTimeoutMs: 60_000 });
    const ask = (priority: number) => bench.engine.answer(textRequest('a', { priority, maxTokens: 12 }), NEVER);
    await expect(collect(ask(0))).rejects.toMatchObject({
      code: 'deadline_exceeded',
      message: expect.stringMatching(/50 ms.* up to requestTimeoutMs/),
    });
    expect((await collect(ask(BACKGROUND_PRIORITY_MAX))).tokens).toHaveLength(12);
    bench = openBench({ msPerStep: 10 }, { requestTimeoutMs: 60_000, backgroundTimeoutMs: 50 });
    await expect(collect(ask(BACKGROUND_PRIORITY_MAX))).rejects.toMatchObject({
      message: expect.stringMatching(/50 ms.* up to backgroundTimeoutMs/),
    });
  });

  it('refuses what finds no room to wait, and says when to come back', async () => {
    bench = openBench({ msPerStep: 1 }, { maxBatchSize: 2, queueMax: 1 });
    const stop = new AbortController();
    const three = [1, 2, 3].map(() => collect(bench.engine.answer(textRequest('a'), stop.signal)).catch(() => 'left'));
    await expect(collect(bench.engine.answer(textRequest('a'), NEVER))).rejects.toMatchObject({
      code: 'rate_limit_exceeded',
      details: { retryAfterSeconds: 1 },
    });
    stop.abort();
    expect(await Promise.all(three)).toEqual(['left', 'left', 'left']);
  });

  it('frees the place before the next step when the signal is aborted, wherever the sequence is', async () => {
    bench = openBench({ msPerStep: 1 }, { maxBatchSize: 2, prefillChunkTokens: 8 });
    const stops = [1, 2, 3].map(() => new AbortController());
    const decoding = bench.engine.answer(textRequest('a'), stops[0]!.signal)[Symbol.asyncIterator]();
    await readSome(decoding, 2);
    const reading = collect(bench.engine.answer(textRequest('x'.repeat(500)), stops[1]!.signal));
    const waiting = collect(bench.engine.answer(textRequest('y'), stops[2]!.signal));
    await expect.poll(() => bench.engine.load()).toEqual({ running: 2, waiting: 1 });

    for (const stop of stops) stop.abort(new Error('left'));
    await expect(reading).rejects.toThrow('left');
    await expect(waiting).rejects.toThrow('left');
    await expect(readSome(decoding, 20)).rejects.toThrow('left');
    const stepsSoFar = bench.steps.length;
    await expect.poll(() => isIdle(bench)).toBe(true);
    expect(bench.steps.length).toBe(stepsSoFar);
    expect(bench.observer.outcomes).toEqual(['cancelled', 'cancelled', 'cancelled']);
  });

  it('frees the place when the iterator is returned while a read is pending', async () => {
    bench = openBench({ msPerStep: 1 }, { prefillChunkTokens: 8 });
    const answer = bench.engine.answer(textRequest('x'.repeat(3_000)), NEVER)[Symbol.asyncIterator]();
    const pending = answer.next();
    await answer.return?.();
    expect(await pending).toEqual({ done: true, value: undefined });
    await expect.poll(() => isIdle(bench)).toBe(true);
    expect(bench.observer.outcomes).toEqual(['cancelled']);
  });

  it('takes nothing when the signal was aborted before', async () => {
    bench = openBench();
    const answer = collect(bench.engine.answer(textRequest('a'), AbortSignal.abort(new Error('left'))));
    await expect(answer).rejects.toThrow('left');
    expect(bench.observer.outcomes).toEqual([]);
  });

  it('fails those who run when the engine breaks, and goes on with those who wait', async () => {
    bench = openBench({ breakAtStep: 3, says: () => 'abcdef' }, { maxBatchSize: 2 });
    const results = await Promise.allSettled(
      ['a', 'b', 'c'].map((text) => collect(bench.engine.answer(textRequest(text), NEVER))),
    );
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
    expect(results[0]).toMatchObject({ reason: { code: 'worker_lost' } });
    expect(bench.observer.outcomes).toEqual(['failed', 'failed', 'stop']);
    expect(bench.broken).toEqual([]);
    await expect.poll(() => isIdle(bench)).toBe(true);
  });

  it('counts as broken after three steps in a row that broke, and refuses from then on', async () => {
    bench = openBench();
    bench.tokenEngine.step = () => Promise.reject(new Error('lost the GPU'));
    for (let breaks = 1; breaks <= 3; breaks++) {
      expect(bench.broken).toEqual([]);
      await expect(collect(bench.engine.answer(textRequest('a'), NEVER))).rejects.toMatchObject({
        code: 'worker_lost',
      });
    }
    await expect.poll(() => bench.broken).toHaveLength(1);
    await expect(collect(bench.engine.answer(textRequest('a'), NEVER))).rejects.toMatchObject({
      code: 'model_not_ready',
    });
  });

  it('fails one sequence alone when it can not be prepared', async () => {
    bench = openBench({ says: () => 'ok' });
    const prepare = bench.tokenEngine.prepare.bind(bench.tokenEngine);
    bench.tokenEngine.prepare = (place, choosing, prompt, chosen) => {
      if (choosing.sampling.topK === 13) throw new Error('no such sampler');
      prepare(place, choosing, prompt, chosen);
    };
    const [bad, good] = await Promise.allSettled([
      collect(bench.engine.answer(textRequest('a', { sampling: { topK: 13 } }), NEVER)),
      collect(bench.engine.answer(textRequest('b'), NEVER)),
    ]);
    expect([bad.status, good.status]).toEqual(['rejected', 'fulfilled']);
  });

  it('fails everyone when it is closed, and takes no more', async () => {
    bench = openBench({ msPerStep: 1 }, { maxBatchSize: 1 });
    const answers = ['a', 'b'].map((text) => collect(bench.engine.answer(textRequest(text), NEVER)));
    const settled = Promise.allSettled(answers);
    await bench.engine.close();
    for (const result of await settled) expect(result).toMatchObject({ reason: { code: 'shutting_down' } });
    await expect(collect(bench.engine.answer(textRequest('late'), NEVER))).rejects.toMatchObject({
      code: 'shutting_down',
    });
  });

  it('hands back all that it computed when the worker stops, before it says so', async () => {
    bench = openBench({ msPerStep: 1 });
    const stopping = new AbortController();
    const answer = bench.engine.answer(textRequest('a', { maxTokens: 500 }), stopping.signal)[Symbol.asyncIterator]();
    const { value: begun } = await answer.next();
    expect(begun).toMatchObject({ kind: 'begun' });
    // Nobody reads meanwhile.
    await expect.poll(() => bench.steps.length).toBeGreaterThan(4);
    const computed = () => bench.steps.filter(([work]) => work?.choose).length;
    const before = computed();
    stopping.abort(new InferenceError('shutting_down', 'It stops.'));
    const { value: tokens } = await answer.next();
    expect(tokens).toMatchObject({ kind: 'tokens' });
    // A step that was under way is lost with its token.
    const handedBack = tokens?.kind === 'tokens' ? tokens.tokens.length : 0;
    expect(handedBack).toBeGreaterThanOrEqual(before - 1);
    await expect(answer.next()).rejects.toMatchObject({ code: 'shutting_down' });
  });

  it('adds a long prompt beside running streams without leaving any of them out of a step', async () => {
    bench = openBench({}, { prefillChunkTokens: 50 });
    const goOn = bench.holdAt(5);
    const streams = [1, 2, 3].map((n) => collect(bench.engine.answer(textRequest(`${n}`, { maxTokens: 300 }), NEVER)));
    await expect.poll(() => [bench.steps.length, bench.engine.load().running]).toEqual([5, 3]);
    const long = collect(bench.engine.answer(textRequest('x'.repeat(2_000), { maxTokens: 1 }), NEVER));
    goOn();
    await long;
    const during = bench.steps.filter((works) => works.some(({ tokens }) => tokens.length > 1));
    expect(during).toHaveLength(40);
    expect(during.every((works) => works.length === 4)).toBe(true);
    expect(Math.max(...during.flat().map(({ tokens }) => tokens.length))).toBe(50);
    await Promise.all(streams);
  });
});

/** The text that had arrived when the first `count` tokens had. */
function textBefore(events: readonly { kind: string }[], count: number): string {
  let text = '';
  let tokens = 0;
  for (const event of events as readonly { kind: string; tokens?: readonly number[]; text?: string }[]) {
    if (event.kind !== 'tokens') continue;
    tokens += event.tokens!.length;
    if (tokens > count) break;
    text += event.text!;
  }
  return text;
}
