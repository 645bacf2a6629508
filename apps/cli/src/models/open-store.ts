import type { Settings } from '@millrace/contracts';
import { createLogger, WatchedTls } from '@millrace/runtime';
import { type HubVariables, type ModelStore, openModelStore } from '@millrace/storage';
import type { Asked } from './models-command.js';

/** The models of this command's settings, for as long as `work` takes. */
export function withModelStore<T>({ loaded, flags }: Asked, work: (store: ModelStore) => Promise<T>): Promise<T> {
  const modelSourcesPrivate = loaded.settings.modelSourcesPrivate || flags.allowPrivate;
  return withModelStoreOf({ ...loaded.settings, modelSourcesPrivate }, loaded.variables, work);
}

export async function withModelStoreOf<T>(
  settings: Settings,
  variables: HubVariables,
  work: (store: ModelStore) => Promise<T>,
): Promise<T> {
  const caFile = settings['s3Tls.caFile'];
  const silent = createLogger({ name: 'cli', level: 'silent', format: 'json' });
  const tls =
    caFile === undefined
      ? undefined
      : await WatchedTls.open({ group: 's3Tls', certFile: undefined, keyFile: undefined, caFile }, silent);
  const store = await openModelStore(settings, variables, tls);
  try {
    return await work(store);
  } finally {
    await store.close();
    tls?.close();
  }
}
