import OpenAI, { AzureOpenAI } from 'openai';
import { LengthFinishReasonError } from 'openai/core/error';
import { zodFunction, zodResponseFormat } from 'openai/helpers/zod';
import type { RunnableToolFunctionWithParse } from 'openai/lib/RunnableFunction';
import { Stream } from 'openai/streaming';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { COMPUTED, openai, url } from './our-side.js';

const model = 'millrace-demo';
const messages = [{ role: 'user' as const, content: 'What is the capital of France?' }];
const asksForWeather = [{ role: 'user' as const, content: 'What is the weather in Oslo?' }];
const Answer = z.object({ city: z.enum(['Oslo', 'Paris']), certain: z.boolean(), visits: z.array(z.int()).max(2) });
const Weather = z.object({ city: z.string() });

/** Everything that makes text, by OpenAI's own package. */
describe('openai: chats, texts, vectors and models', () => {
  const client = openai();

  const ask = { model, messages, temperature: 0 };

  describe('chat.completions.create', () => {
    it('answers whole, with the id of the request', async () => {
      const completion = await client.chat.completions.create(ask);
      expect(completion.choices[0]!.message).toMatchObject({ role: 'assistant', refusal: null });
      expect(completion.choices[0]!.message.content).toContain('Paris');
      expect(completion._request_id).toMatch(/^req_/);
    });

    it('streams, and the pieces are the whole', async () => {
      const whole = await client.chat.completions.create(ask);
      const stream = await client.chat.completions.create({ ...ask, stream: true });
      let text = '';
      const ids = new Set<string>();
      for await (const { id, choices } of stream) {
        ids.add(id);
        text += choices[0]?.delta.content ?? '';
      }
      expect(text).toBe(whole.choices[0]!.message.content);
      expect(ids.size).toBe(1);
    });

    it('gives log-probabilities, whole and streamed', async () => {
      const asked = { ...ask, logprobs: true, top_logprobs: 3, max_tokens: 4 };
      const whole = await client.chat.completions.create(asked);
      const tokens = whole.choices[0]!.logprobs!.content!;
      expect(tokens).toHaveLength(4);
      expect(tokens.every(({ top_logprobs, logprob }) => top_logprobs.length === 3 && logprob <= 0)).toBe(true);
      const streamed = await client.chat.completions.stream(asked).finalChatCompletion();
      expect(streamed.choices[0]!.logprobs!.content!.map(({ token }) => token)).toEqual(
        tokens.map(({ token }) => token),
      );
    });
  });

  describe('chat.completions.stream', () => {
    it('tells of content, chunks and the end, in that order, and sums up', async () => {
      const told: string[] = [];
      let snapshot = '';
      const runner = client.chat.completions
        .stream({ ...ask, stream_options: { include_usage: true } })
        .on('connect', () => told.push('connect'))
        .once('chunk', () => told.push('chunk'))
        .on('content', (_delta, whole) => {
          snapshot = whole;
        })
        .on('content.done', ({ content }) => told.push(content === snapshot ? 'content.done' : 'another content'))
        .on('end', () => told.push('end'));
      const content = await runner.finalContent();
      expect(content).toContain('Paris');
      expect(snapshot).toBe(content);
      expect(await runner.finalMessage()).toMatchObject({ role: 'assistant', content });
      expect((await runner.totalUsage()).total_tokens).toBeGreaterThan(0);
      expect(told).toEqual(['connect', 'chunk', 'content.done', 'end']);
    });

    it('is read by whom its chunks are passed on to', async () => {
      const runner = client.chat.completions.stream(ask);
      const onward = Stream.fromReadableStream(runner.toReadableStream(), new AbortController());
      const chunks: OpenAI.ChatCompletionChunk[] = [];
      for await (const chunk of onward as Stream<OpenAI.ChatCompletionChunk>) chunks.push(chunk);
      expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toContain('Paris');
    });

    it('has two readers after tee', async () => {
      const stream = await client.chat.completions.create({ ...ask, stream: true });
      const texts = await Promise.all(
        stream.tee().map(async (half) => {
          let text = '';
          for await (const { choices } of half) text += choices[0]?.delta.content ?? '';
          return text;
        }),
      );
      expect(texts[0]).toContain('Paris');
      expect(texts[1]).toBe(texts[0]);
    });

    it('keeps several answers apart', async () => {
      const { choices } = await client.chat.completions
        .stream({ ...ask, n: 3, temperature: 1, seed: 3, max_tokens: 12 })
        .finalChatCompletion();
      expect(choices.map(({ index }) => index)).toEqual([0, 1, 2]);
      for (const { message } of choices) expect(message.content!.length).toBeGreaterThan(0);
    });
  });

  describe('chat.completions.parse', () => {
    const response_format = zodResponseFormat(Answer, 'answer');

    it('returns what a zod schema allows, whole', async () => {
      const { choices } = await client.chat.completions.parse({ ...ask, response_format });
      expect(Answer.parse(choices[0]!.message.parsed)).toEqual(choices[0]!.message.parsed);
    });

    it('and streamed, whose parts can be read on the way', async () => {
      const parts: unknown[] = [];
      const runner = client.chat.completions.stream({ ...ask, response_format }).on('content.delta', ({ parsed }) => {
        parts.push(parsed);
      });
      const { choices } = await runner.finalChatCompletion();
      expect(Answer.parse(choices[0]!.message.parsed)).toEqual(choices[0]!.message.parsed);
      expect(parts.length).toBeGreaterThan(2);
    });

    it('returns the arguments of a call as its schema has them', async () => {
      const { choices } = await client.chat.completions.parse({
        ...ask,
        messages: asksForWeather,
        tools: [
          zodFunction({ name: 'get_weather', description: 'Get the current weather in a city', parameters: Weather }),
        ],
        tool_choice: 'required',
      });
      const [call] = choices[0]!.message.tool_calls!;
      expect(call).toMatchObject({ type: 'function', function: { parsed_arguments: { city: 'Oslo' } } });
    });

    it('says so where an answer was cut off', async () => {
      const cut = client.chat.completions.parse({ ...ask, response_format, max_tokens: 3 });
      await expect(cut).rejects.toBeInstanceOf(LengthFinishReasonError);
    });
  });

  describe('chat.completions.runTools', () => {
    const weather = (asked: unknown[]): RunnableToolFunctionWithParse<object> => ({
      type: 'function',
      function: {
        name: 'get_weather',
        description: 'Get the current weather in a city',
        parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
        parse: JSON.parse,
        function: (given) => {
          asked.push(given);
          return JSON.stringify({ temperature: 21, condition: 'sunny' });
        },
      },
    });

    it.each([false, true])('calls the tool and goes on with what it said (stream: %s)', async (stream) => {
      const asked: unknown[] = [];
      const body = { model, messages: asksForWeather, temperature: 0, tools: [weather(asked)] };
      const runner = stream
        ? client.chat.completions.runTools({ ...body, stream: true })
        : client.chat.completions.runTools(body);
      expect(await runner.finalContent()).toContain('21');
      expect(asked).toEqual([{ city: 'Oslo' }]);
      expect(runner.messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool', 'assistant']);
    });
  });

  it('completions.create continues texts, several at once and streamed', async () => {
    const body = { model, prompt: ['Once upon a time', 'The mill'], max_tokens: 8, temperature: 0 };
    const whole = await client.completions.create(body);
    expect(whole.choices.map(({ index }) => index)).toEqual([0, 1]);
    const texts = ['', ''];
    for await (const { choices } of await client.completions.create({ ...body, stream: true })) {
      for (const { index, text } of choices) texts[index] += text;
    }
    expect(texts).toEqual(whole.choices.map(({ text }) => text));
  });

  it('embeddings.create reads what was sent in base64, and the same as numbers', async () => {
    const asked = { model: 'millrace-demo-embed', input: ['The train was late.', 'Anna wrote the letter.'] };
    const packed = await client.embeddings.create(asked);
    const plain = await client.embeddings.create({ ...asked, encoding_format: 'float' });
    expect(packed.data).toHaveLength(2);
    for (const [index, { embedding }] of packed.data.entries()) {
      expect(embedding.length).toBe(plain.data[index]!.embedding.length);
      for (const [at, value] of embedding.entries()) expect(value).toBeCloseTo(plain.data[index]!.embedding[at]!, 5);
    }
  });

  it('models.list and models.retrieve know the same models', async () => {
    const ids: string[] = [];
    for await (const { id, object } of client.models.list()) ids.push(`${object} ${id}`);
    expect(ids.sort()).toEqual(['model guard', 'model millrace-demo', 'model millrace-demo-embed']);
    expect((await client.models.retrieve(model)).id).toBe(model);
    await expect(client.models.retrieve('gpt-9')).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  });

  it('gives the raw response beside the answer, and instead of it', async () => {
    const { data, response, request_id } = await client.chat.completions.create(ask).withResponse();
    expect(data.choices[0]!.message.content).toContain('Paris');
    expect(response.headers.get('x-request-id')).toBe(request_id);
    const raw = await client.chat.completions.create(ask).asResponse();
    expect(raw.status).toBe(200);
    expect(((await raw.json()) as OpenAI.ChatCompletion).object).toBe('chat.completion');
  });
});

describe('openai: AzureOpenAI', () => {
  const azure = { endpoint: url, apiKey: 'any', apiVersion: '2024-10-21', maxRetries: 0, defaultHeaders: COMPUTED };
  const client = new AzureOpenAI(azure);

  it('answers whole and streamed, of the model in its body or of its deployment', async () => {
    const whole = await client.chat.completions.create({ model, messages, temperature: 0 });
    expect(whole.choices[0]!.message.content).toContain('Paris');
    const deployed = new AzureOpenAI({ ...azure, deployment: model });
    const stream = await deployed.chat.completions.create({ model: '', messages, temperature: 0, stream: true });
    let text = '';
    for await (const { choices } of stream) text += choices[0]?.delta.content ?? '';
    expect(text).toBe(whole.choices[0]!.message.content);
  });

  it('has vectors, models, responses and files', async () => {
    const { data } = await client.embeddings.create({ model: 'millrace-demo-embed', input: 'a' });
    expect(data[0]!.embedding.length).toBeGreaterThan(1);
    expect((await client.models.list()).data.map(({ id }) => id)).toContain(model);
    const response = await client.responses.create({ model, input: 'What is the capital of France?' });
    expect((await client.responses.retrieve(response.id)).output_text).toBe(response.output_text);
    expect((await client.files.list({ limit: 1 })).data.length).toBeLessThanOrEqual(1);
    const conversation = await client.conversations.create();
    expect((await client.conversations.items.list(conversation.id)).data).toEqual([]);
  });
});
