import fc from 'fast-check';

/** How many of each collection are remembered: those made last, of which some have expired since. */
const IDS_MAX = 12;

/**
 * An id that only the run knows: `{{files:7}}` is put in where a request is made, and becomes the id of a file when it
 * is sent. So requests depend on the seed alone, and what a server calls its files does not change them.
 */
export function idOf(collection: string): fc.Arbitrary<string> {
  return indexes.map((index) => idAt(collection, index));
}

export const indexes = fc.nat({ max: IDS_MAX - 1 });

export function idAt(collection: string, index: number): string {
  return `{{${collection}:${index}}}`;
}

/** Of the same: what it lies in, as the store of a file in a vector store. */
export function parentAt(collection: string, index: number): string {
  return `{{${collection}@:${index}}}`;
}

interface Known {
  readonly id: string;
  readonly parent: string | undefined;
}

/** Ids that answers have told. */
export class KnownIds {
  readonly #byCollection = new Map<string, Known[]>();
  readonly #spared: ReadonlySet<string>;

  /** Never the spared: the key that all of this goes by would be revoked. */
  constructor(spared: ReadonlySet<string> = new Set()) {
    this.#spared = spared;
  }

  /** From the answer of an operation at an address, be it one thing or a list of them. */
  learn(path: string, url: string, body: unknown): void {
    if (typeof body !== 'object' || body === null) return;
    const { data } = body as { data?: unknown };
    const parent = parentOf(path, url);
    for (const one of Array.isArray(data) ? [body, ...data] : [body]) this.#add(collectionAt(path), one, parent);
  }

  /** What was deleted at this address. */
  forget(path: string, url: string): void {
    const known = this.#byCollection.get(collectionAt(path)) ?? [];
    const index = known.findIndex(({ id }) => url.endsWith(`/${id}`));
    if (index !== -1) known.splice(index, 1);
  }

  /** A text with all ids put in. */
  fill(text: string): string {
    return text.replaceAll(/\{\{([a-z_/-]+)(@?):(\d+)\}\}/g, (_, collection: string, above: string, index: string) => {
      const all = this.#byCollection.get(collection) ?? [];
      const known = all[Number(index) % all.length];
      return (above === '' ? known?.id : known?.parent) ?? 'unknown';
    });
  }

  #add(collection: string, one: unknown, parent: string | undefined): void {
    const { id } = one as { id?: unknown };
    // Ids of ours have nothing that a path or a JSON text would have to escape.
    if (typeof id !== 'string' || !/^[\w-]+$/.test(id) || this.#spared.has(id)) return;
    const known = this.#byCollection.get(collection) ?? [];
    this.#byCollection.set(collection, known);
    if (!known.some((other) => other.id === id && other.parent === parent)) known.push({ id, parent });
    if (known.length > IDS_MAX) known.shift();
  }
}

/** Where the ids of an operation belong: `vector_stores/files` of `/v1/vector_stores/{id}/files/{file}`. */
export function collectionAt(path: string): string {
  return path
    .split('/')
    .filter((part) => part !== '' && part !== 'v1' && part !== 'admin' && !part.startsWith('{'))
    .join('/');
}

function parentOf(path: string, url: string): string | undefined {
  const [index] = path.split('/').flatMap((part, at) => (part.startsWith('{') ? [at] : []));
  return index === undefined
    ? undefined
    : url
        .replace(/^https?:\/\/[^/]+/, '')
        .split('?')[0]!
        .split('/')[index];
}
