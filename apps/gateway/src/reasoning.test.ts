import { describe, expect, it } from 'vitest';
import type { Script, ScriptedToken } from './dispatch/fake-worker.testing.js';
import { eventsOf, TestBed } from './gateway.testing.js';

const messages = [{ role: 'user' as const, content: 'How high?' }];
const asked = { model: 'demo', messages };
const start = (answer: readonly ScriptedToken[], settings = {}) =>
  TestBed.start(settings, [{ script: (): Script => ({ answer }) }]);

describe('an answer that was thought over', () => {
  const answer = [{ reasoning: 'Tides ' }, { reasoning: 'turn.' }, 'Four ', 'metres.'];

  it('comes whole with its thoughts beside it, and the tokens that they took', async () => {
    await using bed = await start(answer);
    const { choices, usage } = await bed.client.chat.completions.create(asked);
    expect(choices[0]?.message).toEqual({
      role: 'assistant',
      content: 'Four metres.',
      refusal: null,
      reasoning_content: 'Tides turn.',
    });
    expect(usage).toMatchObject({ completion_tokens: 5, completion_tokens_details: { reasoning_tokens: 2 } });
    expect(bed.records()).toMatchObject([{ completionTokens: 5, reasoningTokens: 2 }]);
  });

  it('streams its thoughts first', async () => {
    await using bed = await start(answer, { creditTokens: 1 });
    expect((await deltasOf(bed, {})).map(({ delta }) => delta)).toEqual([
      { role: 'assistant', content: '', refusal: null },
      { reasoning_content: 'Tides ' },
      { reasoning_content: 'turn.' },
      { content: 'Four ' },
      { content: 'metres.' },
      {},
    ]);
  });

  it('satisfies the stream helper of the official client', async () => {
    await using bed = await start(answer);
    const stream = bed.client.chat.completions.stream({ ...asked, n: 2 });
    const { choices } = await stream.finalChatCompletion();
    expect(choices.map(({ message }) => message.content)).toEqual(['Four metres.', 'Four metres.']);
  });

  it('has content though it was cut before it said anything', async () => {
    await using bed = await TestBed.start({}, [
      { script: () => ({ answer: [{ reasoning: 'Hm' }], reason: 'length' }) },
    ]);
    const { choices } = await bed.client.chat.completions.create(asked);
    expect(choices[0]).toMatchObject({ finish_reason: 'length', message: { content: '', reasoning_content: 'Hm' } });
  });
});

describe('tokens that the engine has no number for', () => {
  it('count like others, and take credit like them', async () => {
    const answer = Array.from({ length: 40 }, (_, index) => ({ text: `${index} `, unnumberedTokens: 3 }));
    await using bed = await start(answer, { creditTokens: 4 });
    const { choices } = await bed.client.chat.completions.create(asked);
    expect(choices[0]?.message.content).toBe(answer.map(({ text }) => text).join(''));
    expect(bed.records()).toMatchObject([{ outcome: 'served', perTokenMs: expect.any(Number) }]);
  });
});

describe('an answer that cites', () => {
  const documents = ['Tides turn.', { title: 'Moon', text: 'It pulls.', url: 'https://moon.example' }];
  const source = (document: number) => ({ source: { $case: 'document' as const, value: document } });
  const answer: ScriptedToken[] = [
    'It ',
    { text: 'pulls', citations: [{ start: 3, end: 8, sources: [source(1), source(9)] }] },
    { citations: [{ start: 0, end: 8, sources: [source(0)] }] },
    '.',
  ];
  const annotations = [
    {
      type: 'url_citation',
      url_citation: { start_index: 3, end_index: 8, title: 'Moon', url: 'https://moon.example' },
    },
    {
      type: 'url_citation',
      url_citation: { start_index: 0, end_index: 8, title: 'Document 0', url: 'document:0' },
    },
  ];

  it('has annotations, whole', async () => {
    await using bed = await start(answer);
    const { choices } = (await (await bed.chat({ documents })).json()) as { choices: { message: object }[] };
    expect(choices[0]?.message).toEqual({ role: 'assistant', content: 'It pulls.', refusal: null, annotations });
  });

  it('tells them once at the end of a stream, which the official client keeps', async () => {
    await using bed = await start(answer, { creditTokens: 1 });
    const deltas = (await deltasOf(bed, { documents })).map(({ delta }) => delta);
    expect(deltas.slice(-2)).toEqual([{ annotations }, {}]);
    expect(deltas.filter((delta) => 'annotations' in delta)).toHaveLength(1);
    const stream = bed.client.chat.completions.stream({ ...asked, documents } as typeof asked);
    expect((await stream.finalChatCompletion()).choices[0]?.message).toMatchObject({
      content: 'It pulls.',
      annotations,
    });
  });

  it('names a tool’s result by its call', async () => {
    const call = { id: 'call_x', type: 'function', function: { name: 'look_up', arguments: '{}' } };
    const result = { source: { $case: 'toolResult' as const, value: { callId: 'call_x', result: 1 } } };
    await using bed = await start(['High.', { citations: [{ start: 0, end: 4, sources: [result] }] }]);
    const conversation = [
      ...messages,
      { role: 'assistant', tool_calls: [call] },
      { role: 'tool', tool_call_id: 'call_x', content: '[1, 2]' },
    ];
    const { choices } = (await (await bed.chat({ messages: conversation })).json()) as {
      choices: { message: object }[];
    };
    expect(choices[0]?.message).toMatchObject({
      annotations: [{ url_citation: { title: 'look_up', url: 'tool:call_x#1' } }],
    });
  });
});

