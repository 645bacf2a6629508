import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FakeWorkerOptions } from './dispatch/fake-worker.testing.js';
import { TestBed } from './gateway.testing.js';

const VECTORS = { id: 'vectors', capabilities: ['embedding'], embeddingLength: 8, contextLength: 512 };
const models = [{ id: 'demo', isDefault: true }, VECTORS];
const start = (...workers: FakeWorkerOptions[]) =>
  TestBed.start(
    {},
    workers.map((one) => ({ models, ...one })),
  );
const messages = [{ role: 'user', content: 'hé' }];
/** The made-up vocabulary: 100 and a byte's value. */
const tokens = (text: string) => [...Buffer.from(text)].map((byte) => byte + 100);

describe('POST /tokenize', () => {
  it('answers with the tokens, their number and the context, at both of its paths', async () => {
    await using bed = await start({});
    for (const path of ['/tokenize', '/v1/tokenize']) {
      const response = await bed.post(path, { content: 'hé' });
      expect(response.status).toBe(200);
      expect(await response.json()).toEqual({ tokens: tokens('hé'), count: 3, max_model_len: 8192 });
    }
    expect(bed.records()).toMatchObject([{ endpoint: 'tokenize', outcome: 'served', promptTokens: 0 }, {}]);
  });

  it('shows the text of each token, and the bytes of those that are no text', async () => {
    await using bed = await start({});
    const response = await bed.post('/tokenize', { content: 'hé<|end|>', with_pieces: true, add_special: true });
    expect(await response.json()).toMatchObject({
      tokens: [
        { id: 1, piece: '<s>' },
        { id: 204, piece: 'h' },
        { id: 295, piece: [0xc3] },
        { id: 269, piece: [0xa9] },
        { id: 2, piece: '<|end|>' },
      ],
    });
  });

  it('reads control tokens unless told not to, and begins a text only when told to', async () => {
    await using bed = await start({});
    await bed.post('/tokenize', { prompt: 'x' });
    await bed.post('/tokenize', { content: 'x', add_special: true, parse_special: false });
    expect(bed.worker.work.asked).toMatchObject([
      { addSpecial: false, parseSpecial: true },
      { addSpecial: true, parseSpecial: false },
    ]);
  });

  it('tokenizes a chat as the model’s template writes it, with its tools', async () => {
    await using bed = await start({});
    const tools = [{ type: 'function', function: { name: 'f' } }];
    const chat = { messages, tools, chat_template_kwargs: { a: 1 }, add_generation_prompt: true };
    const response = await bed.post('/tokenize', chat);
    const text = `tools: ${JSON.stringify(tools)}\nuser: hé\nassistant: `;
    expect(await response.json()).toMatchObject({ tokens: tokens(text), count: tokens(text).length });
    expect(bed.worker.work.asked).toMatchObject([
      { prompt: { $case: 'chat', value: { templateVariablesJson: '{"a":1}' } } },
    ]);
  });

  it('takes an empty text, which has no tokens', async () => {
    await using bed = await start({});
    expect(await (await bed.post('/tokenize', { content: '' })).json()).toMatchObject({ tokens: [], count: 0 });
  });

  it('knows the vocabulary of a model that makes vectors, but no chats of it', async () => {
    await using bed = await start({});
    const text = await bed.post('/tokenize', { model: 'vectors', content: 'a' });
    expect(await text.json()).toMatchObject({ tokens: tokens('a'), max_model_len: 512 });
    const chat = await bed.post('/tokenize', { model: 'vectors', messages });
    expect(chat.status).toBe(400);
    expect(await chat.json()).toMatchObject({ error: { code: 'generation_not_supported', param: 'model' } });
  });

  it('is a 413, and no lost worker, when its tokens do not fit in a reply', async () => {
    await using bed = await start({}, {});
    const response = await bed.post('/tokenize', { content: 'x'.repeat(900_000) });
    expect(response.status).toBe(413);
    expect(await response.json()).toMatchObject({
      error: { code: 'request_too_large', message: expect.stringContaining('more than 4,194,304 bytes') },
    });
    expect(bed.workers[1]?.work.asked).toEqual([]);
    expect((await bed.post('/tokenize', { content: 'x' })).status).toBe(200);
  });

  it('is a 413 when its chat grows too large on its way to the worker', async () => {
    await using bed = await TestBed.start({ bodyBytesMax: 64 * 1024 }, [{ models }]);
    const numbers = new Array(10_000).fill('1e20').join();
    const grown = [`"chat_template_kwargs":{"a":[${numbers}]}`, `"documents":[{"a":[${numbers}]}]`];
    const bodies = grown.map((field) => `{"messages":${JSON.stringify(messages)},${field}}`);
    for (const [path, body] of ['/tokenize', '/apply-template'].flatMap((path) => bodies.map((body) => [path, body]))) {
      const response = await bed.post(path!, body);
      expect(response.status).toBe(413);
      expect(await response.json()).toMatchObject({
        error: {
          message: expect.stringMatching(/takes 220,\d{3} bytes on its way to the worker; 131,072 are allowed/),
        },
      });
    }
    expect(bed.worker.work.asked).toEqual([]);
  });
});

