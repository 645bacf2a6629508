import { describe, expect, it } from 'vitest';
import type { Script } from './dispatch/fake-worker.testing.js';
import { collected, eventsOf, TestBed } from './gateway.testing.js';

const messages = [{ role: 'user' as const, content: 'one two three' }];
/** A different answer for each sequence of a request. */
const different = (_start: unknown, answer: number): Script => ({ answer: [`${answer}: `, 'a', 'b'] });

async function chunksOf(response: Response): Promise<Chunk[]> {
  const events = await eventsOf(response);
  expect(events.at(-1)).toBe('data: [DONE]');
  return events.slice(0, -1).map((event) => JSON.parse(event.slice('data: '.length)) as Chunk);
}

interface Chunk {
  readonly id: string;
  readonly created: number;
  readonly choices: readonly {
    readonly index: number;
    readonly delta: Record<string, unknown>;
    readonly finish_reason: string | null;
  }[];
  readonly usage?: unknown;
}

describe('n answers to a chat', () => {
  it('come whole, each with its index, and the prompt is counted once', async () => {
    await using bed = await TestBed.start({}, [{ script: different }]);
    const answer = await bed.client.chat.completions.create({ model: 'demo', messages, n: 3 });
    expect(answer.choices).toEqual(
      [0, 1, 2].map((index) => ({
        index,
        message: { role: 'assistant', content: `${index}: ab`, refusal: null },
        logprobs: null,
        finish_reason: 'stop',
      })),
    );
    expect(answer.usage).toMatchObject({
      prompt_tokens: 3,
      completion_tokens: 12,
      total_tokens: 15,
      prompt_tokens_details: { cached_tokens: 1 },
    });
  });

  it('stream with one role, one reason and its own text for each index, and one usage for all', async () => {
    await using bed = await TestBed.start({}, [{ script: different }]);
    const chunks = await chunksOf(await bed.chat({ n: 3, stream: true, stream_options: { include_usage: true } }));
    for (const index of [0, 1, 2]) {
      const own = chunks.flatMap(({ choices }) => choices).filter((choice) => choice.index === index);
      expect(own[0]?.delta).toEqual({ role: 'assistant', content: '', refusal: null });
      expect(own.filter(({ delta }) => 'role' in delta)).toHaveLength(1);
      expect(own.at(-1)).toMatchObject({ delta: {}, finish_reason: 'stop' });
      expect(own.slice(0, -1).every((choice) => choice.finish_reason === null)).toBe(true);
      expect(
        own
          .slice(1, -1)
          .map(({ delta }) => delta.content)
          .join(''),
      ).toBe(`${index}: ab`);
    }
    expect(chunks.filter(({ usage }) => usage !== null)).toEqual([
      expect.objectContaining({ choices: [], usage: expect.objectContaining({ prompt_tokens: 3, total_tokens: 15 }) }),
    ]);
    expect(chunks.at(-1)?.choices).toEqual([]);
    expect(new Set(chunks.map(({ id, created }) => `${id} ${created}`)).size).toBe(1);
  });

  it('satisfy the stream helper of the official client', async () => {
    await using bed = await TestBed.start({}, [{ script: different }]);
    const stream = bed.client.chat.completions.stream({ model: 'demo', messages, n: 2 });
    const { choices } = await stream.finalChatCompletion();
    expect(choices.map(({ message, finish_reason }) => [message.content, finish_reason])).toEqual([
      ['0: ab', 'stop'],
      ['1: ab', 'stop'],
    ]);
  });

  it('each tell truthfully why they ended', async () => {
    const script = (_start: unknown, answer: number): Script => ({ answer: answer === 1 ? ['a'] : ['a', 'b', 'c'] });
    await using bed = await TestBed.start({}, [{ script }]);
    const answer = await bed.client.chat.completions.create({ model: 'demo', messages, n: 3, max_tokens: 2 });
    expect(answer.choices.map((choice) => choice.finish_reason)).toEqual(['length', 'stop', 'length']);
  });

  it('are one Start with siblings, whose seeds follow from the request’s', async () => {
    await using bed = await TestBed.start();
    await bed.chat({ n: 3, seed: -2 });
    await bed.chat({ n: 2 });
    await bed.chat({ seed: 5 });
    expect(bed.worker.started).toHaveLength(3);
    const [seeded, unseeded, alone] = bed.worker.started;
    expect(seeded).toMatchObject({
      sequenceId: 1,
      sampling: { seed: 0xffff_fffe },
      siblings: [
        { sequenceId: 2, seed: 0xffff_ffff },
        { sequenceId: 3, seed: 0 },
      ],
    });
    expect(unseeded?.siblings).toEqual([{ sequenceId: 5, seed: undefined }]);
    expect(alone).toMatchObject({ sequenceId: 6, siblings: [] });
  });

  it('are all cancelled when the client leaves', async () => {
    await using bed = await TestBed.start({}, [{ script: () => ({ answer: [], endless: 'more ' }) }]);
    const stream = await bed.client.chat.completions.create({ model: 'demo', messages, n: 3, stream: true });
    let seen = 0;
    for await (const _chunk of stream) if (++seen === 9) break;
    await expect.poll(() => bed.worker.cancelled.toSorted()).toEqual([1, 2, 3]);
    await expect.poll(() => bed.records()).toMatchObject([{ outcome: 'cancelled', promptTokens: 3 }]);
  });

  it('are recorded as one request, with the tokens of all of them', async () => {
    await using bed = await TestBed.start({}, [{ script: different }]);
    await bed.chat({ n: 3 });
    expect(bed.records()).toMatchObject([
      { outcome: 'served', attempts: 1, promptTokens: 3, completionTokens: 12, cachedTokens: 1 },
    ]);
  });

  it('are asked of another worker when one of them is refused before any has begun', async () => {
    const full: Script = { failure: { code: 'rate_limit_exceeded', message: 'full' } };
    const script = (_start: unknown, answer: number) => (answer === 1 ? full : { stepsBeforeFirst: 1_000_000 });
    await using bed = await TestBed.start({}, [{ script }, { script: different }]);
    const answer = await bed.client.chat.completions.create({ model: 'demo', messages, n: 2 });
    expect(answer.choices.map(({ message }) => message.content)).toEqual(['0: ab', '1: ab']);
    await expect.poll(() => bed.workers[0]?.cancelled).toEqual([1]);
    expect(bed.workers[1]?.started).toMatchObject([{ attempt: 2, siblings: [{}] }]);
  });

  it('fail together when one of them does after its beginning, for a reason that no other worker can mend', async () => {
    const broken: Script = { failure: { code: 'context_length_exceeded', message: 'full', afterTokens: 2 } };
    const script = (_start: unknown, answer: number) => (answer === 1 ? broken : { answer: [], endless: 'more ' });
    await using bed = await TestBed.start({}, [{ script }, {}]);
    const events = await eventsOf(await bed.chat({ n: 2, stream: true }));
    expect(events.at(-1)).toContain('"code":"context_length_exceeded"');
    await expect.poll(() => bed.worker.running).toBe(0);
    expect(bed.workers[1]?.started).toEqual([]);
  });

  it('do not wait for each other: a long one does not hold back a short one', async () => {
    const script = (_start: unknown, answer: number): Script =>
      answer === 0 ? { answer: [], endless: 'more ' } : { answer: ['short'] };
    await using bed = await TestBed.start({ creditTokens: 4 }, [{ script }]);
    const stream = await bed.client.chat.completions.create({ model: 'demo', messages, n: 2, stream: true });
    const reasons: (string | null)[] = [];
    for await (const { choices } of stream) {
      const [choice] = choices;
      if (choice?.index !== 1) continue;
      reasons.push(choice.finish_reason);
      if (choice.finish_reason) break;
    }
    expect(reasons.at(-1)).toBe('stop');
  });

  it('are 128 at most, whole and streamed', async () => {
    await using bed = await TestBed.start({}, [{ script: different }]);
    const answer = await bed.client.chat.completions.create({ model: 'demo', messages, n: 128 });
    expect(answer.choices.map(({ message }) => message.content)).toEqual(
      Array.from({ length: 128 }, (_, index) => `${index}: ab`),
    );
    const chunks = await chunksOf(await bed.chat({ n: 128, stream: true }));
    expect(chunks.filter(({ choices }) => choices[0]?.finish_reason === 'stop')).toHaveLength(128);
  });
});

