import fc from 'fast-check';

/** How many of each collection are remembered: those made last, of which some have been deleted since. */
const IDS_MAX = 12;

/**
 * An id that only the run knows: `{{files:7}}` is put in where a request is made, and becomes the id of a file when it
 * is sent. So requests depend on the seed alone, and what a server calls its files does not change them.
 */
export function idOf(collection: string): fc.Arbitrary<string> {
  return fc.nat({ max: IDS_MAX - 1 }).map((index) => `{{${collection}:${index}}}`);
}

/** Ids that answers have told. */
export class KnownIds {
  readonly #byCollection = new Map<string, string[]>();

  readonly #spared: ReadonlySet<string>;

  /** Never the spared: the key that all of this goes by would be revoked. */
  constructor(spared: ReadonlySet<string> = new Set()) {
    this.#spared = spared;
  }

  /** Of `post /v1/files`, and of each item where it is a list. */
  learn(path: string, body: unknown): void {
    if (typeof body !== 'object' || body === null) return;
    const { data } = body as { data?: unknown };
    for (const one of Array.isArray(data) ? [body, ...data] : [body]) this.#add(collectionAt(path), one);
  }

  /** What was deleted at this address. */
  forget(path: string, url: string): void {
    const ids = this.#byCollection.get(collectionAt(path)) ?? [];
    const index = ids.findIndex((id) => url.endsWith(`/${id}`));
    if (index !== -1) ids.splice(index, 1);
  }

  /** A text with all ids put in. */
  fill(text: string): string {
    return text.replaceAll(/\{\{([a-z_-]+):(\d+)\}\}/g, (_, collection: string, index: string) => {
      const ids = this.#byCollection.get(collection) ?? [];
      return ids[Number(index) % ids.length] ?? `${collection}-unknown`;
    });
  }

  #add(collection: string, one: unknown): void {
    const { id } = one as { id?: unknown };
    // Ids of ours have nothing that a path or a JSON text would have to escape.
    if (typeof id !== 'string' || !/^[\w-]+$/.test(id) || this.#spared.has(id)) return;
    const ids = this.#byCollection.get(collection) ?? [];
    this.#byCollection.set(collection, ids);
    if (!ids.includes(id)) ids.push(id);
    if (ids.length > IDS_MAX) ids.shift();
  }
}

/** Where the ids of an operation belong: `files` of `/v1/files/{id}` and of `/v1/vector_stores/{id}/files`. */
export function collectionAt(path: string): string {
  return path.split('/').findLast((part) => part !== '' && !part.startsWith('{')) ?? '';
}
