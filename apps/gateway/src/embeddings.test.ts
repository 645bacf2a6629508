import type { ModelDescription } from '@millrace/contracts';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { numbersOf } from './dispatch/fake-work.testing.js';
import type { FakeWorkerOptions } from './dispatch/fake-worker.testing.js';
import { TestBed } from './gateway.testing.js';
import { asWritten, embeddingsText } from './walks/embeddings-text.js';

const VECTORS = { id: 'vectors', capabilities: ['embedding', 'rerank'], embeddingLength: 8, contextLength: 512 };
const models = [{ id: 'demo', isDefault: true }, VECTORS];
const start = (options: FakeWorkerOptions = {}, ...more: FakeWorkerOptions[]) =>
  TestBed.start(
    {},
    [options, ...more].map((one) => ({ models, ...one })),
  );
const vectorOf = (text: string, dimensions = 8) => [...numbersOf(text, dimensions)];

describe('POST /v1/embeddings', () => {
  it('answers with the numbers of the model, in the shape that OpenAI documents', async () => {
    await using bed = await start();
    const response = await bed.post('/v1/embeddings', { model: 'vectors', input: 'one two' });
    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
    const body = (await response.json()) as { data: { embedding: number[] }[] };
    expect(body).toEqual({
      object: 'list',
      data: [{ object: 'embedding', index: 0, embedding: expect.any(Array) }],
      model: 'vectors',
      usage: { prompt_tokens: 2, total_tokens: 2 },
    });
    expect(body.data[0]?.embedding.map(Math.fround)).toEqual(vectorOf('one two'));
  });

  it('gives the official client, which asks for base64 by itself, every bit of them', async () => {
    await using bed = await start();
    const texts = ['one', 'two words', 'tröis 🌊', 'four', 'five'];
    const answer = await bed.client.embeddings.create({ model: 'vectors', input: texts });
    expect(answer.data.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4]);
    expect(answer.data.map(({ embedding }) => embedding)).toEqual(texts.map((text) => vectorOf(text)));
    expect(answer.usage).toEqual({ prompt_tokens: 7, total_tokens: 7 });
  });

  it('gives the same vectors as floats', async () => {
    await using bed = await start();
    const ask = (encoding_format: 'float' | undefined) =>
      bed.client.embeddings.create({
        model: 'vectors',
        input: ['a', 'b'],
        ...(encoding_format && { encoding_format }),
      });
    const [floats, decoded] = await Promise.all([ask('float'), ask(undefined)]);
    expect(floats.data.map(({ embedding }) => embedding.map(Math.fround))).toEqual(
      decoded.data.map(({ embedding }) => embedding),
    );
  });

  it('makes shorter vectors when asked', async () => {
    await using bed = await start();
    const answer = await bed.client.embeddings.create({ model: 'vectors', input: 'x', dimensions: 3 });
    expect(answer.data[0]?.embedding).toEqual(vectorOf('x', 3));
    expect(bed.worker.work.asked).toMatchObject([{ dimensions: 3 }]);
  });

  it('takes tokens as they stand, one list or several', async () => {
    await using bed = await start();
    const one = await bed.client.embeddings.create({ model: 'vectors', input: [1, 2, 3] });
    expect(one.data.map(({ embedding }) => embedding)).toEqual([vectorOf('1,2,3')]);
    expect(one.usage.prompt_tokens).toBe(3);
    const two = await bed.client.embeddings.create({ model: 'vectors', input: [[1, 2], [3]] });
    expect(two.data.map(({ embedding }) => embedding)).toEqual([vectorOf('1,2'), vectorOf('3')]);
  });

  it('is answered by the only model that makes vectors when none is named', async () => {
    await using bed = await start();
    const response = await bed.post('/v1/embeddings', { input: 'x', model: null, dimensions: null, user: 'me' });
    expect(await response.json()).toMatchObject({ model: 'vectors' });
  });

  it('tells the worker who asks and for how long', async () => {
    await using bed = await start();
    await bed.post('/v1/embeddings', { model: 'vectors', input: 'x' }, { headers: { 'x-request-id': 'mine-2' } });
    const [asked] = bed.worker.work.asked;
    expect(asked?.heading).toMatchObject({ requestId: 'mine-2', model: 'vectors' });
    expect(asked?.heading?.deadlineMs).toBeGreaterThan(290_000);
    expect(bed.worker.work.deadlinesMs[0]).toBeGreaterThan(290_000);
  });

  it('is recorded and measured under its own name', async () => {
    await using bed = await start();
    await bed.post('/v1/embeddings', { model: 'vectors', input: 'one two three' });
    expect(bed.records()).toMatchObject([
      {
        endpoint: 'embeddings',
        model: 'vectors',
        outcome: 'served',
        status: 200,
        promptTokens: 3,
        completionTokens: 0,
      },
    ]);
    const metrics = await (await fetch(`${bed.url}/metrics`)).text();
    expect(metrics).toMatch(/gen_ai_server_request_duration_count{.*gen_ai_operation_name="embeddings"/);
  });

  it('answers 2,048 inputs, the most that OpenAI takes', async () => {
    await using bed = await start();
    const input = Array.from({ length: 2_048 }, (_, index) => `text ${index}`);
    const answer = await bed.client.embeddings.create({ model: 'vectors', input, encoding_format: 'float' });
    expect(answer.data).toHaveLength(2_048);
    expect(answer.data[2_047]?.embedding.map(Math.fround)).toEqual(vectorOf('text 2047'));
  });
});

