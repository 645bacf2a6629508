import { createLogger, WatchedTls } from '@millrace/runtime';
import { type ModelStore, openModelStore } from '@millrace/storage';
import type { Asked } from './models-command.js';

/** The models of this command's settings, for as long as `work` takes. */
export async function withModelStore<T>({ loaded, flags }: Asked, work: (store: ModelStore) => Promise<T>): Promise<T> {
  const { settings, variables } = loaded;
  const caFile = settings['s3Tls.caFile'];
  const silent = createLogger({ name: 'cli', level: 'silent', format: 'json' });
  const tls =
    caFile === undefined
      ? undefined
      : await WatchedTls.open({ group: 's3Tls', certFile: undefined, keyFile: undefined, caFile }, silent);
  const modelSourcesPrivate = settings.modelSourcesPrivate || flags.allowPrivate;
  const store = await openModelStore({ ...settings, modelSourcesPrivate }, variables, tls);
  try {
    return await work(store);
  } finally {
    await store.close();
    tls?.close();
  }
}
