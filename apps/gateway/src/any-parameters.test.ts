import type { TextCompletion, UsageBody } from '@millrace/contracts';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Script } from './dispatch/fake-worker.testing.js';
import { eventsOf, TestBed } from './gateway.testing.js';

/** What a caller may combine. */
const parameters = fc
  .record({
    prompts: fc.array(fc.constantFrom('one', 'one two', 'one two three '), { minLength: 1, maxLength: 3 }),
    n: fc.integer({ min: 1, max: 3 }),
    more: fc.integer({ min: 0, max: 2 }),
    echo: fc.boolean(),
    logprobs: fc.option(fc.integer({ min: 0, max: 3 })),
    max_tokens: fc.option(fc.integer({ min: 1, max: 6 })),
  })
  .map(({ prompts, more, n, ...rest }) => ({ ...rest, prompt: prompts, n, best_of: n + more }));

/** The bytes of a text, cut anywhere, so that a token may be a part of a character. */
const answer = fc
  .tuple(fc.string({ unit: 'grapheme', maxLength: 8 }), fc.infiniteStream(fc.integer({ min: 1, max: 5 })))
  .map(([text, cuts]) => {
    const bytes = Buffer.from(text.toWellFormed());
    const tokens: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += tokens.at(-1)!.length) {
      tokens.push(bytes.subarray(at, at + cuts.next().value));
    }
    return tokens;
  });

/** One for each sequence to a prompt; `best_of` may ask for five. */
const answers = fc.array(answer, { minLength: 5, maxLength: 5 });

let script: readonly Script[] = [];
let bed: TestBed;

beforeAll(async () => {
  // So little credit that every sequence pauses now and then.
  bed = await TestBed.start({ creditTokens: 2 }, [{ script: (_start, index) => script[index] ?? {} }]);
});
afterAll(() => bed[Symbol.asyncDispose]());

async function wholeOf(body: object): Promise<TextCompletion> {
  return (await (await bed.post('/v1/completions', body)).json()) as TextCompletion;
}

async function chunksOf(body: object): Promise<TextCompletion[]> {
  const asked = { ...body, stream: true, stream_options: { include_usage: true } };
  const events = await eventsOf(await bed.post('/v1/completions', asked));
  expect(events.at(-1)).toBe('data: [DONE]');
  return events.slice(0, -1).map((event) => JSON.parse(event.slice('data: '.length)) as TextCompletion);
}

/** The fake worker's tokens, which it counts as the real one does: with the one that ended the answer. */
function generated(from: number): number {
  const sequences = bed.worker.started.slice(from).flatMap((start) => [start, ...start.siblings]);
  return sequences.reduce((sum, { sequenceId }) => sum + (bed.worker.sent.get(sequenceId) ?? 0) + 1, 0);
}

function expectUsage(usage: UsageBody | null | undefined, prompts: readonly string[], completionTokens: number): void {
  const promptTokens = prompts.flatMap((prompt) => prompt.trim().split(' ')).length;
  expect(usage).toMatchObject({
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  });
}

it('a usage adds up to all prompts and all candidates, whatever is asked for', async () => {
  await fc.assert(
    fc.asyncProperty(parameters, answers, async (asked, all) => {
      script = all.map((tokens, index) => ({ answer: tokens, logprob: -index }));
      const from = bed.worker.started.length;
      const { usage, choices } = await wholeOf(asked);
      expect(choices.map(({ index }) => index)).toEqual([...choices.keys()]);
      expect(choices).toHaveLength(asked.prompt.length * asked.n);
      expectUsage(usage, asked.prompt, generated(from));
    }),
    { numRuns: 40 },
  );
}, 60_000);

it('a stream adds up to the whole answer, however tokens cut its characters and pauses its tokens', async () => {
  await fc.assert(
    fc.asyncProperty(parameters, answers, async (asked, all) => {
      script = all.map((tokens) => ({ answer: tokens }));
      const body = { ...asked, best_of: asked.n };
      const whole = await wholeOf(body);
      const from = bed.worker.started.length;
      const chunks = await chunksOf(body);
      expectUsage(chunks.at(-1)?.usage, asked.prompt, generated(from));
      expect(chunks.at(-1)?.usage).toEqual(whole.usage);

      const pieces = chunks.flatMap(({ choices }) => choices);
      for (const { index, text, logprobs } of whole.choices) {
        const own = pieces.filter((piece) => piece.index === index);
        expect(own.map((piece) => piece.text).join('')).toBe(text);
        const offsets = own.flatMap((piece) => piece.logprobs?.text_offset ?? []);
        expect(offsets).toEqual(logprobs?.text_offset ?? []);
        const sent = Buffer.concat(all[index % asked.n]!.slice(0, asked.max_tokens ?? undefined));
        const prompt = asked.echo ? asked.prompt[Math.floor(index / asked.n)]! : '';
        expect(sent.subarray(0, Buffer.byteLength(text) - Buffer.byteLength(prompt)).toString()).toBe(
          text.slice(prompt.length),
        );
      }
    }),
    { numRuns: 40 },
  );
}, 60_000);