describe('GET /v1/models', () => {
  it('tells what each model can do, and how long its vectors are', async () => {
    await using bed = await start();
    const { data } = (await (await fetch(`${bed.url}/v1/models`)).json()) as { data: object[] };
    expect(data[0]).toMatchObject({ id: 'demo', capabilities: ['chat', 'completion'] });
    expect(data[0]).not.toHaveProperty('embedding_length');
    expect(data[1]).toMatchObject({ id: 'vectors', capabilities: ['embedding', 'rerank'], embedding_length: 8 });
  });
});

describe('an embeddings request that is wrong', () => {
  let bed: TestBed;
  beforeAll(async () => {
    bed = await start();
  });
  afterAll(async () => {
    await bed[Symbol.asyncDispose]();
  });

  const manyOf = <T>(count: number, item: T): T[] => new Array<T>(count).fill(item);
  it.each([
    ['no input', {}, 'input', '`input` is required; it must be a string or a list.'],
    ['null', { input: null }, 'input', '`input` is null; it must be a string or a list.'],
    ['a number', { input: 5 }, 'input', '`input` is 5; it must be a string or a list.'],
    ['an empty text', { input: '' }, 'input', '`input` has 0 characters; it must have at least 1.'],
    ['an empty list', { input: [] }, 'input', '`input` has 0 items; it must have at least 1.'],
    [
      'an empty text in a list',
      { input: ['a', 'b', 'c', ''] },
      'input[3]',
      '`input[3]` has 0 characters; it must have at least 1.',
    ],
    ['an empty list of tokens', { input: [[1], []] }, 'input[1]', '`input[1]` has 0 items; it must have at least 1.'],
    ['a number among texts', { input: ['a', 7] }, 'input[1]', '`input[1]` is 7; it must be a string.'],
    ['a text among tokens', { input: [1, 'a'] }, 'input[1]', '`input[1]` is "a"; it must be a number.'],
    ['a text among lists', { input: [[1], 'a'] }, 'input[1]', '`input[1]` is "a"; it must be a list.'],
    ['half a token', { input: [[1], [2, 1.5]] }, 'input[1][1]', '`input[1][1]` is 1.5; it must be a whole number.'],
    ['a negative token', { input: [-1] }, 'input[0]', '`input[0]` is -1; it must be at least 0.'],
    [
      'a token of 33 bits',
      { input: [2 ** 32] },
      'input[0]',
      '`input[0]` is 4294967296; it must be at most 4294967295.',
    ],
    ['null in a list', { input: [null] }, 'input[0]', '`input[0]` is null; it must be a string, a number or a list.'],
    ['2,049 texts', { input: manyOf(2_049, 'a') }, 'input', '`input` has 2049 items; it must have at most 2048.'],
    ['2,049 lists', { input: manyOf(2_049, [1]) }, 'input', '`input` has 2049 items; it must have at most 2048.'],
    [
      '300,001 tokens',
      { input: manyOf(300_001, 1) },
      'input',
      '`input` has 300001 items; it must have at most 300000.',
    ],
    [
      '300,001 tokens together',
      { input: [manyOf(300_000, 1), [1]] },
      'input',
      '`input` is a list; it must hold at most 300000 tokens together, and holds 300001; send several requests.',
    ],
    [
      'an unknown encoding',
      { input: 'a', encoding_format: 'hex' },
      'encoding_format',
      '`encoding_format` is "hex"; it must be "float" or "base64".',
    ],
    ['no dimension', { input: 'a', dimensions: 0 }, 'dimensions', '`dimensions` is 0; it must be at least 1.'],
    [
      'more dimensions than the model has',
      { input: 'a', dimensions: 9 },
      'dimensions',
      '`dimensions` is 9; the model `vectors` makes vectors of 8 numbers. Ask for at most as many.',
    ],
  ])('is a 400 that says where: %s', async (_what, body, param, message) => {
    const response = await bed.post('/v1/embeddings', { model: 'vectors', ...body });
    expect({ status: response.status, ...((await response.json()) as object) }).toEqual({
      status: 400,
      error: { message, type: 'invalid_request_error', param, code: 'invalid_request' },
    });
  });

  it('is a 400 when it holds half of a surrogate pair, names no known parameter, or no known model', async () => {
    const refused = async (body: object) => {
      const response = await bed.post('/v1/embeddings', body);
      const { error } = (await response.json()) as { error: { code: string; param: string } };
      return [response.status, error.code, error.param];
    };
    expect(await refused({ input: ['a', '\ud800'] })).toEqual([400, 'invalid_request', 'input[1]']);
    expect(await refused({ input: 'a', truncate: true })).toEqual([400, 'unknown_parameter', 'truncate']);
    expect(await refused({ input: 'a', model: 'nope' })).toEqual([404, 'model_not_found', 'model']);
  });

  it('is a 400 when the model makes no vectors', async () => {
    const response = await bed.post('/v1/embeddings', { model: 'demo', input: 'a' });
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({
      error: {
        message: 'The model `demo` does not do embedding; it does chat, completion. Choose another model or endpoint.',
        type: 'invalid_request_error',
        param: 'model',
        code: 'embeddings_not_supported',
      },
    });
  });

  it('never reaches a worker', () => {
    expect(bed.worker.work.asked).toEqual([]);
    expect(bed.records().every(({ endpoint, outcome }) => endpoint === 'embeddings' && outcome === 'rejected')).toBe(
      true,
    );
  });
});

