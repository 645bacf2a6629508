/** Questions whose answers can be compared to the last character, and how they are asked. */
import { isDeepStrictEqual } from 'node:util';

/** A question and the kind of thing that an answer to it has to keep when it goes on elsewhere. */
export interface Question {
  readonly name: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** What a client has in the end, but for what is drawn anew for every answer: ids, times. */
export interface Answer {
  readonly choices: readonly AnswerChoice[];
  readonly promptTokens: number;
  readonly completionTokens: number;
}

interface AnswerChoice {
  readonly text: string;
  readonly calls: readonly { readonly name: string; readonly arguments: string }[];
  readonly finishReason: string;
  /** The tokens that log-probabilities were told of. The numbers themselves depend on the batch in their last digits. */
  readonly told: readonly string[];
}

export interface Asked {
  readonly answer: Answer;
  readonly firstMs: number;
  readonly tookMs: number;
  /** Between two pieces of a stream, or from the question to its first; 0 for a whole answer. */
  readonly longestGapMs: number;
}

/** A client that lost its patience would hide what is looked for. */
const ANSWER_TIMEOUT_MS = 180_000;

const LONG = { max_tokens: 150 };

const tool = (name: string, properties: Readonly<Record<string, object>>) => ({
  type: 'function',
  function: {
    name,
    description: `Calls ${name}`,
    parameters: { type: 'object', properties, required: Object.keys(properties), additionalProperties: false },
  },
});

const ORDER = {
  type: 'object',
  properties: {
    id: { type: 'string', pattern: '^[A-Z]{2}-[0-9]{3}$' },
    state: { enum: ['open', 'shipped', null] },
    lines: { type: 'array', items: { type: 'integer', minimum: 1, maximum: 99 }, minItems: 3, maxItems: 12 },
  },
  required: ['id', 'state', 'lines'],
  additionalProperties: false,
};

function chat(name: string, content: string, more: Readonly<Record<string, unknown>> = LONG): Question {
  return { name, body: { messages: [{ role: 'user', content }], temperature: 0, ...more } };
}

export const QUESTIONS: readonly Question[] = [
  chat('a count', 'Count to 40.', { max_tokens: 200 }),
  chat('an explanation', 'What is dynamic batching?'),
  chat(
    'letters of several bytes',
    'Explique, em até 120 palavras, o que é consistência eventual e cite 1 caso de uso comum.',
  ),
  chat('a tool', 'What is the weather in Oslo?', {
    ...LONG,
    tools: [tool('get_weather', { city: { type: 'string' } }), tool('set_timer', { minutes: { type: 'integer' } })],
  }),
  // No free text in a call or under a schema: the model was not trained for it, has no opinion, and the batch decides between tokens.
  chat('a tool that must be called', 'Set a timer for 15 minutes.', {
    ...LONG,
    tools: [tool('set_timer', { duration_minutes: { type: 'integer', minimum: 1, maximum: 600 } })],
    tool_choice: 'required',
  }),
  chat('a schema', 'Describe an order in JSON.', {
    ...LONG,
    response_format: { type: 'json_schema', json_schema: { name: 'order', strict: true, schema: ORDER } },
  }),
  chat('penalties', 'Count to 30.', { ...LONG, presence_penalty: 0.6, frequency_penalty: 0.8 }),
  chat('a stop text', 'Count to 40.', { max_tokens: 200, stop: ['27'] }),
  chat('two answers', 'Who are you?', { ...LONG, n: 2 }),
  chat('log-probabilities', 'Count to 20.', { ...LONG, logprobs: true, top_logprobs: 2 }),
];

export function isSame(one: Answer, other: Answer): boolean {
  return isDeepStrictEqual(one, other);
}

/** @throws Error when the answer is not 200, not whole, or has an error in it. */
export async function ask(
  url: string,
  { body }: Question,
  stream: boolean,
  requestId: string,
  signal?: AbortSignal,
): Promise<Asked> {
  const startedMs = performance.now();
  const response = await post(url, body, stream, requestId, signal);
  if (response.status !== 200) throw new Error(`status ${response.status}: ${(await response.text()).slice(0, 300)}`);
  if (!stream) {
    const answer = wholeAnswer((await response.json()) as Completion);
    const tookMs = performance.now() - startedMs;
    return { answer, firstMs: tookMs, tookMs, longestGapMs: 0 };
  }
  const collected = new Collected();
  let [firstMs, lastMs, longestGapMs] = [0, startedMs, 0];
  for await (const chunk of eventsOf(response)) {
    const nowMs = performance.now();
    firstMs ||= nowMs - startedMs;
    longestGapMs = Math.max(longestGapMs, nowMs - lastMs);
    lastMs = nowMs;
    collected.add(chunk);
  }
  return { answer: collected.answer(), firstMs, tookMs: performance.now() - startedMs, longestGapMs };
}

/** Asks, and hangs up after so many pieces; with 0, after `ms`. */
export async function askAndLeave(url: string, question: Question, pieces: number, ms: number): Promise<void> {
  const leaving = new AbortController();
  const timer = pieces === 0 ? setTimeout(() => leaving.abort(), ms) : undefined;
  try {
    const response = await post(url, question.body, true, '', leaving.signal);
    let seen = 0;
    for await (const _ of eventsOf(response)) if (pieces > 0 && ++seen >= pieces) leaving.abort();
  } catch (error) {
    if (!leaving.signal.aborted) throw error;
  } finally {
    clearTimeout(timer);
  }
}

function post(url: string, body: object, stream: boolean, requestId: string, signal?: AbortSignal): Promise<Response> {
  const late = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  return fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    // Kept answers would be given without a worker.
    headers: {
      'content-type': 'application/json',
      'x-millrace-cache': 'off',
      ...(requestId !== '' && { 'x-request-id': requestId }),
    },
    body: JSON.stringify({ ...body, stream, ...(stream && { stream_options: { include_usage: true } }) }),
    signal: signal === undefined ? late : AbortSignal.any([signal, late]),
  });
}

