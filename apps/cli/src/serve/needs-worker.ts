import { resolve } from 'node:path';
import { type Settings, servedByGateway } from '@millrace/contracts';
import { ConfigurationError, namesFile, readModelsFile } from '@millrace/runtime';

/** Whether anything is to be served that a worker has to load; the gateway serves providers' models itself. */
export function needsWorker(
  { model, modelsFile }: Pick<Settings, 'model' | 'modelsFile'>,
  workingFolder: string,
): boolean {
  if (model !== undefined && namesFile(model)) return true;
  try {
    const { models } = readModelsFile(resolve(workingFolder, modelsFile));
    return models.length === 0 || !models.every(servedByGateway);
  } catch (error) {
    // A file that can't be used is the processes' to complain of: they read it too.
    if (error instanceof ConfigurationError) return true;
    throw error;
  }
}
