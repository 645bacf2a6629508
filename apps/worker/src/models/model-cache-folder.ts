import { relative, resolve } from 'node:path';
import type { Settings } from '@millrace/contracts';
import { ConfigurationError } from '@millrace/runtime';

/**
 * Where models of the bucket are kept on this machine.
 *
 * @throws ConfigurationError where the registry lies there: what is kept there is deleted again, and what is in the registry is to stay.
 */
export function modelCacheFolder({ cacheFolder, modelsDir }: Pick<Settings, 'cacheFolder' | 'modelsDir'>): string {
  const folder = resolve(cacheFolder, 'models');
  const below = relative(folder, resolve(modelsDir));
  if (below === '..' || below.startsWith('../')) return folder;
  throw new ConfigurationError([
    `modelsDir is ${modelsDir}, and ${folder} is where models of the bucket are kept (models in cacheFolder), which are deleted when others need the room. Choose another modelsDir or cacheFolder.`,
  ]);
}
