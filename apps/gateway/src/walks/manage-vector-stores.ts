import {
  type FileBatchBody,
  InferenceError,
  type VectorStoreBody,
  type VectorStoreFileBody,
  type VectorStoreFileContentBody,
  type VectorStoreFileListBody,
  type VectorStoreListBody,
} from '@millrace/contracts';
import {
  type AskedFile,
  askedFile,
  parseAttachBatch,
  parseAttachFile,
  parseChangeFile,
  parseChangeStore,
  parseCreateStore,
  parseListFiles,
  parseListStores,
} from '../validation/parse-vector-store-requests.js';
import type { ChunkTable } from '../vector-stores/chunk-table.js';
import type { Embedding } from '../vector-stores/embedding.js';
import type { EntryTable, NewEntry } from '../vector-stores/entry-table.js';
import type { DocumentFiles } from '../vector-stores/ingest-entry.js';
import type { Page } from '../vector-stores/page.js';
import { batchBody, type EntryRow, entryBody, storeBody } from '../vector-stores/store-rows.js';
import type { StoreTable } from '../vector-stores/store-table.js';
import type { Call } from '../vocabulary.js';
import { listBody } from './list-body.js';
import type { StoredCalls } from './stored-call.js';

export interface VectorStoreParts {
  readonly stores: StoreTable;
  readonly entries: EntryTable;
  readonly chunks: ChunkTable;
}

/** Whoever reads files in the background. */
interface Background {
  /** There is something to do. */
  wake(): void;
}

/** Files that are looked for at a time. */
const LOOKS_AT_ONCE = 16;
/** Chunks that are read at a time. */
const CHUNKS_PER_READ = 200;

/** /v1/vector_stores, but for the search: what there is, and what is in it. Reading it happens in the background. */
export class ManageVectorStores {
  constructor(
    private readonly calls: StoredCalls,
    private readonly parts: VectorStoreParts,
    private readonly files: Pick<DocumentFiles, 'find'>,
    private readonly embedding: Pick<Embedding, 'modelFor'>,
    private readonly background: Background,
  ) {}

