import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { millrace, startStack } from './stack.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-with-keys-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const QUESTION = ['chat', '--user', 'What is the capital of France?', '--max-tokens', '16'];

it('a machine that has keys goes on having them, and its commands say what they need', async () => {
  const environment = { MILLRACE_DATA_FOLDER: folder };
  const port = (url: string) => ({ ...environment, MILLRACE_PORT: new URL(url).port });

  // Beyond loopback nobody is served before the first key.
  const open = await startStack({ args: ['--host', '0.0.0.0'], environment });
  let key: string;
  try {
    expect(open.output()).toContain('millrace keys create me --quiet');
    expect((await fetch(`${open.url}/v1/models`)).status).toBe(401);
    key = (await millrace(['keys', 'create', 'me', '--quiet'], '', port(open.url))).stdout.trim();
    expect((await fetch(`${open.url}/v1/models`, { headers: { 'x-api-key': key } })).status).toBe(200);
  } finally {
    await open.stop();
  }

  const stack = await startStack({ environment });
  try {
    expect(stack.output()).toContain('-H "Authorization: Bearer $MILLRACE_API_KEY"');
    expect(stack.output()).not.toContain('keys create');
    // Nor is its own look around a refusal in the log.
    expect(stack.output()).not.toContain('invalid_api_key');
    expect(stack.output()).toContain('Models   millrace-demo');

    const without = await millrace(QUESTION, '', port(stack.url));
    expect([without.status, without.stderr]).toEqual([1, expect.stringContaining('MILLRACE_API_KEY')]);
    const given = await millrace(QUESTION, '', { ...port(stack.url), MILLRACE_API_KEY: key });
    expect([given.status, given.stdout]).toEqual([0, expect.stringContaining('Paris')]);

    // On this machine the admin key is at hand for a look at the models.
    const models = await millrace(['models'], '', port(stack.url));
    expect([models.status, models.stdout]).toEqual([0, expect.stringContaining('millrace-demo')]);
    const check = await millrace(['check', '--json'], '', port(stack.url));
    expect(check.stdout).toContain('and is ready');
    const bench = ['bench', '--url', stack.url, '--clients', '1', '--requests', '2', '--max-tokens', '4'];
    expect((await millrace(bench, '', { ...port(stack.url), MILLRACE_API_KEY: key })).status).toBe(0);
    const wrong = await millrace(['keys', 'list'], '', { ...port(stack.url), MILLRACE_ADMIN_KEY: 'x'.repeat(20) });
    expect([wrong.status, wrong.stderr]).toEqual([1, expect.stringContaining('not the admin key')]);
    expect(stack.output()).not.toContain(key);
  } finally {
    await stack.stop();
  }
}, 120_000);
