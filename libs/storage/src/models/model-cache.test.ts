import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FolderObjectStore } from '../adapters/folder-object-store.js';
import type { ObjectStore } from '../object-store.js';
import { DEMO, EMBED, openCache as openCacheIn, pushModel, useModel } from './model-cache.testing.js';

/** Of the larger one. */
const DEMO_BYTES = 5_281_824;

let root: string;
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'cache-')));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const never = new AbortController().signal;

/** Counts how often content was opened. */
class CountingStore extends FolderObjectStore {
  readonly opened: string[] = [];
  override open: FolderObjectStore['open'] = (key, ...rest) => {
    if (!key.endsWith('.json')) this.opened.push(key);
    return super.open(key, ...rest);
  };
}

const push = (objects: ObjectStore, id: string, path: string) => pushModel(root, objects, id, path);
const openCache = (objects: ObjectStore, ...limits: [bytesMax?: number, freeBytes?: () => Promise<number>]) =>
  openCacheIn(root, objects, ...limits);
const isKept = (path: string) => existsSync(path);

describe('models of a bucket on this disk', () => {
  it('are fetched once, however many want one at a time', async () => {
    const objects = new CountingStore(join(root, 'bucket'));
    const entry = await push(objects, 'demo', DEMO);
    // Each of a cache of its own, as workers have it.
    const used = await Promise.all(Array.from({ length: 6 }, () => useModel(openCache(objects), 'demo', entry)));
    expect(objects.opened).toHaveLength(1);
    expect(new Set(used.map(({ path }) => path)).size).toBe(1);
    expect(readFileSync(used[0]!.path).equals(readFileSync(DEMO))).toBe(true);
    for (const one of used) one[Symbol.dispose]();
    (await useModel(openCache(objects), 'demo', entry))[Symbol.dispose]();
    expect(objects.opened).toHaveLength(1);
  });

  it('go where another needs the room, those that were not used for longest first', async () => {
    const objects = new FolderObjectStore(join(root, 'bucket'));
    const [a, b, c] = [await push(objects, 'a', DEMO), await push(objects, 'b', EMBED), await push(objects, 'c', DEMO)];
    const cache = openCache(objects, 2 * DEMO_BYTES);
    const paths = { a: '', b: '' };
    for (const [id, entry] of [
      ['a', a],
      ['b', b],
    ] as const) {
      using one = await useModel(cache, id, entry);
      paths[id] = one.path;
    }
    (await useModel(cache, 'a', a))[Symbol.dispose]();
    using _c = await useModel(cache, 'c', c);
    expect({ a: isKept(paths.a), b: isKept(paths.b) }).toEqual({ a: true, b: false });
  });

  it('stay while they are in use, and one that does not fit beside those is refused with all numbers', async () => {
    const objects = new FolderObjectStore(join(root, 'bucket'));
    const [a, b] = [await push(objects, 'a', DEMO), await push(objects, 'b', EMBED)];
    const cache = openCache(objects, DEMO_BYTES + 1);
    const held = await useModel(cache, 'a', a);
    await expect(useModel(cache, 'b', b)).rejects.toThrow(
      /takes 5 MB, .* of 6 MB \(modelCacheBytesMax\) 6 MB are in use.*Raise modelCacheBytesMax/,
    );
    expect(isKept(held.path)).toBe(true);
    held[Symbol.dispose]();
    using _b = await useModel(cache, 'b', b);
    expect(isKept(held.path)).toBe(false);
  });

  it('go where the disk is full, and none is fetched that does not fit', async () => {
    const objects = new FolderObjectStore(join(root, 'bucket'));
    const [a, b] = [await push(objects, 'a', DEMO), await push(objects, 'b', EMBED)];
    const path = await (async () => {
      using one = await useModel(openCache(objects), 'a', a);
      return one.path;
    })();
    const full = openCache(objects, 1e9, async () => 1_000_000);
    await expect(useModel(full, 'b', b)).rejects.toMatchObject({
      kind: 'full',
      message: expect.stringMatching(/the disk has 1 MB free/),
    });
    expect(isKept(path)).toBe(false);
  });

  it('go on where a fetch broke off, and are never used before they are whole', async () => {
    const objects = new FolderObjectStore(join(root, 'bucket'));
    const entry = await push(objects, 'demo', DEMO);
    const stop = new AbortController();
    const onBytes = (bytes: number) => bytes > 1_000_000 && stop.abort(new Error('killed'));
    const cache = openCache(objects);
    await expect(cache.use('demo', entry, onBytes as () => void, stop.signal)).rejects.toThrow('killed');
    expect(await cache.has('demo', entry)).toBe(false);
    const seen: number[] = [];
    using used = await cache.use('demo', entry, (bytes) => seen.push(bytes), never);
    expect(seen[0]).toBeGreaterThan(1_000_000);
    expect(readFileSync(used.path).equals(readFileSync(DEMO))).toBe(true);
  });

  it('go on where a fetch broke off on a disk that has room for the rest alone', async () => {
    const objects = new FolderObjectStore(join(root, 'bucket'));
    const entry = await push(objects, 'demo', DEMO);
    const stop = new AbortController();
    const killed = openCache(objects).use('demo', entry, (bytes) => bytes > 3e6 && stop.abort(), stop.signal);
    await expect(killed).rejects.toThrow();
    const spareBytes = 64 * 1024 * 1024;
    const tight = openCache(objects, 1e9, async () => spareBytes + DEMO_BYTES - 3_000_000);
    using used = await useModel(tight, 'demo', entry);
    expect(readFileSync(used.path).equals(readFileSync(DEMO))).toBe(true);
  });

  it('never go with what is not theirs: it stays, however full the disk is', async () => {
    const objects = new FolderObjectStore(join(root, 'bucket'));
    const [a, b] = [await push(objects, 'a', DEMO), await push(objects, 'b', EMBED)];
    const cached = await useModel(openCache(objects), 'a', a);
    cached[Symbol.dispose]();
    const others = ['qwen3-4b/model.gguf', 'registry.json', 'me@home/notes', 'x@0123456789abcdef'];
    for (const path of others) {
      mkdirSync(dirname(join(root, 'cache', path)), { recursive: true });
      writeFileSync(join(root, 'cache', path), 'mine');
    }
    const full = openCache(objects, 1e9, async () => 0);
    await expect(useModel(full, 'b', b)).rejects.toMatchObject({ kind: 'full' });
    expect(isKept(cached.path)).toBe(false);
    expect(others.filter((path) => isKept(join(root, 'cache', path)))).toEqual(others);
  });

  it('that were damaged in the bucket are refused, and not kept', async () => {
    const objects = new FolderObjectStore(join(root, 'bucket'));
    const entry = await push(objects, 'demo', DEMO);
    const path = join(root, `bucket/demo/${entry.digest.slice(0, 16)}/millrace-demo.gguf`);
    const content = readFileSync(path);
    content[3_000_000]! ^= 1;
    writeFileSync(path, content);
    const cache = openCache(objects);
    await expect(useModel(cache, 'demo', entry)).rejects.toThrow(/has the digest .* and should have 8d50/);
    expect(await cache.has('demo', entry)).toBe(false);
  });

  it('are told to be away where the bucket vanishes, and are there again with it', async () => {
    const objects = new FolderObjectStore(join(root, 'bucket'));
    const entry = await push(objects, 'demo', DEMO);
    const cache = openCache(objects);
    await objects.remove([`demo/${entry.digest.slice(0, 16)}/millrace-demo.gguf`], never);
    await expect(useModel(cache, 'demo', entry)).rejects.toThrow(/millrace-demo.gguf is not in the object store/);
    await push(objects, 'demo', DEMO);
    using _used = await useModel(cache, 'demo', entry);
  });

  it('are not kept from being used by a process that died while it fetched them', async () => {
    const objects = new FolderObjectStore(join(root, 'bucket'));
    const entry = await push(objects, 'demo', DEMO);
    const built = new URL('../index.ts', import.meta.url).href.replace('/src/', '/dist/').replace(/\.ts$/, '.js');
    const script = `import { FolderObjectStore, ModelBucket, ModelCache } from ${JSON.stringify(built)};
      const bucket = new ModelBucket(new FolderObjectStore(${JSON.stringify(join(root, 'bucket'))}));
      const cache = new ModelCache(bucket, { folder: ${JSON.stringify(join(root, 'cache'))}, bytesMax: 1e9 });
      await cache.use('demo', ${JSON.stringify(entry)}, (bytes) => bytes > 1e6 && process.kill(process.pid, 'SIGKILL'), new AbortController().signal);`;
    const died = promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { timeout: 60_000 });
    await expect(died).rejects.toMatchObject({ signal: 'SIGKILL' });
    using used = await useModel(openCache(objects), 'demo', entry);
    expect(readFileSync(used.path).equals(readFileSync(DEMO))).toBe(true);
  });
});
