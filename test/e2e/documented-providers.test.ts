import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { shellBlocks } from './documented-shell.js';
import { MILLRACE, ROOT, type Stack, serveToItsEnd, startStack } from './stack.js';

const PAGE = 'docs/how-to/providers.md';
const [look, asking, streaming] = shellBlocks(PAGE);
const [, yaml] = /```yaml\n([\s\S]*?)```/.exec(readFileSync(join(ROOT, PAGE), 'utf8'))!;
const KEYS = { GROQ_API_KEY: 'pretend', FIREWORKS_API_KEY: 'pretend' };

let folder: string;
let provider: ChildProcess;
let port: string;
let modelsFile: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-providers-'));
  modelsFile = join(folder, 'providers.yaml');
  writeFileSync(join(folder, 'millrace'), `#!/bin/sh\nexec "${process.execPath}" "${MILLRACE}" "$@"\n`);
  chmodSync(join(folder, 'millrace'), 0o755);
  port = String(20_000 + Math.floor(Math.random() * 20_000));
  writeFileSync(modelsFile, yaml!.replaceAll('9100', port));
  provider = await startProvider();
});
afterAll(() => {
  provider.kill();
  rmSync(folder, { recursive: true, force: true });
});

async function startProvider(): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['examples/pretend-provider.mjs', port, 'pretend'], { cwd: ROOT });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  return child;
}

/** As a reader would, but for the port, the file's place and the provider, which runs already. */
function run(commands: string, url = ''): string {
  const here = commands
    .replace(/^node examples\/pretend-provider.*\n/m, '')
    .replaceAll('providers.yaml', modelsFile)
    .replaceAll('http://127.0.0.1:8000', url);
  const env = {
    ...process.env,
    PATH: `${folder}:${process.env.PATH}`,
    MILLRACE_PORT: '0',
    MILLRACE_DATA_FOLDER: join(folder, 'data'),
  };
  return execFileSync('sh', ['-c', `set -e\n${here}`], { cwd: ROOT, encoding: 'utf8', env });
}

describe(PAGE, () => {
  let stack: Stack | undefined;
  afterEach(() => stack?.stop());

  it('has a look that finds both providers', () => {
    const output = run(look!);
    expect(output).toMatch(/✓ ok +provider groq +groq at http:\/\/127.0.0.1:\d+\/v1 answers, and lists 2 models/);
    expect(output).toMatch(/✓ ok +provider fireworks/);
  });

  it('asks a gateway that stands alone', async () => {
    stack = await startStack({ args: ['--models-file', modelsFile], environment: KEYS });
    expect(stack.output()).toContain('itself, so no worker is started');
    const output = run(asking!, stack.url);
    expect(output).toContain('"text":"You said: What is the capital of France?","provider":"groq"');
    expect(output).toContain('"upstream_model":"accounts/fireworks/models/qwen2p5-7b-instruct"');
    const streamed = run(streaming!, stack.url);
    expect(streamed).toContain('something.');
    expect(streamed).toContain('data: [DONE]');
  });

  it('tells truly what a start says when a key is missing or refused', async () => {
    const { status, output } = await serveToItsEnd(['--models-file', modelsFile], {
      GROQ_API_KEY: '',
      FIREWORKS_API_KEY: 'not-the-key',
    });
    expect(status).toBe(1);
    expect(output).toMatch(/needs a key .*GROQ_API_KEY/);
    expect(output).toMatch(/refuses the key in FIREWORKS_API_KEY: it answers with status 401/);
    expect(output).toContain('--provider-check=warn');
    expect(output).not.toContain('not-the-key');
  });

  it('tells truly that fallbacks answer where a provider does not', async () => {
    stack = await startStack({
      args: ['--models-file', modelsFile, '--provider-check=warn'],
      environment: { ...KEYS, GROQ_API_KEY: 'not-the-key' },
    });
    const output = run(asking!, stack.url);
    expect(output).toContain('"provider":"fireworks"');
  });
});
