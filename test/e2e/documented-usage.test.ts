import { afterAll, beforeAll, expect, it } from 'vitest';
import { type DocumentedShell, openDocumentedShell, shellBlocks } from './documented-shell.js';

let shell: DocumentedShell;
beforeAll(async () => {
  shell = await openDocumentedShell();
});
afterAll(() => shell.close());

it('docs/how-to/usage.md tells what was asked, by every command on it', async () => {
  const { url } = shell.stack;
  const body = JSON.stringify({ messages: [{ role: 'user', content: 'Hi' }], max_tokens: 4 });
  const headers = { 'content-type': 'application/json' };
  for (let at = 0; at < 3; at++) {
    expect((await fetch(`${url}/v1/chat/completions`, { method: 'POST', headers, body })).status).toBe(200);
  }
  expect((await fetch(`${url}/v1/nothing`)).status).toBe(404);
  await expect.poll(() => shell.run('millrace usage --by model'), { timeout: 10_000 }).toMatch(/^total +4 +1 /m);
  expect(shell.run('millrace usage')).toMatch(/^\d{4}-\d\d-\d\d +none +millrace-demo +3 +0 .* 12 +\d+$/m);

  const blocks = shellBlocks('docs/how-to/usage.md');
  expect(blocks).toHaveLength(2);
  const output = shell.run(blocks.join('\n'));
  expect(output).toContain('Usage from 2026-11-01 to 2026-11-30 (UTC)');
  expect(output).toMatch(/"object": ?"millrace.usage"/);
});
