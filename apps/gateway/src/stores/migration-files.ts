import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ConfigurationError } from '@millrace/runtime';

/** One file of init-scripts/postgres. */
export interface Migration {
  readonly number: number;
  /** Of the file, without its folder: `001_keys.sql`. */
  readonly name: string;
  readonly sql: string;
  /** In hexadecimal. */
  readonly sha256: string;
  /** Passed over where the server doesn't have this extension. */
  readonly extension: string | undefined;
}

/** A row of `schema_migrations`. */
export interface AppliedMigration {
  readonly number: number;
  readonly name: string;
  readonly sha256: string;
}

/** The same from the sources and from what is built of them. */
const SHIPPED_FOLDER = new URL('../../../../init-scripts/postgres/', import.meta.url);
const FILE_NAME = /^(\d{3})_[a-z0-9_]+\.sql$/;
/** What a file says before its first statement. */
const FIRST_COMMENTS = /^(?:--.*\n|\s*\n)*/;
const EXTENSION_MARK = /^-- requires-extension: ([a-z0-9_]+)$/m;

/** @throws ConfigurationError when there are none, or when their names give no order. */
export function readMigrations(folder = fileURLToPath(SHIPPED_FOLDER)): readonly Migration[] {
  const names = namesIn(folder);
  const odd = names.find((name) => !FILE_NAME.test(name));
  if (odd !== undefined) throw problem(`${join(folder, odd)} has no name like 001_keys.sql`);
  const migrations = names.map((name) => migrationOf(name, readFileSync(join(folder, name), 'utf8')));
  const twice = migrations.find(({ number }, index) => migrations[index - 1]?.number === number);
  if (twice !== undefined) throw problem(`two files of ${folder} have the number of ${twice.name}`);
  return migrations;
}

export function migrationOf(name: string, sql: string): Migration {
  return {
    number: Number(FILE_NAME.exec(name)?.[1]),
    name,
    sql,
    sha256: createHash('sha256').update(sql).digest('hex'),
    extension: EXTENSION_MARK.exec(FIRST_COMMENTS.exec(sql)?.[0] ?? '')?.[1],
  };
}

/**
 * What is still to be applied, in order. What a newer release applied is left alone: the schema only ever grows, so that an
 * old version goes on working beside a new one.
 *
 * @throws Error when a file isn't what was applied under its number.
 */
export function pendingMigrations(
  files: readonly Migration[],
  applied: readonly AppliedMigration[],
): readonly Migration[] {
  const byNumber = new Map(applied.map((migration) => [migration.number, migration]));
  return files.filter((file) => {
    const before = byNumber.get(file.number);
    if (before !== undefined && before.sha256 !== file.sha256) throw changed(file, before);
    return before === undefined;
  });
}

function changed(file: Migration, before: AppliedMigration): Error {
  const start = (digest: string) => digest.slice(0, 12);
  return new Error(
    `${file.name} is not what this database was set up with: its SHA-256 begins with ${start(file.sha256)}, and ${before.name} with ${start(before.sha256)} was applied under the number ${file.number}. Put the file back, and write what is to change into a new one.`,
  );
}

function namesIn(folder: string): readonly string[] {
  try {
    const names = readdirSync(folder).filter((name) => name.endsWith('.sql'));
    if (names.length > 0) return names.sort();
  } catch {
    // Told below.
  }
  throw problem(`there are no *.sql files in ${folder}`);
}

function problem(what: string): ConfigurationError {
  return new ConfigurationError([
    `The tables of the database can not be set up: ${what}. Put init-scripts/postgres back as it was shipped.`,
  ]);
}
