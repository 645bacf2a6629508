import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ModelsFile } from '@millrace/contracts';
import { ConfigurationError, type Logger } from '@millrace/runtime';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { entryOf, limitsOf, NO_MODELS_FILE, WatchedModels } from './models-in-force.js';

const CHECK_MS = 10;
const fileOf = (...ids: string[]) => `models:\n${ids.map((id) => `  - {id: ${id}, path: ${id}.gguf}\n`).join('')}`;
const idsOf = ({ models }: ModelsFile) => models.map(({ id }) => id);

let folder: string;
let path: string;
let watched: WatchedModels | undefined;
let lines: string[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-watched-'));
  path = join(folder, 'models.yaml');
  lines = [];
});
afterEach(() => {
  watched?.close();
  rmSync(folder, { recursive: true, force: true });
});

function open(): WatchedModels {
  const say = (line: string) => void lines.push(line);
  watched = new WatchedModels(path, CHECK_MS, { info: say, warn: say, error: say } as unknown as Logger);
  return watched;
}
/** Each line names the one before nine times. */
const laughs = () =>
  `a: &a [ha]\n${[...'bcdefghi'].map((name, index) => `${name}: &${name} [${Array(9).fill(`*${'abcdefgh'[index]}`)}]`).join('\n')}`;
const until = (what: () => void) => vi.waitFor(what, { timeout: 15_000, interval: 5 });
/** Long enough for several looks. */
const looks = () => new Promise((resolve) => setTimeout(resolve, 20 * CHECK_MS));

