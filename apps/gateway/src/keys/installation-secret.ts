import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigurationError, type Logger } from '@millrace/runtime';
import { randomText } from './api-key.js';

export interface InstallationSecrets {
  /** What opens the admin API. */
  readonly adminKey: string;
  /** What the digests of API keys are made with. */
  readonly keySecret: string;
}

interface SecretSettings {
  readonly adminKey: string | undefined;
  readonly keySecret: string | undefined;
  readonly dataFolder: string;
}

interface Secret {
  readonly setting: 'adminKey' | 'keySecret';
  readonly variable: string;
  /** In `dataFolder`. */
  readonly file: string;
  readonly prefix: string;
  readonly lengthMin: number;
  /** Whether it is sent in a header. */
  readonly isSent: boolean;
  /** What to do about a file that was cut. */
  readonly ifDamaged: string;
}

export const ADMIN_KEY: Secret = {
  setting: 'adminKey',
  variable: 'MILLRACE_ADMIN_KEY',
  file: 'admin-key',
  prefix: 'mr-admin-',
  lengthMin: 20,
  isSent: true,
  ifDamaged: 'Delete it, and the next start makes another',
};
const KEY_SECRET: Secret = {
  setting: 'keySecret',
  variable: 'MILLRACE_KEY_SECRET',
  file: 'key-secret',
  prefix: '',
  lengthMin: 32,
  isSent: false,
  ifDamaged: 'Restore it: with another, no key that was made so far is valid. Only where there are none, delete it',
};

/** Of those that are made here: 257 bits. */
const MADE_LENGTH = 44;

/**
 * The two secrets of an installation: as the settings say, else from `dataFolder`, where the first start makes them. The log says
 * where they lie, and never what they are.
 *
 * @throws ConfigurationError when one is too short, or can neither be read nor made.
 */
export function installationSecrets(settings: SecretSettings, logger: Logger): InstallationSecrets {
  return {
    adminKey: secretOf(ADMIN_KEY, settings, logger),
    keySecret: secretOf(KEY_SECRET, settings, logger),
  };
}

function secretOf(secret: Secret, settings: SecretSettings, logger: Logger): string {
  const given = settings[secret.setting];
  if (given !== undefined) return checked(given, secret, secret.setting);
  const path = join(settings.dataFolder, secret.file);
  try {
    const made = makeUnlessThere(path, secret);
    const text = checked(readFileSync(path, 'utf8'), secret, path);
    warnOfReaders(path, secret, logger);
    logger.info(
      { file: path },
      made ? `made ${nameOf(secret)}; only its owner can read the file` : `${nameOf(secret)} is in the file`,
    );
    return text;
  } catch (error) {
    if (error instanceof ConfigurationError) throw error;
    throw new ConfigurationError([unreadable(path, secret, error)]);
  }
}

/** Whether this process made it. Of several that start at once one does, and the others read what it wrote. */
function makeUnlessThere(path: string, secret: Secret): boolean {
  if (statSync(path, { throwIfNoEntry: false }) !== undefined) return false;
  mkdirSync(join(path, '..'), { recursive: true, mode: 0o700 });
  const draft = `${path}.${process.pid}.${randomText(8)}`;
  writeFileSync(draft, `${secret.prefix}${randomText(MADE_LENGTH)}\n`, { mode: 0o600, flag: 'wx', flush: true });
  try {
    // A link appears with all of its contents, and only where there is none: renaming would replace what another has just made.
    linkSync(draft, path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    // Some file systems know no links. There, two first starts at the very same time could disagree, which the next start ends.
    if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'ENOSYS') throw error;
    renameSync(draft, path);
    return true;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Without what files and Kubernetes' secrets end with. `place`: the setting, or the file. */
function checked(given: string, secret: Secret, place: string): string {
  const text = given.trim();
  const problem = problemOf(text, secret);
  if (problem === undefined) return text;
  const mend = place === secret.setting ? `Give another as ${secret.variable}` : secret.ifDamaged;
  throw new ConfigurationError([`${place} ${problem}. ${mend}.`]);
}

function problemOf(text: string, secret: Secret): string | undefined {
  const { lengthMin, isSent } = secret;
  if (text.length < lengthMin) return `has ${text.length} characters; ${nameOf(secret)} needs at least ${lengthMin}`;
  // `Authorization` ends at the first blank, and what is no ASCII arrives as something else.
  if (isSent && !/^[\x21-\x7e]+$/.test(text))
    return `holds more than ASCII letters, digits and signs, so that no client could send it as ${nameOf(secret)}`;
  return undefined;
}

function warnOfReaders(path: string, secret: Secret, logger: Logger): void {
  const mode = statSync(path).mode & 0o777;
  if (process.platform === 'win32' || (mode & 0o077) === 0) return;
  logger.warn(
    { file: path, mode: mode.toString(8) },
    `others on this machine can read ${nameOf(secret)}: chmod 600 ${path}, and if they may have done so, make a new one`,
  );
}

function unreadable(path: string, { variable }: Secret, error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return `${path} can neither be read nor made (${code ?? message}). Give --data-folder a folder that this user can write to, or give the secret as ${variable}.`;
}

function nameOf({ setting }: Pick<Secret, 'setting'>): string {
  return setting === 'adminKey' ? 'the key of the admin API' : 'the secret of the API keys';
}
