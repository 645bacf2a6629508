import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { ObjectStore } from '../object-store.js';
import { ModelBucket } from './model-bucket.js';
import { ModelCache } from './model-cache.js';
import { ModelStore } from './model-store.js';
import type { RegistryEntry } from './registry-entry.js';

const MODELS = join(import.meta.dirname, '../../../../models');
export const DEMO = join(MODELS, 'millrace-demo.gguf');
export const EMBED = join(MODELS, 'millrace-demo-embed.gguf');

const never = new AbortController().signal;
const nothing = () => {};

/** Sent to the bucket by a machine of its own. @param root where all machines of a test are. */
export async function pushModel(root: string, objects: ObjectStore, id: string, path: string): Promise<RegistryEntry> {
  const bucket = new ModelBucket(objects);
  const sources = { mayAsk: () => true, silenceMsMax: 5_000, hubUrl: '', hubToken: undefined, openBucket: undefined };
  const store = new ModelStore({ folder: join(root, `pushes-${randomUUID()}`), bucket, sources });
  await store.add(path, { id, push: true, allowPaths: true }, nothing, never);
  return (await bucket.find(id, never))!;
}

/** As each worker of the machine opens it. */
export function openCache(
  root: string,
  objects: ObjectStore,
  bytesMax = 1e9,
  freeBytes = async () => 1e12,
): ModelCache {
  return new ModelCache(new ModelBucket(objects), { folder: join(root, 'cache'), bytesMax, freeBytes });
}

export const useModel = (cache: ModelCache, id: string, entry: RegistryEntry) => cache.use(id, entry, nothing, never);
