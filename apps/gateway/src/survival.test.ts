import { afterEach, describe, expect, it } from 'vitest';
import type { FakeWorkerOptions, Script } from './dispatch/fake-worker.testing.js';
import { eventsOf, TestBed } from './gateway.testing.js';

const messages = [{ role: 'user' as const, content: 'one two three' }];
const WORDS: readonly string[] = Array.from({ length: 12 }, (_, index) => `w${index} `);
/** Thoughts, text, and pieces of two calls. */
const MIXED: NonNullable<Script['answer']> = [
  { reasoning: 'let me ' },
  { reasoning: 'think' },
  { text: 'Well: ' },
  { calls: [{ index: 0, name: 'first', arguments: '' }] },
  { calls: [{ index: 0, name: '', arguments: '{"a"' }] },
  { calls: [{ index: 0, name: '', arguments: ':1}' }] },
  { calls: [{ index: 1, name: 'second', arguments: '{' }] },
  { calls: [{ index: 1, name: '', arguments: '}' }] },
];
/** Most of them no whole character. */
const BYTES = [...Buffer.from('aé€😀z')].map((byte) => Uint8Array.of(byte));

interface Chunk {
  readonly id: string;
  readonly usage?: unknown;
  readonly choices: readonly {
    readonly index: number;
    readonly delta: Readonly<Record<string, unknown>>;
    readonly logprobs: { readonly content: readonly object[] } | null;
  }[];
}

let bed: TestBed;
afterEach(() => bed[Symbol.asyncDispose]());

/** Several workers with the same to say; whichever is asked first breaks off by `broken`. */
async function start(broken: Partial<Script>, whole: Script): Promise<void> {
  await startBy(({ attempt }) => (attempt === 1 ? { ...whole, ...broken } : whole));
}

async function startBy(script: NonNullable<FakeWorkerOptions['script']>, workers = 2, settings = {}): Promise<void> {
  const options = Array.from({ length: workers }, () => ({ script }));
  bed = await TestBed.start({ coldStartWaitMs: 0, ...settings }, options);
}

/** What workers were asked, in the order of the attempts. */
const asked = () => bed.workers.flatMap(({ started }) => started).sort((a, b) => a.attempt - b.attempt);

async function streamed(body: Record<string, unknown>) {
  const events = await eventsOf(await bed.chat({ messages, stream: true, ...body }));
  expect(events.at(-1)).toBe('data: [DONE]');
  const chunks = events.slice(0, -1).map((event) => JSON.parse(event.slice('data: '.length)) as Chunk);
  const deltas = chunks.flatMap(({ choices }) => choices.map(({ index, delta }) => ({ index, delta })));
  return {
    chunks,
    deltas: deltas.map(({ delta }) => delta),
    of: (index: number) => whole(deltas.filter((one) => one.index === index).map(({ delta }) => delta)),
  };
}

/** What a client makes of deltas; the ids of calls are random. */
function whole(deltas: readonly Readonly<Record<string, unknown>>[]) {
  const text = (key: string) => deltas.map((delta) => delta[key] ?? '').join('');
  const calls = deltas.flatMap(({ tool_calls: pieces = [] }) => pieces as { id?: string }[]);
  return {
    content: text('content'),
    reasoning: text('reasoning_content'),
    calls: calls.map((piece) => ({ ...piece, id: piece.id !== undefined })),
  };
}