describe('what the prompt is made from', () => {
  const promptOf = async (changes: Record<string, unknown>, path = '/v1/chat/completions') => {
    await using bed = await TestBed.start();
    const response = await bed.post(path, { messages, ...changes });
    expect({ status: response.status, body: await response.text() }).toMatchObject({ status: 200 });
    const [asked] = bed.worker.work.asked;
    if (asked && 'chat' in asked) return asked.chat;
    if (asked && 'prompt' in asked) return asked.prompt?.value;
    return bed.worker.started[0]?.prompt?.value;
  };
  const documents = ['a', { title: 'B', text: 'b' }];
  const documentsJson = JSON.stringify([{ text: 'a' }, { title: 'B', text: 'b' }]);
  const begun = [...messages, { role: 'assistant', content: 'It is' }];
  const ENDPOINTS = ['/v1/chat/completions', '/tokenize', '/apply-template'];

  it.each(ENDPOINTS)('are documents, wherever they stand: %s', async (path) => {
    expect(await promptOf({ documents }, path)).toMatchObject({ documentsJson, templateVariablesJson: '' });
    const among = { documents, enable_citations: true };
    expect(await promptOf({ chat_template_kwargs: among }, path)).toMatchObject({
      documentsJson,
      templateVariablesJson: '{"enable_citations":true}',
    });
    expect(await promptOf({ documents: [], chat_template_kwargs: { documents: null } }, path)).toMatchObject({
      documentsJson: '',
      templateVariablesJson: '',
    });
  });

  it.each(ENDPOINTS)('is an answer to go on with: %s', async (path) => {
    for (const more of [{}, { add_generation_prompt: false }, { add_generation_prompt: null }]) {
      const asked = { messages: begun, continue_final_message: true, ...more };
      expect(await promptOf(asked, path)).toMatchObject({ continueFinal: true });
    }
    const anew = { messages: begun, continue_final_message: false, add_generation_prompt: true };
    expect(await promptOf(anew, path)).toMatchObject({ continueFinal: false });
  });

  it.each(ENDPOINTS)('is how much to think: %s', async (path) => {
    for (const effort of ['none', 'minimal', 'low', 'medium', 'high', 'xhigh']) {
      expect(await promptOf({ reasoning_effort: effort }, path)).toMatchObject({ reasoningEffort: effort });
    }
    expect(await promptOf({ reasoning_effort: 'max' }, path)).toMatchObject({ reasoningEffort: 'xhigh' });
    expect(await promptOf({ reasoning_effort: null }, path)).toMatchObject({ reasoningEffort: '' });
  });

  it.each([{ reasoning_content: 'hm' }, { reasoning: 'hm' }, { reasoning: 'hm', reasoning_content: 'hm' }])(
    'is what was thought before, under one name: %j',
    async (thought) => {
      const conversation = [
        ...messages,
        { role: 'assistant', content: 'Four.', tool_calls: null, ...thought },
        ...messages,
      ];
      const { messagesJson } = (await promptOf({ messages: conversation })) as { messagesJson: string };
      expect(JSON.parse(messagesJson)).toEqual([
        ...messages,
        { role: 'assistant', content: 'Four.', reasoning_content: 'hm' },
        ...messages,
      ]);
    },
  );

  it('leaves out of an answer what is empty, annotations included', async () => {
    const empty = { reasoning_content: '', reasoning: null, tool_calls: [], annotations: [], audio: null };
    const conversation = [...messages, { role: 'assistant', content: 'Four.', ...empty }, ...messages];
    const { messagesJson } = (await promptOf({ messages: conversation })) as { messagesJson: string };
    expect(JSON.parse(messagesJson)[1]).toEqual({ role: 'assistant', content: 'Four.' });
  });
});

interface Choice {
  readonly delta: Readonly<Record<string, unknown>>;
}

async function deltasOf(bed: TestBed, changes: object): Promise<Choice[]> {
  const events = await eventsOf(await bed.post('/v1/chat/completions', { ...asked, ...changes, stream: true }));
  expect(events.at(-1)).toBe('data: [DONE]');
  return events
    .slice(0, -1)
    .flatMap((event) => (JSON.parse(event.slice('data: '.length)) as { choices: Choice[] }).choices);
}
