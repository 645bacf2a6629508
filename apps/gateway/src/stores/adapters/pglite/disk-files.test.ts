import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { dataDir } from '@electric-sql/pglite-prepopulatedfs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { DiskFiles } from './disk-files.js';

let syncs = 0;
let fails = false;

async function open(): Promise<PGlite> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-disk-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const sync = () => {
    if (fails) throw new Error('the disk is broken');
    syncs += 1;
  };
  const flags = PGlite.defaultStartParams.filter((flag) => flag !== '-F');
  return PGlite.create({
    fs: new DiskFiles(folder, { memoryMibMax: 256, sync }),
    loadDataDir: await dataDir(),
    startParams: [...flags, '-c', 'fsync=on', '-c', 'wal_sync_method=fsync'],
  });
}

describe('the files of the embedded database', { timeout: 120_000 }, () => {
  it('are written to the disk before a commit is answered, not for what only reads, and failing that Postgres stops', async () => {
    const database = await open();
    const syncsOf = async (sql: string) => {
      const before = syncs;
      await database.exec(sql);
      return syncs - before;
    };
    expect(await syncsOf('create table rows (id int)')).toBeGreaterThan(0);
    expect(await syncsOf('insert into rows values (1)')).toBe(1);
    expect(await syncsOf('insert into rows values (2)')).toBe(1);
    expect(await syncsOf('select * from rows')).toBe(0);
    expect(await syncsOf('checkpoint')).toBeGreaterThan(1);
    fails = true;
    await expect(database.exec('insert into rows values (3)')).rejects.toThrow();
  });
});
