import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SETTINGS, type SettingTable } from '@millrace/contracts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
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

describe('the examples in configs/models.yaml', () => {
  const shipped = readFileSync(join(ROOT, 'configs/models.yaml'), 'utf8');
  /** Prose begins with `##`; what begins with `#` is meant to be used without it. */
  const examples = [...shipped.matchAll(/(?:^ {2}# .*\n?)+/gm)].map(([block]) => block.replaceAll(/^( {2})# /gm, '$1'));
  const entryOf = (example: string) => {
    writeFileSync(join(folder, 'configs/models.yaml'), `models:\n${example}`);
    return readModelsFile(join(folder, 'configs/models.yaml')).models[0]!;
  };

  it('cover what people ask for, and each loads', () => {
    const entries = examples.map(entryOf);
    expect(entries.map(({ id, engine, upstream }) => `${id}: ${upstream?.preset ?? engine}`)).toEqual([
      'command-r: llama.cpp',
      'llama-3.3-8b-instruct: llama.cpp',
      'llama-3.3-8b-instruct: max-serve',
      'qwen-2.5-7b-instruct: ovms',
      'qwen-2.5-7b-instruct: openvino',
      'chat/llama-small: groq',
      'chat/qwen-small: fireworks',
    ]);
  });

  it('stand where they can be uncommented, each by itself', () => {
    for (const example of examples) {
      const commented = example.replaceAll(/^ {2}/gm, '  # ');
      expect(shipped).toContain(commented);
      writeFileSync(join(folder, 'configs/models.yaml'), shipped.replace(commented, example));
      expect(readModelsFile(join(folder, 'configs/models.yaml')).models).toHaveLength(3);
    }
  });

  it('have aliases that can be uncommented as well', () => {
    const [block] = /^# aliases:\n(?:# .*\n)+/m.exec(shipped)!;
    writeFileSync(join(folder, 'configs/models.yaml'), shipped.replace(block, block.replaceAll(/^# /gm, '')));
    expect(readModelsFile(join(folder, 'configs/models.yaml')).aliases).toEqual([
      { name: 'chat', targets: [{ model: 'millrace-demo', weight: 1 }], fallbacks: [] },
    ]);
  });
});