describe('POST /detokenize', () => {
  it('answers with the text, at both of its paths', async () => {
    await using bed = await start({});
    for (const path of ['/detokenize', '/v1/detokenize']) {
      expect(await (await bed.post(path, { tokens: tokens('hé') })).json()).toEqual({ content: 'hé' });
    }
    expect(bed.records()[0]).toMatchObject({ endpoint: 'detokenize', outcome: 'served' });
  });

  it('passes on that a token is none', async () => {
    await using bed = await start({});
    const response = await bed.post('/detokenize', { tokens: [204, 4_000_000_000] });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      error: { message: '4000000000 is no token.', param: 'tokens', code: 'invalid_request' },
    });
  });
});

describe('POST /apply-template', () => {
  it('answers with the prompt, at both of its paths', async () => {
    await using bed = await start({});
    for (const path of ['/apply-template', '/v1/apply-template']) {
      expect(await (await bed.post(path, { messages })).json()).toEqual({ prompt: 'user: hé\nassistant: ' });
    }
    expect(bed.records()[0]).toMatchObject({ endpoint: 'apply_template', outcome: 'served' });
  });

  it('reads messages as a chat does: text parts become one text', async () => {
    await using bed = await start({});
    const parts = ['a', 'b'].map((text) => ({ type: 'text', text }));
    const response = await bed.post('/apply-template', { messages: [{ role: 'user', content: parts }] });
    expect(await response.json()).toEqual({ prompt: 'user: a\nb\nassistant: ' });
  });

  it('reads functions, and what they gave, as a chat does', async () => {
    await using bed = await start({});
    const functions = [{ name: 'get_time' }];
    const called = { role: 'assistant', content: null, function_call: { name: 'get_time', arguments: '{}' } };
    const result = { role: 'function', name: 'get_time', content: 'noon' };
    const response = await bed.post('/apply-template', { messages: [...messages, called, result], functions });
    expect(response.status).toBe(200);
    const asked = JSON.stringify(bed.worker.work.asked);
    expect(asked).toContain(
      JSON.stringify(JSON.stringify([{ type: 'function', function: { name: 'get_time' } }])).slice(1, -1),
    );
    expect(asked).not.toContain('function_call');
    const alone = await bed.post('/tokenize', { content: 'x', functions });
    expect(await alone.json()).toMatchObject({ error: { param: 'functions' } });
  });

  it('passes on that the template refuses the messages', async () => {
    const failure = { code: 'invalid_request', message: 'Roles must alternate.', param: 'messages' };
    await using bed = await start({ work: () => ({ failure }) });
    const response = await bed.post('/apply-template', { messages });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { message: failure.message, param: 'messages' } });
  });
});

