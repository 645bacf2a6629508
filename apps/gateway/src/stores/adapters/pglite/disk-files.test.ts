import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';

/** In a process of its own, as always: an engine that is beyond use would hold up this one for ever. */
const SCRIPT = `
  const { PGlite } = await import('@electric-sql/pglite');
  const { dataDir } = await import('@electric-sql/pglite-prepopulatedfs');
  const { DiskFiles } = await import(process.argv[1]);
  let syncs = 0;
  let isBroken = false;
  const sync = () => {
    if (isBroken) throw new Error('the disk is broken');
    syncs += 1;
  };
  const failed = (why) => {
    console.log(JSON.stringify({ failed: why.message }));
    process.exit(7);
  };
  const flags = PGlite.defaultStartParams.filter((flag) => flag !== '-F');
  const files = new DiskFiles(process.argv[2], { memoryMibMax: 256, isNew: true, sync, failed });
  const database = await PGlite.create({
    fs: files,
    loadDataDir: await dataDir(),
    startParams: [...flags, '-c', 'fsync=on', '-c', 'wal_sync_method=fsync'],
  });
  console.log(JSON.stringify({ sql: 'unpack', syncs }));
  files.syncAll();
  console.log(JSON.stringify({ sql: 'all', syncs }));
  for (const sql of ['create table rows (id int)', 'insert into rows values (1)', 'select * from rows', 'checkpoint']) {
    const before = syncs;
    await database.exec(sql);
    console.log(JSON.stringify({ sql: sql.split(' ')[0], syncs: syncs - before }));
  }
  isBroken = true;
  await database.exec('insert into rows values (2)');
  console.log('"written"');
  process.exit(0);
`;

describe('the files of the embedded database', { timeout: 120_000 }, () => {
  it('are written to the disk before a commit is answered, and where that fails the engine ends', () => {
    const folder = mkdtempSync(join(tmpdir(), 'millrace-disk-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const module = new URL('../../../../dist/stores/adapters/pglite/disk-files.js', import.meta.url).href;
    const flags = ['--liftoff-only', '--input-type=module', '-e', SCRIPT, module, folder];
    const cwd = join(import.meta.dirname, '../../../..');
    const { stdout, status } = spawnSync(process.execPath, flags, { cwd, encoding: 'utf8', timeout: 100_000 });
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { sql?: string; syncs?: number });
    const syncsOf = (word: string) => lines.find(({ sql }) => sql === word)?.syncs;
    expect(syncsOf('unpack')).toBe(0);
    expect(syncsOf('all')).toBeGreaterThan(500);
    expect(syncsOf('insert')).toBe(1);
    expect(syncsOf('select')).toBe(0);
    expect(syncsOf('checkpoint')).toBeGreaterThan(1);
    expect(lines.at(-1)).toEqual({ failed: 'the disk is broken' });
    expect(status).toBe(7);
  });
});