describe('embeddings, when something goes wrong behind them', () => {
  const ask = (bed: TestBed, init: RequestInit = {}) =>
    bed.post('/v1/embeddings', { model: 'vectors', input: ['a', 'b', 'c'] }, init);

  it('pass the worker’s own refusal on', async () => {
    const failure = {
      code: 'context_length_exceeded',
      message: 'input[1] has 600 tokens; 512 fit.',
      param: 'input[1]',
    };
    await using bed = await start({ work: () => ({ failure }) }, {});
    const response = await ask(bed);
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({
      error: { message: failure.message, type: 'invalid_request_error', param: 'input[1]', code: failure.code },
    });
    expect(bed.workers[1]?.work.asked).toEqual([]);
  });

  it.each(['worker_lost', 'model_not_ready', 'shutting_down', 'rate_limit_exceeded'])(
    'come from another worker after %s',
    async (code) => {
      await using bed = await start({ work: () => ({ failure: { code } }) }, {});
      const response = await ask(bed);
      expect(response.status).toBe(200);
      expect(bed.records()).toMatchObject([{ outcome: 'served', attempts: 2, worker: bed.workers[1]?.address }]);
    },
  );

  it('come from another worker when one dies over them', async () => {
    await using bed = await start({ work: () => ({ die: true }) }, {});
    expect((await ask(bed)).status).toBe(200);
    expect(bed.records()).toMatchObject([{ outcome: 'served', attempts: 2 }]);
  });

  it('are a 503 when the only worker dies over them', async () => {
    await using bed = await TestBed.start({ coldStartWaitMs: 0 }, [{ models, work: () => ({ die: true }) }]);
    const response = await ask(bed);
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await response.json()).toMatchObject({ error: { code: 'worker_lost', type: 'server_error' } });
    expect((await ask(bed)).status).toBe(503);
  });

  it('are given up when the worker is silent for too long', async () => {
    await using bed = await TestBed.start({ workerSilenceMsMax: 300, coldStartWaitMs: 0 }, [
      { models, mute: true, work: () => ({ silent: true }) },
    ]);
    const response = await ask(bed);
    expect(response.status).toBe(503);
    await expect.poll(() => bed.worker.work.cancelled).toBe(1);
  });

  it('are cancelled on the worker when the client leaves', async () => {
    await using bed = await start({ work: () => ({ silent: true }) });
    const leaving = new AbortController();
    const answer = ask(bed, { signal: leaving.signal });
    await expect.poll(() => bed.worker.work.asked.length).toBe(1);
    leaving.abort();
    await expect(answer).rejects.toThrow();
    await expect.poll(() => bed.worker.work.cancelled).toBe(1);
    await expect.poll(() => bed.records()).toMatchObject([{ outcome: 'cancelled', code: 'client_closed_request' }]);
  });

  it('are cancelled on the worker when their time is up', async () => {
    await using bed = await TestBed.start({ requestTimeoutMs: 300 }, [{ models, work: () => ({ silent: true }) }]);
    const response = await ask(bed);
    expect(response.status).toBe(504);
    expect(await response.json()).toMatchObject({ error: { code: 'deadline_exceeded' } });
    await expect.poll(() => bed.worker.work.cancelled).toBe(1);
    expect(bed.worker.work.asked).toMatchObject([{ heading: { priority: 0 } }]);
    expect(bed.records()).toMatchObject([{ outcome: 'expired' }]);
  });

  it('take a place like every request, and wait for one', async () => {
    await using bed = await TestBed.start({ maxConcurrentRequests: 1, maxQueueDepth: 0 }, [
      { models, work: () => ({ silent: true }) },
    ]);
    const leaving = new AbortController();
    const running = ask(bed, { signal: leaving.signal }).catch(() => {});
    await expect.poll(() => bed.worker.work.asked.length).toBe(1);
    const refused = await ask(bed);
    expect(refused.status).toBe(429);
    expect(refused.headers.get('x-millrace-limit')).toBe('queue');
    leaving.abort();
    await running;
  });

  it('show nothing of a reply that makes no sense, and log it', async () => {
    await using bed = await start({ work: () => ({ tooFew: true }) });
    const response = await ask(bed);
    expect(response.status).toBe(500);
    expect(JSON.stringify(bed.log)).toContain('2 vectors for 3 inputs');
  });
});