// ------------------------------------------------------------------------------------------------------ what comes back

interface Completion {
  readonly choices: readonly { readonly message: Said; readonly finish_reason: string; readonly logprobs?: Told }[];
  readonly usage: Usage;
}

interface Chunk {
  readonly choices: readonly {
    readonly index: number;
    readonly delta: Said;
    readonly finish_reason?: string | null;
    readonly logprobs?: Told;
  }[];
  readonly usage?: Usage | null;
  readonly error?: { readonly code: string; readonly message: string };
}

interface Said {
  readonly content?: string | null;
  readonly tool_calls?: readonly {
    readonly index?: number;
    readonly function: { readonly name?: string; readonly arguments?: string };
  }[];
}

type Told = { readonly content?: readonly { readonly token: string }[] | null } | null;

interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
}

function wholeAnswer({ choices, usage }: Completion): Answer {
  const collected = new Collected();
  collected.add({
    choices: choices.map(({ message, ...rest }, index) => ({
      index,
      delta: { ...message, tool_calls: (message.tool_calls ?? []).map((call, at) => ({ ...call, index: at })) },
      ...rest,
    })),
    usage,
  });
  collected.end();
  return collected.answer();
}

interface Growing {
  text: string;
  calls: { name: string; arguments: string }[];
  finishReason: string;
  told: string[];
}

/** Puts pieces together as clients do. */
class Collected {
  readonly #choices: Growing[] = [];
  #usage: Usage | undefined;
  #ended = false;

  add(chunk: Chunk | 'done'): void {
    if (chunk === 'done') {
      this.end();
      return;
    }
    if (chunk.error !== undefined)
      throw new Error(`an error in the stream: ${chunk.error.code}: ${chunk.error.message}`);
    if (chunk.usage) this.#usage = chunk.usage;
    for (const { index, delta, finish_reason, logprobs } of chunk.choices) {
      this.#choices[index] ??= { text: '', calls: [], finishReason: '', told: [] };
      const choice = this.#choices[index];
      choice.text += delta.content ?? '';
      for (const { index: at = 0, function: called } of delta.tool_calls ?? []) {
        choice.calls[at] ??= { name: '', arguments: '' };
        choice.calls[at].name += called.name ?? '';
        choice.calls[at].arguments += called.arguments ?? '';
      }
      if (finish_reason && choice.finishReason !== '') throw new Error('an answer ended twice');
      if (finish_reason) choice.finishReason = finish_reason;
      choice.told.push(...(logprobs?.content ?? []).map(({ token }) => token));
    }
  }

  end(): void {
    this.#ended = true;
  }

  answer(): Answer {
    if (!this.#ended) throw new Error('the stream ended without [DONE]');
    if (this.#usage === undefined) throw new Error('the answer has no usage');
    if (this.#choices.some(({ finishReason }) => finishReason === ''))
      throw new Error('an answer has no finish_reason');
    const { prompt_tokens: promptTokens, completion_tokens: completionTokens } = this.#usage;
    return { choices: this.#choices.map((choice) => ({ ...choice })), promptTokens, completionTokens };
  }
}

async function* eventsOf(response: Response): AsyncGenerator<Chunk | 'done'> {
  if (response.body === null) return;
  let rest = '';
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
    rest += text;
    for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
      const event = rest.slice(0, end);
      rest = rest.slice(end + 2);
      // Comments are heartbeats.
      if (event.startsWith('data: ')) yield event === 'data: [DONE]' ? 'done' : (JSON.parse(event.slice(6)) as Chunk);
    }
  }
}