describe('a stream whose worker dies', () => {
  it.each([1, 5, 12])('goes on at another, nothing twice and nothing missing (%i tokens)', async (dieAfterTokens) => {
    await start({ dieAfterTokens }, { answer: WORDS });
    const { chunks, deltas } = await streamed({ stream_options: { include_usage: true } });
    expect(whole(deltas).content).toBe(WORDS.join(''));
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    expect(deltas.filter(({ role }) => role !== undefined)).toHaveLength(1);
    expect(chunks.at(-1)!.usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 13, total_tokens: 16 });
    expect(asked().map(({ resumeTokenIds }) => resumeTokenIds.length)).toEqual([0, dieAfterTokens]);
    expect(bed.records()).toMatchObject([
      { outcome: 'served', continued: true, attempts: 2, promptTokens: 3, completionTokens: 13, cachedTokens: 1 },
    ]);
  });

  it.each(MIXED.map((_, at) => at + 1))('goes on within thoughts and calls (%i tokens)', async (dieAfterTokens) => {
    await start({ dieAfterTokens }, { answer: MIXED });
    const tools = ['first', 'second'].map((name) => ({ type: 'function', function: { name } }));
    const { deltas } = await streamed({ tools });
    expect(whole(deltas)).toEqual({
      content: 'Well: ',
      reasoning: 'let me think',
      calls: [
        { index: 0, id: true, type: 'function', function: { name: 'first', arguments: '' } },
        { index: 0, id: false, function: { arguments: '{"a"' } },
        { index: 0, id: false, function: { arguments: ':1}' } },
        { index: 1, id: true, type: 'function', function: { name: 'second', arguments: '' } },
        { index: 1, id: false, function: { arguments: '{' } },
        { index: 1, id: false, function: { arguments: '}' } },
      ],
    });
  });

  it.each(BYTES.map((_, at) => at + 1))(
    'goes on within a character, and owes nothing (%i bytes)',
    async (dieAfterTokens) => {
      await start({ dieAfterTokens }, { answer: BYTES });
      const { chunks, deltas } = await streamed({ logprobs: true });
      expect(whole(deltas).content).toBe('aé€😀z');
      const told = chunks.flatMap(({ choices }) => choices.flatMap(({ logprobs }) => logprobs?.content ?? []));
      expect(told).toHaveLength(BYTES.length);
    },
  );

  it('tells templates the same time again', async () => {
    await start({ dieAfterTokens: 3 }, { answer: WORDS });
    await streamed({});
    const times = asked().map(({ prompt }) => (prompt?.$case === 'chat' ? prompt.value.nowSeconds : 0));
    expect(times).toEqual([times[0], times[0]]);
    expect(Math.abs(times[0]! - Date.now() / 1000)).toBeLessThan(60);
  });

  it('keeps those of its answers that are finished', async () => {
    const answers = [['a ', 'b '], WORDS, ['c ']];
    await startBy(({ attempt }, answer) => {
      if (attempt > 1) return { answer: WORDS }; // The one that is left is asked for alone.
      return answer === 1 ? { answer: WORDS, dieAfterTokens: 7 } : { answer: answers[answer]! };
    });
    const { of } = await streamed({ n: 3 });
    expect([0, 1, 2].map((index) => of(index).content)).toEqual(answers.map((answer) => answer.join('')));
    expect(asked().map(({ siblings }) => siblings.length)).toEqual([2, 0]);
    expect(bed.records()).toMatchObject([{ outcome: 'served', continued: true, completionTokens: 3 + 13 + 2 }]);
  });

  it('goes on for every one of several prompts', async () => {
    await start({ dieAfterTokens: 4 }, { answer: WORDS });
    const answer = await bed.client.completions.create({ model: 'demo', prompt: ['a', 'b c'], n: 2 });
    expect(answer.choices.map(({ text }) => text)).toEqual(Array.from({ length: 4 }, () => WORDS.join('')));
    expect(answer.usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 4 * 13 });
  });

  it.each([null, 1])('gives its prompt back once (logprobs: %s)', async (logprobs) => {
    const prompt = 'one two three ';
    const request = { model: 'demo', prompt, echo: true, logprobs };
    await startBy(() => ({}));
    const undisturbed = await bed.client.completions.create(request);
    expect(undisturbed.choices[0]!.text).toBe(prompt + prompt);
    await bed[Symbol.asyncDispose]();

    let updates = 0;
    // It is gone in the midst of its echo, and of nothing else.
    await startBy(({ attempt }) => ({
      tamper: (update) => (attempt === 1 && updates++ > 0 ? { ...update, settled: LOST } : update),
    }));
    const answer = await bed.client.completions.create(request);
    expect(answer.choices).toEqual(undisturbed.choices);
    expect(asked()).toHaveLength(2);
  });

  it('is noted in the headers of an answer that is whole', async () => {
    await start({ dieAfterTokens: 3 }, { answer: WORDS });
    const response = await bed.chat({ messages });
    expect(response.headers.get('x-millrace-continued')).toBe('true');
    expect(await response.json()).toMatchObject({ choices: [{ message: { content: WORDS.join('') } }] });
  });

  it('is not noted where nothing broke', async () => {
    await startBy(() => ({ answer: WORDS }));
    const response = await bed.chat({ messages });
    expect(response.headers.get('x-millrace-continued')).toBeNull();
    expect(bed.records()).toMatchObject([{ continued: false }]);
  });

  it('is kept alive by heartbeats while nobody has taken over', async () => {
    const settings = { heartbeatMs: 50 };
    const answer = WORDS;
    await startBy(
      ({ attempt }) => ({ answer, ...(attempt === 1 ? { dieAfterTokens: 2 } : { stepsBeforeFirst: 300 }) }),
      2,
      settings,
    );
    const text = await (await bed.chat({ stream: true })).text();
    expect(text).toMatch(/w1 .*: heartbeat\n\n.*w2 /s);
  });
});