describe('several prompts', () => {
  it('are answered in order, n choices each, and every prompt is counted', async () => {
    await using bed = await TestBed.start();
    const answer = await bed.client.completions.create({ model: 'demo', prompt: ['one two', 'three'], n: 2 });
    expect(answer.choices.map(({ index, text }) => [index, text])).toEqual([
      [0, 'one two'],
      [1, 'one two'],
      [2, 'three'],
      [3, 'three'],
    ]);
    expect(answer.usage).toMatchObject({
      prompt_tokens: 3,
      completion_tokens: 10,
      prompt_tokens_details: { cached_tokens: 2 },
    });
    expect(bed.worker.started.map(({ prompt, siblings }) => [prompt?.value, siblings.length])).toEqual([
      ['one two', 1],
      ['three', 1],
    ]);
  });

  it('stream with an index for each choice, and one usage at the end', async () => {
    await using bed = await TestBed.start();
    const stream = await bed.client.completions.create({
      model: 'demo',
      prompt: ['one two', 'three'],
      n: 2,
      stream: true,
      stream_options: { include_usage: true },
    });
    const texts = ['', '', '', ''];
    const reasons: string[] = [];
    let last: unknown;
    for await (const chunk of stream) {
      const [choice] = chunk.choices;
      if (choice) texts[choice.index] += choice.text;
      if (choice?.finish_reason) reasons.push(`${choice.index} ${choice.finish_reason}`);
      last = chunk;
    }
    expect(texts).toEqual(['one two', 'one two', 'three', 'three']);
    expect(reasons.toSorted()).toEqual(['0 stop', '1 stop', '2 stop', '3 stop']);
    expect(last).toMatchObject({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 10 } });
  });

  it('may be lists of tokens', async () => {
    await using bed = await TestBed.start();
    const answer = await bed.client.completions.create({ model: 'demo', prompt: [[1, 2], [3]] });
    expect(bed.worker.started.map(({ prompt }) => prompt?.value)).toEqual([{ ids: [1, 2] }, { ids: [3] }]);
    expect(answer.choices.map(({ text }) => text)).toEqual(['<1><2>', '<3>']);
  });

  it('are told apart when one of them is refused', async () => {
    const failure = { code: 'context_length_exceeded', message: 'The prompt has 9 tokens.', param: 'prompt' };
    const script = ({ prompt }: { prompt?: { value: unknown } | undefined }): Script =>
      prompt?.value === 'long' ? { failure } : {};
    await using bed = await TestBed.start({}, [{ script }]);
    const refusalOf = async (prompt: unknown) => (await bed.post('/v1/completions', { prompt, n: 2 })).json();
    expect(await refusalOf(['a', 'long'])).toMatchObject({ error: { ...failure, param: 'prompt[1]' } });
    expect(await refusalOf('long')).toMatchObject({ error: failure });
  });

  it('take the schema along, and count toward the size of one request', async () => {
    await using bed = await TestBed.start({ bodyBytesMax: 64 * 1024 });
    const grammar = `root ::= "${'x'.repeat(20_000)}"`;
    const refused = await bed.post('/v1/completions', { prompt: new Array(10).fill('a'), grammar });
    expect(refused.status).toBe(413);
    expect(bed.worker.started).toEqual([]);
    expect((await bed.post('/v1/completions', { prompt: ['a', 'b'], grammar })).status).toBe(200);
    expect(bed.worker.started.map(({ format }) => format?.format?.value)).toEqual([grammar, grammar]);
  });
});

