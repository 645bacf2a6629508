import type OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import type { Script, ScriptedPiece } from './dispatch/fake-worker.testing.js';
import { eventsOf, TestBed } from './gateway.testing.js';

const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'How warm is it in Rome?' }];
const weather = {
  name: 'get_weather',
  description: 'The weather of a city.',
  parameters: { type: 'object', properties: { city: { type: 'string' } } },
};
const asked = { model: 'demo', messages, functions: [weather] };

const piece = (index: number, name: string, text: string): ScriptedPiece => ({
  calls: [{ index, name, arguments: text }],
});
const calling: Script = {
  answer: [piece(0, 'get_weather', ''), piece(0, '', '{"city":'), piece(0, '', '"Rome"}')],
  reason: 'tool_calls',
};
const start = (script: Script) => TestBed.start({}, [{ script: () => script }]);

describe('functions, the form before tools', () => {
  it('are called in their own form', async () => {
    await using bed = await start(calling);
    const { choices } = await bed.client.chat.completions.create(asked);
    expect(choices).toEqual([
      {
        index: 0,
        message: {
          role: 'assistant',
          content: null,
          refusal: null,
          function_call: { name: 'get_weather', arguments: '{"city":"Rome"}' },
        },
        logprobs: null,
        finish_reason: 'function_call',
      },
    ]);
  });

  it('are called bit by bit where the answer is streamed: the name first, then the arguments', async () => {
    await using bed = await start(calling);
    const events = await eventsOf(await bed.chat({ ...asked, stream: true }));
    const chunks = events.slice(0, -1).map((event) => JSON.parse(event.slice('data: '.length)));
    expect(chunks.map(({ choices: [choice] }) => [choice.delta, choice.finish_reason])).toEqual([
      [{ role: 'assistant', content: '', refusal: null }, null],
      [{ function_call: { name: 'get_weather', arguments: '' } }, null],
      [{ function_call: { arguments: '{"city":' } }, null],
      [{ function_call: { arguments: '"Rome"}' } }, null],
      [{}, 'function_call'],
    ]);
  });

  it('are put together again by the official client', async () => {
    await using bed = await start(calling);
    const stream = bed.client.chat.completions.stream(asked);
    const { choices } = await stream.finalChatCompletion();
    expect(choices[0]).toMatchObject({
      finish_reason: 'function_call',
      message: { function_call: { name: 'get_weather', arguments: '{"city":"Rome"}' } },
    });
  });

  it('reach the model as tools, of which it calls one at most', async () => {
    await using bed = await start(calling);
    await bed.client.chat.completions.create({ ...asked, function_call: { name: 'get_weather' } });
    expect(bed.worker.started[0]?.prompt).toMatchObject({
      value: {
        toolsJson: JSON.stringify([{ type: 'function', function: weather }]),
        toolChoice: { choice: { $case: 'name', value: 'get_weather' } },
        singleCall: true,
      },
    });
  });

  it('of which a model calls two all the same, tell of the first', async () => {
    await using bed = await start({
      answer: [piece(0, 'get_weather', '{}'), piece(1, 'get_weather', '{"city":"Oslo"}')],
      reason: 'tool_calls',
    });
    const { choices } = await bed.client.chat.completions.create(asked);
    expect(choices[0]!.message.function_call).toEqual({ name: 'get_weather', arguments: '{}' });
    const streamed = await bed.client.chat.completions.stream(asked).finalChatCompletion();
    expect(streamed.choices[0]!.message).toMatchObject({ function_call: { name: 'get_weather', arguments: '{}' } });
  });

  it('leave the prompt where none may be called', async () => {
    await using bed = await start({ answer: ['Warm.'] });
    const { choices } = await bed.client.chat.completions.create({ ...asked, function_call: 'none' });
    expect(choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: 'Warm.' } });
    expect(bed.worker.started[0]?.prompt).toMatchObject({ value: { toolsJson: '' } });
  });

  it('are answered by messages of their own, which the model reads as results of tools', async () => {
    await using bed = await start({ answer: ['Warm.'] });
    await bed.client.chat.completions.create({
      ...asked,
      messages: [
        ...messages,
        { role: 'assistant', content: null, function_call: { name: 'get_weather', arguments: '{"city":"Rome"}' } },
        { role: 'function', name: 'get_weather', content: '30' },
        { role: 'assistant', content: '30 degrees.', function_call: null },
        { role: 'user', content: 'And in Oslo?' },
      ],
    });
    const { messagesJson } = (bed.worker.started[0]!.prompt as { value: { messagesJson: string } }).value;
    const sent = JSON.parse(messagesJson) as { tool_calls?: { id: string }[] }[];
    const id = sent[1]!.tool_calls![0]!.id;
    expect(id).toMatch(/^[a-z0-9]{9}$/);
    expect(sent).toEqual([
      ...messages,
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id, type: 'function', function: { name: 'get_weather', arguments: '{"city":"Rome"}' } }],
      },
      { role: 'tool', tool_call_id: id, name: 'get_weather', content: '30' },
      { role: 'assistant', content: '30 degrees.' },
      { role: 'user', content: 'And in Oslo?' },
    ]);
  });

  it('are none where their list is empty, as with tools', async () => {
    const called = { name: 'get_weather', arguments: '{"city":"Rome"}' };
    await using bed = await start(calling);
    const tools = [{ type: 'function' as const, function: { name: 'get_weather' } }];
    const ask = (more: object) => bed.client.chat.completions.create({ model: 'demo', messages, ...more });
    for (const more of [{ tool_choice: 'required' }, { parallel_tool_calls: true }, {}]) {
      const { choices } = await ask({ functions: [], tools, ...more });
      expect(choices[0]).toMatchObject({
        finish_reason: 'tool_calls',
        message: { tool_calls: [{ function: called }] },
      });
      expect(choices[0]!.message.function_call).toBeUndefined();
    }
    for (const none of [{ functions: [] }, { functions: [], function_call: 'auto' }, { tools: [] }]) {
      await ask(none);
      expect(bed.worker.started.at(-1)).toMatchObject({ prompt: { value: { toolsJson: '' } } });
    }
    await expect(ask({ functions: [], function_call: { name: 'get_weather' } })).rejects.toMatchObject({
      status: 400,
      param: 'function_call.name',
    });
  });

  it('are named in refusals as they were sent', async () => {
    const param = 'tools[0].function.parameters.properties';
    await using bed = await start({
      failure: { code: 'invalid_request', message: `\`${param}\` is no object.`, param },
    });
    await expect(bed.client.chat.completions.create(asked)).rejects.toMatchObject({
      status: 400,
      param: 'functions[0].parameters.properties',
      error: { message: '`functions[0].parameters.properties` is no object.' },
    });
  });
});
