import type { AnswerEvent, AnswerRequest, ResumedAnswer } from '@millrace/contracts';
import { afterEach, describe, expect, it } from 'vitest';
import { collect, isIdle, NEVER, openBench, type TestBench, textRequest } from './batching.testing.js';
import { MarkedReader } from './marked-reader.testing.js';
import type { ToldChatOptions } from './told-chat.testing.js';

let bench: TestBench;
afterEach(() => bench.engine.close());

const ANSWER = '«think»so so«/think»Look: «call find»{"a":"b"}«/call»';
const prompt: AnswerRequest['prompt'] = {
  kind: 'chat',
  messages: [{ role: 'user', content: 'Hi' }],
  tools: [],
  templateVariables: {},
};
const chat = (more: Partial<AnswerRequest> = {}) => textRequest('', { prompt: { ...prompt }, ...more });
const marked = (grammar?: string, more: ToldChatOptions = {}): ToldChatOptions => ({
  openReader: () => new MarkedReader(grammar),
  ...more,
});

function open(says: string, prompts = marked()): void {
  bench = openBench({ says: () => says }, {}, prompts);
}

/** The channels of an answer, each joined. */
function contentOf(events: readonly AnswerEvent[]) {
  const tokens = events.filter((event) => event.kind === 'tokens');
  const calls = new Map<number, { name: string; arguments: string }>();
  for (const { index, name, arguments: bit } of tokens.flatMap((event) => event.calls ?? [])) {
    if (name !== undefined) calls.set(index, { name, arguments: '' });
    calls.get(index)!.arguments += bit;
  }
  return {
    text: tokens.map(({ text }) => text).join(''),
    reasoning: tokens.map(({ reasoning }) => reasoning ?? '').join(''),
    calls: [...calls.values()],
  };
}

