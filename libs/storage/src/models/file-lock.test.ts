import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FileLock } from './file-lock.js';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lock-'));
  path = join(folder, 'below/lock');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const never = new AbortController().signal;

describe('a lock', () => {
  it('is held by one alone, or shared by several', async () => {
    const alone = FileLock.tryExclusive(path)!;
    expect(FileLock.tryExclusive(path)).toBeUndefined();
    alone[Symbol.dispose]();
    alone[Symbol.dispose]();
    const [one, other] = [await FileLock.shared(path, never), await FileLock.shared(path, never)];
    one[Symbol.dispose]();
    expect(FileLock.tryExclusive(path)).toBeUndefined();
    other[Symbol.dispose]();
    expect(FileLock.tryExclusive(path)).toBeDefined();
  });

  it('is waited for, says so once, and for no longer than it may be', async () => {
    const held = FileLock.tryExclusive(path)!;
    let waits = 0;
    const later = FileLock.exclusive(path, never, { onWait: () => waits++ });
    await expect(FileLock.exclusive(path, never, { waitMsMax: 1 })).rejects.toThrow(/Another process holds/);
    const stop = new AbortController();
    const stopped = FileLock.shared(path, stop.signal);
    stop.abort(new Error('stopped'));
    await expect(stopped).rejects.toThrow('stopped');
    held[Symbol.dispose]();
    (await later)[Symbol.dispose]();
    expect(waits).toBe(1);
  });

  it('says what is wrong where nothing can be locked', async () => {
    writeFileSync(join(folder, 'file'), '');
    await expect(FileLock.exclusive(join(folder, 'file/lock'), never)).rejects.toThrow(/can't be locked/);
  });
});
