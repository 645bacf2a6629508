import { BACKGROUND_PRIORITY_MAX } from '@millrace/contracts';
import { afterEach, describe, expect, it } from 'vitest';
import { pieceBytes } from './piece-bytes.js';
import {
  chat,
  chunks,
  delta,
  FOREVER,
  json,
  listOf,
  openEngine,
  type Play,
  request,
  startUpstream,
  stream,
} from './upstream.testing.js';

const opened: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

async function serve(plays: Play | Play[], options: Parameters<typeof openEngine>[1] = {}) {
  const upstream = await startUpstream(plays);
  opened.push(() => upstream.close());
  const { engine } = await openEngine(upstream.url, options);
  opened.push(() => engine.close());
  return { upstream, engine };
}

const work = { requestId: 'req_1', model: 'm', priority: 0 };
const texts = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ kind: 'text', text: `text ${index}` }) as const);

/** One vector per input, in reverse and numbered, as a server may. */
const embed: Play = (response, call) => {
  const { input } = call.body;
  const data = input.map((_: unknown, index: number) => ({ index, embedding: [3, 4, index] }));
  const usage = { prompt_tokens: input.length, total_tokens: 99 };
  return json(200, { data: data.toReversed(), usage })(response, call);
};

describe('embeddings', () => {
  it('come in the order of the inputs, each of length 1, a few inputs at a time', async () => {
    const { upstream, engine } = await serve(embed);
    const { vectors, promptTokens } = await engine.embed({ ...work, inputs: texts(130) }, FOREVER);

    expect(upstream.calls.map(({ body }) => body.input.length)).toEqual([64, 64, 2]);
    expect(upstream.calls[0]).toMatchObject({ path: '/v1/embeddings', body: { model: 'm', encoding_format: 'float' } });
    expect(promptTokens).toBe(130);
    expect(vectors).toHaveLength(130);
    expect([...vectors[65]!]).toEqual([...Float32Array.from([3, 4, 1]).map((value) => value / Math.sqrt(26))]);
    expect(Math.hypot(...vectors[129]!)).toBeCloseTo(1);
  });

  it('of somebody who waits go before those that nobody waits for', async () => {
    const order: string[] = [];
    const { engine } = await serve(embed, { upstream: { maxConcurrent: 1 } });
    const ask = async (name: string, priority: number) => {
      await engine.embed({ ...work, priority, inputs: texts(1) }, FOREVER);
      order.push(name);
    };
    await Promise.all([ask('first', 0), ask('background', BACKGROUND_PRIORITY_MAX), ask('awaited', 0)]);

    expect(order).toEqual(['first', 'awaited', 'background']);
  });

  it('are shortened, and of length 1 again', async () => {
    const { engine } = await serve(embed);
    const { vectors } = await engine.embed({ ...work, inputs: texts(2), dimensions: 2 }, FOREVER);

    expect([...vectors[1]!].map((value) => value.toFixed(4))).toEqual(['0.6000', '0.8000']);
    await expect(engine.embed({ ...work, inputs: texts(1), dimensions: 4 }, FOREVER)).rejects.toMatchObject({
      code: 'invalid_request',
      details: { param: 'dimensions' },
    });
  });

  it('may be told in base64, and texts and tokens go apart', async () => {
    const base64 = Buffer.from(Float32Array.from([0, 2]).buffer).toString('base64');
    const { upstream, engine } = await serve(json(200, { data: [{ embedding: base64 }] }));
    const inputs = [
      { kind: 'text', text: 'a' },
      { kind: 'tokens', tokens: [1, 2] },
    ] as const;
    const { vectors, promptTokens } = await engine.embed({ ...work, inputs }, FOREVER);

    expect(upstream.calls.map(({ body }) => body.input)).toEqual([['a'], [[1, 2]]]);
    expect(vectors.map((vector) => [...vector])).toEqual([
      [0, 1],
      [0, 1],
    ]);
    // Nobody told, so the text is guessed and the tokens are counted.
    expect(promptTokens).toBe(3);
  });

  it.each<[string, unknown]>([
    ['too few', { data: [{ embedding: [1] }] }],
    ['none', { object: 'list' }],
    [
      'two for one input',
      {
        data: [
          { index: 0, embedding: [1] },
          { index: 0, embedding: [1] },
        ],
      },
    ],
    ['one that is none', { data: [{ embedding: [1] }, { embedding: null }] }],
    ['not of these inputs', { data: [{ embedding: [1] }, { index: 4_000_000_000, embedding: [1] }] }],
    ['before the first', { data: [{ embedding: [1] }, { index: -1, embedding: [1] }] }],
    ['not numbers at all', { data: [{ embedding: [null, null] }, { embedding: [1] }] }],
    ['not numbers', { data: [{ embedding: ['x'] }, { embedding: [1] }] }],
  ])('that are wrong are an error of the server: %s', async (_name, body) => {
    const { engine } = await serve(json(200, body));
    await expect(engine.embed({ ...work, inputs: texts(2) }, FOREVER)).rejects.toMatchObject({
      code: 'upstream_failed',
    });
  });

  it('an error in their place, with the status 200, is that error', async () => {
    const { engine } = await serve(json(200, { error: { message: 'slow', code: 429 } }));
    await expect(engine.embed({ ...work, inputs: texts(1) }, FOREVER)).rejects.toMatchObject({
      code: 'rate_limit_exceeded',
    });
  });

  it('may have an index that is null, and a count that is none', async () => {
    const { engine } = await serve(
      json(200, { data: [{ index: null, embedding: [2] }], usage: { prompt_tokens: 1e300, total_tokens: 4 } }),
    );
    expect(await engine.embed({ ...work, inputs: texts(1) }, FOREVER)).toEqual({
      vectors: [Float32Array.of(1)],
      promptTokens: 4,
    });
  });

  it('are refused where the model makes none', async () => {
    const { engine } = await serve(embed, { model: { capabilities: ['chat'] } });
    await expect(engine.embed({ ...work, inputs: texts(1) }, FOREVER)).rejects.toMatchObject({
      code: 'embeddings_not_supported',
    });
  });
});

