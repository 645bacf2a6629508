import { InferenceError, type SearchResultsBody } from '@millrace/contracts';
import type { Logger } from '@millrace/runtime';
import type { RequestLog } from '../request-log/request-log.js';
import type { ModelCatalog } from '../validation/model-catalog.js';
import { type AskedSearch, parseSearch } from '../validation/parse-vector-store-requests.js';
import { otherDimension } from '../vector-stores/ingest-entry.js';
import type { ScoredChunk, SearchChunks } from '../vector-stores/search-chunks.js';
import type { StoreRow } from '../vector-stores/store-rows.js';
import { type StoreTable, storeExpired } from '../vector-stores/store-table.js';
import type { Call } from '../vocabulary.js';
import type { DoWork } from './do-work.js';
import { checkedVectors, embedRequest } from './embed-chunks.js';
import { modelsFor } from './models-for.js';
import { inWords } from './stored-call.js';

/** POST /v1/vector_stores/{id}/search: a vector of the question, and what is nearest to it. */
export class SearchVectorStore {
  constructor(
    private readonly models: ModelCatalog,
    private readonly requestLog: RequestLog,
    private readonly work: DoWork,
    private readonly stores: StoreTable,
    private readonly chunks: SearchChunks,
    private readonly logger: Logger,
  ) {}

  async run(id: string, body: unknown, call: Call): Promise<SearchResultsBody> {
    try {
      const asked = parseSearch(body);
      const store = await this.stores.find(call.caller.keyId, id);
      if (store.expired) throw storeExpired(id);
      // What holds no vectors has no model either, perhaps.
      const found = store.dimension === null ? [] : await this.#search(store, asked, call);
      this.stores.touch(id).catch((error: unknown) => this.logger.debug({ error }, 'a search was not noted'));
      return resultsBody(asked, found);
    } catch (error) {
      throw inWords(error);
    }
  }

  async #search(store: StoreRow, { queries, ...asked }: AskedSearch, call: Call): Promise<readonly ScoredChunk[]> {
    const { id: storeId, embedding_model } = store;
    let found: readonly ScoredChunk[] = [];
    const record = this.requestLog.open('vector_stores', call);
    await this.work.run(call, record, {
      parse: () => embedRequest(modelsFor(call.caller, this.models).resolve(embedding_model, 'embedding'), queries),
      ask:
        ({ inputs }) =>
        (worker, heading, signal) =>
          worker.embed({ ...heading, inputs }, signal),
      promptTokensOf: ({ promptTokens }) => promptTokens,
      finish: async ({ vectors: bytes }, signal) => {
        const vectors = checkedVectors(bytes, queries.length);
        checkDimension(store, vectors);
        found = await this.chunks.search({ storeId, vectors, ...asked }, signal).catch((error: unknown) => {
          throw inWords(error);
        });
      },
    });
    return found;
  }
}

function checkDimension({ dimension, embedding_model }: StoreRow, vectors: readonly Float32Array[]): void {
  const odd = vectors.find(({ length }) => length !== dimension);
  if (odd === undefined) return;
  throw new InferenceError('invalid_request', otherDimension(dimension!, embedding_model!, odd.length), {
    param: 'vector_store_id',
  });
}

function resultsBody({ queries }: AskedSearch, found: readonly ScoredChunk[]): SearchResultsBody {
  return {
    object: 'vector_store.search_results.page',
    search_query: [...queries],
    data: found.map(({ fileId, filename, score, attributes, text }) => ({
      file_id: fileId,
      filename,
      score: Math.max(0, Math.min(1, score)),
      attributes,
      content: [{ type: 'text', text }],
    })),
    has_more: false,
    next_page: null,
  };
}
