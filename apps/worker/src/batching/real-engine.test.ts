import type { AnswerRequest, Prompt } from '@millrace/contracts';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { StepWork } from '../token-engine/token-engine.js';
import { collect, RecordingObserver, textRequest } from './batching.testing.js';
import type { BatchingEngine } from './batching-engine.js';
import { openDemoEngine } from './demo-engine.testing.js';

const QUESTIONS = [
  'What is the capital of France?',
  'Count to 15.',
  'What is 7 plus 12?',
  'Hello!',
  'What is dynamic batching?',
  'Who are you?',
  'Explique, em até 120 palavras, o que é consistência eventual e cite 1 caso de uso comum.',
  `What is the capital of Japan? ${'Please take your time to think about it. '.repeat(25)}`,
];

const chat = (content: string): Prompt => ({
  kind: 'chat',
  messages: [{ role: 'user', content }],
  tools: [],
  templateVariables: {},
});

/** The built-in model, batched as the worker batches it, with what every step works on written down. */
describe('the built-in model in a batch', () => {
  let engine: BatchingEngine;
  const steps: (readonly StepWork[])[] = [];
  const observer = new RecordingObserver();

  beforeAll(async () => {
    engine = await openDemoEngine({
      places: 32,
      contextLength: 4096,
      maxTokensDefault: 150,
      maxWaitMs: 10,
      observer,
      onStep: (works) => steps.push(works),
    });
  });
  afterAll(() => engine.close());

  const ask = (prompt: Prompt, more: Partial<AnswerRequest> = {}, signal = new AbortController().signal) =>
    collect(engine.answer(textRequest('', { prompt, ...more }), signal));

  it('gives 32 callers what each gets alone, while others join, leave and hang up', async () => {
    const alone = new Map<string, string>();
    for (const question of QUESTIONS) alone.set(question, (await ask(chat(question))).text);
    // A second time alone, out of what the places still hold, so that reuse is not what differs.
    for (const question of QUESTIONS) expect((await ask(chat(question))).text).toBe(alone.get(question));

    const asked = Array.from({ length: 32 }, (_, index) => QUESTIONS[index % QUESTIONS.length]!);
    const leaving = asked.map((_, index) => {
      const controller = new AbortController();
      if (index % 5 === 4) setTimeout(() => controller.abort(new Error('left')), 20 * index);
      return controller;
    });
    const answers = await Promise.allSettled(
      asked.map(async (question, index) => {
        await new Promise((wake) => setTimeout(wake, (index * 37) % 300));
        return ask(chat(question), { maxTokens: 20 + ((index * 7) % 130) }, leaving[index]!.signal);
      }),
    );
    let whole = 0;
    for (const [index, answer] of answers.entries()) {
      if (answer.status === 'rejected') {
        expect(leaving[index]!.signal.aborted).toBe(true);
        continue;
      }
      whole++;
      const { text, finished } = answer.value;
      const expected = alone.get(asked[index]!)!;
      if (finished!.reason === 'stop') expect(text).toBe(expected);
      else expect(expected.startsWith(text)).toBe(true);
    }
    expect(whole).toBeGreaterThanOrEqual(26);
  }, 60_000);

  it('never leaves a running stream out of a step while a prompt of 2,000 tokens is read', async () => {
    const streams = Array.from({ length: 16 }, (_, index) =>
      ask(chat(`Count to ${index + 2}.`), { maxTokens: 200, sampling: { ignoreEos: true } }),
    );
    await expect.poll(() => steps.at(-1)!.filter(({ tokens }) => tokens.length === 1).length).toBe(16);
    const from = steps.length;
    const long = await ask(
      { kind: 'text', text: 'eventual consistency '.repeat(1_000).slice(0, 12_000) },
      { maxTokens: 1 },
    );
    const during = steps.slice(from - 1);
    expect(long.finished!.usage.promptTokens).toBeGreaterThanOrEqual(2_000);

    const reading = during.filter((works) => works.some(({ tokens }) => tokens.length > 16));
    expect(reading.length).toBeGreaterThanOrEqual(8);
    for (const works of reading) expect(Math.max(...works.map(({ tokens }) => tokens.length))).toBeLessThanOrEqual(256);
    const places = new Set(during[0]!.map(({ place }) => place));
    const last = during.findLastIndex((works) => works.some(({ tokens }) => tokens.length > 16));
    for (const place of places) {
      const gaps = gapsOf(
        during.slice(0, last + 1).map((works) => works.some((work) => work.place === place && work.choose)),
      );
      expect(Math.max(...gaps)).toBeLessThanOrEqual(2);
    }
    await Promise.all(streams);
  }, 60_000);

  it('reads one prompt for several answers, each as if alone', async () => {
    const prompt = chat('Tell me a story about a dog and a very long winter.');
    const seeds = [1, 2, 3, 4];
    const from = steps.length;
    const request = (seed: number) => ({ sampling: { temperature: 1, seed }, maxTokens: 30 });
    const together = await Promise.all(seeds.map((seed) => ask(prompt, request(seed))));
    const read = steps
      .slice(from)
      .flat()
      .reduce((sum, { tokens }) => sum + (tokens.length > 1 ? tokens.length : 0), 0);
    expect(read).toBeLessThanOrEqual(together[0]!.finished!.usage.promptTokens);
    for (const [index, seed] of seeds.entries()) {
      expect((await ask(chat('Tell me a story about a dog and a very long winter.'), request(seed))).text).toBe(
        together[index]!.text,
      );
    }
  });

  it('obeys random schemas, whatever the sampling, with several in one batch', async () => {
    const schema = fc.letrec<{ schema: object }>((tie) => ({
      schema: fc.oneof(
        { depthSize: 'small', withCrossShrink: true },
        fc.constantFrom<object>(
          { type: 'boolean' },
          { type: 'null' },
          { type: 'integer', minimum: -20, maximum: 300 },
          { type: 'string', maxLength: 6 },
          { type: 'string', pattern: '^[A-Z]{2}-[0-9]+$', maxLength: 8 },
          { enum: ['red', 'green', 7, null] },
        ),
        fc.array(tie('schema'), { minLength: 1, maxLength: 3 }).map((options) => ({ anyOf: options })),
        fc.record({ items: tie('schema'), maxItems: fc.integer({ min: 1, max: 3 }) }).map((rest) => ({
          type: 'array',
          ...rest,
        })),
        fc.dictionary(fc.constantFrom('a', 'b', 'name'), tie('schema'), { minKeys: 1 }).map((properties) => ({
          type: 'object',
          properties,
          required: Object.keys(properties).slice(1),
          additionalProperties: false,
        })),
      ),
    })).schema;
    const { Ajv2020 } = await import('ajv/dist/2020.js');
    const ajv = new Ajv2020({ strict: false });
    const sampling = fc.record({
      temperature: fc.constantFrom(0, 1, 2),
      topK: fc.constantFrom(0, 40),
      topP: fc.constantFrom(1, 0.9),
      seed: fc.nat(),
      repeatPenalty: fc.constantFrom(1, 1.3),
      presencePenalty: fc.constantFrom(0, 1),
      xtcProbability: fc.constantFrom(0, 0.5),
      dryMultiplier: fc.constantFrom(0, 0.8),
    });
    const one = fc.record({ schema, sampling, logprobs: fc.constantFrom(undefined, 0, 3) });
    await fc.assert(
      fc.asyncProperty(fc.array(one, { minLength: 1, maxLength: 8 }), async (requests) => {
        const answers = await Promise.all(
          requests.map(({ schema, sampling, logprobs }) =>
            ask(chat('Answer in JSON.'), {
              format: { kind: 'schema', schema: schema as never },
              sampling,
              logprobs,
              maxTokens: 400,
            }),
          ),
        );
        for (const [index, { text, finished, tokens }] of answers.entries()) {
          expect(finished!.usage.completionTokens).toBe(tokens.length + (finished!.reason === 'stop' ? 1 : 0));
          if (finished!.reason !== 'stop') continue;
          const valid = ajv.validate(requests[index]!.schema, JSON.parse(text));
          expect(valid, `${text} for ${JSON.stringify(requests[index]!.schema)}`).toBe(true);
        }
      }),
      { numRuns: 15 },
    );
  }, 120_000);
});

/** The longest runs of steps without a choice, between choices. */
function gapsOf(chose: readonly boolean[]): number[] {
  const gaps = [0];
  for (const each of chose) {
    if (each) gaps.push(0);
    else gaps[gaps.length - 1]!++;
  }
  return gaps;
}