describe('scores', () => {
  const documents = ['a', 'b'];

  it.each<[string, unknown]>([
    [
      'of Jina and Cohere',
      {
        results: [
          { index: 1, relevance_score: 0.9 },
          { index: 0, relevance_score: 0.1 },
        ],
        usage: { total_tokens: 7 },
      },
    ],
    [
      'of TEI',
      [
        { index: 1, score: 0.9 },
        { index: 0, score: 0.1 },
      ],
    ],
  ])('come in the order of the documents, in the form %s', async (_name, body) => {
    const { upstream, engine } = await serve(json(200, body));
    const ranking = await engine.rerank({ ...work, query: 'q', documents }, FOREVER);

    expect(ranking.scores).toEqual([0.1, 0.9]);
    expect(ranking.promptTokens).toBeGreaterThan(0);
    expect(upstream.calls[0]).toMatchObject({ path: '/v1/rerank', body: { query: 'q', documents, top_n: 2 } });
  });

  it('that are missing are an error of the server', async () => {
    const { engine } = await serve(
      json(200, {
        results: [
          { index: 0, relevance_score: 1 },
          { index: 7, relevance_score: 1 },
        ],
      }),
    );
    await expect(engine.rerank({ ...work, query: 'q', documents }, FOREVER)).rejects.toMatchObject({
      code: 'upstream_failed',
    });
  });

  it('are refused by a kind of server that gives none', async () => {
    const { engine } = await serve(json(200, {}), { upstream: { preset: 'ollama' } });
    await expect(engine.rerank({ ...work, query: 'q', documents }, FOREVER)).rejects.toMatchObject({
      code: 'rerank_not_supported',
    });
  });
});

describe('tokens', () => {
  it('are told by vLLM beside OpenAI’s paths', async () => {
    const { upstream, engine } = await serve(
      [
        json(200, { tokens: [5, 6], token_strs: ['He', 'llo'] }),
        json(200, { prompt: 'Hello' }),
        json(200, { tokens: [1, 2] }),
        json(200, { prompt: '<user>Hi' }),
      ],
      { upstream: { preset: 'vllm' } },
    );

    const tokenized = await engine.tokenize({
      ...work,
      prompt: { kind: 'text', text: 'Hello' },
      addSpecial: true,
      parseSpecial: false,
    });
    expect(tokenized.tokens).toEqual([5, 6]);
    expect(tokenized.pieces.map((piece) => Buffer.from(piece).toString())).toEqual(['He', 'llo']);
    expect(await engine.detokenize([5, 6])).toBe('Hello');
    expect(await engine.renderPrompt(chat() as never)).toBe('<user>Hi');
    expect(upstream.calls.map(({ path }) => path)).toEqual(['/tokenize', '/detokenize', '/tokenize', '/detokenize']);
    expect(upstream.calls[0]!.body).toEqual({
      model: 'm',
      prompt: 'Hello',
      add_special_tokens: true,
      return_token_strs: true,
    });
  });

  it('are told by nobody else', async () => {
    const { engine } = await serve(json(200, {}));
    await expect(engine.detokenize([1])).rejects.toMatchObject({ code: 'tokenization_not_supported' });
    await expect(engine.renderPrompt(chat() as never)).rejects.toMatchObject({ code: 'tokenization_not_supported' });
  });

  it('that a server does not tell after all are its error', async () => {
    const { engine } = await serve(json(200, { tokens: 'x' }), { upstream: { preset: 'vllm' } });
    await expect(engine.detokenize([1])).rejects.toMatchObject({ code: 'upstream_failed' });
  });

  it('have the bytes that their spelling stands for', () => {
    const spelt = (spellings: string[], text?: string) =>
      pieceBytes(spellings, text).map((piece) => Buffer.from(piece).toString());
    expect(spelt(['H', 'Ã©', 'Ġyou', 'Ċ'], 'Hé you\n')).toEqual(['H', 'é', ' you', '\n']);
    expect(spelt(['▁H', 'é', '<0x0A>'], 'Hé\n')).toEqual([' H', 'é', '\n']);
    expect(spelt(['é'], 'é')).toEqual(['é']);
    expect(Buffer.from(pieceBytes(['ðŁ', 'ĺĢ'], '😀')[0]!)).toEqual(Buffer.from([0xf0, 0x9f]));
  });
});

