import type { AnswerEvent, AnswerRequest, Prompt, ResumedAnswer, TokenLogprob } from '@millrace/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { collect, NEVER, textRequest } from './batching.testing.js';
import type { BatchingEngine } from './batching-engine.js';
import { openDemoEngine } from './demo-engine.testing.js';

type Chat = Extract<Prompt, { kind: 'chat' }>;
type Tokens = Extract<AnswerEvent, { kind: 'tokens' }>;

const chat = (content: string, more: Partial<Chat> = {}): Chat => ({
  kind: 'chat',
  messages: [{ role: 'user', content }],
  tools: [],
  templateVariables: {},
  ...more,
});
const text = (content: string) => ({ prompt: { kind: 'text', text: content } }) as const;

function tool(name: string, description: string, properties: Record<string, object>) {
  const required = Object.keys(properties);
  const parameters = { type: 'object', properties, required, additionalProperties: false };
  return { type: 'function', function: { name, description, parameters } } as const;
}
const TOOLS = [
  tool('get_weather', 'Get the current weather in a city', { city: { type: 'string', description: 'The city' } }),
  tool('set_timer', 'Starts a countdown', { duration_minutes: { type: 'integer', minimum: 1, maximum: 600 } }),
];
const STORY = { kind: 'text', text: 'Once upon a time' } as const;
const SCHEMA = {
  type: 'object',
  properties: { name: { type: 'string', maxLength: 12 }, age: { type: 'integer' }, tags: { enum: ['a', 'b'] } },
  required: ['name', 'age', 'tags'],
  additionalProperties: false,
};
const LIKE_A_WORKER = { places: 8, contextLength: 1024, maxTokensDefault: 60, maxWaitMs: 0 };
/** Characters of two, three and four bytes, which a vocabulary of this size has to spell byte by byte. */
const EMOJI = 'root ::= ("😀" | "é" | "€" | "日本"){6} [a-c]{3}';

/** What callers ask for, one kind each. */
const REQUESTS: Readonly<Record<string, Partial<AnswerRequest>>> = {
  'a chat': { prompt: chat('What is the capital of France?') },
  'a text': { ...text('Once upon a time'), maxTokens: 30 },
  'an echoed text': { ...text('Once upon a time'), echo: true, maxTokens: 12 },
  'tokens as a prompt': { prompt: { kind: 'tokens', tokens: [5, 6, 7, 8] }, maxTokens: 16 },
  'a beginning of an answer': {
    prompt: chat('Count to ten.', {
      messages: [
        { role: 'user', content: 'Count to ten.' },
        { role: 'assistant', content: '1, 2, ' },
      ],
      continueFinal: true,
    }),
  },
  'a call': { prompt: chat('What is the weather in Oslo?', { tools: TOOLS }) },
  'a call that is demanded': { prompt: chat('Hello!', { tools: TOOLS, toolChoice: { name: 'set_timer' } }) },
  'several calls': {
    prompt: chat('What is the weather in Oslo and in Paris?', { tools: TOOLS, toolChoice: 'required' }),
    // Of itself it ends after one.
    sampling: { ignoreEos: true },
    maxTokens: 70,
  },
  'a schema': { prompt: STORY, format: { kind: 'schema', schema: SCHEMA } },
  'any JSON': { prompt: STORY, format: { kind: 'json' }, maxTokens: 40 },
  'a grammar': { ...text('Faces: '), format: { kind: 'grammar', grammar: EMOJI } },
  'a grammar, with a seed': {
    ...text('Faces: '),
    format: { kind: 'grammar', grammar: EMOJI },
    sampling: { temperature: 1.5, seed: 4 },
  },
  'every penalty': {
    prompt: STORY,
    sampling: { presencePenalty: 0.7, frequencyPenalty: 0.6, repeatPenalty: 1.2, repeatLastN: 24, dryMultiplier: 0.8 },
    maxTokens: 48,
  },
  DRY: { prompt: chat('Count to 30.'), sampling: { dryMultiplier: 2, dryAllowedLength: 1 }, maxTokens: 36 },
  'a seed': { prompt: STORY, sampling: { temperature: 1, seed: 7 }, maxTokens: 48 },
  'a seed and XTC': {
    prompt: STORY,
    sampling: { temperature: 1.2, seed: 11, xtcProbability: 0.5, xtcThreshold: 0.05, topP: 0.95, topK: 40, minP: 0.01 },
    maxTokens: 48,
  },
  'a bias, and no end': {
    prompt: chat('Hello!'),
    sampling: { ignoreEos: true, logitBias: [{ token: 40, bias: -100 }] },
    maxTokens: 40,
  },
  'a stop text': { prompt: STORY, stop: ['wheel, and', ' the tower'] },
  'a stop text that never comes whole': { prompt: STORY, stop: [' river. Evening', 'mill by a rivet'], maxTokens: 40 },
  'log-probabilities': { prompt: STORY, logprobs: 3, maxTokens: 24 },
  'log-probabilities of what is held back': {
    prompt: STORY,
    logprobs: 2,
    stop: [' river. Evening', 'mill by a rivet'],
    maxTokens: 40,
  },
  'log-probabilities of characters in pieces': {
    ...text('Faces: '),
    format: { kind: 'grammar', grammar: EMOJI },
    logprobs: 2,
  },
  'log-probabilities beside a call': { prompt: chat('What is the weather in Oslo?', { tools: TOOLS }), logprobs: 1 },
  'log-probabilities and an echo': { ...text('Once upon a time'), echo: true, logprobs: 1, maxTokens: 10 },
};

