import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { MILLRACE, ROOT, type Stack, startStack } from './stack.js';

const PAGE = readFileSync(join(ROOT, 'docs/how-to/usage.md'), 'utf8');

let stack: Stack;
let folder: string;
beforeAll(async () => {
  stack = await startStack();
  folder = mkdtempSync(join(tmpdir(), 'millrace-documented-'));
  writeFileSync(join(folder, 'millrace'), `#!/bin/sh\nexec "${process.execPath}" "${MILLRACE}" "$@"\n`);
  chmodSync(join(folder, 'millrace'), 0o755);
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await stack.stop();
});

function run(script: string): string {
  return execFileSync('sh', ['-c', `set -e\n${script}`], {
    cwd: ROOT,
    encoding: 'utf8',
    env: {
      ...process.env,
      PATH: `${folder}:${process.env.PATH}`,
      MILLRACE_PORT: new URL(stack.url).port,
      MILLRACE_DATA_FOLDER: stack.dataFolder,
    },
  });
}

it('docs/how-to/usage.md tells what was asked, by every command on it', async () => {
  const body = JSON.stringify({ messages: [{ role: 'user', content: 'Hi' }], max_tokens: 4 });
  const headers = { 'content-type': 'application/json' };
  for (let at = 0; at < 3; at++) {
    expect((await fetch(`${stack.url}/v1/chat/completions`, { method: 'POST', headers, body })).status).toBe(200);
  }
  expect((await fetch(`${stack.url}/v1/nothing`)).status).toBe(404);
  await expect.poll(() => run('millrace usage --by model'), { timeout: 10_000 }).toMatch(/^total +4 +1 /m);
  expect(run('millrace usage')).toMatch(/^\d{4}-\d\d-\d\d +none +millrace-demo +3 +0 .* 12 +\d+$/m);

  const blocks = [...PAGE.matchAll(/```sh\n([\s\S]*?)```/g)].map((match) => match[1]!);
  expect(blocks).toHaveLength(2);
  const script = blocks
    .join('\n')
    .replaceAll('http://127.0.0.1:8000', stack.url)
    .replaceAll('.millrace/data', stack.dataFolder);
  const output = run(script);
  expect(output).toContain('Usage from 2026-11-01 to 2026-11-30 (UTC)');
  expect(output).toMatch(/"object": ?"millrace.usage"/);
});
