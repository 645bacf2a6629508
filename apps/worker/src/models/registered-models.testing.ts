import type { Logger } from '@millrace/runtime';
import { RegisteredModels } from './registered-models.js';

/** A registry with nothing in it. */
export function noRegistry(logger: Logger): RegisteredModels {
  const registry = { models: async () => new Map(), pathOf: ({ path }: { path: string }) => path };
  const digests = { digestOf: async () => '' };
  return new RegisteredModels({ registry, bucket: undefined, digests, refreshMs: 60_000 }, logger);
}
