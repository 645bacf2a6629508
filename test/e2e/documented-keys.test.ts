import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { MILLRACE, ROOT, type Stack, startStack } from './stack.js';

const PAGE = readFileSync(join(ROOT, 'docs/how-to/keys.md'), 'utf8');

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

it('docs/how-to/keys.md can be typed from its beginning to its end', () => {
  const blocks = [...PAGE.matchAll(/```sh\n([\s\S]*?)```/g)].map((match) => match[1]!);
  expect(blocks.length).toBeGreaterThan(5);
  // One shell for all of them: what one exports, the next uses. Errors inside `$(…)` count as well.
  const script = `set -e\n${blocks.join('\n')}`.replaceAll('http://127.0.0.1:8000', stack.url);
  const output = execFileSync('sh', ['-c', script], {
    cwd: ROOT,
    encoding: 'utf8',
    env: {
      ...process.env,
      PATH: `${folder}:${process.env.PATH}`,
      MILLRACE_PORT: new URL(stack.url).port,
      MILLRACE_DATA_FOLDER: stack.dataFolder,
    },
  });
  expect(output).toContain('Paris');
  expect(output).toContain('"object":"list"');
  expect(output).toMatch(/alice .*60 requests\/min/);
  expect(output).toMatch(/^ {2}limits {4}1,000,000 tokens\/day$/m);
  expect(output).toContain('"name":"made by curl"');
  expect(output).toContain('"has_more":true');
});
