import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { openai } from './our-side.js';

const model = 'millrace-demo';
const messages = [{ role: 'user' as const, content: 'What is the capital of France?' }];

describe('openai: stored completions, functions and moderations', () => {
  const client = openai();
  const { completions } = client.chat;

  it('stored completions are retrieved, listed by pages and by metadata, changed and deleted', async () => {
    const asked = { model, messages, temperature: 0, store: true } as const;
    const whole = await completions.create({ ...asked, metadata: { suite: 'stored', n: '1' } });
    const streamed = await completions
      .stream({ ...asked, metadata: { suite: 'stored', n: '2' } })
      .finalChatCompletion();
    await expect
      .poll(() =>
        completions.retrieve(streamed.id).then(
          ({ id }) => id,
          () => '',
        ),
      )
      .toBe(streamed.id);
    expect((await completions.retrieve(whole.id)).choices).toEqual(whole.choices);

    const listed: string[] = [];
    for await (const { id } of completions.list({ limit: 1, metadata: { suite: 'stored' } })) listed.push(id);
    expect(listed).toEqual([whole.id, streamed.id]);
    const asks: unknown[] = [];
    for await (const message of completions.messages.list(whole.id)) asks.push(message.content);
    expect(asks).toEqual([messages[0]!.content]);
    expect(await completions.update(whole.id, { metadata: { suite: 'stored', n: '3' } })).toMatchObject({
      metadata: { n: '3' },
    });
    for (const id of listed) expect(await completions.delete(id)).toMatchObject({ id, deleted: true });
    await expect(completions.retrieve(whole.id)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  });

  it('the older functions are called as tools are', async () => {
    const functions = [
      {
        name: 'get_weather',
        description: 'Get the current weather in a city',
        parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
      },
    ];
    const { choices } = await completions.create({
      model,
      messages: [{ role: 'user', content: 'What is the weather in Oslo?' }],
      functions,
      function_call: { name: 'get_weather' },
      temperature: 0,
      max_tokens: 100,
    });
    expect(choices[0]!.finish_reason).toMatch(/^(function_call|stop)$/);
    expect(JSON.parse(choices[0]!.message.function_call!.arguments)).toEqual({ city: 'Oslo' });
  });

  it('moderations say how to have a classifier where there is none', async () => {
    const error = await client.moderations.create({ input: 'Hello!' }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect((error as Error).message).toMatch(/moderation/i);
  });

  it('moderations judge each text by the classifier that is named', async () => {
    const { model, results } = await client.moderations.create({ model: 'guard', input: ['A flower.', 'A knife.'] });
    expect(model).toBe('guard');
    expect(results.map(({ flagged, categories }) => [flagged, categories.violence])).toEqual([
      [false, false],
      [true, true],
    ]);
  });
});
