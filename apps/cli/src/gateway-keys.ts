import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Settings } from '@millrace/contracts';
import { CommandError } from './command.js';

type KeySettings = Pick<Settings, 'apiKey' | 'adminKey' | 'dataFolder'>;

/** The header that carries a key; none where there is no key. */
export function bearerOf(key: string | undefined): Record<string, string> {
  return key === undefined ? {} : bearer(key);
}

/**
 * What goes along with a look at a gateway of this machine: an API key, else the admin key, which may look too.
 *
 * Not for a gateway that was named with --url: the admin key is none of its business unless it is asked for something of the admin's.
 */
export function withLookingKey(settings: KeySettings, workingFolder: string): Record<string, string> {
  return bearerOf(settings.apiKey ?? settings.adminKey ?? fileOfAdminKey(settings, workingFolder).key);
}

/** What goes along with a look at what `metricsNeedAdminKey` may have closed; nothing where there is no admin key. */
export function withAdminKeyIfAny(settings: KeySettings, workingFolder: string): Record<string, string> {
  return bearerOf(settings.adminKey ?? fileOfAdminKey(settings, workingFolder).key);
}

/** @throws CommandError when there is no admin key. */
export function withAdminKey(settings: KeySettings, workingFolder: string): Record<string, string> {
  if (settings.adminKey !== undefined) return bearer(settings.adminKey);
  const { key, path, why } = fileOfAdminKey(settings, workingFolder);
  if (key !== undefined) return bearer(key);
  throw new CommandError(
    `There is no admin key: MILLRACE_ADMIN_KEY is not set, and ${path} ${why}. A gateway makes that file at its first start; run this on its machine, in the same folder (or say --data-folder) and as the same user; or set the variable.`,
  );
}

function fileOfAdminKey({ dataFolder }: KeySettings, workingFolder: string) {
  const path = join(resolve(workingFolder, dataFolder), 'admin-key');
  try {
    const key = readFileSync(path, 'utf8').trim();
    return key === '' ? { key: undefined, path, why: 'is empty' } : { key, path, why: '' };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'is not there' : `can not be read (${code})`;
    return { key: undefined, path, why };
  }
}

function bearer(given: string): Record<string, string> {
  // As the gateway does with what it was given: files and Kubernetes' secrets end with a line break.
  const key = given.trim();
  // A header takes neither line breaks nor what is no Latin-1; fetch would say so with the key in its sentence.
  if (/^[\x21-\x7e]+$/.test(key)) return { authorization: `Bearer ${key}` };
  throw new CommandError(
    'The key holds spaces, line breaks or letters that no key has. Copy it again, whole and alone.',
  );
}
