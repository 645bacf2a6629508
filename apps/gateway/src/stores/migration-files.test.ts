import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Migration, migrationOf, pendingMigrations, readMigrations } from './migration-files.js';

const shipped = readMigrations();

describe('the files of init-scripts/postgres', () => {
  it('are there, in order', () => {
    expect(shipped.map(({ name }) => name).slice(0, 3)).toEqual(['001_keys.sql', '002_records.sql', '003_vectors.sql']);
    expect(shipped.map(({ extension }) => extension).slice(0, 3)).toEqual([undefined, undefined, 'vector']);
  });

  it('are found from what is built as well', async () => {
    const built = (await import(
      new URL('../../dist/stores/migration-files.js', import.meta.url).href
    )) as typeof import('./migration-files.js');
    expect(built.readMigrations()).toEqual(shipped);
  });

  it('only add, unless it is said since when nobody uses what they take away', () => {
    expect(shipped.flatMap(({ name, sql }) => takenAway(sql).map((line) => `${name}: ${line}`))).toEqual([]);
  });

  it('are plain SQL, each one transaction', () => {
    const odd = /^\s*(\\|begin\b(?!\s*$)|begin;|commit\b|rollback\b)|\bconcurrently\b|\bsearch_path\b|\bowner\s+to\b/im;
    expect(shipped.filter(({ sql }) => odd.test(withoutComments(sql))).map(({ name }) => name)).toEqual([]);
  });
});

/** Lines with statements that an old version might not survive, less those that are marked. */
function takenAway(sql: string): readonly string[] {
  const lines = sql.split('\n');
  const takes = /\b(drop|rename|truncate|delete\s+from)\b|\balter\s+column\b.*\btype\b|\bset\s+not\s+null\b/i;
  return lines.filter(
    (line, at) => takes.test(line.replace(/--.*$/, '')) && !/^-- contract: \S/.test(lines[at - 1] ?? ''),
  );
}

function withoutComments(sql: string): string {
  return sql.replaceAll(/--.*$/gm, '');
}

describe('the rule about what is taken away', () => {
  it('notices what an old version would miss', () => {
    for (const line of [
      'drop table keys;',
      'alter table keys drop column name;',
      'ALTER TABLE keys RENAME COLUMN name TO title;',
      'alter table keys alter column priority type bigint;',
      'alter table keys alter column models set not null;',
      'delete from keys;',
    ]) {
      expect(takenAway(line), line).toEqual([line]);
      expect(takenAway(`-- contract: nobody since 0.4\n${line}`), line).toEqual([]);
    }
    expect(takenAway('-- drop: never\ncreate table a (id int); -- rename')).toEqual([]);
  });
});

describe('what is to be applied', () => {
  const one = migrationOf('001_one.sql', 'create table one ()');
  const two = migrationOf('002_two.sql', 'create table two ()');
  const names = (migrations: readonly Migration[]) => migrations.map(({ name }) => name);

  it('is what is missing, in order', () => {
    expect(names(pendingMigrations([one, two], []))).toEqual(['001_one.sql', '002_two.sql']);
    expect(names(pendingMigrations([one, two], [one]))).toEqual(['002_two.sql']);
    expect(names(pendingMigrations([one, two], [two]))).toEqual(['001_one.sql']);
    expect(names(pendingMigrations([one, two], [one, two]))).toEqual([]);
  });

  it('is nothing on a database that a newer version has changed', () => {
    expect(pendingMigrations([one], [one, two])).toEqual([]);
  });

  it('is refused when a file was changed, or its number given to another', () => {
    const changed = migrationOf('001_one.sql', 'create table one (id int)');
    expect(() => pendingMigrations([changed, two], [one])).toThrow(/001_one\.sql is not what.*new one/);
    const other = migrationOf('001_other.sql', 'create table other ()');
    expect(() => pendingMigrations([other], [one])).toThrow(/001_other\.sql.*001_one\.sql/);
  });

  it('depends on an extension only where the beginning of the file says so', () => {
    expect(migrationOf('001_a.sql', '-- x\n-- requires-extension: vector\n\nselect 1;').extension).toBe('vector');
    expect(migrationOf('001_a.sql', 'select 1;\n-- requires-extension: vector').extension).toBeUndefined();
  });
});

describe('a folder that can not be used', () => {
  const folderWith = (...names: string[]) => {
    const folder = mkdtempSync(join(tmpdir(), 'millrace-migrations-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    for (const name of names) writeFileSync(join(folder, name), 'select 1;');
    return folder;
  };

  it('is told, and what to do', () => {
    expect(() => readMigrations(folderWith())).toThrow(/no \*\.sql files.*as it was shipped/);
    expect(() => readMigrations(join(folderWith(), 'nowhere'))).toThrow(/no \*\.sql files/);
    expect(() => readMigrations(folderWith('1_keys.sql'))).toThrow(/1_keys\.sql has no name like/);
    expect(() => readMigrations(folderWith('001_a.sql', '001_b.sql'))).toThrow(/two files .* number of 001_b\.sql/);
  });

  it('may hold other files, such as a page about them', () => {
    expect(readMigrations(folderWith('001_a.sql', 'README.md'))).toHaveLength(1);
  });
});
