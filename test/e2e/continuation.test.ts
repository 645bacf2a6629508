import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Stage } from '../bench/programs.ts';
import { Fleet } from '../chaos/fleet.ts';

type Chat = Omit<OpenAI.ChatCompletionCreateParamsStreaming, 'model' | 'stream'> & Record<string, unknown>;
type Completion = Omit<OpenAI.CompletionCreateParamsStreaming, 'model' | 'stream'> & Record<string, unknown>;

type OnChunk = () => void;
type Headers = Readonly<Record<string, string>>;

const model = 'millrace-demo';
const user = (content: string) => [{ role: 'user' as const, content }];
const tools = [
  {
    type: 'function' as const,
    function: {
      name: 'get_weather',
      description: 'Get the current weather in a city',
      parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
    },
  },
];
const schema = {
  type: 'object',
  properties: { story: { type: 'string' }, age: { type: 'integer' } },
  required: ['story', 'age'],
  additionalProperties: false,
};
const story = 'Once upon a time';

const CHATS: Readonly<Record<string, Chat>> = {
  'a chat': { messages: user('Count to 40.'), temperature: 0, max_tokens: 60 },
  'several answers': { messages: user('Count to 30.'), temperature: 0.7, seed: 5, n: 4, max_tokens: 60 },
  'a call': { messages: user('What is the weather in Oslo?'), tools, temperature: 0 },
  'a schema': {
    messages: user('Tell me a story.'),
    response_format: { type: 'json_schema', json_schema: { name: 'story', schema, strict: true } },
    temperature: 0,
    max_tokens: 60,
  },
};
const TEXTS: Readonly<Record<string, Completion>> = {
  'a text': { prompt: story, temperature: 0, max_tokens: 60 },
  'several prompts, echoed': { prompt: [story, 'The river'], echo: true, temperature: 0, max_tokens: 60 },
  'every penalty': {
    prompt: story,
    temperature: 0,
    max_tokens: 60,
    presence_penalty: 0.6,
    frequency_penalty: 0.4,
    repeat_penalty: 1.1,
    dry_multiplier: 0.8,
  },
  'a seed, XTC and a stop text': {
    prompt: story,
    temperature: 1.2,
    seed: 3,
    xtc_probability: 0.4,
    stop: ['Finis.'],
    max_tokens: 60,
    ignore_eos: true,
  },
  'a grammar': {
    prompt: story,
    grammar: 'root ::= ([a-z ]+ "€" | "😀"){20}',
    temperature: 1,
    seed: 9,
    max_tokens: 60,
  },
};

/** In each, another worker is killed; all that it was answering goes on at the other. */
const ROUNDS = 2;
/** Of all answers together: early enough that most of them are in their midst. */
const CHUNKS_BEFORE_KILL_MAX = 150;

describe('an answer whose worker is killed (kill -9)', () => {
  const stage = new Stage();
  let fleet: Fleet;
  let client: OpenAI;
  let undisturbed: readonly unknown[];
  const disturbed: (readonly unknown[])[] = [];
  // All of them at a time: what takes long is the start of a worker.
  beforeAll(async () => {
    // So that a worker does not finish an answer before anybody has read the beginning of it.
    fleet = await Fleet.start(stage, { gateways: 1, workers: ROUNDS, gatewayArgs: ['--credit-tokens=1'] });
    client = new OpenAI({ baseURL: `${fleet.gateways[0]!.url}/v1`, apiKey: 'any', maxRetries: 0 });
    undisturbed = await all('undisturbed', () => {});
    for (const [round, worker] of fleet.workers.entries()) {
      if (round > 0) await fleet.allReady();
      let chunksLeft = Math.ceil(Math.random() * CHUNKS_BEFORE_KILL_MAX);
      const answers = all(`kill-${round}`, () => {
        if (--chunksLeft === 0) worker.program.signal('SIGKILL');
      });
      disturbed.push(await answers);
      if (round + 1 < ROUNDS) await fleet.startAgain(worker);
    }
  });
  afterAll(() => stage[Symbol.asyncDispose]());

  const all = (name: string, onChunk: OnChunk) =>
    Promise.all(
      kinds.map(({ run }, at) => run({ 'x-request-id': `${name}-${at}`, 'x-millrace-cache': 'off' }, onChunk)),
    );

  /** By choice, what a client of chats puts together; ids of calls are random. */
  async function chat(body: Chat, headers: Headers, onChunk: OnChunk) {
    const stream = await client.chat.completions.create(
      { model, stream: true, stream_options: { include_usage: true }, ...body },
      { headers },
    );
    const choices = new Map<number, string[]>();
    let usage: unknown;
    for await (const chunk of stream) {
      onChunk();
      if (chunk.usage) usage = usageOf(chunk.usage);
      for (const { index, delta, finish_reason: reason } of chunk.choices) {
        const told = choices.get(index) ?? [];
        choices.set(index, told);
        told.push(`${delta.role ?? ''}${delta.content ?? ''}${reason ?? ''}`);
        for (const call of delta.tool_calls ?? []) told.push(`${call.function?.name ?? ''}${call.function?.arguments}`);
      }
    }
    return { usage, choices: [...choices].sort().map(([index, told]) => [index, told.join('')]) };
  }

  async function text(body: Completion, headers: Headers, onChunk: OnChunk) {
    const stream = await client.completions.create(
      {
        model,
        stream: true,
        stream_options: { include_usage: true },
        ...body,
      } as OpenAI.CompletionCreateParamsStreaming,
      { headers },
    );
    const choices = new Map<number, string>();
    let usage: unknown;
    for await (const chunk of stream) {
      onChunk();
      if (chunk.usage) usage = usageOf(chunk.usage);
      for (const { index, text: said, finish_reason: reason } of chunk.choices) {
        choices.set(index, `${choices.get(index) ?? ''}${said}${reason ?? ''}`);
      }
    }
    return { usage, choices: [...choices].sort() };
  }

  /** What was found in a cache is another matter. */
  function usageOf({ prompt_tokens, completion_tokens }: OpenAI.CompletionUsage) {
    return { prompt_tokens, completion_tokens };
  }

  async function recordOf(id: string) {
    const find = () => fleet.records('kill').find(({ request_id }) => request_id === id);
    await expect.poll(find, { timeout: 10_000 }).toBeDefined();
    return find()!;
  }

  const kinds = [
    ...Object.entries(CHATS).map(([kind, body]) => ({
      kind,
      run: (headers: Headers, at: OnChunk) => chat(body, headers, at),
    })),
    ...Object.entries(TEXTS).map(([kind, body]) => ({
      kind,
      run: (headers: Headers, at: OnChunk) => text(body, headers, at),
    })),
  ];

  it.each(kinds.map(({ kind }, at) => ({ kind, at })))('is what it would have been: $kind', async ({ at }) => {
    for (const [round, answers] of disturbed.entries()) {
      expect({ round, answer: answers[at] }).toEqual({ round, answer: undisturbed[at] });
      expect(await recordOf(`kill-${round}-${at}`)).toMatchObject({ outcome: 'served', error_code: null });
    }
  });

  it('was disturbed indeed', () => {
    const continued = fleet.records('kill').filter((record) => record.continued);
    expect(continued.length).toBeGreaterThanOrEqual(kinds.length / 2);
  });
});
