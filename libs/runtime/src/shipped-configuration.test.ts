import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SETTINGS, type SettingTable } from '@millrace/contracts';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { loadSettings } from './load-settings.js';
import { readModelsFile } from './models-file.js';

const ROOT = join(import.meta.dirname, '../../..');

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-shipped-'));
  mkdirSync(join(folder, 'configs'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const load = () => loadSettings({ reader: 'serve', args: [], environment: {}, workingFolder: folder });
const defaults = Object.fromEntries(Object.entries(SETTINGS as SettingTable).map(([name, s]) => [name, s.default]));

it('configs/millrace.yaml loads, and what it has as comments are the defaults', () => {
  const shipped = readFileSync(join(ROOT, 'configs/millrace.yaml'), 'utf8');
  writeFileSync(join(folder, 'configs/millrace.yaml'), shipped);
  expect(load().settings).toEqual(defaults);

  writeFileSync(join(folder, 'configs/millrace.yaml'), shipped.replaceAll(/^# (?=[a-z]\w*:)/gim, ''));
  expect(load().settings).toEqual(defaults);
  expect(Object.values(load().sources)).toContain('file');
});

it('.env.example loads with the # taken off, and holds the defaults', () => {
  const shipped = readFileSync(join(ROOT, '.env.example'), 'utf8');
  writeFileSync(join(folder, '.env'), shipped.replaceAll(/^#(?=MILLRACE_)/gm, ''));
  expect(load().settings).toEqual(defaults);
  expect(Object.values(load().sources)).toContain('.env');
});

it('configs/models.yaml loads', () => {
  expect(readModelsFile(join(ROOT, 'configs/models.yaml')).models.length).toBeGreaterThan(0);
});
