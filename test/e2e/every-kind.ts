import type OpenAI from 'openai';

type Chat = Omit<OpenAI.ChatCompletionCreateParamsStreaming, 'model' | 'stream'> & Record<string, unknown>;
type Completion = Omit<OpenAI.CompletionCreateParamsStreaming, 'model' | 'stream'> & Record<string, unknown>;

export type OnChunk = () => void;
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

/** By choice, what a client of chats puts together; ids of calls are random. */
async function chat(client: OpenAI, body: Chat, headers: Headers, onChunk: OnChunk) {
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

async function text(client: OpenAI, body: Completion, headers: Headers, onChunk: OnChunk) {
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

/** A request of one kind, and what a client makes of its answer. */
export interface Kind {
  readonly kind: string;
  run(client: OpenAI, headers: Headers, onChunk: OnChunk): Promise<unknown>;
}

/** Every kind of answer there is, each long enough to be broken off, and the same each time. */
export const EVERY_KIND: readonly Kind[] = [
  ...Object.entries(CHATS).map(([kind, body]) => ({
    kind,
    run: (client: OpenAI, headers: Headers, onChunk: OnChunk) => chat(client, body, headers, onChunk),
  })),
  ...Object.entries(TEXTS).map(([kind, body]) => ({
    kind,
    run: (client: OpenAI, headers: Headers, onChunk: OnChunk) => text(client, body, headers, onChunk),
  })),
];