describe('best_of', () => {
  /** The fewer tokens an answer has, the likelier each of them is; only their mean is to count. */
  const script = (_start: unknown, answer: number): Script => ({
    answer: Array.from({ length: 5 - answer }, () => `${answer}`),
    logprob: [-3, -1, -2, -1][answer]!,
  });

  it('returns the answers with the highest mean log-probability per token, and counts all', async () => {
    await using bed = await TestBed.start({}, [{ script }]);
    const answer = await bed.client.completions.create({ model: 'demo', prompt: 'a b', n: 3, best_of: 4 });
    expect(answer.choices.map(({ index, text, logprobs }) => [index, text, logprobs])).toEqual([
      [0, '1111', null],
      [1, '33', null],
      [2, '222', null],
    ]);
    expect(answer.usage).toMatchObject({ prompt_tokens: 2, completion_tokens: 6 + 5 + 4 + 3 });
    expect(bed.worker.started).toMatchObject([{ logprobs: 0, siblings: [{}, {}, {}] }]);
  });

  it('is what a worker refuses that has fewer places, though it speaks of n', async () => {
    const failure = { code: 'invalid_request', message: 'n is 40; this worker gives at most 32.', param: 'n' };
    await using bed = await TestBed.start({}, [{ script: () => ({ failure }) }]);
    const refused = await bed.post('/v1/completions', { prompt: 'a', best_of: 40 });
    expect(await refused.json()).toMatchObject({
      error: { param: 'best_of', message: 'best_of is 40; this worker gives at most 32.' },
    });
    expect(await (await bed.chat({ n: 40 })).json()).toMatchObject({ error: failure });
  });

  it('chooses for each prompt by itself', async () => {
    await using bed = await TestBed.start({}, [{ script }]);
    const answer = await bed.client.completions.create({ model: 'demo', prompt: ['a', 'b'], best_of: 2 });
    expect(answer.choices.map(({ index, text }) => [index, text])).toEqual([
      [0, '1111'],
      [1, '1111'],
    ]);
  });

  it('does not let the log-probabilities of an echoed prompt count', async () => {
    const long = (_start: unknown, answer: number): Script => ({ answer: ['x'], logprob: answer === 0 ? -1 : -0.9 });
    await using bed = await TestBed.start({}, [{ script: long }]);
    const answer = await bed.client.completions.create({
      model: 'demo',
      prompt: 'a b',
      best_of: 2,
      echo: true,
      logprobs: 0,
    });
    expect(answer.choices[0]?.logprobs?.token_logprobs?.map((value) => value && Math.round(value * 10) / 10)).toEqual([
      null,
      -1,
      -0.9,
    ]);
  });

  it('asks for no log-probabilities when there is nothing to choose, and may then be streamed', async () => {
    await using bed = await TestBed.start();
    const stream = await bed.client.completions.create({ model: 'demo', prompt: 'a', n: 2, best_of: 2, stream: true });
    expect((await collected(stream)).length).toBeGreaterThan(3);
    expect(bed.worker.started[0]?.logprobs).toBeUndefined();
  });
});