describe('many embeddings requests at once', () => {
  const input = (index: number) => `text ${index}`;

  it('are all answered, each with its own vectors, though a connection takes only so many calls at a time', async () => {
    await using bed = await start();
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, index) =>
        bed.client.embeddings.create({ model: 'vectors', input: input(index) }),
      ),
    );
    expect(answers.map(({ data }) => data[0]?.embedding)).toEqual(answers.map((_, index) => vectorOf(input(index))));
  });

  it('leave nothing behind, however many clients leave at random moments', async () => {
    let asked = 0;
    await using bed = await start({ work: () => (asked++ % 2 === 0 ? { silent: true } : {}) });
    await Promise.all(
      Array.from({ length: 100 }, async (_, index) => {
        const signal = AbortSignal.timeout(Math.floor(Math.random() * 200));
        const response = bed.post('/v1/embeddings', { model: 'vectors', input: input(index) }, { signal });
        await response.then((answer) => answer.text()).catch(() => {});
      }),
    );
    const running = async () => {
      const text = await (await fetch(`${bed.url}/metrics`)).text();
      return Number(text.match(/^millrace_running_requests(?:{.*})? (\S+)/m)?.[1]);
    };
    await expect.poll(running).toBe(0);
    await expect.poll(() => bed.worker.work.underWay).toBe(0);
    expect((await bed.chat()).status).toBe(200);
  });
});

describe('an answer with very many numbers', () => {
  it.each(['float', 'base64'] as const)('lets others have their turn while it is written as %s', async (encoding) => {
    const vectors = Array.from({ length: 256 }, () => new Uint8Array(4 * 1_024));
    let turns = 0;
    const count = () => {
      turns++;
      counting = setImmediate(count);
    };
    let counting = setImmediate(count);
    const text = await embeddingsText(
      { model: { id: 'vectors' } as ModelDescription, encoding },
      { vectors, promptTokens: 7 },
    );
    clearImmediate(counting);
    expect(turns).toBeGreaterThanOrEqual(3);
    expect(JSON.parse(text)).toMatchObject({ data: { length: 256 }, usage: { total_tokens: 7 } });
  });
});

describe('a float in an answer', () => {
  it('has as many digits as it needs, and reads back as the same float', () => {
    const float = fc.float({ noNaN: true, noDefaultInfinity: true });
    fc.assert(
      fc.property(float, (number) => {
        const written = JSON.stringify(asWritten(number));
        expect(Math.fround(Number(written)) === number).toBe(true);
        expect(written.replace(/e.*|[-.]/g, '').replace(/^0+/, '').length).toBeLessThanOrEqual(
          Math.abs(number) >= 1e9 ? 21 : 9,
        );
      }),
      { numRuns: 2_000 },
    );
    expect(JSON.stringify(asWritten(Math.fround(0.1)))).toBe('0.1');
  });
});
