import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { flagOf, SETTINGS } from '@millrace/contracts';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { COMMANDS, runCli } from './cli.js';

let out: string;
let err: string;
beforeEach(() => {
  out = '';
  err = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += String(text);
    return true;
  });
  vi.spyOn(console, 'error').mockImplementation((text) => {
    err += `${text}\n`;
  });
});
afterEach(() => vi.restoreAllMocks());

describe('main.ts', () => {
  it('imports nothing before it has looked at the version of Node', () => {
    const source = readFileSync(join(import.meta.dirname, 'main.ts'), 'utf8');
    expect(source).not.toMatch(/^(import|export .* from) /m);
    expect(source.indexOf('import(')).toBeGreaterThan(source.indexOf('process.exit(1)'));
  });
});

describe('millrace', () => {
  it('says its version', async () => {
    expect(await runCli(['--version'])).toBe(0);
    expect(out).toMatch(/^millrace \d+\.\d+\.\d+\n$/);
  });

  it('lists its commands, and explains each', async () => {
    await runCli([]);
    for (const name of Object.keys(COMMANDS)) {
      expect(out).toContain(`  ${name}`);
      expect(await runCli([name, '--help'])).toBe(0);
      expect(out).toContain(`millrace ${name} `);
    }
  });

  it('explains every setting under serve', async () => {
    await runCli(['help', 'serve']);
    for (const name of Object.keys(SETTINGS)) expect(out).toContain(`${flagOf(name)}`);
  });

  it('suggests the command that was meant', async () => {
    expect(await runCli(['sevre'])).toBe(1);
    expect(err).toBe('millrace has no command sevre. Did you mean serve? millrace --help lists all.\n');
  });

  it('tells every problem of the settings, and nothing of its inside', async () => {
    expect(await runCli(['models', '--port=eight', '--jsn'])).toBe(1);
    expect(err).toBe(
      'There is no flag --jsn. Did you mean --json? --help lists all.\n' +
        '--port is "eight". It takes a whole number from 0 to 65,535. Change it, or leave it out to use 8000.\n',
    );
  });
});
