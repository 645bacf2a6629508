import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import OpenAI, { AuthenticationError, PermissionDeniedError, RateLimitError } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { millrace, type Stack, startStack } from './stack.js';

const QUESTION = {
  model: 'millrace-demo',
  messages: [{ role: 'user' as const, content: 'What is 2 + 2?' }],
  max_tokens: 8,
};

interface NewKey {
  readonly id: string;
  readonly key: string;
}

/** Keys as their owner makes and uses them: by the command line, and with OpenAI's own client. */
describe('keys and their limits', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack();
  });
  afterAll(() => stack.stop());

  const cli = async (...args: string[]) => {
    const done = await millrace([...args, '--url', stack.url], '', { MILLRACE_DATA_FOLDER: stack.dataFolder });
    expect(done.status, done.stderr).toBe(0);
    return done.stdout;
  };
  const create = async (...args: string[]) => JSON.parse(await cli('keys', 'create', ...args, '--json')) as NewKey;
  const clientOf = (apiKey: string) => new OpenAI({ baseURL: `${stack.url}/v1`, apiKey, maxRetries: 0 });
  const ask = (apiKey: string) => clientOf(apiKey).chat.completions.create(QUESTION).withResponse();

  it('asks nobody for a key while there is none', async () => {
    expect((await ask('any')).response.status).toBe(200);
  });

  it('has made a key for the admin, which only its owner can read, and says where it lies', () => {
    const file = join(stack.dataFolder, 'admin-key');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readFileSync(file, 'utf8').trim().length).toBeGreaterThanOrEqual(20);
    expect(stack.output()).toContain(file);
    expect(stack.output()).not.toContain(readFileSync(file, 'utf8').trim());
  });

  it('asks everybody for one as soon as there is one', async () => {
    const { key } = await create('alice');
    expect((await ask(key)).response.status).toBe(200);
    await expect(ask('any')).rejects.toBeInstanceOf(AuthenticationError);
    const byHeader = await fetch(`${stack.url}/v1/models`, { headers: { 'x-api-key': key } });
    expect(byHeader.status).toBe(200);
  });

  it('counts down what is left, and says which limit it was and when to come back', async () => {
    const { key } = await create('hasty', '--rpm', '2');
    const first = await ask(key);
    expect(first.response.headers.get('x-ratelimit-limit-requests')).toBe('2');
    expect(first.response.headers.get('x-ratelimit-remaining-requests')).toBe('1');
    await ask(key);
    const refused = (await ask(key).catch((error: unknown) => error)) as RateLimitError;
    expect(refused).toBeInstanceOf(RateLimitError);
    expect(refused.code).toBe('rate_limit_exceeded');
    expect(refused.headers?.get('x-millrace-limit')).toBe('requests_per_minute');
    expect(Number(refused.headers?.get('retry-after'))).toBeGreaterThan(0);
  });

  it('tells a spent budget from a rate, so that no client tries again by itself', async () => {
    const { key } = await create('frugal', '--tokens-per-day', '600');
    const long = { ...QUESTION, max_tokens: 400, messages: [{ role: 'user' as const, content: 'x'.repeat(300) }] };
    let refused: unknown;
    for (let asked = 0; asked < 60 && refused === undefined; asked++) {
      await clientOf(key)
        .chat.completions.create(long)
        .catch((error: unknown) => {
          refused = error;
        });
    }
    expect(refused).toBeInstanceOf(RateLimitError);
    const { code, headers } = refused as RateLimitError;
    expect(code).toBe('insufficient_quota');
    expect(headers?.get('x-should-retry')).toBe('false');
    expect(headers?.get('x-millrace-limit')).toBe('daily_budget');
  });

  it('keeps a key to its models', async () => {
    const { key } = await create('vectors', '--models', 'millrace-demo-embed');
    await expect(ask(key)).rejects.toBeInstanceOf(PermissionDeniedError);
    const { data } = await clientOf(key).models.list();
    expect(data.map(({ id }) => id)).toEqual(['millrace-demo-embed']);
  });

  it('refuses a revoked key at once, and lists it as what it is', async () => {
    const { id, key } = await create('leaving');
    await ask(key);
    await cli('keys', 'revoke', id);
    await expect(ask(key)).rejects.toBeInstanceOf(AuthenticationError);
    const list = await cli('keys', 'list');
    expect(list).toMatch(new RegExp(`${id}.*revoked`));
    expect(list).not.toContain(key);
  });

  it('tells what each key used, once its records are written', async () => {
    const { id, key } = await create('counted');
    const { data } = await ask(key);
    const total = data.usage!.total_tokens;
    await expect
      .poll(async () => JSON.parse(await cli('usage', '--by', 'key', '--key', id, '--json')), { timeout: 15_000 })
      .toMatchObject({ data: [{ key_id: id, requests: 1, total_tokens: total }] });
  });
});