describe('the models file', () => {
  it.each<[string, () => unknown, RegExp]>([
    ['a folder', () => mkdirSync(path), /is a folder, not a file/],
    ['a pipe', () => spawnSync('mkfifo', [path]), /is a pipe or a device, not a file/],
    ['a link to itself', () => symlinkSync(path, path), /cannot be read: ELOOP/],
    [
      '50 MB',
      () => writeFileSync(path, 'x'.repeat(50_000_000)),
      /has 50,000,000 bytes; a models file may have 1,048,576/,
    ],
    ['UTF-16', () => writeFileSync(path, `\uFEFF${fileOf('a')}`, 'utf16le'), /is not text in UTF-8/],
    ['bytes', () => writeFileSync(path, Buffer.from([0x6d, 0xff, 0xfe])), /is not text in UTF-8/],
    ['NUL', () => writeFileSync(path, Buffer.alloc(10)), /expected object, received string/],
    [
      '10,000 aliases',
      () => writeFileSync(path, `aliases:\n${'  - {name: a, targets: [{model: m}]}\n'.repeat(10_000)}`),
      /line 1: aliases: Too big/,
    ],
    ['laughs', () => writeFileSync(path, laughs()), /is not usable YAML: Excessive alias count/],
  ])('stays as it was where %s is put in its place, which is said once', async (_what, put, why) => {
    writeFileSync(path, fileOf('a'));
    const models = open();
    rmSync(path);
    put();
    await until(() => expect(models.trouble).toMatch(why));
    await looks();
    expect(models.trouble!.length).toBeLessThan(1_000);
    expect(lines).toHaveLength(1);
    expect(idsOf(models.current)).toEqual(['a']);
    rmSync(path, { recursive: true });
    writeFileSync(path, fileOf('b'));
    await until(() => expect(idsOf(models.current)).toEqual(['b']));
    expect(models.trouble).toBeUndefined();
  });

  it('is in force from the start, and each edit from when it is seen', async () => {
    writeFileSync(path, fileOf('a'));
    const models = open();
    const heard: string[][] = [];
    models.watch((file) => heard.push(idsOf(file)));
    const first = models.current;
    expect(idsOf(first)).toEqual(['a']);
    writeFileSync(path, fileOf('a', 'b'));
    await until(() => expect(heard).toEqual([['a', 'b']]));
    expect(idsOf(models.current)).toEqual(['a', 'b']);
    // Whoever had it keeps what it had.
    expect(idsOf(first)).toEqual(['a']);
    expect(models.trouble).toBeUndefined();
  });

  it('stays as it was where an edit has a mistake, which is said once, until it is mended', async () => {
    writeFileSync(path, fileOf('a'));
    const models = open();
    writeFileSync(path, `${fileOf('a')}    colour: red\n`);
    await until(() =>
      expect(models.trouble).toMatch(/line 3.*What was in force before stays so until that is mended\.$/s),
    );
    await looks();
    // Touched, and saved again as it was.
    utimesSync(path, new Date(), new Date(0));
    await looks();
    expect(idsOf(models.current)).toEqual(['a']);
    expect(lines.filter((line) => line.includes('stays so'))).toHaveLength(1);
    writeFileSync(path, 'models:\n  - {id: a, fallbacks: [b], path: x}\n');
    await until(() => expect(models.trouble).toContain('there is no "b" in this file'));
    expect(lines.filter((line) => line.includes('stays so'))).toHaveLength(2);
    writeFileSync(path, fileOf('c'));
    await until(() => expect(idsOf(models.current)).toEqual(['c']));
    expect(models.trouble).toBeUndefined();
  });

  it('stays as it was where the file is gone, and is taken up again when it is back as it was', async () => {
    writeFileSync(path, fileOf('a'));
    const models = open();
    rmSync(path);
    await until(() => expect(models.trouble).toMatch(/There is no file .* any more\. What was in force/));
    expect(idsOf(models.current)).toEqual(['a']);
    writeFileSync(path, fileOf('a'));
    await until(() => expect(models.trouble).toBeUndefined());
    expect(idsOf(models.current)).toEqual(['a']);
  });

  it('stays as it was where there is a folder in its place', async () => {
    writeFileSync(path, fileOf('a'));
    const models = open();
    rmSync(path);
    mkdirSync(path);
    await until(() => expect(models.trouble).toMatch(/is a folder, not a file.*What was in force/));
    rmSync(path, { recursive: true });
    writeFileSync(path, fileOf('a'));
    await until(() => expect(models.trouble).toBeUndefined());
  });

  it('is seen where an editor puts another in its place, and where Kubernetes swaps a link, whatever their times say', async () => {
    for (const version of ['one', 'two']) {
      mkdirSync(join(folder, version));
      writeFileSync(join(folder, version, 'models.yaml'), fileOf(version));
      utimesSync(join(folder, version, 'models.yaml'), 1_000, 1_000);
    }
    symlinkSync('one', join(folder, '..data'));
    symlinkSync('..data/models.yaml', path);
    const models = open();
    expect(idsOf(models.current)).toEqual(['one']);
    symlinkSync('two', join(folder, '..next'));
    renameSync(join(folder, '..next'), join(folder, '..data'));
    await until(() => expect(idsOf(models.current)).toEqual(['two']));
    writeFileSync(join(folder, 'saved'), fileOf('three'));
    renameSync(join(folder, 'saved'), path);
    await until(() => expect(idsOf(models.current)).toEqual(['three']));
  });

  it('says which of the models that were added only a worker that starts again has', async () => {
    writeFileSync(path, fileOf('a'));
    const models = open();
    const away = '  - {id: p, engine: openai-compatible, upstream: {preset: groq}}\n';
    writeFileSync(path, fileOf('a') + away);
    await until(() => expect(idsOf(models.current)).toEqual(['a', 'p']));
    expect(lines).toHaveLength(1);
    writeFileSync(path, fileOf('a', 'b') + away);
    await until(() => expect(idsOf(models.current)).toEqual(['a', 'b', 'p']));
    expect(lines.at(-1)).toBe(`${path}: workers read "b" when they start: start those again that are to have it.`);
    expect(lines).toHaveLength(3);
  });

  it('is taken up at once when it is mended while nonsense is still being read', async () => {
    writeFileSync(path, fileOf('a'));
    const models = open();
    // Takes a machine many seconds.
    writeFileSync(path, 'a b c: [\n'.repeat(100_000));
    await looks();
    expect(models.trouble).toBeUndefined();
    writeFileSync(path, fileOf('b'));
    await until(() => expect(idsOf(models.current)).toEqual(['b']));
    expect(lines.filter((line) => line.includes('stays so'))).toEqual([]);
  });

  it('is not taken up while it is being written', async () => {
    writeFileSync(path, fileOf('a'));
    const models = open();
    const seen = new Set<string>();
    models.watch((file) => seen.add(idsOf(file).join()));
    // Every half of it is a valid file.
    for (let count = 1; count <= 15; count++) {
      writeFileSync(path, fileOf(...Array.from({ length: count }, (_, index) => `m${index}`)));
      await new Promise((resolve) => setTimeout(resolve, CHECK_MS));
    }
    await until(() => expect(models.current.models).toHaveLength(15));
    expect([...seen].length).toBeLessThan(8);
  });

  it('may be missing at the start, and come later; one with a mistake ends the start', async () => {
    const models = open();
    expect(models.current).toBe(NO_MODELS_FILE);
    await looks();
    expect(models.trouble).toBeUndefined();
    writeFileSync(path, fileOf('a'));
    await until(() => expect(idsOf(models.current)).toEqual(['a']));
    models.close();
    writeFileSync(path, 'models: nonsense\n');
    expect(open).toThrow(ConfigurationError);
  });

  it('is not looked at once it is closed', async () => {
    writeFileSync(path, fileOf('a'));
    const models = open();
    const heard = vi.fn();
    models.watch(heard);
    models.close();
    writeFileSync(path, fileOf('b'));
    await looks();
    expect(heard).not.toHaveBeenCalled();
    expect(idsOf(models.current)).toEqual(['a']);
  });

  it('says once what may be a mistake', async () => {
    writeFileSync(path, 'aliases:\n  - {name: chat, targets: [{model: llama}]}\n');
    open();
    await looks();
    expect(lines).toEqual([expect.stringContaining('there is no "llama" in the models file')]);
  });
});

describe('the limits of a model', () => {
  it('are those of its entry, and one object as long as the file is the same', () => {
    writeFileSync(path, 'models:\n  - {id: a, path: a, limits: {requestsPerMinute: 3}}\n  - {id: b, path: b}\n');
    const { current } = open();
    expect(limitsOf(current, 'a')).toEqual({ requestsPerMinute: 3 });
    expect(limitsOf(current, 'a')).toBe(limitsOf(current, 'a'));
    expect(limitsOf(current, 'b')).toBeUndefined();
    expect(limitsOf(current, 'c')).toBeUndefined();
    expect(entryOf(current, 'b')).toMatchObject({ id: 'b' });
  });
});
