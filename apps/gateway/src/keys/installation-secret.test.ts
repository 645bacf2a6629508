import { execFile } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createLogger } from '@millrace/runtime';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { installationSecrets } from './installation-secret.js';

const GIVEN = { adminKey: 'a'.repeat(20), keySecret: 'k'.repeat(32) };

describe('the secrets of an installation', () => {
  let home: string;
  const lines: string[] = [];
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'millrace-secrets-'));
  });
  afterEach(() => {
    rmSync(home, { recursive: true, force: true });
    lines.length = 0;
  });

  const logger = createLogger(
    { name: 'test', level: 'info', format: 'json' },
    { write: (line: string) => void lines.push(line) },
  );
  const secrets = (changes: { adminKey?: string; keySecret?: string; dataFolder?: string } = {}) =>
    installationSecrets(
      { adminKey: undefined, keySecret: undefined, dataFolder: join(home, 'data'), ...changes },
      logger,
    );

  it('are made at the first start, for nobody but their owner, and found again at the next', () => {
    const made = secrets();
    expect(made.adminKey).toMatch(/^mr-admin-\w{44}$/);
    expect(made.keySecret).toMatch(/^\w{44}$/);
    expect(statSync(join(home, 'data')).mode & 0o777).toBe(0o700);
    for (const file of ['admin-key', 'key-secret']) expect(statSync(join(home, 'data', file)).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(home, 'data')).sort()).toEqual(['admin-key', 'key-secret']);
    expect(secrets()).toEqual(made);
  });

  it('are told by the log as places, and never as what they are', () => {
    const { adminKey, keySecret } = secrets();
    secrets();
    const log = lines.join('');
    expect(log).toContain(join(home, 'data', 'admin-key'));
    expect(log).toContain(join(home, 'data', 'key-secret'));
    expect(log).not.toContain(adminKey);
    expect(log).not.toContain(keySecret);
  });

  it('are those that were given, and then no folder is needed', () => {
    expect(secrets(GIVEN)).toEqual(GIVEN);
    expect(existsSync(join(home, 'data'))).toBe(false);
  });

  it('are refused when they are too short, with both numbers', () => {
    expect(() => secrets({ ...GIVEN, adminKey: 'short' })).toThrow(/^adminKey has 5 characters; .* at least 20\./);
    expect(() => secrets({ ...GIVEN, keySecret: 'k'.repeat(31) })).toThrow(
      /^keySecret has 31 characters; .* at least 32\./,
    );
  });

  it('are taken without the line break that a file or a Kubernetes secret ends with', () => {
    expect(secrets({ adminKey: `${GIVEN.adminKey}\n`, keySecret: ` ${GIVEN.keySecret}\r\n` })).toEqual(GIVEN);
  });

  it.each([
    'an admin key with spaces',
    'ein-Schlüssel-mit-Umlaut',
    'a-tab-or-worse-\t-inside',
    'a-null-is-inside-\0-here',
  ])('are refused when no header can carry them: %j', (adminKey) => {
    expect(() => secrets({ ...GIVEN, adminKey })).toThrow(/^adminKey holds .*MILLRACE_ADMIN_KEY\.$/);
    secrets();
    writeFileSync(join(home, 'data', 'admin-key'), adminKey);
    expect(() => secrets()).toThrow(/admin-key holds .*Delete it/);
    // It is in no header, so it may hold what it likes.
    expect(secrets({ ...GIVEN, keySecret: `${adminKey}, and so on and on` }).keySecret).toContain(adminKey);
  });

  it.each(['', 'short\n'])(
    'are refused when their file was cut to %j, rather than made anew: keys would be lost',
    (left) => {
      secrets();
      writeFileSync(join(home, 'data', 'key-secret'), left);
      expect(() => secrets()).toThrow(/key-secret has \d characters; .* at least 32\. Restore it/);
    },
  );

  it('are told to be readable by others', () => {
    secrets();
    chmodSync(join(home, 'data', 'admin-key'), 0o644);
    secrets();
    const [warning, ...more] = lines.map((line) => JSON.parse(line)).filter(({ level }) => level === 'warn');
    expect(warning).toMatchObject({ mode: '644', msg: expect.stringContaining('chmod 600') });
    expect(more).toEqual([]);
  });

  it('are a sentence that says what to do when the folder can not be one', () => {
    writeFileSync(join(home, 'a-file'), '');
    expect(() => secrets({ dataFolder: join(home, 'a-file') })).toThrow(
      /(EEXIST|ENOTDIR).*--data-folder.*MILLRACE_ADMIN_KEY/,
    );
    mkdirSync(join(home, 'data', 'admin-key'), { recursive: true });
    expect(() => secrets()).toThrow(/EISDIR/);
  });

  it('are the same for all who start at once', async () => {
    // Processes, since one process alone never is at two places of this code.
    const module = new URL('../../dist/keys/installation-secret.js', import.meta.url).href;
    const script = `
      const { installationSecrets } = await import(${JSON.stringify(module)});
      const logger = { info() {}, warn() {} };
      const settings = { adminKey: undefined, keySecret: undefined, dataFolder: ${JSON.stringify(join(home, 'data'))} };
      while (Date.now() < ${Date.now() + 1_500});
      console.log(JSON.stringify(installationSecrets(settings, logger)));`;
    const starts = Array.from({ length: 6 }, () =>
      promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { timeout: 15_000 }),
    );
    const said = new Set((await Promise.all(starts)).map(({ stdout }) => stdout));
    expect(said.size).toBe(1);
    expect(JSON.parse([...said][0]!).adminKey).toBe(readFileSync(join(home, 'data', 'admin-key'), 'utf8').trim());
    expect(readdirSync(join(home, 'data')).sort()).toEqual(['admin-key', 'key-secret']);
  });
});
