import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Stage } from '../bench/programs.ts';
import { Fleet, type Member } from '../chaos/fleet.ts';

type Chat = Omit<OpenAI.ChatCompletionCreateParamsStreaming, 'model' | 'stream'> & Record<string, unknown>;
type Completion = Omit<OpenAI.CompletionCreateParamsStreaming, 'model' | 'stream'> & Record<string, unknown>;

type OnChunk = (number: number) => void | Promise<void>;

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
  'several answers': {
    messages: user('What is the capital of France?'),
    temperature: 1,
    seed: 5,
    n: 4,
    max_tokens: 60,
    ignore_eos: true,
  },
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

/** Often enough that most of them are hit in mid-answer; each costs the start of a worker. */
const KILLS = 1;

describe('an answer whose worker is killed (kill -9)', () => {
  const stage = new Stage();
  let fleet: Fleet;
  let client: OpenAI;
  let requests = 0;
  beforeAll(async () => {
    // So that a worker does not finish an answer before anybody has read the beginning of it.
    fleet = await Fleet.start(stage, { gateways: 1, workers: 2, gatewayArgs: ['--credit-tokens=1'] });
    client = new OpenAI({ baseURL: `${fleet.gateways[0]!.url}/v1`, apiKey: 'any', maxRetries: 0 });
  });
  afterAll(() => stage[Symbol.asyncDispose]());

  const options = () => ({ headers: { 'x-request-id': `kill-${requests++}`, 'x-millrace-cache': 'off' } });

  /** By choice, what a client of chats puts together; ids of calls are random. */
  async function chat(body: Chat, onChunk: OnChunk) {
    const stream = await client.chat.completions.create(
      { model, stream: true, stream_options: { include_usage: true }, ...body },
      options(),
    );
    const choices = new Map<number, string[]>();
    let usage: unknown;
    let chunks = 0;
    for await (const chunk of stream) {
      await onChunk(chunks++);
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

  async function text(body: Completion, onChunk: OnChunk) {
    const stream = await client.completions.create(
      {
        model,
        stream: true,
        stream_options: { include_usage: true },
        ...body,
      } as OpenAI.CompletionCreateParamsStreaming,
      options(),
    );
    const choices = new Map<number, string>();
    let usage: unknown;
    let chunks = 0;
    for await (const chunk of stream) {
      await onChunk(chunks++);
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

  /** The worker that has a sequence; else the one that answered last. */
  async function servingNow(last: string | null): Promise<Member> {
    const running = await Promise.all(
      fleet.workers.map(async ({ url }) => {
        const metrics = await (await fetch(`${url}/metrics`)).text();
        return /^millrace_worker_running_sequences(?:\{[^}]*\})? [1-9]/m.test(metrics);
      }),
    );
    return fleet.workers.find((_, at) => running[at]) ?? fleet.workers.find(({ port }) => last?.endsWith(`:${port}`))!;
  }

  async function startedAgain(worker: Member): Promise<void> {
    const { program } = worker;
    await expect.poll(() => program.hasEnded, { timeout: 5_000 }).toBe(true);
    await fleet.startAgain(worker);
    await fleet.allReady();
  }

  async function recordOf(request: number) {
    const id = `kill-${request}`;
    await expect
      .poll(() => fleet.records('kill').some(({ request_id }) => request_id === id), { timeout: 10_000 })
      .toBe(true);
    return fleet.records('kill').find(({ request_id }) => request_id === id)!;
  }

  const kinds = [
    ...Object.entries(CHATS).map(([kind, body]) => ({ kind, run: (at: OnChunk) => chat(body, at) })),
    ...Object.entries(TEXTS).map(([kind, body]) => ({ kind, run: (at: OnChunk) => text(body, at) })),
  ];
  let continued = 0;

  it.each(kinds)('is what it would have been: $kind', async ({ run }) => {
    let chunks = 0;
    const undisturbed = await run((number) => {
      chunks = number;
    });
    let { worker } = await recordOf(requests - 1);
    for (let kill = 0; kill < KILLS; kill++) {
      const moment = Math.floor(Math.random() * Math.min(chunks, 30));
      let killed: Member | undefined;
      try {
        const disturbed = await run(async (number) => {
          if (number !== moment) return;
          killed = await servingNow(worker);
          killed.program.signal('SIGKILL');
        });
        expect({ moment, ...disturbed }).toEqual({ moment, ...undisturbed });
        const record = await recordOf(requests - 1);
        expect(record).toMatchObject({ outcome: 'served', error_code: null });
        if (record.continued) continued++;
        worker = record.worker;
      } finally {
        if (killed !== undefined) await startedAgain(killed);
      }
    }
  });

  it('was disturbed indeed', () => {
    expect(continued).toBeGreaterThanOrEqual(kinds.length / 2);
  });
});
