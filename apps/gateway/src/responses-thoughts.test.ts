import { responseEventSchema, responseSchema } from '@millrace/contracts';
import type OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { collected } from './gateway.testing.js';
import { calling, messagesOf, startResponses, streamedEvents } from './responses.testing.js';

const THINKS = [{ reasoning: 'Tides ' }, { reasoning: 'turn.' }, 'Four.'];
const asked = { model: 'demo', input: 'How high is the tide?' };
const summarised = { ...asked, reasoning: { summary: 'auto' as const } };
const SEALED = ['reasoning.encrypted_content' as const];
const SUMMARY = [{ type: 'summary_text', text: 'Tides turn.' }];
const CONTENT = [{ type: 'reasoning_text', text: 'Tides turn.' }];

type Reasoning = OpenAI.Responses.ResponseReasoningItem;
const thoughtIn = ({ output }: OpenAI.Responses.Response) => output[0] as Reasoning;

describe('thoughts of which a summary was asked for', () => {
  it.each(['auto', 'concise', 'detailed'] as const)('are told as one, whole (%s)', async (summary) => {
    await using started = await startResponses(THINKS);
    const body = await (await started.bed.post('/v1/responses', { ...asked, reasoning: { summary } })).json();
    expect(responseSchema.parse(body)).toEqual(body);
    expect(body).toMatchObject({ reasoning: { summary }, output: [{ summary: SUMMARY, content: [] }, {}] });
    const older = { ...asked, reasoning: { generate_summary: summary } };
    expect(await (await started.bed.post('/v1/responses', older)).json()).toMatchObject({
      reasoning: { summary },
      output: [{ summary: SUMMARY }, {}],
    });
  });

  it('are streamed as one, in the events that OpenAI has for it, each in its order', async () => {
    await using started = await startResponses(THINKS);
    const events = await streamedEvents(started.bed, summarised);
    for (const event of events) expect(responseEventSchema.parse(event)).toEqual(event);
    expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, index) => index));
    const { item } = events[2] as Extract<(typeof events)[number], { item: unknown }>;
    const at = { item_id: item.id, output_index: 0 };
    const part = { ...at, summary_index: 0 };
    const done = { ...item, summary: SUMMARY, status: 'completed' };
    expect(item).toMatchObject({ type: 'reasoning', summary: [], content: [] });
    expect(events.slice(3, 9)).toMatchObject([
      { type: 'response.reasoning_summary_part.added', ...part, part: { type: 'summary_text', text: '' } },
      { type: 'response.reasoning_summary_text.delta', ...part, delta: 'Tides ' },
      { type: 'response.reasoning_summary_text.delta', ...part, delta: 'turn.' },
      { type: 'response.reasoning_summary_text.done', ...part, text: 'Tides turn.' },
      { type: 'response.reasoning_summary_part.done', ...part, part: SUMMARY[0] },
      { type: 'response.output_item.done', output_index: 0, item: done },
    ]);
    expect(events.at(-1)).toMatchObject({ response: { output: [done, {}] } });
    expect(events.filter(({ type }) => type.startsWith('response.reasoning_text'))).toEqual([]);
  });

  it('are told so by the stream helper of the official client', async () => {
    await using started = await startResponses(THINKS);
    const { output } = await started.bed.client.responses.stream(summarised).finalResponse();
    expect(output[0]).toMatchObject({ summary: SUMMARY });
  });

  it('are read by what goes on from them, kept or sent back', async () => {
    await using started = await startResponses(THINKS);
    const { responses } = started.bed.client;
    const first = await responses.create(summarised);
    const again = { role: 'assistant', content: 'Four.', reasoning_content: 'Tides turn.' };
    await responses.create({ ...asked, previous_response_id: first.id, input: 'Sure?' });
    expect(messagesOf(started.bed, 1)[1]).toEqual(again);
    const input = [
      { role: 'user' as const, content: '?' },
      ...first.output,
      { role: 'user' as const, content: 'Sure?' },
    ];
    await responses.create({ ...asked, input: input as OpenAI.Responses.ResponseInput });
    expect(messagesOf(started.bed, 2)[1]).toEqual(again);
  });
});

