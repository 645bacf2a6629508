import { describe, expect, it } from 'vitest';
import { collected, eventsOf, TestBed } from './gateway.testing.js';

const messages = [{ role: 'user' as const, content: 'one two three' }];

describe('POST /v1/chat/completions', () => {
  it('answers whole, in the shape that OpenAI documents', async () => {
    await using bed = await TestBed.start();
    const answer = await bed.client.chat.completions.create({ model: 'demo', messages });

    expect(answer).toEqual({
      id: expect.stringMatching(/^chatcmpl-[0-9a-f]{24}$/),
      object: 'chat.completion',
      created: expect.closeTo(Date.now() / 1000, -1),
      model: 'demo',
      service_tier: 'default',
      system_fingerprint: expect.stringMatching(/^fp_[0-9a-f]{10}$/),
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'one two three', refusal: null },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
      usage: {
        prompt_tokens: 3,
        completion_tokens: 4,
        total_tokens: 7,
        prompt_tokens_details: { cached_tokens: 1 },
        completion_tokens_details: { reasoning_tokens: 0 },
      },
    });
    expect(answer._request_id).toMatch(/^req_/);
  });

  it('streams the role first, then text, then the reason, then [DONE]', async () => {
    await using bed = await TestBed.start();
    const response = await bed.chat({ stream: true });
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    const events = await eventsOf(response);

    expect(events.at(-1)).toBe('data: [DONE]');
    const chunks = events.slice(0, -1).map((event) => JSON.parse(event.slice('data: '.length)));
    expect(chunks[0].choices).toEqual([
      { index: 0, delta: { role: 'assistant', content: '', refusal: null }, logprobs: null, finish_reason: null },
    ]);
    expect(chunks.at(-1).choices).toEqual([{ index: 0, delta: {}, logprobs: null, finish_reason: 'stop' }]);
    const between = chunks.slice(1, -1).map(({ choices }) => choices[0].delta);
    expect(between.map(({ content }) => content).join('')).toBe('one two three');
    expect(between.every((delta) => Object.keys(delta).join() === 'content' && delta.content !== '')).toBe(true);
    expect(
      new Set(
        chunks.map(({ id, created, model, system_fingerprint }) => `${id} ${created} ${model} ${system_fingerprint}`),
      ).size,
    ).toBe(1);
    expect(Object.keys(chunks[0])).toEqual([
      'id',
      'object',
      'created',
      'model',
      'service_tier',
      'system_fingerprint',
      'choices',
    ]);
  });

  it('satisfies the stream helper of the official client', async () => {
    await using bed = await TestBed.start();
    const stream = bed.client.chat.completions.stream({ model: 'demo', messages });
    expect(await stream.finalContent()).toBe('one two three');
    const last = await stream.finalChatCompletion();
    expect(last.choices[0]?.message.role).toBe('assistant');
    expect(last.choices[0]?.finish_reason).toBe('stop');
  });

  it('adds one chunk with the usage when asked, and a null usage to the others', async () => {
    await using bed = await TestBed.start();
    const events = await eventsOf(await bed.chat({ stream: true, stream_options: { include_usage: true } }));
    const chunks = events.slice(0, -1).map((event) => JSON.parse(event.slice(6)));
    expect(chunks.at(-1)).toMatchObject({
      choices: [],
      usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 },
    });
    expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
  });

  it('says when an answer was cut by max_tokens', async () => {
    await using bed = await TestBed.start();
    const answer = await bed.client.chat.completions.create({ model: 'demo', messages, max_tokens: 2 });
    expect(answer.choices[0]).toMatchObject({ finish_reason: 'length', message: { content: 'one two ' } });
  });

  it('hands every parameter on to the worker', async () => {
    await using bed = await TestBed.start();
    await bed.chat(
      {
        model: 'gpt-4o-mini',
        temperature: 0,
        top_p: 0.5,
        top_k: 7,
        min_p: 0.25,
        seed: -1,
        stop: 'END',
        max_tokens: 9,
        max_completion_tokens: 5,
        presence_penalty: 1,
        frequency_penalty: -1,
        tools: [{ type: 'function', function: { name: 'get_weather', parameters: { type: 'object' } } }],
        chat_template_kwargs: { enable_thinking: false },
      },
      { headers: { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'x-request-id': 'mine-1' } },
    );

    const [start] = bed.worker.started;
    expect(start).toMatchObject({
      model: 'demo',
      attempt: 1,
      requestId: 'mine-1',
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      maxTokens: 5,
      stop: ['END'],
      sampling: {
        temperature: 0,
        topP: 0.5,
        topK: 7,
        minP: 0.25,
        seed: 0xffff_ffff,
        presencePenalty: 1,
        frequencyPenalty: -1,
      },
    });
    expect(start?.prompt).toMatchObject({
      $case: 'chat',
      value: { templateVariablesJson: '{"enable_thinking":false}' },
    });
    expect(JSON.stringify(start?.prompt)).toContain('get_weather');
    expect(start?.deadlineMs).toBeGreaterThan(299_000);
  });

  it('leaves the tools out when tool_choice is none', async () => {
    await using bed = await TestBed.start();
    await bed.chat({ tool_choice: 'none', tools: [{ type: 'function', function: { name: 'f' } }] });
    expect(bed.worker.started[0]?.prompt).toMatchObject({ value: { toolsJson: '' } });
  });

  it('joins text parts, a line each', async () => {
    await using bed = await TestBed.start();
    const parts = [
      { type: 'text', text: 'a' },
      { type: 'text', text: 'b' },
    ];
    await bed.chat({ messages: [{ role: 'user', content: parts }] });
    expect(bed.worker.started[0]?.prompt).toMatchObject({
      value: { messagesJson: '[{"role":"user","content":"a\\nb"}]' },
    });
  });

  it('passes the code and words of a foreseen failure on, with its own status', async () => {
    const failure = { code: 'context_length_exceeded', message: 'The prompt has 9 tokens; 8 fit.', param: 'messages' };
    await using bed = await TestBed.start({}, [{ script: () => ({ failure }) }]);
    for (const stream of [true, false]) {
      const response = await bed.chat({ stream });
      expect(response.status).toBe(400);
      expect(await response.json()).toEqual({
        error: { message: failure.message, type: 'invalid_request_error', param: 'messages', code: failure.code },
      });
    }
  });

  it('shows nothing of a failure that nobody foresaw, and logs it', async () => {
    await using bed = await TestBed.start({}, [
      { script: () => ({ failure: { code: 'segfault', message: '/secret/path' } }) },
    ]);
    const response = await bed.chat();
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain('secret');
    expect(JSON.stringify(bed.log)).toContain('segfault');
  });

  it('ends a stream that fails in its middle with an error and without [DONE]', async () => {
    await using bed = await TestBed.start({}, [{ script: () => ({ failure: { afterTokens: 2, message: 'broke' } }) }]);
    const response = await bed.chat({ stream: true });
    expect(response.status).toBe(200);
    const events = await eventsOf(response);
    expect(JSON.parse(events.at(-1)!.slice(6))).toMatchObject({
      error: { code: 'internal_error', type: 'server_error' },
    });
    expect(events.join()).not.toContain('[DONE]');

    const stream = await bed.client.chat.completions.create({ model: 'demo', messages, stream: true });
    await expect(collected(stream)).rejects.toThrow('broke');
  });
});

