import type OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from './stack.js';

const model = 'millrace-demo';
const messages = [{ role: 'user' as const, content: 'Tell me a story about a mill.' }];
const prompt = 'The mill stands beside the river. The mill';

describe('several answers, echoes and log-probabilities of the real engine', () => {
  let stack: Stack;
  let client: OpenAI;
  beforeAll(async () => {
    stack = await startStack();
    client = stack.client();
  });
  afterAll(() => stack.stop());

  const chat = (changes: Partial<OpenAI.ChatCompletionCreateParamsNonStreaming>) =>
    client.chat.completions.create({ model, messages, temperature: 2, max_tokens: 12, ...changes });

  it('n answers with a seed are those of n requests with the seeds after it', async () => {
    // At temperature 2 nearly equal chances decide so often that rounding in another batch parts every second set of four.
    const asked = { model, prompt, temperature: 1, max_tokens: 12 };
    const together = await client.completions.create({ ...asked, n: 4, seed: 7 });
    const alone = await Promise.all([7, 8, 9, 10].map((seed) => client.completions.create({ ...asked, seed })));
    const texts = together.choices.map(({ text }) => text);
    expect(texts).toEqual(alone.map(({ choices }) => choices[0]?.text));
    expect(new Set(texts).size).toBeGreaterThan(1);

    const usages = alone.map(({ usage }) => usage!);
    expect(together.usage?.prompt_tokens).toBe(usages[0]?.prompt_tokens);
    expect(together.usage?.completion_tokens).toBe(sum(usages.map((usage) => usage.completion_tokens)));
  });

  it('n answers without a seed differ', async () => {
    const { choices } = await client.completions.create({ model, prompt, n: 8, temperature: 2, max_tokens: 12 });
    expect(new Set(choices.map(({ text }) => text)).size).toBeGreaterThan(1);
  });

  it('a stream adds up to the whole answer, log-probabilities and stop texts included', async () => {
    const asked = { n: 3, seed: 3, logprobs: true, top_logprobs: 4, stop: ['the', ','] };
    const whole = await chat(asked);
    const stream = client.chat.completions.stream({
      model,
      messages,
      temperature: 2,
      max_tokens: 12,
      stream_options: { include_usage: true },
      ...asked,
    });
    const streamed = await stream.finalChatCompletion();
    for (const [index, { message, logprobs, finish_reason }] of whole.choices.entries()) {
      const other = streamed.choices[index];
      expect(other?.message.content ?? '').toBe(message.content);
      expect(other?.finish_reason).toBe(finish_reason);
      expect(other?.logprobs?.content?.map(({ token }) => token) ?? []).toEqual(
        logprobs?.content?.map(({ token }) => token),
      );
      expect(message.content).not.toMatch(/the|,/);
      for (const { top_logprobs } of logprobs?.content ?? []) expect(top_logprobs).toHaveLength(4);
    }
    expect(streamed.usage?.completion_tokens).toBe(whole.usage?.completion_tokens);
  });

  it('the best of several is the one with the highest mean log-probability', async () => {
    const asked = { model, prompt, temperature: 1.5, max_tokens: 8, seed: 5, logprobs: 0 };
    const all = await client.completions.create({ ...asked, n: 5 });
    const best = await client.completions.create({ ...asked, best_of: 5 });
    const ranked = all.choices.toSorted((a, b) => mean(b) - mean(a));
    expect(best.choices.map(({ text }) => text)).toEqual([ranked[0]?.text]);
    expect(best.usage?.completion_tokens).toBe(all.usage?.completion_tokens);
  });

  it('an echo scores a prompt, and its score does not depend on what is generated after it', async () => {
    const asked = { model, prompt, echo: true, logprobs: 2, temperature: 0 };
    const score = await client.completions.create({ ...asked, max_tokens: 0 });
    const longer = await client.completions.create({ ...asked, max_tokens: 5 });
    const [scored, continued] = [score.choices[0]!, longer.choices[0]!];
    expect(scored).toMatchObject({ text: prompt, finish_reason: 'length' });
    expect(score.usage?.completion_tokens).toBe(0);
    expect(continued.text.startsWith(prompt)).toBe(true);

    const { tokens, token_logprobs, text_offset } = scored.logprobs!;
    expect(token_logprobs?.[0]).toBeNull();
    expect(continued.logprobs?.tokens?.slice(0, tokens!.length)).toEqual(tokens);
    for (const [index, logprob] of token_logprobs!.entries()) {
      if (logprob !== null) expect(continued.logprobs?.token_logprobs?.[index]).toBeCloseTo(logprob, 3);
    }
    for (const [index, token] of tokens!.entries()) {
      expect(prompt.slice(text_offset![index]).startsWith(token)).toBe(true);
    }
  });

  it('several prompts are answered as each would be alone', async () => {
    const asked = { model, temperature: 0, max_tokens: 6 };
    const prompts = [prompt, 'The river', 'A small'];
    const together = await client.completions.create({ ...asked, prompt: prompts });
    const alone = await Promise.all(prompts.map((one) => client.completions.create({ ...asked, prompt: one })));
    expect(together.choices.map(({ text }) => text)).toEqual(alone.map(({ choices }) => choices[0]?.text));
    expect(together.usage?.total_tokens).toBe(sum(alone.map(({ usage }) => usage!.total_tokens)));
  });

  it('more answers than the worker has places are a 400 with both numbers', async () => {
    await expect(chat({ n: 100 })).rejects.toMatchObject({ status: 400, param: 'n', message: /100.*32/ });
  });
});

function mean(choice: OpenAI.CompletionChoice): number {
  const logprobs = choice.logprobs?.token_logprobs ?? [];
  return logprobs.length === 0 ? Number.NEGATIVE_INFINITY : sum(logprobs) / logprobs.length;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