describe('echo', () => {
  it('gives the prompt back before the answer, whole and streamed', async () => {
    await using bed = await TestBed.start({}, [{ script: () => ({ answer: ['four ', 'five'] }) }]);
    const whole = await bed.client.completions.create({ model: 'demo', prompt: 'one two ', echo: true });
    expect(whole.choices[0]).toMatchObject({ text: 'one two four five', logprobs: null, finish_reason: 'stop' });
    const stream = await bed.client.completions.create({ model: 'demo', prompt: 'one two ', echo: true, stream: true });
    const chunks = await collected(stream);
    expect(chunks.map(({ choices }) => choices[0]?.text).join('')).toBe('one two four five');
    expect(chunks.length).toBeGreaterThan(2);
  });

  it('of a prompt and no token more scores the prompt', async () => {
    await using bed = await TestBed.start();
    const answer = await bed.client.completions.create({
      model: 'demo',
      prompt: 'one two',
      echo: true,
      max_tokens: 0,
      logprobs: 1,
    });
    expect(bed.worker.started).toMatchObject([{ maxTokens: 0, echo: true, logprobs: 1 }]);
    expect(answer.choices).toEqual([
      {
        index: 0,
        text: 'one two',
        finish_reason: 'length',
        logprobs: {
          tokens: ['one ', 'two'],
          token_logprobs: [null, -1],
          top_logprobs: [null, { two: -1 }],
          text_offset: [0, 4],
        },
      },
    ]);
  });

  it('with log-probabilities takes credit for each token, and gets it back as it is read', async () => {
    const prompt = Array.from({ length: 100 }, (_, index) => `${index} `).join('');
    await using bed = await TestBed.start({ creditTokens: 8 }, [{ script: () => ({ answer: ['end'] }) }]);
    const answer = await bed.client.completions.create({ model: 'demo', prompt, echo: true, logprobs: 0 });
    expect(answer.choices[0]?.text).toBe(`${prompt}end`);
    expect(answer.choices[0]?.logprobs?.tokens).toHaveLength(bed.worker.echoed.get(1)! + 1);
  });
});

