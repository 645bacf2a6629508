import { closeSync, constants, fstatSync, openSync, readFileSync, type Stats } from 'node:fs';
import { open } from 'node:fs/promises';
import { ConfigurationError } from './configuration-error.js';
import { unreadable } from './yaml-file.js';

/** As much as a ConfigMap of Kubernetes holds. */
export const MODELS_FILE_BYTES_MAX = 1_048_576;

/** A pipe in the file's place must not keep anybody waiting for who writes to it. */
const AT_ONCE = constants.O_RDONLY | constants.O_NONBLOCK;

/** What stands in a models file. @throws ConfigurationError where it cannot be read, is too large, or is no text. */
export function readModelsText(path: string): string {
  const text = readModelsTextIfAnySync(path);
  if (text === undefined) throw new ConfigurationError([unreadable(path, { code: 'ENOENT' })]);
  return text;
}

/** The same; undefined: there is no such file. */
export function readModelsTextIfAnySync(path: string): string | undefined {
  try {
    const file = openSync(path, AT_ONCE);
    try {
      refuseUnusable(path, fstatSync(file));
      return decoded(path, readFileSync(file));
    } finally {
      closeSync(file);
    }
  } catch (error) {
    return undefinedIfAbsent(path, error);
  }
}

/** The same, beside other work. */
export async function readModelsTextIfAny(path: string): Promise<string | undefined> {
  try {
    await using file = await open(path, AT_ONCE);
    refuseUnusable(path, await file.stat());
    return decoded(path, await file.readFile());
  } catch (error) {
    return undefinedIfAbsent(path, error);
  }
}

function refuseUnusable(path: string, stats: Stats): void {
  if (stats.isDirectory()) throw new ConfigurationError([unreadable(path, { code: 'EISDIR' })]);
  if (!stats.isFile()) throw new ConfigurationError([`${path} is a pipe or a device, not a file. Name a file.`]);
  if (stats.size <= MODELS_FILE_BYTES_MAX) return;
  const most = MODELS_FILE_BYTES_MAX.toLocaleString('en');
  throw new ConfigurationError([
    `${path} has ${stats.size.toLocaleString('en')} bytes; a models file may have ${most}. Check that it is the one that was meant.`,
  ]);
}

function decoded(path: string, bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new ConfigurationError([
      `${path} is not text in UTF-8. Save it as that, or check that it is the right file.`,
    ]);
  }
}

function undefinedIfAbsent(path: string, error: unknown): undefined {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
  throw error instanceof ConfigurationError ? error : new ConfigurationError([unreadable(path, error)]);
}