describe('POST /v1/completions', () => {
  it('answers whole', async () => {
    await using bed = await TestBed.start();
    const answer = await bed.client.completions.create({ model: 'demo', prompt: 'Once upon a time' });
    expect(answer).toEqual({
      id: expect.stringMatching(/^cmpl-/),
      object: 'text_completion',
      created: expect.any(Number),
      model: 'demo',
      system_fingerprint: expect.stringMatching(/^fp_/),
      choices: [{ index: 0, text: 'Once upon a time', logprobs: null, finish_reason: 'stop' }],
      usage: expect.objectContaining({ prompt_tokens: 4, completion_tokens: 5, total_tokens: 9 }),
    });
  });

  it('streams, with the usage at the end when asked', async () => {
    await using bed = await TestBed.start();
    const stream = await bed.client.completions.create({
      model: 'demo',
      prompt: ['Once upon'],
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = await collected(stream);
    expect(chunks.map(({ choices }) => choices[0]?.text ?? '').join('')).toBe('Once upon');
    expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe('stop');
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: 5 } });
  });

  it('takes token ids as they stand', async () => {
    await using bed = await TestBed.start();
    await bed.client.completions.create({ model: 'demo', prompt: [1, 2, 3] });
    expect(bed.worker.started[0]?.prompt).toEqual({ $case: 'tokens', value: { ids: [1, 2, 3] } });
  });
});