describe('a stream that nobody has taken over yet', () => {
  const begin = async (settings: object, body: object = {}, init: RequestInit = {}) => {
    await startBy(() => ({ endless: 'on ', dieAfterTokens: 2 }), 1, { coldStartWaitMs: 10_000, ...settings });
    return bed.chat({ messages, stream: true, ...body }, init);
  };
  const record = async () => {
    await expect.poll(() => bed.records().length).toBe(1);
    return bed.records()[0];
  };

  it('is over when its client leaves: nothing of it stays, and what it had counts', async () => {
    const leaving = new AbortController();
    const response = await begin({}, {}, { signal: leaving.signal });
    const left = response.text().catch(({ name }: Error) => name);
    const metrics = async () => (await fetch(`${bed.url}/metrics`)).text();
    await expect.poll(metrics).toMatch(/^millrace_waiting_requests\S* 1$/m);
    leaving.abort();
    expect(await left).toBe('AbortError');
    await expect.poll(metrics).toMatch(/^millrace_waiting_requests\S* 0$/m);
    expect(await metrics()).toMatch(/^millrace_running_requests\S* 0$/m);
    expect(await record()).toMatchObject({ outcome: 'cancelled', completionTokens: 2 });
  });

  it('ends with its deadline', async () => {
    const events = await eventsOf(await begin({}, {}, { headers: { 'x-millrace-deadline-ms': '400' } }));
    expect(events.at(-1)).toContain('"code":"deadline_exceeded"');
    expect(await record()).toMatchObject({ outcome: 'expired', completionTokens: 2 });
  });

  it('has failed when nobody comes', async () => {
    const events = await eventsOf(await begin({ coldStartWaitMs: 200 }));
    expect(events.at(-1)).toContain('"code":"model_not_ready"');
    expect(await record()).toMatchObject({ outcome: 'failed', code: 'model_not_ready', completionTokens: 2 });
  });
});

const LOST = {
  reason: 'cancelled',
  promptTokens: 3,
  completionTokens: 3,
  cachedTokens: 0,
  reasoningTokens: 0,
  failure: undefined,
  stopText: '',
};

describe('a request that kills its workers', () => {
  it('is given up after three attempts without a token', async () => {
    await startBy(() => ({ answer: WORDS, dieAfterTokens: 2 }), 6);
    const events = await eventsOf(await bed.chat({ stream: true }));
    expect(events.at(-1)).toContain('"code":"worker_lost"');
    // One that brought two tokens, and three that brought none.
    expect(asked()).toHaveLength(4);
    expect(bed.records()).toMatchObject([{ outcome: 'failed', code: 'worker_lost', attempts: 4, completionTokens: 2 }]);
  });

  it('earns another attempt with every one that brings something', async () => {
    await startBy(({ attempt }) => ({ answer: WORDS, ...(attempt < 6 && { dieAfterTokens: 2 * attempt }) }), 6);
    const { deltas } = await streamed({});
    expect(whole(deltas).content).toBe(WORDS.join(''));
  });
});