describe('the content of an answer', () => {
  it('comes sorted into text, thoughts and calls, and ends with tool_calls', async () => {
    open(ANSWER);
    const { events, finished } = await collect(bench.engine.answer(chat(), NEVER));
    expect(contentOf(events)).toEqual({
      text: 'Look: ',
      reasoning: 'so so',
      calls: [{ name: 'find', arguments: '{"a":"b"}' }],
    });
    expect(finished).toMatchObject({ reason: 'tool_calls' });
    // From the byte that completes the mark on, to the mark that closes it.
    expect(finished?.usage.reasoningTokens).toBe(1 + Buffer.byteLength('so so«/think»'));
    expect(bench.observer.outcomes).toEqual(['tool_calls']);
  });

  it('counts no thoughts where there were none', async () => {
    open('plain');
    const { finished } = await collect(bench.engine.answer(chat(), NEVER));
    expect(finished).toMatchObject({ reason: 'stop' });
    expect(finished?.usage).not.toHaveProperty('reasoningTokens');
  });

  it('piles up for a reader that is late, channel by channel', async () => {
    open(`${ANSWER}«call more»{}«/call»`);
    const answer = bench.engine.answer(chat(), NEVER)[Symbol.asyncIterator]();
    await answer.next();
    await new Promise((resolve) => setTimeout(resolve, 30));
    const events: AnswerEvent[] = [];
    for (let next = await answer.next(); !next.done; next = await answer.next()) {
      events.push(next.value);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(contentOf(events)).toEqual({
      text: 'Look: ',
      reasoning: 'so so',
      calls: [
        { name: 'find', arguments: '{"a":"b"}' },
        { name: 'more', arguments: '{}' },
      ],
    });
  });

  it('is not ended by a stop text in a thought or in a call, only by one in the text', async () => {
    open('«think»STOP«/think»one «call f»"STOP"«/call»STOP two');
    const { events, finished } = await collect(bench.engine.answer(chat({ stop: ['STOP'] }), NEVER));
    expect(contentOf(events)).toEqual({ text: 'one ', reasoning: 'STOP', calls: [{ name: 'f', arguments: '"STOP"' }] });
    expect(finished).toMatchObject({ reason: 'tool_calls' });
  });

  it('is cut by max_tokens with length, also in the midst of a call', async () => {
    open(ANSWER);
    const { events, finished } = await collect(
      bench.engine.answer(chat({ maxTokens: Buffer.byteLength(ANSWER) - 12 }), NEVER),
    );
    expect(contentOf(events).calls).toEqual([{ name: 'find', arguments: '{"a":"' }]);
    expect(finished).toMatchObject({ reason: 'length' });
  });

  it('tells a citation with the end of its passage, and not of a passage that a stop text cuts', async () => {
    open('é «cite»one two«/cite», «cite»three STOP four«/cite»');
    const stop = ['two, th', 'STOP'];
    const cited = async (stops: readonly string[]) => {
      const { events, text } = await collect(bench.engine.answer(chat({ stop: stops }), NEVER));
      const citations = events.flatMap((event) => (event.kind === 'tokens' ? (event.citations ?? []) : []));
      return { text, passages: citations.map(({ start, end }) => [...text].slice(start, end).join('')) };
    };
    expect(await cited([])).toEqual({
      text: 'é one two, three STOP four',
      passages: ['one two', 'three STOP four'],
    });
    expect(await cited(stop.slice(1))).toEqual({ text: 'é one two, three ', passages: ['one two'] });
    expect(await cited(stop)).toEqual({ text: 'é one ', passages: [] });
  });

  it('has log-probabilities for the tokens of its text and for no others', async () => {
    open('«think»no«/think»ab«call f»{}«/call»c');
    const { logprobs } = await collect(bench.engine.answer(chat({ logprobs: 0 }), NEVER));
    expect(Buffer.concat(logprobs.map(({ bytes }) => bytes)).toString()).toBe('abc');
  });

  it('holds the log-probabilities back with a text that may yet be a mark', async () => {
    open('a « b');
    const { logprobs, text } = await collect(bench.engine.answer(chat({ logprobs: 0 }), NEVER));
    expect(text).toBe('a « b');
    expect(Buffer.concat(logprobs.map(({ bytes }) => bytes)).toString()).toBe('a « b');
  });
});

describe('a grammar that begins in the midst of an answer', () => {
  const GRAMMAR = 'root ::= "«call " ("f" | "g") "»" "{" [0-9] "}" "«/call»"';

  it('leaves the text before it free, and binds what comes after it', async () => {
    // Of what the script wants to say behind the mark, only what the grammar allows is chosen.
    open('x{y} «call f»{7}«/call»and more', marked(GRAMMAR));
    const { events, finished } = await collect(bench.engine.answer(chat(), NEVER));
    expect(contentOf(events)).toEqual({ text: 'x{y} ', reasoning: '', calls: [{ name: 'f', arguments: '{7}' }] });
    expect(finished).toMatchObject({ reason: 'tool_calls' });
  });

  it('is dropped where the mark that begins it came with what it does not allow, and the answer goes on', async () => {
    open('«call h»{a}«/call»', marked(GRAMMAR));
    const answers = [bench.engine.answer(chat(), NEVER), bench.engine.answer(textRequest('a'), NEVER)];
    const [called, plain] = await Promise.all(answers.map(collect));
    expect(contentOf(called!.events).calls).toEqual([{ name: 'h', arguments: '{a}' }]);
    expect(plain).toMatchObject({ text: '«call h»{a}«/call»' });
    expect(isIdle(bench)).toBe(true);
  });
});

describe('an answer that goes on elsewhere', () => {
  /** What a client has of an answer that broke off behind its first `count` tokens, or a few more. */
  async function begin(count: number, grammar?: string): Promise<ResumedAnswer> {
    open(SAYS, marked(grammar));
    const events: AnswerEvent[] = [];
    const tokens: number[] = [];
    for await (const event of bench.engine.answer(chat(), NEVER)) {
      events.push(event);
      if (event.kind === 'tokens') tokens.push(...event.tokens);
      if (tokens.length >= count) break;
    }
    await bench.engine.close();
    const { text, reasoning, calls } = contentOf(events);
    return { tokens, text, reasoning, calls: calls.map((call, index) => ({ index, ...call })) };
  }
  const SAYS = '«think»é «/think»Look é: «call f»{7}«/call»';
  const GRAMMAR = 'root ::= "«call f»" "{" [0-9] "}" "«/call»"';

  it('is the same as undisturbed, wherever it is cut, with nothing told twice', async () => {
    open(SAYS, marked(GRAMMAR));
    const whole = contentOf((await collect(bench.engine.answer(chat(), NEVER))).events);
    await bench.engine.close();
    const bytes = Buffer.byteLength(SAYS);
    for (let cut = 1; cut < bytes; cut++) {
      const resume = await begin(cut, GRAMMAR);
      open(SAYS, marked(GRAMMAR));
      const { events, finished } = await collect(bench.engine.answer(chat({ resume }), NEVER));
      const all = contentOf([{ kind: 'tokens', ...resume, citations: [], logprobs: [] }, ...events]);
      expect({ cut, ...all }).toEqual({ cut, ...whole });
      expect(finished).toMatchObject({ reason: 'tool_calls', usage: { completionTokens: bytes + 1 } });
      await bench.engine.close();
    }
    open('');
  });
});

describe('preparing a chat', () => {
  const held = Promise.withResolvers<void>();

  it('is done once for the answers to one request, and counts as waiting', async () => {
    const gate = Promise.withResolvers<void>();
    const request = chat();
    open('yes', { held: () => gate.promise });
    const answers = [1, 2, 3].map(() => bench.engine.answer(request, NEVER));
    expect(bench.engine.load()).toEqual({ running: 0, waiting: 3 });
    gate.resolve();
    const texts = (await Promise.all(answers.map(collect))).map(({ text }) => text);
    expect(texts).toEqual(['yes', 'yes', 'yes']);
    expect(isIdle(bench)).toBe(true);
  });

  it('goes on for the others when one of them leaves, and ends when all have left', async () => {
    const gate = Promise.withResolvers<void>();
    const signals: AbortSignal[] = [];
    open('yes', {
      held: (signal) => {
        signals.push(signal);
        return gate.promise;
      },
    });
    const request = chat();
    const [first, second] = [1, 2].map(() => bench.engine.answer(request, NEVER)[Symbol.asyncIterator]());
    const pending = first!.next();
    await first!.return!();
    expect(await pending).toEqual({ done: true, value: undefined });
    expect(signals[0]!.aborted).toBe(false);
    gate.resolve();
    expect((await second!.next()).value).toMatchObject({ kind: 'begun' });
    await second!.return!();
    expect(signals).toHaveLength(1);

    const alone = bench.engine.answer(chat(), NEVER)[Symbol.asyncIterator]();
    await alone.return!();
    await new Promise((resolve) => setImmediate(resolve));
    expect(signals[1]!.aborted).toBe(true);
    expect(isIdle(bench)).toBe(true);
  });

  it('ends with the deadline, with the caller, and with the engine', async () => {
    open('yes', { held: () => held.promise });
    const late = collect(bench.engine.answer(chat({ deadlineMs: 20 }), NEVER));
    await expect(late).rejects.toMatchObject({ code: 'deadline_exceeded' });
    const leaving = new AbortController();
    const left = collect(bench.engine.answer(chat(), leaving.signal));
    leaving.abort(new Error('left'));
    await expect(left).rejects.toThrow('left');
    const stopped = collect(bench.engine.answer(chat(), NEVER));
    const closed = bench.engine.close();
    const afterwards = collect(bench.engine.answer(chat(), NEVER));
    await expect(stopped).rejects.toMatchObject({ code: 'shutting_down' });
    await expect(afterwards).rejects.toMatchObject({ code: 'shutting_down' });
    await closed;
  });

  it('ends with an engine that broke meanwhile', async () => {
    const gate = Promise.withResolvers<void>();
    bench = openBench({}, {}, { held: () => gate.promise });
    bench.tokenEngine.step = () => Promise.reject(new Error('lost the GPU'));
    const prepared = collect(bench.engine.answer(chat(), NEVER));
    for (let breaks = 1; breaks <= 3; breaks++) {
      await expect(collect(bench.engine.answer(textRequest('a'), NEVER))).rejects.toThrow();
    }
    await expect.poll(() => bench.broken).toHaveLength(1);
    gate.resolve();
    await expect(prepared).rejects.toMatchObject({ code: 'worker_lost' });
    expect(isIdle(bench)).toBe(true);
  });

  it('is refused at once when too many wait already', async () => {
    bench = openBench({ placesMax: 1 }, { queueMax: 2, maxBatchSize: 1 }, { held: () => held.promise });
    const answers = [1, 2, 3].map(() => bench.engine.answer(chat(), NEVER)[Symbol.asyncIterator]());
    await expect(collect(bench.engine.answer(chat(), NEVER))).rejects.toMatchObject({ code: 'rate_limit_exceeded' });
    for (const answer of answers) await answer.return!();
  });
});
