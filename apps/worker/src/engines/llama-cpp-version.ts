import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

/**
 * The version of the package that llama.cpp comes with, read without loading either: a trial that is known already is
 * to cost nothing, and one that is not should not wait for it.
 */
export function llamaCppVersion(): string {
  const { resolve } = createRequire(import.meta.url);
  let folder = new URL('.', `file://${resolve('node-llama-cpp')}`);
  while (folder.pathname !== '/') {
    const version = versionIn(new URL('package.json', folder));
    if (version !== undefined) return version;
    folder = new URL('..', folder);
  }
  return 'unknown';
}

function versionIn(file: URL): string | undefined {
  try {
    const { name, version } = JSON.parse(readFileSync(file, 'utf8')) as Readonly<Record<string, unknown>>;
    return name === 'node-llama-cpp' && typeof version === 'string' ? version : undefined;
  } catch {
    return undefined;
  }
}