/** What a caller has after these events. */
function deliveredBy(events: readonly AnswerEvent[]): ResumedAnswer {
  const pieces = events.filter((event): event is Tokens => event.kind === 'tokens');
  const calls: { name: string | undefined; arguments: string }[] = [];
  for (const { index, name, arguments: more } of pieces.flatMap((piece) => piece.calls ?? [])) {
    calls[index] ??= { name, arguments: '' };
    calls[index].arguments += more;
  }
  return {
    tokens: pieces.flatMap(({ tokens }) => tokens),
    text: pieces.map((piece) => piece.text).join(''),
    reasoning: pieces.map(({ reasoning = '' }) => reasoning).join(''),
    calls: calls.map((call, index) => ({ index, ...call })),
    logprobs: pieces.reduce((sum, { logprobs = [] }) => sum + logprobs.length, 0),
  };
}

/** As the caller puts it together. */
function received(events: readonly AnswerEvent[]) {
  const pieces = events.filter((event): event is Tokens => event.kind === 'tokens');
  const { tokens, text: said, reasoning, calls } = deliveredBy(events);
  const told: readonly unknown[] = pieces.flatMap(({ logprobs = [] }) => logprobs);
  const echo = events.flatMap((event) => (event.kind === 'echo' ? [event.text] : [])).join('');
  const finished = events.find((event) => event.kind === 'finished');
  const { completionTokens, promptTokens } = finished?.usage ?? {};
  return { tokens, said, reasoning, calls, told, echo, reason: finished?.reason, completionTokens, promptTokens };
}

/** Sums in batches of other sizes are rounded otherwise, so that the unlikely may come in another order. */
function approximately({ token, logprob, top, bytes }: TokenLogprob) {
  const near = (value: number) => expect.closeTo(value, 0.5);
  const chances = top.map((chance) => expect.objectContaining({ logprob: near(chance.logprob) }));
  return { token, bytes, logprob: near(logprob), top: chances };
}

const LONG = { timeout: 120_000 };

/** Two workers with the built-in model: what one begins, the other goes on with. */
describe('an answer that goes on at another worker', () => {
  let first: BatchingEngine;
  let second: BatchingEngine;
  beforeAll(async () => {
    first = await openDemoEngine(LIKE_A_WORKER);
    second = await openDemoEngine(LIKE_A_WORKER);
  });
  afterAll(async () => {
    await first.close();
    await second.close();
  });

  // Some hundred answers each: on a machine that has much else to do, that takes its time.
  it.each(Object.entries(REQUESTS))(
    'is what it would have been, wherever it breaks: %s',
    LONG,
    async (_kind, asked) => {
      const request = textRequest('', { ...asked });
      const { events } = await collect(first.answer(request, NEVER));
      const undisturbed = received(events);
      const whole = { ...undisturbed, told: (undisturbed.told as TokenLogprob[]).map(approximately) };
      expect(whole.tokens.length).toBeGreaterThan(5);
      for (const [at, event] of events.entries()) {
        if (event.kind !== 'tokens') continue;
        const before = events.slice(0, at);
        // After the event; and in its midst, where credit had run out: then the tokens have gone ahead of what they brought.
        const bare: AnswerEvent = { kind: 'tokens', tokens: event.tokens, text: '' };
        for (const had of [
          [...before, event],
          [...before, bare],
        ]) {
          const resume = deliveredBy(had);
          const rest = await collect(second.answer({ ...request, resume }, NEVER));
          const beyond = rest.events.filter(({ kind }) => kind !== 'begun');
          expect({ cut: resume.tokens.length, ...received([...had, ...beyond]) }).toEqual({
            cut: resume.tokens.length,
            ...whole,
          });
        }
      }
    },
  );
});
