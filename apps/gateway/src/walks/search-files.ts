import { type FileSearchResult, InferenceError } from '@millrace/contracts';
import type { FileSearchTool } from '../validation/searched-files.js';
import { type StoreTable, storeExpired } from '../vector-stores/store-table.js';
import type { Call } from '../vocabulary.js';
import type { SearchVectorStore } from './search-vector-store.js';
import { inWords } from './stored-call.js';

const RESULTS_DEFAULT = 10;

/** What a response finds in the vector stores of its caller: each search is one of /v1/vector_stores, on the same account. */
export class SearchFiles {
  constructor(
    private readonly stores: Pick<StoreTable, 'find'>,
    private readonly searching: Pick<SearchVectorStore, 'run'>,
  ) {}

  /** Before a model is asked anything. @throws InferenceError where the caller has no such store, or it has expired. */
  async check({ vector_store_ids: ids }: FileSearchTool, place: string, { caller }: Call): Promise<void> {
    for (const [index, id] of ids.entries()) {
      try {
        const { expired } = await this.stores.find(caller.keyId, id);
        if (expired) throw storeExpired(id);
      } catch (error) {
        throw placed(inWords(error), `${place}.vector_store_ids[${index}]`);
      }
    }
  }

  /** The nearest of all stores, best first. */
  async run(tool: FileSearchTool, queries: readonly string[], call: Call): Promise<readonly FileSearchResult[]> {
    const { vector_store_ids: ids, max_num_results, filters, ranking_options } = tool;
    if (queries.length === 0) return [];
    const max = max_num_results ?? RESULTS_DEFAULT;
    const score_threshold = ranking_options?.score_threshold;
    const body = { query: queries, max_num_results: max, filters, ranking_options: { score_threshold } };
    const found: FileSearchResult[] = [];
    // One after another: together they would only keep others from theirs.
    for (const id of new Set(ids)) {
      const { data } = await this.searching.run(id, body, call);
      for (const { file_id, filename, score, attributes, content } of data) {
        found.push({ file_id, filename, score, attributes, text: content.map(({ text }) => text).join('\n') });
      }
    }
    return found.sort((one, other) => other.score - one.score).slice(0, max);
  }
}

function placed(error: unknown, param: string): unknown {
  if (!(error instanceof InferenceError) || error.code === 'store_unavailable') return error;
  const { code, message, details } = error;
  return new InferenceError(code, message, { ...details, param, cause: error });
}
