import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, sequencesOf, startStack } from './stack.js';

const QUESTIONS = [
  'What is the capital of France?',
  'What is the capital of Japan?',
  'Count to 15.',
  'What is 7 plus 12?',
  'What is dynamic batching?',
  'Who are you?',
  'Hello!',
  'Explique, em até 120 palavras, o que é consistência eventual e cite 1 caso de uso comum.',
];

describe('many clients', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack();
  });
  afterAll(() => stack.stop());

  const ask = async (question: string): Promise<string> => {
    const stream = stack.client().chat.completions.stream({
      model: 'millrace-demo',
      messages: [{ role: 'user', content: question }],
      temperature: 0,
      max_tokens: 150,
    });
    return (await stream.finalContent()) ?? '';
  };

  it('get the same answers together as each gets alone', async () => {
    const alone = new Map<string, string>();
    for (const question of QUESTIONS) alone.set(question, await ask(question));

    const asked = Array.from({ length: 32 }, (_, index) => QUESTIONS[index % QUESTIONS.length]!);
    const expected = asked.map((question) => alone.get(question));
    expect(await Promise.all(asked.map(ask))).toEqual(expected);

    // Again, each joining while others are in the middle of their answer.
    const joining = asked.map(async (question, index) => {
      await new Promise((wake) => setTimeout(wake, index * 25));
      return ask(question);
    });
    expect(await Promise.all(joining)).toEqual(expected);
  });

  it('leave no sequence running a second after they hang up', async () => {
    const random = mulberry32(20260101);
    const hangUp = async (index: number): Promise<void> => {
      const leaveAfterMs = Math.floor(random() * 400);
      try {
        const stream = await stack.client().chat.completions.create(
          {
            model: 'millrace-demo',
            messages: [{ role: 'user', content: `Count to 20. ${index}` }],
            stream: true,
            max_tokens: 400,
          },
          { signal: AbortSignal.timeout(leaveAfterMs) },
        );
        for await (const _ of stream);
      } catch (error) {
        // Leaving is the point; with 200 at once some are turned away, which leaves nothing behind either.
        const expected =
          error instanceof OpenAI.APIUserAbortError || error instanceof OpenAI.RateLimitError || isAbort(error);
        if (!expected) throw error;
      }
    };
    await Promise.all(Array.from({ length: 200 }, (_, index) => hangUp(index)));
    await new Promise((wake) => setTimeout(wake, 1_000));

    expect(await sequencesOf(stack.url)).toBe(0);
    expect(await ask('What is the capital of France?')).toContain('Paris');
  });
});

function isAbort(error: unknown): boolean {
  return error instanceof Error && (error.name === 'AbortError' || error.name === 'TimeoutError');
}

/** A small seeded generator, so that a failure can be repeated. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
