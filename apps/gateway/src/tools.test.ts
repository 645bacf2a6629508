import type OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import type { Script, ScriptedPiece, ScriptedToken } from './dispatch/fake-worker.testing.js';
import { eventsOf, TestBed } from './gateway.testing.js';

type Message = OpenAI.ChatCompletionMessageParam;

const messages = [{ role: 'user' as const, content: 'How warm is it in Rome and in Oslo?' }];
const weather = {
  type: 'function' as const,
  function: { name: 'get_weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } },
};
const clock = { type: 'function' as const, function: { name: 'get_time' } };
const asked = { model: 'demo', messages, tools: [weather] };
const ID = expect.stringMatching(/^call_[A-Za-z0-9]{24}$/);

const piece = (index: number, name: string, text: string): ScriptedPiece => ({
  calls: [{ index, name, arguments: text }],
});
/** A call as a worker sends it: its name, then its arguments bit by bit. */
const calling = (index: number, name: string, ...bits: string[]): ScriptedPiece[] => [
  piece(index, name, ''),
  ...bits.map((bit) => piece(index, '', bit)),
];
const ROME = calling(0, 'get_weather', '{"ci', 'ty":', '"Rome"}');
const OSLO = calling(1, 'get_weather', '{"city":"Oslo"}');
const called = (name: string, text: string) => ({ id: ID, type: 'function', function: { name, arguments: text } });
const CALLED = [called('get_weather', '{"city":"Rome"}'), called('get_weather', '{"city":"Oslo"}')];

const both: Script = { answer: [...ROME, ...OSLO], reason: 'tool_calls' };
const start = (script: Script) => TestBed.start({}, [{ script: () => script }]);

describe('a tool', () => {
  it('may have nulls, as clients send what is not set, and the template sees none of them', async () => {
    await using bed = await start(both);
    const nulls = { description: null, parameters: null, strict: null };
    const tools = [{ type: 'function', function: { ...nulls, name: 'get_time' } }, weather];
    const response = await bed.chat({ tools, messages: [{ role: 'user', content: 'Hi', name: null }] });
    expect(response.status).toBe(200);
    expect(bed.worker.started[0]?.prompt).toMatchObject({
      value: {
        toolsJson: JSON.stringify([clock, weather]),
        messagesJson: JSON.stringify([{ role: 'user', content: 'Hi' }]),
      },
    });
  });
});

describe('an answer that calls tools', () => {
  it('comes whole, without content', async () => {
    await using bed = await start(both);
    const { choices } = await bed.client.chat.completions.create(asked);
    expect(choices).toEqual([
      {
        index: 0,
        message: { role: 'assistant', content: null, refusal: null, tool_calls: CALLED },
        logprobs: null,
        finish_reason: 'tool_calls',
      },
    ]);
    const ids = choices[0]!.message.tool_calls!.map(({ id }) => id);
    expect(new Set(ids).size).toBe(2);
  });

  it('keeps what it says before it calls', async () => {
    await using bed = await start({ answer: ['Let me see.', ...ROME], reason: 'tool_calls' });
    const { choices } = await bed.client.chat.completions.create(asked);
    expect(choices[0]?.message).toMatchObject({ content: 'Let me see.', tool_calls: [CALLED[0]] });
  });

  it('streams in OpenAI’s form to the letter', async () => {
    const script = (): Script => ({ answer: ['Well. ', ...ROME, ...OSLO], reason: 'tool_calls' });
    // With credit for one token, none of them can be merged with the next.
    await using bed = await TestBed.start({ creditTokens: 1 }, [{ script }]);
    const chunks = await deltasOf(bed, asked);
    expect(chunks.map(({ delta }) => delta)).toEqual([
      { role: 'assistant', content: '', refusal: null },
      { content: 'Well. ' },
      { tool_calls: [{ index: 0, id: ID, type: 'function', function: { name: 'get_weather', arguments: '' } }] },
      { tool_calls: [{ index: 0, function: { arguments: '{"ci' } }] },
      { tool_calls: [{ index: 0, function: { arguments: 'ty":' } }] },
      { tool_calls: [{ index: 0, function: { arguments: '"Rome"}' } }] },
      { tool_calls: [{ index: 1, id: ID, type: 'function', function: { name: 'get_weather', arguments: '' } }] },
      { tool_calls: [{ index: 1, function: { arguments: '{"city":"Oslo"}' } }] },
      {},
    ]);
    const ids = JSON.stringify(chunks).match(/call_[A-Za-z0-9]{24}/g);
    expect(new Set(ids).size).toBe(2);
    expect(chunks.map(({ finish_reason }) => finish_reason)).toEqual([...new Array(8).fill(null), 'tool_calls']);
  });

  it('streams a call that came in one piece as its name, then its arguments', async () => {
    await using bed = await start({ answer: [piece(0, 'get_time', '{}')], reason: 'tool_calls' });
    const chunks = await deltasOf(bed, asked);
    expect(chunks.slice(1, -1).map(({ delta }) => delta)).toEqual([
      { tool_calls: [{ index: 0, id: ID, type: 'function', function: { name: 'get_time', arguments: '' } }] },
      { tool_calls: [{ index: 0, function: { arguments: '{}' } }] },
    ]);
  });

  it('is put together by the stream helper of the official client, for each of several answers', async () => {
    const script = (_start: unknown, answer: number): Script =>
      answer === 0 ? both : { answer: ['No ', 'need.'], reason: 'stop' };
    await using bed = await TestBed.start({ creditTokens: 2 }, [{ script }]);
    const { choices } = await bed.client.chat.completions.stream({ ...asked, n: 2 }).finalChatCompletion();
    expect(choices[0]).toMatchObject({ message: { tool_calls: CALLED }, finish_reason: 'tool_calls' });
    expect(choices[1]).toMatchObject({ message: { content: 'No need.' }, finish_reason: 'stop' });
    expect(choices[1]?.message.tool_calls).toBeUndefined();
  });

  it('tells the official client of each call when it is complete', async () => {
    await using bed = await start(both);
    const done: object[] = [];
    const stream = bed.client.chat.completions.stream(asked);
    stream.on('tool_calls.function.arguments.done', (event) => done.push(event));
    await stream.finalChatCompletion();
    expect(done).toMatchObject([
      { index: 0, name: 'get_weather', arguments: '{"city":"Rome"}' },
      { index: 1, name: 'get_weather', arguments: '{"city":"Oslo"}' },
    ]);
  });

  it.each([false, true])(
    'is the official client’s to carry out, and its results come back: streamed %s',
    async (stream) => {
      const script = ({ prompt }: { prompt?: unknown }): Script =>
        JSON.stringify(prompt).includes('tool_call_id') ? { answer: ['Rome 30, ', 'Oslo 20.'] } : both;
      await using bed = await TestBed.start({}, [{ script }]);
      const runnable = {
        ...weather,
        function: {
          ...weather.function,
          description: 'The weather.',
          parse: JSON.parse,
          function: ({ city }: { city: string }) => (city === 'Rome' ? '30' : '20'),
        },
      };
      const runner = stream
        ? bed.client.chat.completions.runTools({ ...asked, tools: [runnable], stream: true })
        : bed.client.chat.completions.runTools({ ...asked, tools: [runnable] });
      expect(await runner.finalContent()).toBe('Rome 30, Oslo 20.');
      const conversation = conversationOf(bed, 1);
      expect(conversation.slice(1)).toMatchObject([
        { role: 'assistant', tool_calls: CALLED },
        { role: 'tool', content: '30' },
        { role: 'tool', content: '20' },
      ]);
      const [, { tool_calls: calls }, ...results] = conversation as [
        unknown,
        { tool_calls: { id: string }[] },
        ...object[],
      ];
      expect(results.map((result) => (result as { tool_call_id: string }).tool_call_id)).toEqual(
        calls.map(({ id }) => id),
      );
    },
  );

  it.each([
    ['stop', both.answer!, 'tool_calls'],
    ['tool_calls', ['nothing'], 'stop'],
    ['length', ROME.slice(0, 2), 'length'],
    ['content_filter', ['b'], 'content_filter'],
  ] as const)('that its engine ends with %s has a reason that is true', async (reason, answer, told) => {
    await using bed = await start({ answer, reason });
    const whole = await bed.client.chat.completions.create(asked);
    expect(whole.choices[0]?.finish_reason).toBe(told);
    expect((await deltasOf(bed, asked)).at(-1)?.finish_reason).toBe(told);
  });
});

describe('what the worker is asked', () => {
  const named = (name: string) => ({ type: 'function', function: { name } });
  const tools = [weather, clock];

  it.each([
    ['nothing', {}, { toolChoice: undefined, singleCall: false }],
    ['auto', { tool_choice: 'auto', parallel_tool_calls: true }, { toolChoice: undefined, singleCall: false }],
    ['required', { tool_choice: 'required' }, { toolChoice: { choice: { $case: 'required', value: true } } }],
    [
      'a function',
      { tool_choice: named('get_time') },
      { toolChoice: { choice: { $case: 'name', value: 'get_time' } }, toolsJson: JSON.stringify(tools) },
    ],
    ['one call', { parallel_tool_calls: false }, { singleCall: true }],
    [
      'some tools',
      { tool_choice: { type: 'allowed_tools', allowed_tools: { mode: 'auto', tools: [named('get_time')] } } },
      { toolChoice: undefined, toolsJson: JSON.stringify([clock]) },
    ],
    [
      'one of some tools, in their own order',
      {
        tool_choice: {
          type: 'allowed_tools',
          allowed_tools: { mode: 'required', tools: [named('get_time'), named('get_weather'), named('get_time')] },
        },
      },
      { toolChoice: { choice: { $case: 'required' } }, toolsJson: JSON.stringify(tools) },
    ],
    ['no call', { tool_choice: 'none', parallel_tool_calls: false }, { toolsJson: '', singleCall: false }],
  ])('is %s', async (_what, changes, expected) => {
    await using bed = await TestBed.start();
    expect((await bed.chat({ tools, ...changes })).status).toBe(200);
    expect(bed.worker.started[0]?.prompt).toMatchObject({ $case: 'chat', value: expected });
  });

  it('takes a tool_choice that asks for nothing without tools', async () => {
    await using bed = await TestBed.start();
    for (const tool_choice of ['auto', 'none', null]) expect((await bed.chat({ tool_choice })).status).toBe(200);
  });

  it('names the tool at fault as the caller numbered it', async () => {
    const failure = {
      code: 'invalid_request',
      message: '`tools[0].function.parameters.not` is not supported.',
      param: 'tools[0].function.parameters.not',
    };
    await using bed = await start({ failure });
    const choice = { type: 'allowed_tools', allowed_tools: { mode: 'auto', tools: [named('get_time')] } };
    expect(await (await bed.chat({ tools, tool_choice: choice })).json()).toMatchObject({
      error: {
        param: 'tools[1].function.parameters.not',
        message: '`tools[1].function.parameters.not` is not supported.',
      },
    });
    expect(await (await bed.chat({ tools })).json()).toMatchObject({ error: { param: failure.param } });
  });

  it('takes results in any order, and arguments that are no JSON', async () => {
    const call = (id: string) => ({
      id,
      type: 'function' as const,
      function: { name: 'get_time', arguments: '{oops' },
    });
    const conversation: Message[] = [
      ...messages,
      { role: 'assistant', content: null, tool_calls: [call('a'), call('b')] },
      { role: 'tool', tool_call_id: 'b', content: 'second' },
      { role: 'tool', tool_call_id: 'a', content: [{ type: 'text', text: 'first' }] },
      { role: 'assistant', tool_calls: [call('a')] },
      { role: 'tool', tool_call_id: 'a', content: 'again' },
    ];
    await using bed = await TestBed.start();
    expect((await bed.chat({ messages: conversation })).status).toBe(200);
    expect(conversationOf(bed)).toMatchObject([
      {},
      { tool_calls: [call('a'), call('b')] },
      {},
      { content: 'first' },
      {},
      {},
    ]);
  });
});

describe('a worker that breaks the order of calls', () => {
  it.each([
    ['arguments before a name', [piece(0, '', '{')]],
    ['a call that jumps', [piece(5, 'f', '{}')]],
    ['more calls than can be sent back', Array.from({ length: 200 }, (_, index) => piece(index, 'f', '{}'))],
    ['a passage that ends before it begins', ['short', { citations: [{ start: 9, end: 3, sources: [] }] }]],
  ] satisfies [string, ScriptedToken[]][])('fails that answer and is told to stop: %s', async (_what, answer) => {
    await using bed = await start({ answer, endless: 'more ' });
    const whole = await bed.chat({ tools: [weather] });
    expect(whole.status).toBe(500);
    expect(await whole.json()).toMatchObject({ error: { code: 'internal_error' } });
    const events = await eventsOf(await bed.chat({ tools: [weather], stream: true }));
    expect(events.at(-1)).toContain('"code":"internal_error"');
    expect(JSON.stringify(bed.log)).toContain('The worker sent');
    expect(bed.records().map(({ outcome }) => outcome)).toEqual(['failed', 'failed']);
    await expect.poll(() => bed.worker.cancelled).toEqual([1, 2]);
    expect(bed.worker.running).toBe(0);
  });

  it('leaves out what is cited of a text that it never said', async () => {
    const cited = (end: number) => ({ start: 0, end, sources: [{ source: { $case: 'document' as const, value: 0 } }] });
    await using bed = await start({ answer: ['short', { citations: [cited(900), cited(5)] }] });
    const response = await bed.chat({ documents: ['one'] });
    expect(await response.json()).toMatchObject({
      choices: [{ message: { content: 'short', annotations: [{ url_citation: { start_index: 0, end_index: 5 } }] } }],
    });
  });

  it('lets a call of thousands of pieces through, read at the caller’s pace', async () => {
    const bits = Array.from({ length: 3_000 }, () => piece(0, '', '"x",'));
    await using bed = await TestBed.start({ creditTokens: 8 }, [
      { script: () => ({ answer: [piece(0, 'f', ''), ...bits] }) },
    ]);
    const { choices } = await bed.client.chat.completions.create(asked);
    expect(choices[0]?.message.tool_calls).toMatchObject([{ function: { arguments: '"x",'.repeat(3_000) } }]);
  });
});

interface Choice {
  readonly delta: Readonly<Record<string, unknown>>;
  readonly finish_reason: string | null;
}

async function deltasOf(bed: TestBed, body: object): Promise<Choice[]> {
  const events = await eventsOf(await bed.post('/v1/chat/completions', { ...body, stream: true }));
  expect(events.at(-1)).toBe('data: [DONE]');
  return events
    .slice(0, -1)
    .flatMap((event) => (JSON.parse(event.slice('data: '.length)) as { choices: Choice[] }).choices);
}

/** The messages of a request that the worker was sent. */
function conversationOf(bed: TestBed, request = 0): object[] {
  const prompt = bed.worker.started[request]?.prompt;
  return prompt?.$case === 'chat' ? (JSON.parse(prompt.value.messagesJson) as object[]) : [];
}