describe('each of them', () => {
  const BODIES = { tokenize: { content: 'x' }, detokenize: { tokens: [200] }, 'apply-template': { messages } };

  it.each(Object.entries(BODIES))('comes from another worker when one dies over it: %s', async (path, body) => {
    await using bed = await start({ work: () => ({ die: true }) }, {});
    expect((await bed.post(`/${path}`, body)).status).toBe(200);
    expect(bed.records()).toMatchObject([{ outcome: 'served', attempts: 2 }]);
  });

  it.each(Object.entries(BODIES))('is cancelled on the worker when the client leaves: %s', async (path, body) => {
    await using bed = await start({ work: () => ({ silent: true }) });
    const leaving = new AbortController();
    const answer = bed.post(`/${path}`, body, { signal: leaving.signal });
    await expect.poll(() => bed.worker.work.asked.length).toBe(1);
    leaving.abort();
    await expect(answer).rejects.toThrow();
    await expect.poll(() => bed.worker.work.cancelled).toBe(1);
  });
});

describe('a request about tokens that is wrong', () => {
  let bed: TestBed;
  beforeAll(async () => {
    bed = await start({});
  });
  afterAll(async () => {
    await bed[Symbol.asyncDispose]();
  });

  it.each([
    ['tokenize', 'nothing', {}, 'content', '`content` is required: the text to tokenize, or `messages` in its place.'],
    [
      'tokenize',
      'two texts',
      { content: 'a', prompt: 'b' },
      'prompt',
      '`content` and `prompt` are given; only one of them can be tokenized. Send one.',
    ],
    ['tokenize', 'a number', { content: 5 }, 'content', '`content` is 5; it must be a string.'],
    [
      'tokenize',
      'a million and one characters',
      { content: 'x'.repeat(1_000_001) },
      'content',
      '`content` has 1000001 characters; it must have at most 1000000.',
    ],
    [
      'tokenize',
      'tools without a chat',
      { content: 'a', tools: [] },
      'tools',
      '`tools` means nothing without `messages`. Send a chat, or leave it out.',
    ],
    ['tokenize', 'no messages', { messages: [] }, 'messages', '`messages` has 0 items; it must have at least 1.'],
    ['detokenize', 'nothing', {}, 'tokens', '`tokens` is required; it must be a list.'],
    ['detokenize', 'no tokens', { tokens: [] }, 'tokens', '`tokens` has 0 items; it must have at least 1.'],
    ['detokenize', 'half a token', { tokens: [1, 0.5] }, 'tokens[1]', '`tokens[1]` is 0.5; it must be a whole number.'],
    ['detokenize', 'a text', { tokens: ['1'] }, 'tokens[0]', '`tokens[0]` is "1"; it must be a number.'],
    [
      'detokenize',
      'a million and one tokens',
      { tokens: new Array(1_000_001).fill(1) },
      'tokens',
      '`tokens` has 1000001 items; it must have at most 1000000.',
    ],
    ['apply-template', 'nothing', {}, 'messages', '`messages` is required; it must be a list.'],
    [
      'apply-template',
      'a role that does not exist',
      { messages: [{ role: 'wizard', content: 'x' }] },
      'messages[0].role',
      '`messages[0].role` is "wizard"; it must be "system", "developer", "user", "assistant", "tool" or "function".',
    ],
  ])('is a 400 that says where: /%s, %s', async (path, _what, body, param, message) => {
    const response = await bed.post(`/${path}`, body);
    expect({ status: response.status, ...((await response.json()) as object) }).toEqual({
      status: 400,
      error: { message, type: 'invalid_request_error', param, code: 'invalid_request' },
    });
  });

  it('is a 400 when the prompt should not end where the answer begins', async () => {
    const response = await bed.post('/apply-template', { messages, add_generation_prompt: false });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      error: { code: 'unsupported_parameter', param: 'add_generation_prompt' },
    });
  });

  it('never reaches a worker', () => {
    expect(bed.worker.work.asked).toEqual([]);
  });
});
