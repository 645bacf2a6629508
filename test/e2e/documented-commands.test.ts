import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDocumentedShell, shellBlocks } from './documented-shell.js';
import { ROOT, type Stack, startStack } from './stack.js';

/** README's commands and the examples are run as they stand, but for the port. */
describe('what the documents tell people to type', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack();
  });
  afterAll(() => stack.stop());

  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
  const blocks = shellBlocks('README.md');
  /** Once there is a key everybody needs one: what makes it has a Millrace of its own. */
  const withKeys = blocks.filter((block) => /\bmillrace (keys|usage)\b/.test(block));
  const environment = () => ({ ...process.env, OPENAI_BASE_URL: `${stack.url}/v1` });

  it('begins with the two commands that the Makefile has', () => {
    expect(readme).toContain('make run');
    expect(readme).toContain('make test');
  });

  it('works: keys, limits and usage', async () => {
    expect(withKeys).toHaveLength(2);
    const shell = await openDocumentedShell();
    try {
      const output = shell.run(withKeys.join('\n'));
      expect(output).toContain('Paris');
      expect(output).toMatch(/^x-ratelimit-remaining-requests: 59\r$/m);
      expect(output).toMatch(/me .*60 requests\/min, 100,000 tokens\/day/);
      expect(output).toContain('(UTC)');
    } finally {
      await shell.close();
    }
  });

  for (const block of blocks.filter((text) => text.includes('curl') && !withKeys.includes(text))) {
    it(`works: ${block.split('\n')[0]!.slice(0, 70)}`, () => {
      const output = execFileSync('sh', ['-ec', block.replaceAll('http://127.0.0.1:8000', stack.url)], {
        encoding: 'utf8',
      });
      expect(output).toMatch(/Paris|Oslo|millrace-demo|ready/);
    });
  }

  it.each([
    ['openai-node.mjs', 'Paris'],
    ['openai-node-embeddings.mjs', '→ Anna wrote the letter.'],
    ['openai-node-tools.mjs', '21'],
    ['openai-node-batch.mjs', 'Norway: The capital of Norway is Oslo.'],
    ['openai-node-vector-store.mjs', '→ letter.md: Anna wrote the letter.'],
  ])('works: examples/%s', (example, expected) => {
    const output = execFileSync(process.execPath, [`examples/${example}`], {
      cwd: ROOT,
      env: environment(),
      encoding: 'utf8',
    });
    expect(output).toContain(expected);
  });

  it('works: examples/curl.sh', () => {
    const output = execFileSync('sh', ['examples/curl.sh'], { cwd: ROOT, env: environment(), encoding: 'utf8' });
    expect(output).toContain('data: [DONE]');
  });

  const python = spawnSync('python3', ['-c', 'import openai; print(openai.__version__)'], { encoding: 'utf8' });
  const withPython = python.status === 0;
  if (!withPython)
    console.warn('Skipped: the examples in Python, because python3 with the openai package is not installed.');
  it.skipIf(!withPython).each([
    ['openai_python.py', 'Paris'],
    ['openai_python_embeddings.py', '→ Anna wrote the letter.'],
  ])('works: examples/%s', (example, expected) => {
    const output = execFileSync('python3', [`examples/${example}`], {
      cwd: ROOT,
      env: environment(),
      encoding: 'utf8',
    });
    expect(output).toContain(expected);
  });
});