describe('log-probabilities of a chat', () => {
  /** Two tokens of one character among others; its text comes with the second of them. */
  const script = () => ({ answer: ['a', new Uint8Array([0xf0, 0x9f]), new Uint8Array([0x98, 0x80]), 'b'] });
  const asked = { model: 'demo', messages, logprobs: true, top_logprobs: 2 } as const;
  const expected = [
    entry('a', [0x61]),
    entry('\\xf0\\x9f', [0xf0, 0x9f]),
    entry('\\x98\\x80', [0x98, 0x80]),
    entry('b', [0x62]),
  ];

  function entry(token: string, bytes: number[]) {
    const own = { token, logprob: -0.5, bytes };
    const other = { token: 'other0', logprob: -1, bytes: [...Buffer.from('other0')] };
    return { ...own, top_logprobs: [own, other] };
  }

  it('come whole, with the bytes of every token', async () => {
    await using bed = await TestBed.start({}, [{ script }]);
    const { choices } = await bed.client.chat.completions.create(asked);
    expect(choices[0]?.message.content).toBe('a😀b');
    expect(choices[0]?.logprobs).toEqual({ content: expected, refusal: null });
    expect(bed.worker.started[0]?.logprobs).toBe(2);
  });

  it('stream beside the text of their tokens, and never with an empty text', async () => {
    await using bed = await TestBed.start({}, [{ script, stepMs: 10 }]);
    const stream = await bed.client.chat.completions.create({ ...asked, stream: true });
    const [first, ...others] = (await collected(stream)).map((chunk) => chunk.choices[0]!);
    expect(first).toMatchObject({ delta: { content: '' }, logprobs: null });
    expect(others.at(-1)).toMatchObject({ delta: {}, logprobs: null });
    for (const { delta, logprobs } of others.slice(0, -1)) {
      expect(delta.content).not.toBe('');
      const bytes = logprobs?.content?.flatMap((entry) => entry.bytes ?? []) ?? [];
      expect(Buffer.from(bytes).toString()).toBe(delta.content);
    }
  });

  it('are put together again by the stream helper of the official client', async () => {
    await using bed = await TestBed.start({}, [{ script }]);
    const stream = bed.client.chat.completions.stream({ ...asked, n: 2 });
    const { choices } = await stream.finalChatCompletion();
    expect(choices.map(({ logprobs }) => logprobs?.content)).toEqual([expected, expected]);
  });

  it('ride on the last chunk when the character of their tokens never becomes whole', async () => {
    await using bed = await TestBed.start({}, [{ script: () => ({ answer: ['a', new Uint8Array([0xf0])] }) }]);
    const stream = await bed.client.chat.completions.create({ ...asked, top_logprobs: null, stream: true });
    const last = (await collected(stream)).at(-1)?.choices[0];
    expect(last).toMatchObject({ delta: {}, finish_reason: 'stop', logprobs: { content: [{ token: '\\xf0' }] } });
  });

  it('are null when they were not asked for', async () => {
    await using bed = await TestBed.start();
    const chunks = await chunksOf(await bed.chat({ stream: true, logprobs: false, top_logprobs: 0 }));
    expect(chunks.every(({ choices }) => choices.every((choice) => 'logprobs' in choice))).toBe(true);
    expect(JSON.stringify(chunks)).not.toContain('"logprobs":{');
    expect(bed.worker.started[0]?.logprobs).toBeUndefined();
  });

  it('beyond a quarter of a million end a whole answer with a 400, recorded once, and its sequences', async () => {
    const script = () => ({ answer: [], endless: 'a' });
    await using bed = await TestBed.start({}, [{ script }]);
    const response = await bed.chat({ n: 16, logprobs: true, top_logprobs: 20 });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { code: 'invalid_request', param: 'logprobs' } });
    await expect.poll(() => bed.worker.running, { timeout: 10_000 }).toBe(0);
    expect(bed.records()).toMatchObject([{ outcome: 'rejected', code: 'invalid_request' }]);
  });
});