  create(body: unknown, call: Call): Promise<VectorStoreBody> {
    return this.#run(call, async (owner) => {
      const asked = parseCreateStore(body);
      const named = asked.embedding_model ?? undefined;
      const embeddingModel = named && this.#modelNamed(named, call);
      const files = (asked.file_ids ?? []).map((file_id) =>
        askedFile({ file_id, chunking_strategy: asked.chunking_strategy }),
      );
      const entries = await this.#entriesOf(call, files);
      const id = await this.parts.stores.create(owner, {
        name: asked.name ?? '',
        description: asked.description ?? undefined,
        metadata: asked.metadata ?? {},
        expiresAfterDays: asked.expires_after?.days,
        embeddingModel,
      });
      if (entries.length > 0) await this.parts.entries.attach(owner, id, entries);
      this.background.wake();
      return storeBody(await this.parts.stores.find(owner, id));
    });
  }

  list(query: unknown, call: Call): Promise<VectorStoreListBody> {
    return this.#run(call, async (owner) => {
      const { rows, hasMore } = await this.parts.stores.list(owner, parseListStores(query));
      return listBody(rows.map(storeBody), hasMore);
    });
  }

  find(id: string, call: Call): Promise<VectorStoreBody> {
    return this.#run(call, async (owner) => storeBody(await this.parts.stores.find(owner, id)));
  }

  change(id: string, body: unknown, call: Call): Promise<VectorStoreBody> {
    return this.#run(call, async (owner) => {
      const { name, metadata, expires_after } = parseChangeStore(body);
      await this.parts.stores.change(owner, id, {
        name: name ?? undefined,
        metadata: metadata === null ? {} : metadata,
        expiresAfterDays: expires_after === null ? null : expires_after?.days,
      });
      return storeBody(await this.parts.stores.find(owner, id));
    });
  }

  remove(id: string, call: Call) {
    return this.#run(call, async (owner) => {
      await this.parts.stores.remove(owner, id);
      this.background.wake();
      return { id, object: 'vector_store.deleted', deleted: true } as const;
    });
  }

  attachFile(id: string, body: unknown, call: Call): Promise<VectorStoreFileBody> {
    return this.#run(call, async (owner) => {
      const [entry] = await this.#entriesOf(call, [parseAttachFile(body)]);
      await this.parts.entries.attach(owner, id, [entry!]);
      this.background.wake();
      return entryBody(await this.parts.entries.find(id, entry!.fileId));
    });
  }

  listFiles(id: string, query: unknown, call: Call): Promise<VectorStoreFileListBody> {
    return this.#inStore(id, call, async () => entryListBody(await this.parts.entries.list(id, parseListFiles(query))));
  }

  findFile(id: string, fileId: string, call: Call): Promise<VectorStoreFileBody> {
    return this.#inStore(id, call, async () => entryBody(await this.parts.entries.find(id, fileId)));
  }

  changeFile(id: string, fileId: string, body: unknown, call: Call): Promise<VectorStoreFileBody> {
    return this.#inStore(id, call, async () =>
      entryBody(await this.parts.entries.changeAttributes(id, fileId, parseChangeFile(body))),
    );
  }

  removeFile(id: string, fileId: string, call: Call) {
    return this.#inStore(id, call, async () => {
      await this.parts.entries.remove(id, fileId);
      this.background.wake();
      return { id: fileId, object: 'vector_store.file.deleted', deleted: true } as const;
    });
  }

  /** Its text as it was read: of each chunk, what the one before did not have. */
  readFile(id: string, fileId: string, call: Call): Promise<VectorStoreFileContentBody> {
    return this.#inStore(id, call, async () => {
      const entry = await this.parts.entries.find(id, fileId);
      const data: { type: 'text'; text: string }[] = [];
      for (let from = 0; entry.status === 'completed'; from += CHUNKS_PER_READ) {
        const some = await this.parts.chunks.read(entry.id, from, CHUNKS_PER_READ);
        data.push(...some.map(({ text, overlap }) => ({ type: 'text' as const, text: text.slice(overlap) })));
        if (some.length < CHUNKS_PER_READ) break;
      }
      return { object: 'vector_store.file_content.page', data, has_more: false, next_page: null };
    });
  }

  attachBatch(id: string, body: unknown, call: Call): Promise<FileBatchBody> {
    return this.#run(call, async (owner) => {
      const entries = await this.#entriesOf(call, parseAttachBatch(body));
      const batchId = await this.parts.entries.attachBatch(owner, id, entries);
      this.background.wake();
      return batchBody(await this.parts.entries.findBatch(id, batchId));
    });
  }

  findBatch(id: string, batchId: string, call: Call): Promise<FileBatchBody> {
    return this.#inStore(id, call, async () => batchBody(await this.parts.entries.findBatch(id, batchId)));
  }

  cancelBatch(id: string, batchId: string, call: Call): Promise<FileBatchBody> {
    return this.#inStore(id, call, async () => {
      await this.parts.entries.cancelBatch(id, batchId);
      this.background.wake();
      return batchBody(await this.parts.entries.findBatch(id, batchId));
    });
  }

  listBatchFiles(id: string, batchId: string, query: unknown, call: Call): Promise<VectorStoreFileListBody> {
    return this.#inStore(id, call, async () => {
      const asked = parseListFiles(query);
      await this.parts.entries.findBatch(id, batchId);
      return entryListBody(await this.parts.entries.list(id, asked, batchId));
    });
  }

  /** By its own name: what an alias stands for may change, and vectors of two models can't be compared. */
  #modelNamed(named: string, { caller }: Call): string {
    try {
      return this.embedding.modelFor(caller, named).id;
    } catch (error) {
      if (!(error instanceof InferenceError)) throw error;
      // It stands in a field of another name here.
      throw new InferenceError(error.code, error.message, { ...error.details, param: 'embedding_model' });
    }
  }

  /** @throws InferenceError 404 where one is not this key's. */
  async #entriesOf({ caller: { keyId } }: Call, asked: readonly AskedFile[]): Promise<readonly NewEntry[]> {
    const entries: NewEntry[] = [];
    // Of one file that is named twice, what is said last counts.
    const once = [...new Map(asked.map((one) => [one.fileId, one])).values()];
    for (let from = 0; from < once.length; from += LOOKS_AT_ONCE) {
      const some = once.slice(from, from + LOOKS_AT_ONCE);
      const found = await Promise.all(some.map(({ fileId }) => this.files.find(keyId, fileId)));
      entries.push(...some.map((one, at) => ({ ...one, filename: found[at]!.filename })));
    }
    return entries;
  }

  #inStore<T>(id: string, call: Call, work: () => Promise<T>): Promise<T> {
    return this.#run(call, async (owner) => {
      await this.parts.stores.find(owner, id);
      return work();
    });
  }

  #run<T>(call: Call, work: (owner: string | undefined) => Promise<T>): Promise<T> {
    return this.calls.run('vector_stores', call, () => work(call.caller.keyId));
  }
}

function entryListBody({ rows, hasMore }: Page<EntryRow>): VectorStoreFileListBody {
  return listBody(rows.map(entryBody), hasMore);
}
