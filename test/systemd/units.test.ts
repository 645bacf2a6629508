import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { environmentNameOf, SETTINGS } from '@millrace/contracts';
import { afterAll, describe, expect, it } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');
const FOLDER = join(ROOT, 'deploy/systemd');
const UNITS = { millrace: 'serve', 'millrace-gateway': 'gateway', 'millrace-worker': 'worker' } as const;
const NAMES = Object.keys(UNITS) as (keyof typeof UNITS)[];

/** What serve waits for last words beyond the drain, twice: its own and the worker's. */
const LAST_WORDS_MS = 16_000;
const ENVIRONMENT_FILE = readFileSync(join(FOLDER, 'millrace.env'), 'utf8');
const INSTALL = readFileSync(join(ROOT, 'tools/systemd/install.sh'), 'utf8');
const DOCS = readFileSync(join(ROOT, 'docs/how-to/systemd.md'), 'utf8');
const KNOWN = new Set(Object.keys(SETTINGS).map(environmentNameOf));

const textOf = (name: string) => readFileSync(join(FOLDER, `${name}.service`), 'utf8');
/** The values of a key, in order. */
const valuesOf = (name: string, key: string) =>
  [...textOf(name).matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value]) => value!);
const environmentOf = (name: string) =>
  Object.fromEntries(
    valuesOf(name, 'Environment').flatMap((line) => line.split(' ').map((pair) => pair.split('=') as [string, string])),
  );