describe('encrypted thoughts', () => {
  it('are there where they are asked for, whole and streamed, and nowhere else', async () => {
    await using started = await startResponses(THINKS);
    const { responses } = started.bed.client;
    expect(thoughtIn(await responses.create(asked))).not.toHaveProperty('encrypted_content');
    const whole = await responses.create({ ...asked, include: SEALED });
    expect(thoughtIn(whole)).toMatchObject({
      content: CONTENT,
      encrypted_content: expect.stringMatching(/^millrace-/),
    });
    const events = await collected(await responses.create({ ...summarised, include: SEALED, stream: true }));
    expect(events[2]).toMatchObject({ item: { type: 'reasoning', encrypted_content: null } });
    const done = events.find(({ type }) => type === 'response.output_item.done');
    expect(done).toMatchObject({ item: { summary: SUMMARY, encrypted_content: thoughtIn(whole).encrypted_content } });
  });

  it('are read back where nothing was kept, and nothing else of them was sent', async () => {
    await using started = await startResponses([...THINKS.slice(0, 2), ...calling(0, 'f', '{}')]);
    const { responses } = started.bed.client;
    const more = {
      ...asked,
      store: false,
      include: SEALED,
      tools: [{ type: 'function' as const, name: 'f' } as never],
    };
    const { output } = await responses.create(more);
    const { encrypted_content } = output[0] as Reasoning;
    const call = output[1] as OpenAI.Responses.ResponseFunctionToolCall;
    const input = [
      { role: 'user', content: '?' },
      { type: 'reasoning', summary: [], encrypted_content },
      call,
      { type: 'function_call_output', call_id: call.call_id, output: 'fine' },
    ];
    await responses.create({ ...more, input: input as OpenAI.Responses.ResponseInput });
    expect(messagesOf(started.bed, 1)).toMatchObject([
      { role: 'user' },
      { role: 'assistant', reasoning_content: 'Tides turn.', tool_calls: [{ function: { name: 'f' } }] },
      { role: 'tool', content: 'fine' },
    ]);
    expect(messagesOf(started.bed, 1)).toHaveLength(3);
  });

  it('are refused by name where they were altered, unless their summary says the same', async () => {
    await using started = await startResponses(THINKS);
    const { responses } = started.bed.client;
    const { encrypted_content } = thoughtIn(await responses.create({ ...asked, include: SEALED }));
    const altered = `${encrypted_content!.slice(0, -2)}AA`;
    const send = (item: object) =>
      responses.create({
        ...asked,
        input: [
          { type: 'reasoning', summary: [], ...item },
          { role: 'user', content: '?' },
        ] as OpenAI.Responses.ResponseInput,
      });
    await expect(send({ encrypted_content: altered })).rejects.toMatchObject({
      status: 400,
      param: 'input[0].encrypted_content',
    });
    await send({ encrypted_content: altered, summary: [{ type: 'summary_text', text: 'In short.' }] });
    expect(messagesOf(started.bed, 1)[0]).toMatchObject({ reasoning_content: 'In short.' });
  });

  it('of another server are nothing that a model reads', async () => {
    await using started = await startResponses(THINKS);
    const input = [
      { type: 'reasoning', summary: [], encrypted_content: 'gAAAAABk' },
      { role: 'assistant', content: 'Four.' },
      { role: 'user', content: 'Sure?' },
    ] as OpenAI.Responses.ResponseInput;
    await started.bed.client.responses.create({ ...asked, input });
    expect(messagesOf(started.bed)).toEqual([
      { role: 'assistant', content: 'Four.' },
      { role: 'user', content: 'Sure?' },
    ]);
  });
});
