import type { FileSearchResult, ResponseItem } from '@millrace/contracts';

/** What searches found, by the ids of their items. */
export type FoundResults = ReadonlyMap<string, readonly FileSearchResult[]>;

/** A search of which nobody asked what it found: that is kept beside what is told, since whatever goes on from it reads it. */
type QuietSearch = Extract<ResponseItem, { type: 'file_search_call' }> & { readonly found: FileSearchResult[] };

function isQuiet(item: ResponseItem): item is QuietSearch {
  return item.type === 'file_search_call' && 'found' in item;
}

/** Items as they are kept: each search with what it found. */
export function withFound<Item extends ResponseItem>(items: readonly Item[], found: FoundResults | undefined): Item[] {
  return items.map((item) => {
    const results = item.type === 'file_search_call' && item.results === null ? found?.get(item.id) : undefined;
    return results === undefined ? item : { ...item, found: [...results] };
  });
}

/** An item that was kept, as a model reads it. */
export function withResults(item: ResponseItem): ResponseItem {
  if (!isQuiet(item)) return item;
  const { found, ...search } = item;
  return { ...search, results: found };
}

/** An item that was kept, as it was told. */
export function withoutFound<Item extends ResponseItem>(item: Item): Item {
  if (!isQuiet(item)) return item;
  const { found: _, ...search } = item;
  return search as Item;
}