describe('log-probabilities of a text', () => {
  const script = () => ({ answer: ['é', new Uint8Array([0xf0, 0x9f]), new Uint8Array([0x98, 0x80]), 'b'] });
  const asked = { model: 'demo', prompt: 'one two ', echo: true, logprobs: 2 } as const;
  const expected = {
    tokens: ['one ', 'two ', 'é', 'bytes:\\xf0\\x9f', 'bytes:\\x98\\x80', 'b'],
    token_logprobs: [null, -1, -0.5, -0.5, -0.5, -0.5],
    top_logprobs: [
      null,
      { 'two ': -1, other0: -1 },
      ...['é', 'bytes:\\xf0\\x9f', 'bytes:\\x98\\x80', 'b'].map((token) => ({ [token]: -0.5, other0: -1 })),
    ],
    text_offset: [0, 4, 8, 9, 10, 10],
  };

  it('come whole, in the older shape, the echoed prompt first', async () => {
    await using bed = await TestBed.start({}, [{ script }]);
    const { choices } = await bed.client.completions.create(asked);
    expect(choices[0]).toMatchObject({ text: 'one two é😀b', logprobs: expected });
  });

  it('stream beside their text, with offsets that go on from chunk to chunk', async () => {
    await using bed = await TestBed.start({}, [{ script, stepMs: 10 }]);
    const stream = await bed.client.completions.create({ ...asked, stream: true });
    const parts = (await collected(stream)).flatMap(({ choices }) => choices[0]?.logprobs ?? []);
    expect(parts.length).toBeGreaterThan(1);
    expect({
      tokens: parts.flatMap(({ tokens }) => tokens),
      token_logprobs: parts.flatMap(({ token_logprobs }) => token_logprobs),
      top_logprobs: parts.flatMap(({ top_logprobs }) => top_logprobs),
      text_offset: parts.flatMap(({ text_offset }) => text_offset),
    }).toEqual(expected);
  });
});

