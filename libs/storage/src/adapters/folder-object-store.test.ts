import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { objectStoreContract } from '../object-store.contract.js';
import { ObjectStoreUnavailable } from '../object-store.js';
import { FolderObjectStore } from './folder-object-store.js';

const NEVER = new AbortController().signal;
const root = mkdtempSync(join(tmpdir(), 'millrace-store-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let folders = 0;
const newFolder = () => join(root, `store-${folders++}`);

async function* piecesOf(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

describe('FolderObjectStore', () => {
  objectStoreContract(async () => new FolderObjectStore(newFolder()));

  it('keeps each file under its key as path, where people find it', async () => {
    const folder = newFolder();
    const store = new FolderObjectStore(folder);
    await store.put('models/qwen/model.gguf', piecesOf('x'), NEVER);
    expect(readdirSync(join(folder, 'models/qwen'))).toEqual(['model.gguf']);
    expect(readdirSync(join(folder, '.incoming'))).toEqual([]);
  });

  it('serves what people put there themselves, and does not see what is no key, a folder or a pipe', async () => {
    const folder = newFolder();
    mkdirSync(join(folder, 'sub/deep'), { recursive: true });
    for (const name of ['a.gguf', 'sub/b.gguf', 'with space', '.hidden', 'sub/ä'])
      writeFileSync(join(folder, name), 'text');
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    symlinkSync('/etc', join(folder, 'link'));
    const store = new FolderObjectStore(folder);
    expect((await store.list('', { limit: 100 }, NEVER)).map(({ key }) => key)).toEqual(['a.gguf', 'sub/b.gguf']);
    expect(await store.open('pipe', NEVER)).toBeUndefined();
    expect(await store.stat('link/hostname', NEVER)).toBeUndefined();
    expect(await store.open('link/hostname', NEVER)).toBeUndefined();
    await expect(store.put('link/millrace-test', piecesOf('x'), NEVER)).rejects.toThrow(/links are not followed/);
    expect(await store.open('sub', NEVER)).toBeUndefined();
    await store.remove(['sub/deep', 'pipe'], NEVER);
    expect(readdirSync(folder)).toContain('pipe');
  });

  it('says that one key is the beginning of another, and keeps the one that was there', async () => {
    const store = new FolderObjectStore(newFolder());
    await store.put('a/b', piecesOf('x'), NEVER);
    await store.put('c', piecesOf('x'), NEVER);
    await expect(store.put('a', piecesOf('y'), NEVER)).rejects.toThrow(RangeError);
    await expect(store.put('c/d', piecesOf('y'), NEVER)).rejects.toThrow(RangeError);
    expect((await store.list('', { limit: 9 }, NEVER)).map(({ key }) => key)).toEqual(['a/b', 'c']);
  });

  it('takes the place of an empty folder that was left there', async () => {
    const folder = newFolder();
    mkdirSync(join(folder, 'files/deep'), { recursive: true });
    const store = new FolderObjectStore(folder);
    await expect(store.put('files', piecesOf('x'), NEVER)).rejects.toThrow(RangeError);
    rmSync(join(folder, 'files/deep'), { recursive: true });
    await store.put('files', piecesOf('x'), NEVER);
    expect(await store.stat('files', NEVER)).toMatchObject({ bytes: 1 });
  });

  it('removes what a killed process left half written, once it is old', async () => {
    const folder = newFolder();
    mkdirSync(join(folder, '.incoming'), { recursive: true });
    for (const name of ['old', 'new']) writeFileSync(join(folder, '.incoming', name), 'half');
    const longAgo = (Date.now() - 30 * 24 * 60 * 60 * 1_000) / 1_000;
    utimesSync(join(folder, '.incoming/old'), longAgo, longAgo);
    await new FolderObjectStore(folder).put('a', piecesOf('x'), NEVER);
    expect(readdirSync(join(folder, '.incoming'))).toEqual(['new']);
  });

  it('says what is wrong with its folder, and is well again when that is', async () => {
    const folder = newFolder();
    writeFileSync(folder, 'a file');
    const store = new FolderObjectStore(join(folder, 'below'));
    await expect(store.put('a', piecesOf('x'), NEVER)).rejects.toThrow(/below/);
    rmSync(folder);
    await store.put('a', piecesOf('x'), NEVER);
    expect(store.trouble).toBeUndefined();
  });

  it('tells of a file that became shorter while it was read', async () => {
    const folder = newFolder();
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'a'), Buffer.alloc(1_000_000));
    const store = new FolderObjectStore(folder);
    await using object = (await store.open('a', NEVER))!;
    const reading = (async () => {
      for await (const _piece of object.content) writeFileSync(join(folder, 'a'), 'short');
    })();
    await expect(reading).rejects.toThrow(ObjectStoreUnavailable);
  });

  it('leaves one whole file where many put and remove the same, and no folder stands in the way', async () => {
    const store = new FolderObjectStore(newFolder());
    await Promise.all(
      Array.from({ length: 60 }, (_, round) =>
        round % 3 === 0
          ? store.remove(['deep/er/a'], NEVER)
          : store.put('deep/er/a', piecesOf(String(round).repeat(1_000)), NEVER),
      ),
    );
    await store.put('deep/er/a', piecesOf('last'), NEVER);
    expect(await store.stat('deep/er/a', NEVER)).toMatchObject({ bytes: 4 });
  });
});
