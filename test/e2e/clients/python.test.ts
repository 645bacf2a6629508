import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { ROOT } from '../stack.js';
import { url } from './our-side.js';

/** PyPI may be slow, or be reached and say nothing. */
const INSTALL_TIMEOUT_MS = 300_000;

const found = spawnSync('tools/python-clients.sh', { cwd: ROOT, encoding: 'utf8', timeout: INSTALL_TIMEOUT_MS });
const reason =
  found.status === 0
    ? ''
    : `, which do not run: ${found.stderr.trim().split('\n').at(-1) || 'installing them took too long'}`;
if (reason !== '') console.warn(`Skipped: the examples in Python${reason}`);

describe.skipIf(reason !== '')(`clients in Python${reason}`, () => {
  const run = async (example: string) => {
    const environment = { ...process.env, OPENAI_BASE_URL: `${url}/v1` };
    const { stdout } = await promisify(execFile)(found.stdout.trim(), [`examples/${example}`], {
      cwd: ROOT,
      env: environment,
    });
    return stdout;
  };

  it.each([
    ['openai_python.py', [/Paris/]],
    ['openai_python_embeddings.py', [/→ Anna wrote the letter\./]],
    ['openai_python_tools.py', [/21/, /^model_not_found req_\w+$/m]],
    [
      'langchain_python.py',
      [
        /Paris/,
        /^Answer\(city='(Oslo|Paris)', certain=(True|False)\)$/m,
        /21/,
        /→ Anna wrote the letter\./,
        /^too long$/m,
      ],
    ],
  ])('run as they stand: examples/%s', async (example, expected) => {
    const output = await run(example);
    for (const pattern of expected) expect(output).toMatch(pattern);
  });
});
