import type { FileSearchResult } from '@millrace/contracts';

/** What the model calls to search. */
export const FILE_SEARCH_FUNCTION = 'file_search';

/** Results as the model reads them. */
export function resultsText(results: readonly FileSearchResult[]): string {
  return JSON.stringify(results.map(({ file_id, filename, text }) => ({ file_id, filename, text })));
}
