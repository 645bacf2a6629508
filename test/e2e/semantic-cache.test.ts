import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT, type Stack, startStack } from './stack.js';

type Pair = readonly [string, string];
interface Pairs {
  readonly different: Readonly<Record<string, readonly Pair[]>>;
  readonly same: readonly Pair[];
}
const { different, same } = JSON.parse(
  readFileSync(join(ROOT, 'apps/gateway/src/cache/semantic-pairs/held-out.json'), 'utf8'),
) as Pairs;

/** At a time: as many looks as a gateway has under way at once, less what an idle machine would still be late with. */
const AT_A_TIME = 4;

describe('the semantic cache, with the built-in models and the embedded database', { timeout: 240_000 }, () => {
  let stack: Stack;
  beforeAll(async () => {
    // The lowest threshold there is: what the vectors take for the same is as much as it can be.
    stack = await startStack({
      environment: {
        MILLRACE_SEMANTIC_CACHE_THRESHOLD: '0.5',
        MILLRACE_SEMANTIC_CACHE_TIMEOUT_MS: '30000',
        MILLRACE_VECTOR_TIMEOUT_MS: '30000',
      },
    });
  });
  afterAll(() => stack.stop());

  /** What the cache made of it. */
  const ask = async (question: string, system: string): Promise<string | null> => {
    const response = await fetch(`${stack.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-millrace-cache': 'semantic' },
      body: JSON.stringify({
        messages: [
          { role: 'system', content: system },
          { role: 'user', content: question },
        ],
        temperature: 0,
        max_tokens: 1,
      }),
    });
    expect(response.status).toBe(200);
    await response.text();
    return response.headers.get('x-millrace-cache');
  };
  const counted = async (name: string, outcome: string): Promise<number> => {
    const text = await (await fetch(`${stack.url}/metrics`)).text();
    return Number(new RegExp(`^${name}\\{[^}]*outcome="${outcome}"[^}]*\\} (\\d+)`, 'm').exec(text)?.[1] ?? 0);
  };
  const noted = (count: number) =>
    expect
      .poll(() => counted('millrace_semantic_notes_total', 'noted'), { timeout: 60_000, interval: 200 })
      .toBeGreaterThanOrEqual(count);
  const each = async <T, R>(items: readonly T[], act: (item: T, index: number) => Promise<R>): Promise<R[]> => {
    const results: R[] = [];
    for (let from = 0; from < items.length; from += AT_A_TIME) {
      results.push(...(await Promise.all(items.slice(from, from + AT_A_TIME).map((item, at) => act(item, from + at)))));
    }
    return results;
  };

  it('answers a question in other words, but not its opposite', async () => {
    expect(await ask('Is 3 > 2?', 'math')).toBe('miss');
    await noted(1);
    expect(await ask('is 3 > 2', 'math')).toBe('hit');
    expect(await ask('Is 3 < 2?', 'math')).toBe('miss');
    expect(await ask('Is 3 > 2?', 'mathematics')).toBe('miss');
  });

  it('answers no question of the held-out list with the answer of another', async () => {
    const pairs = Object.values(different).flat();
    const before = await counted('millrace_semantic_notes_total', 'noted');
    // A system prompt each, so that a pair is not saved by another's answer.
    const first = await each(pairs, ([one], at) => ask(one, `pair ${at}`));
    expect(new Set(first)).toEqual(new Set(['miss']));
    await noted(before + pairs.length);
    const second = await each(pairs, async ([one, other], at) => ({
      one,
      other,
      told: await ask(other, `pair ${at}`),
    }));
    expect(second.filter(({ told }) => told !== 'miss')).toEqual([]);
    // That they were looked for is told by those that were not late, failed or dropped.
    for (const outcome of ['late', 'failed', 'away', 'busy']) {
      expect([outcome, await counted('millrace_semantic_lookups_total', outcome)]).toEqual([outcome, 0]);
    }
  });

  it('answers those that mean the same as often as the guard lets through', async () => {
    const before = await counted('millrace_semantic_notes_total', 'noted');
    await each(same, ([one], at) => ask(one, `same ${at}`));
    await noted(before + same.length);
    const told = await each(same, ([, other], at) => ask(other, `same ${at}`));
    expect(told.filter((outcome) => outcome === 'hit').length).toBe(21);
  });
});