describe('the units of systemd', () => {
  it.each(NAMES)('%s starts what it is called after, from where it is installed', (name) => {
    expect(valuesOf(name, 'ExecStart')).toEqual([`/opt/millrace/bin/millrace ${UNITS[name]}`]);
    expect(INSTALL).toContain('home=$root/opt/millrace');
    expect(INSTALL).toContain(`deploy/systemd/${name}.service`);
  });

  it.each(NAMES)('%s has time to drain before it is killed, and is asked to alone', (name) => {
    expect(valuesOf(name, 'KillMode')).toEqual(['mixed']);
    const stopMs = Number(valuesOf(name, 'TimeoutStopSec')[0]) * 1_000;
    expect(stopMs).toBeGreaterThanOrEqual(
      SETTINGS.drainDelayMs.default + SETTINGS.drainTimeoutMs.default + LAST_WORDS_MS,
    );
  });

  it.each(NAMES)('%s writes only where systemd gives it a folder of its own', (name) => {
    expect(valuesOf(name, 'DynamicUser')).toEqual(['yes']);
    expect(valuesOf(name, 'ProtectSystem')).toEqual(['strict']);
    const [state] = valuesOf(name, 'StateDirectory');
    expect(state).toBe(name);
    const folders = Object.entries(environmentOf(name)).filter(([variable]) => /FOLDER|DIR$|^HOME$/.test(variable));
    expect(folders.length).toBeGreaterThan(1);
    for (const [variable, path] of folders) expect(path, variable).toMatch(new RegExp(`^/var/lib/${state}(/|$)`));
  });

  it.each(NAMES)('%s sets only what Millrace knows', (name) => {
    const variables = Object.keys(environmentOf(name)).filter((variable) => variable.startsWith('MILLRACE_'));
    expect(variables.length).toBeGreaterThan(0);
    expect(variables.filter((variable) => !KNOWN.has(variable))).toEqual([]);
  });

  it('starts none that excludes another before that has ended', () => {
    for (const name of ['millrace-gateway', 'millrace-worker']) {
      expect(valuesOf(name, 'Conflicts')).toEqual(['millrace.service']);
      expect(valuesOf('millrace', 'Conflicts').join(' ').split(' ')).toContain(`${name}.service`);
      // Without an order systemd ends one while it starts the other, which then finds its port taken.
      expect(valuesOf('millrace', 'After').join(' ').split(' ')).toContain(`${name}.service`);
    }
  });

  it('loads models when they are asked for, and unloads what nobody asks for', () => {
    for (const name of ['millrace', 'millrace-worker']) {
      expect(Number(environmentOf(name).MILLRACE_IDLE_UNLOAD_MS)).toBeGreaterThan(0);
    }
  });

  it('hardens all three alike', () => {
    const hardening = (name: string) => textOf(name).slice(textOf(name).indexOf('ProtectSystem='));
    for (const name of NAMES) expect(hardening(name)).toBe(hardening('millrace'));
  });

  it('has an environment file in which every line is a setting, and none is set', () => {
    const names = [...ENVIRONMENT_FILE.matchAll(/^#(MILLRACE_\w+)=/gm)].map(([, name]) => name!);
    expect(names.length).toBeGreaterThan(5);
    expect(names.filter((name) => !KNOWN.has(name))).toEqual([]);
    expect(ENVIRONMENT_FILE.split('\n').filter((line) => line !== '' && !line.startsWith('#'))).toEqual([]);
    for (const name of NAMES) expect(valuesOf(name, 'EnvironmentFile')).toEqual(['-/etc/millrace/millrace.env']);
  });
});

const analyze = ['/usr/bin/systemd-analyze', '/bin/systemd-analyze'].find((path) => existsSync(path));

describe.skipIf(analyze === undefined)(
  `systemd-analyze${analyze ? '' : ' (skipped: this machine has no systemd)'}`,
  () => {
    const root = mkdtempSync(join(tmpdir(), 'millrace-units-'));
    afterAll(() => rmSync(root, { recursive: true, force: true }));

    /** What it says of the units; the program that they start is stood in for, since nothing is installed here. */
    const verify = (change: (text: string) => string = (text) => text) => {
      const folder = mkdtempSync(join(root, 'units-'));
      for (const name of NAMES) {
        const text = change(textOf(name)).replace('/opt/millrace/bin/millrace', '/bin/true');
        writeFileSync(join(folder, `${name}.service`), text);
      }
      const files = NAMES.map((name) => join(folder, `${name}.service`));
      // Other units of the machine are not ours to judge.
      const { stdout, stderr } = spawnSync(analyze!, ['verify', '--recursive-errors=no', '--man=no', ...files], {
        encoding: 'utf8',
      });
      return `${stdout}${stderr}`.split('\n').filter((line) => line.includes(folder) || line.includes('millrace'));
    };

    it('finds nothing wrong with the units, and would find a mistake', () => {
      expect(verify()).toEqual([]);
      expect(verify((text) => text.replace('KillMode=', 'KillMood=')).join('\n')).toContain('KillMood');
    });

    it.each(NAMES)('finds %s as little exposed as the docs say', (name) => {
      const said = spawnSync(analyze!, ['security', '--offline=true', join(FOLDER, `${name}.service`)], {
        encoding: 'utf8',
      });
      if (/unrecognized option|Unknown/.test(said.stderr)) {
        process.stdout.write(`SKIPPED: this systemd can't judge a unit that is not installed: ${said.stderr.trim()}\n`);
        return;
      }
      const exposure = Number(/exposure level for \S+: ([\d.]+)/.exec(said.stdout)?.[1]);
      const documented = Number(/`systemd-analyze security` gives each of them ([\d.]+)/.exec(DOCS)?.[1]);
      expect(exposure).toBeGreaterThan(0);
      // Newer versions ask for more.
      expect(exposure).toBeLessThanOrEqual(documented + 0.5);
    });
  },
);

describe('make install-systemd', () => {
  const target = mkdtempSync(join(tmpdir(), 'millrace-install-'));
  afterAll(() => rmSync(target, { recursive: true, force: true }));
  const script = (command: string) =>
    execFileSync(join(ROOT, 'tools/systemd/install.sh'), [command], {
      encoding: 'utf8',
      env: { ...process.env, DESTDIR: target },
      stdio: 'pipe',
    });

  it('takes away what it has put there, and keeps what was set and stored', () => {
    // As an installation leaves it; that it runs is tried in test/e2e/image-layouts.test.ts.
    for (const folder of ['opt/millrace/bin', 'etc/systemd/system', 'etc/millrace', 'var/lib/millrace']) {
      mkdirSync(join(target, folder), { recursive: true });
    }
    for (const name of NAMES) writeFileSync(join(target, `etc/systemd/system/${name}.service`), textOf(name));
    writeFileSync(join(target, 'etc/systemd/system/other.service'), '');
    writeFileSync(join(target, 'etc/millrace/millrace.env'), 'MILLRACE_PORT=8001\n');
    const said = script('uninstall');
    expect(existsSync(join(target, 'opt/millrace'))).toBe(false);
    expect(readdirSync(join(target, 'etc/systemd/system'))).toEqual(['other.service']);
    expect(readFileSync(join(target, 'etc/millrace/millrace.env'), 'utf8')).toBe('MILLRACE_PORT=8001\n');
    expect(existsSync(join(target, 'var/lib/millrace'))).toBe(true);
    expect(said).toContain('Kept:');
  });

  it('refuses what it does not know', () => {
    expect(() => script('instal')).toThrow('install and uninstall are what it does.');
  });
});