describe('a worker that breaks its word', () => {
  const after = (tokens: number, change: (update: object) => object): NonNullable<Script['tamper']> => {
    let seen = 0;
    return (update) => (seen++ < tokens ? update : { ...update, ...change(update) });
  };
  it.each<[string, Partial<Script>]>([
    ['settles what nobody cancelled', { tamper: after(3, () => ({ tokenIds: [], text: '', settled: LOST })) }],
    ['hands it back, since it stops', { failure: { code: 'shutting_down', message: 'bye', afterTokens: 3 } }],
    ['fails of itself', { failure: { code: 'internal_error', message: 'oh', afterTokens: 3 } }],
    ['has a server behind it that fails', { failure: { code: 'upstream_failed', message: 'oh', afterTokens: 3 } }],
    ['answers another attempt', { tamper: after(3, () => ({ attempt: 9 })) }],
    ['sends more than it has credit for', { tamper: after(3, () => ({ tokenIds: new Array(500).fill(1) })) }],
    [
      'goes on with a call that never began',
      { tamper: after(3, () => ({ calls: [{ index: 4, name: '', arguments: '' }] })) },
    ],
  ])('%s: another goes on', async (_how, broken) => {
    await start(broken, { answer: WORDS });
    const { deltas } = await streamed({});
    expect(whole(deltas).content).toBe(WORDS.join(''));
    expect(bed.records()).toMatchObject([{ outcome: 'served', continued: true, attempts: 2 }]);
  });

  it.each(['context_length_exceeded', 'invalid_request', 'deadline_exceeded'])(
    'says that the request is at fault (%s): nobody else is asked',
    async (code) => {
      await start({ failure: { code, message: 'No.', afterTokens: 2 } }, { answer: WORDS });
      const events = await eventsOf(await bed.chat({ stream: true }));
      expect(events.at(-1)).toContain(`"code":"${code}"`);
      expect(asked()).toHaveLength(1);
    },
  );

  it('can’t go on with another’s answer: the caller learns why', async () => {
    const unable = { failure: { code: 'answer_broken_off', message: 'This server can’t go on with it.' } };
    await startBy(({ attempt }) => (attempt === 1 ? { answer: WORDS, dieAfterTokens: 2 } : unable));
    const events = await eventsOf(await bed.chat({ stream: true }));
    expect(events.at(-1)).toContain('"code":"answer_broken_off"');
  });
});

describe('what a worker says of itself', () => {
  const health = async () => {
    const response = await fetch(`${bed.url}/health`);
    return (await response.json()) as { workers: { detail: string }[] };
  };
  it.each<[string, FakeWorkerOptions, string]>([
    [
      '10,000 models',
      { models: Array.from({ length: 10_000 }, (_, at) => ({ id: `m${at}` })) },
      '10,000 models; 1,000',
    ],
    [
      'an id of a megabyte',
      { models: [{ id: 'x'.repeat(1_000_000) }] },
      'a name of 1,000,000 characters; 500 are the most',
    ],
    ['a model without an id', { models: [{ id: '' }] }, 'describes a model without an id'],
    ['too many aliases', { models: [{ id: 'a', aliases: Array.from({ length: 101 }, String) }] }, '101 aliases; 100'],
    ['another protocol', { protocolVersion: 3 }, 'this worker 3'],
  ])('is refused with a sentence, and the others serve: %s', async (_what, worker, sentence) => {
    bed = await TestBed.start({}, [worker, {}], false);
    await bed.ready(1);
    await expect.poll(async () => (await health()).workers[0]!.detail).toContain(sentence);
    expect((await bed.chat()).status).toBe(200);
    const { conversations } = bed.worker;
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(bed.worker.conversations).toBe(conversations); // It is not asked again at once.
  });
});