describe('log-probabilities', () => {
  it('are read from chats and from texts', async () => {
    const top = [
      { token: 'a', logprob: -0.1, bytes: [97] },
      { token: 'b', logprob: -2 },
    ];
    const { engine } = await serve([
      stream(
        chunks(
          {
            choices: [
              {
                index: 0,
                delta: { content: 'a' },
                logprobs: { content: [{ token: 'a', logprob: -0.1, bytes: [97], top_logprobs: top }] },
              },
            ],
          },
          delta({}, 'stop'),
        ),
      ),
      stream(
        chunks({
          choices: [
            {
              index: 0,
              text: 'ab',
              logprobs: {
                tokens: ['a', 'b'],
                token_logprobs: [-0.1, null],
                top_logprobs: [{ b: -2, a: -0.1 }, { 'bytes:\\xf0': -3 }],
                text_offset: [0, 1],
              },
              finish_reason: 'stop',
            },
          ],
        }),
      ),
    ]);
    const logprobsOf = async (more: Parameters<typeof request>[0]) => {
      const all = await listOf(engine.answer(request({ logprobs: 2, ...more }), FOREVER));
      return all.flatMap((each) => (each.kind === 'tokens' ? (each.logprobs ?? []) : []));
    };
    const unknown = 0xffff_ffff;
    const a = { token: unknown, logprob: -0.1, bytes: Buffer.from('a') };

    const fromChat = await logprobsOf({});
    expect(fromChat).toHaveLength(1);
    expect(fromChat[0]).toMatchObject({ token: unknown, logprob: -0.1 });
    expect(fromChat[0]!.top.map(({ bytes }) => Buffer.from(bytes).toString())).toEqual(['a', 'b']);

    const fromText = await logprobsOf({ prompt: { kind: 'text', text: 'x' } });
    expect(fromText.map(({ logprob }) => logprob)).toEqual([-0.1, -9_999]);
    expect(fromText[0]!.top[0]).toEqual(a);
    expect([...fromText[1]!.top[0]!.bytes]).toEqual([0xf0]);
  });
});

describe('citations', () => {
  const documents = [{ text: 'a', id: 'x7' }, { text: 'b', url: 'https://b.example' }, { text: 'c' }];
  const cited = (url: string, start = 0, end = 4) => ({
    type: 'url_citation',
    url_citation: { start_index: start, end_index: end, title: 't', url },
  });

  it('are of the documents and tool results that annotations name', async () => {
    const annotations = [
      cited('document:x7'),
      cited('https://b.example'),
      cited('document:2', 5, 9),
      cited('tool:call_1#3', 5, 9),
    ];
    const { engine } = await serve(stream(chunks(delta({ content: 'Text and' }), delta({ annotations }, 'stop'))));
    const all = await listOf(engine.answer(request({ prompt: chat('Hi', { documents: [] }) }), FOREVER));
    expect(all.some((each) => each.kind === 'tokens' && each.citations)).toBe(true);

    const { engine: vllm } = await serve(
      stream(chunks(delta({ content: 'Text and' }), delta({ annotations }, 'stop'))),
      {
        upstream: { preset: 'vllm' },
      },
    );
    const events = await listOf(vllm.answer(request({ prompt: chat('Hi', { documents }) }), FOREVER));
    expect(events.flatMap((each) => (each.kind === 'tokens' ? (each.citations ?? []) : []))).toEqual([
      {
        start: 0,
        end: 4,
        sources: [
          { kind: 'document', document: 0 },
          { kind: 'document', document: 1 },
        ],
      },
      {
        start: 5,
        end: 9,
        sources: [
          { kind: 'document', document: 2 },
          { kind: 'toolResult', callId: 'call_1', result: 3 },
        ],
      },
    ]);
  });

  it.each<[string, unknown]>([
    ['of other pages', [cited('https://elsewhere.example')]],
    ['of documents that are not there', [cited('document:9'), cited('document:y')]],
    ['backwards', [cited('document:0', 5, 1)]],
    ['that are none', ['x', null, { url_citation: { url: 7 } }]],
  ])('are left out: %s', async (_name, annotations) => {
    const { engine } = await serve(stream(chunks(delta({ content: 'a', annotations }, 'stop'))), {
      upstream: { preset: 'vllm' },
    });
    const events = await listOf(engine.answer(request({ prompt: chat('Hi', { documents }) }), FOREVER));
    expect(events.map(({ kind }) => kind)).toEqual(['begun', 'tokens', 'finished']);
    expect(events[1]).not.toHaveProperty('citations');
  });
});
