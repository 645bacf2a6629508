import { LISTED_KEYS_MAX, type ObjectStore, REMOVED_KEYS_MAX } from '@millrace/storage';

/** Removes everything whose key begins so. @throws ObjectStoreUnavailable */
export async function removeUnder(objects: ObjectStore, prefix: string, signal: AbortSignal): Promise<void> {
  const limit = Math.min(LISTED_KEYS_MAX, REMOVED_KEYS_MAX);
  for (;;) {
    const page = await objects.list(prefix, { limit }, signal);
    if (page.length === 0) return;
    await objects.remove(
      page.map(({ key }) => key),
      signal,
    );
    if (page.length < limit) return;
  }
}
