import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ModelRegistry } from './model-registry.js';
import type { RegistryEntry } from './registry-entry.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'registry-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const never = new AbortController().signal;
const entry: RegistryEntry = {
  ...{ source: 'x', path: '/x.gguf', digest: 'a'.repeat(64), size: 1, format: 'gguf', task: 'chat', template: null },
  ...{ quantisation: null, licence: null, added: '2026-11-22T00:00:00.000Z' },
};
const write = (text: string) => writeFileSync(join(folder, 'registry.json'), text);

describe('the registry', () => {
  it('is empty where there is no file', async () => {
    expect(await new ModelRegistry(folder).models()).toEqual(new Map());
    expect(await new ModelRegistry(join(folder, 'none')).find('a')).toBeUndefined();
  });

  it('is read again when another process, or a person, has changed it', async () => {
    const [one, other] = [new ModelRegistry(folder), new ModelRegistry(folder)];
    await one.add('a', entry, never);
    expect(await other.find('a')).toMatchObject({ source: 'x' });
    await one.add('b', entry, never);
    expect([...(await other.models()).keys()]).toEqual(['a', 'b']);
    write(JSON.stringify({ version: 1, models: { c: entry } }));
    expect([...(await other.models()).keys()]).toEqual(['c']);
  });

  it('keeps what it does not know', async () => {
    write(
      JSON.stringify({
        version: 1,
        owner: 'me',
        models: { a: { ...entry, notes: 'mine', files: [{ path: 'x', bytes: 1, sha256: 'a'.repeat(64), crc: 7 }] } },
      }),
    );
    await new ModelRegistry(folder).add('b', entry, never);
    const written = JSON.parse(readFileSync(join(folder, 'registry.json'), 'utf8'));
    expect(written).toMatchObject({ owner: 'me', models: { a: { notes: 'mine', files: [{ crc: 7 }] }, b: entry } });
  });

  it.each([
    ['{ "version": 1,', /is no JSON/],
    ['', /is no JSON/],
    ['[]', /it: .*expected object/i],
    ['{"version":2,"models":{}}', /version: is not 1, the only one/],
    [
      JSON.stringify({ version: 1, models: { a: { ...entry, digest: 'ABC' } } }),
      /models.a.digest: must be 64 lower-case/,
    ],
    [JSON.stringify({ version: 1, models: { a: {} } }), /models.a.source.*models.a.path/],
    [JSON.stringify({ version: 1, models: { '../x': entry } }), /"..\/x" can't be the id of a model/],
    [
      JSON.stringify({
        version: 1,
        models: { a: { ...entry, files: [{ path: '../x', bytes: 1, sha256: 'a'.repeat(64) }] } },
      }),
      /files.0.path: must be a path without/,
    ],
  ])('that somebody broke is refused with what is wrong, and not overwritten: %s', async (text, problem) => {
    write(text);
    const registry = new ModelRegistry(folder);
    await expect(registry.models()).rejects.toThrow(problem);
    await expect(registry.models()).rejects.toThrow(/registry.json can't be used: .* Correct it, or move it away/);
    await expect(registry.add('b', entry, never)).rejects.toThrow(problem);
    expect(readFileSync(join(folder, 'registry.json'), 'utf8')).toBe(text);
    write(JSON.stringify({ version: 1, models: {} }));
    expect(await registry.models()).toEqual(new Map());
  });

  it('loses nothing when several processes change it at once', async () => {
    const script = join(folder, 'add.ts');
    const source = new URL('./model-registry.ts', import.meta.url).href;
    writeFileSync(
      script,
      `import { ModelRegistry } from ${JSON.stringify(source)};
       const [, , folder, name] = process.argv;
       const registry = new ModelRegistry(folder);
       for (let i = 0; i < 10; i++) await registry.add(name + i, ${JSON.stringify(entry)}, new AbortController().signal);`,
    );
    const run = promisify(execFile);
    // Built code, as processes run it: sources import each other as .js.
    const built = source.replace('/src/', '/dist/').replace(/\.ts$/, '.js');
    writeFileSync(script, readFileSync(script, 'utf8').replace(source, built));
    const names = ['a', 'b', 'c'];
    await Promise.all(names.map((name) => run(process.execPath, [script, folder, name], { timeout: 60_000 })));
    expect((await new ModelRegistry(folder).models()).size).toBe(30);
  });

  it('is not kept from being changed by a process that died while it had the lock', async () => {
    const lock = new URL('./file-lock.ts', import.meta.url).href.replace('/src/', '/dist/').replace(/\.ts$/, '.js');
    mkdirSync(join(folder, '.locks'), { recursive: true });
    const script = `import { FileLock } from ${JSON.stringify(lock)};
      FileLock.tryExclusive(${JSON.stringify(join(folder, '.locks/registry'))}) ?? process.exit(1);
      process.kill(process.pid, 'SIGKILL');`;
    await expect(promisify(execFile)(process.execPath, ['--input-type=module', '-e', script])).rejects.toMatchObject({
      signal: 'SIGKILL',
    });
    await new ModelRegistry(folder).add('a', entry, never);
  });
});