describe('a format', () => {
  it.each([
    ['json_object', { response_format: { type: 'json_object' } }, { $case: 'json', value: true }],
    ['text', { response_format: { type: 'text' } }, undefined],
    [
      'json_schema',
      {
        response_format: { type: 'json_schema', json_schema: { name: 'a', strict: true, schema: { type: 'object' } } },
      },
      { $case: 'schemaJson', value: '{"type":"object"}' },
    ],
    [
      'json_object with a schema, as llama-server has it',
      { response_format: { type: 'json_object', schema: { type: 'array' } } },
      { $case: 'schemaJson', value: '{"type":"array"}' },
    ],
    ['a grammar', { grammar: 'root ::= "é"' }, { $case: 'grammar', value: 'root ::= "é"' }],
  ])('goes to the worker from both endpoints: %s', async (_, format, sent) => {
    await using bed = await TestBed.start();
    expect((await bed.chat(format)).status).toBe(200);
    expect((await bed.post('/v1/completions', { prompt: 'a', ...format })).status).toBe(200);
    expect(bed.worker.started.map((start) => start.format?.format)).toEqual([sent, sent]);
  });

  it.each([
    [{ type: 'json_object', schema: { $ref: '#/x' } }, 'response_format.schema.$ref'],
    [
      { type: 'json_schema', json_schema: { name: 'a', schema: { $ref: '#/x' } } },
      'response_format.json_schema.schema.$ref',
    ],
  ])('that the worker refuses is named where it stands in the request: %j', async (response_format, param) => {
    const refused = 'response_format.json_schema.schema.$ref';
    const failure = { code: 'invalid_request', message: `\`${refused}\` points nowhere.`, param: refused };
    await using bed = await TestBed.start({}, [{ script: () => ({ failure }) }]);
    const response = await bed.chat({ response_format });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { param, message: `\`${param}\` points nowhere.` } });
  });
});

describe('what only goes through', () => {
  it('reaches the worker as it was asked, from both endpoints', async () => {
    await using bed = await TestBed.start();
    const asked = {
      repetition_penalty: 1.5,
      repeat_last_n: -1,
      dry_multiplier: 0.5,
      dry_base: 2,
      dry_allowed_length: 3,
      dry_penalty_last_n: 50,
      dry_sequence_breakers: ['\n', 'é'],
      xtc_probability: 0.25,
      xtc_threshold: 0.125,
      top_k: -1,
      logit_bias: { 5: -100, 4294967295: 0.5 },
      ignore_eos: true,
      max_tokens: 3,
    };
    expect((await bed.chat(asked)).status).toBe(200);
    expect((await bed.post('/v1/completions', { prompt: 'a', suffix: 'b', ...asked })).status).toBe(200);
    for (const { sampling } of bed.worker.started) {
      expect(sampling).toMatchObject({
        repeatPenalty: 1.5,
        repeatLastN: 8192,
        dryMultiplier: 0.5,
        dryBase: 2,
        dryAllowedLength: 3,
        dryLastN: 50,
        drySequenceBreakers: { texts: ['\n', 'é'] },
        xtcProbability: 0.25,
        xtcThreshold: 0.125,
        topK: 0,
        logitBias: [
          { token: 5, bias: -100 },
          { token: 4294967295, bias: 0.5 },
        ],
        ignoreEos: true,
      });
    }
    expect(bed.worker.started.map(({ suffix }) => suffix)).toEqual([undefined, 'b']);
  });

  it.each([
    [-1, { dryMultiplier: 0.5, dryLastN: 0 }],
    [0, { dryMultiplier: 0, dryLastN: 0 }],
    [7, { dryMultiplier: 0.5, dryLastN: 7 }],
    [null, { dryMultiplier: 0.5, dryLastN: undefined }],
  ])('reads the dry_penalty_last_n %s as llama.cpp does', async (lastN, sent) => {
    await using bed = await TestBed.start();
    await bed.chat({ dry_multiplier: 0.5, dry_penalty_last_n: lastN });
    expect(bed.worker.started[0]?.sampling).toMatchObject(sent);
  });

  it('lets repeat_penalty win over its other name', async () => {
    await using bed = await TestBed.start();
    await bed.chat({ repeat_penalty: 1.25, repetition_penalty: 2 });
    expect(bed.worker.started[0]?.sampling).toMatchObject({ repeatPenalty: 1.25 });
  });

  it('leaves absent what was not asked for', async () => {
    await using bed = await TestBed.start();
    await bed.chat();
    await bed.post('/v1/completions', { prompt: 'a', suffix: '', logprobs: null, echo: false });
    for (const start of bed.worker.started) {
      const { maxTokens, format, logprobs, echo, suffix, siblings, sampling } = start;
      expect({ maxTokens, format, logprobs, echo, suffix, siblings }).toEqual({ echo: false, siblings: [] });
      expect(sampling).toEqual({ logitBias: [] });
    }
  });
});
