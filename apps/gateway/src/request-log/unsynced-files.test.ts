import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { UnsyncedFiles } from './unsynced-files.js';

const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

it('syncs what stays, once for all that was written before, and again for what was written after', async () => {
  const synced: string[] = [];
  const files = new UnsyncedFiles(async (path) => void synced.push(path));
  for (const path of ['a', 'b', 'a']) files.wrote(path);
  await files.syncOlderThan(60_000);
  expect(synced).toEqual([]);
  files.forget('b');
  await later(5);
  await files.syncOlderThan(1);
  await files.syncOlderThan(0);
  expect(synced).toEqual(['a']);
  files.wrote('a');
  await files.syncOlderThan(0);
  expect(synced).toEqual(['a', 'a']);
});

it('asks a disk that hangs once', async () => {
  let asked = 0;
  const files = new UnsyncedFiles(() => {
    asked++;
    return new Promise(() => {});
  });
  files.wrote('a');
  void files.syncOlderThan(0);
  files.wrote('a');
  await files.syncOlderThan(0);
  expect(asked).toBe(1);
});

it('syncs real files, and bears one that is gone', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-unsynced-'));
  try {
    const files = new UnsyncedFiles();
    appendFileSync(join(folder, 'there'), 'line\n');
    for (const name of ['gone', 'there']) files.wrote(join(folder, name));
    await expect(files.syncOlderThan(0)).resolves.toBeUndefined();
  } finally {
    rmSync(folder, { recursive: true });
  }
});
