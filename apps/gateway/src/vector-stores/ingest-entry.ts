import { setImmediate as nextTurn } from 'node:timers/promises';
import { CHUNK_TOKENS_DEFAULT, InferenceError, OVERLAP_TOKENS_DEFAULT } from '@millrace/contracts';
import type { OpenObject } from '@millrace/storage';
import type { Caller } from '../vocabulary.js';
import type { ChunkTable, StoredChunk } from './chunk-table.js';
import { type ChunkSizes, planChunks } from './chunks/plan-chunks.js';
import { findTokenEnds } from './chunks/token-ends.js';
import { DocumentRefused } from './documents/document-wire.js';
import type { Embedding, EmbeddingModel } from './embedding.js';
import type { StoreOwner } from './store-rows.js';
import type { StoreTable } from './store-table.js';
import type { ChunkVector, VectorPlaces } from './vector-places.js';
import { type FailureCode, GaveWay, type TakenEntry, type WorkTable } from './work-table.js';

/** Files, as far as they are to be read here. */
export interface DocumentFiles {
  /** @throws InferenceError where it is not there for this owner. */
  find(owner: StoreOwner, id: string): Promise<DocumentFile>;
  /** Ownership: whoever gets it disposes of it. */
  open(file: DocumentFile, signal: AbortSignal): Promise<OpenObject>;
}

export interface DocumentFile {
  readonly id: string;
  readonly filename: string;
  readonly bytes: number;
}

/** What makes text of a document. @throws DocumentRefused */
export interface Reader {
  read(filename: string, content: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<string>;
}

export interface IngestLimits {
  readonly vectorFileBytesMax: number;
  readonly vectorStoreChunksMax: number;
}

export interface IngestParts {
  readonly stores: StoreTable;
  readonly chunks: ChunkTable;
  readonly work: WorkTable;
  readonly places: VectorPlaces;
  readonly files: DocumentFiles;
  readonly reader: Reader;
  readonly embedding: Embedding;
}

/** It will never be read, whoever tries again. */
export class IngestFailed extends Error {
  override readonly name = 'IngestFailed';

  constructor(
    readonly code: FailureCode,
    message: string,
  ) {
    super(message);
  }
}

/** Written by one statement. */
const CHUNKS_PER_WRITE = 100;
/** Cut in one turn of the event loop: the largest take some milliseconds each. */
const CHUNKS_PER_TURN = 4;
/** Texts of one request for vectors: more would keep others from the worker for longer. */
const CHUNKS_PER_REQUEST = 32;
/** For vectors of one file, before others' files are looked for: a large one may take hours. */
const REQUESTS_PER_TURN = 8;
/** Where nothing is asked for, how much of what a model takes a chunk fills: what is estimated may be more, and models add tokens of their own. */
const CONTEXT_SHARE = 0.8;
/** A model that finds chunks too long gets smaller ones, down to this. */
const SHRINK = 0.75;
const CHUNK_TOKENS_LEAST = 8;
const TO_THE_END = new AbortController().signal;

/**
 * Makes a file searchable: text, chunks, vectors. What is done is noted after each step, so that whoever goes on with it begins there; what was
 * done and not noted is done again, and comes to the same.
 *
 * @throws IngestFailed, DocumentRefused; Superseded, GaveWay; anything else is worth another try.
 */
export class IngestEntry {
  /** Of those that got vectors here. */
  readonly #dimensions = new WeakMap<TakenEntry, number>();

  constructor(
    private readonly parts: IngestParts,
    private readonly limits: IngestLimits,
  ) {}

  async run(entry: TakenEntry, caller: Caller, signal: AbortSignal): Promise<void> {
    const model = this.parts.embedding.modelFor(caller, entry.embedding_model ?? undefined);
    let sizes = sizesFor(entry, model);
    let { chunks, chunks_done: done } = entry;
    let text: string | undefined;
    for (;;) {
      if (chunks === null) {
        text ??= await this.#read(entry, signal);
        chunks = await this.#cut(entry, text, model, sizes, signal);
        done = 0;
      }
      try {
        await this.#embed(entry, caller, model, { from: done, chunks }, signal);
        return await this.parts.work.complete(entry);
      } catch (error) {
        if (!isTooLong(error)) throw error;
        sizes = smaller(entry, sizes, error);
        chunks = null;
        await this.parts.work.uncut(entry);
      }
    }
  }

  /** Undefined: it was given no vectors. */
  dimensionOf(entry: TakenEntry): number | undefined {
    return this.#dimensions.get(entry);
  }

  async #read(entry: TakenEntry, signal: AbortSignal): Promise<string> {
    const { files, reader } = this.parts;
    const file = await files.find(entry.key_id === '' ? undefined : entry.key_id, entry.file_id).catch(explainMissing);
    const { vectorFileBytesMax: max } = this.limits;
    if (file.bytes > max) {
      throw new IngestFailed(
        'invalid_file',
        `The file has ${file.bytes.toLocaleString('en-US')} bytes; at most ${max.toLocaleString('en-US')} are read into a vector store (vectorFileBytesMax). Split it.`,
      );
    }
    await using opened = await files.open(file, signal).catch(explainMissing);
    return await reader.read(file.filename, opened.content, signal);
  }

  /** @returns how many chunks there are. */
  async #cut(
    entry: TakenEntry,
    text: string,
    model: EmbeddingModel,
    sizes: ChunkSizes,
    signal: AbortSignal,
  ): Promise<number> {
    const { chunks, work, embedding } = this.parts;
    const ends = await findTokenEnds(text, (part) => embedding.spell(model, part, signal), signal);
    const room = this.limits.vectorStoreChunksMax - (await chunks.countIn(entry.store_id));
    await chunks.removeAll(entry.id);
    let number = 0;
    let some: StoredChunk[] = [];
    const write = async () => {
      await chunks.write(entry.id, number - some.length, some);
      some = [];
      signal.throwIfAborted();
    };
    for (const { from, to, overlap } of planChunks(text, ends, sizes)) {
      if (++number > room) throw this.#full(room);
      some.push({ text: text.slice(from, to), overlap });
      if (some.length === CHUNKS_PER_WRITE) await write();
      else if (number % CHUNKS_PER_TURN === 0) await nextTurn();
    }
    await write();
    await work.cut(entry, number, sizes.tokensMax, sizes.overlapTokens);
    return number;
  }

  #full(room: number): IngestFailed {
    const { vectorStoreChunksMax: max } = this.limits;
    return new IngestFailed(
      'invalid_file',
      `The file has more chunks than the ${Math.max(0, room).toLocaleString('en-US')} that its vector store has room for; it may have ${max.toLocaleString('en-US')} in all (vectorStoreChunksMax). Use larger chunks, or another store.`,
    );
  }

  async #embed(
    entry: TakenEntry,
    caller: Caller,
    model: EmbeddingModel,
    { from, chunks }: { readonly from: number; readonly chunks: number },
    signal: AbortSignal,
  ): Promise<void> {
    for (let at = from; at < chunks; at += CHUNKS_PER_REQUEST) {
      const some = await this.parts.chunks.read(entry.id, at, CHUNKS_PER_REQUEST);
      const texts = some.map(({ text }) => text);
      const vectors = await this.parts.embedding.vectorsOf(caller, model, texts, signal);
      const dimension = await this.#pin(entry, model, vectors);
      const points = vectors.map((vector, index): ChunkVector => ({ number: at + index, vector }));
      signal.throwIfAborted();
      this.#dimensions.set(entry, dimension);
      // Not ended half-way, which `vectorTimeoutMs` bounds: whoever removes them afterwards could else come before the last of them.
      await this.parts.places.put({ id: entry.id, storeId: entry.store_id, dimension }, points, TO_THE_END);
      const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text) + 4 * dimension, 0);
      const next = at + some.length;
      await this.parts.work.advance(entry, next, bytes);
      const hadItsTurn = next - from >= REQUESTS_PER_TURN * CHUNKS_PER_REQUEST && next < chunks;
      if (hadItsTurn && (await this.parts.work.othersWait(entry))) throw new GaveWay();
    }
  }

  async #pin(entry: TakenEntry, model: EmbeddingModel, vectors: readonly Float32Array[]): Promise<number> {
    const dimension = vectors[0]?.length ?? 0;
    const known = this.#dimensions.get(entry);
    // What was written down stays: it need not be written again for every few chunks.
    const pinned =
      known === undefined
        ? await this.parts.stores.pin(entry.store_id, model.id, dimension)
        : { model: model.id, dimension: known };
    if (pinned === undefined) throw new InferenceError('internal_error', 'The vector store is gone.');
    if (pinned.model !== model.id && entry.embedding_model === null)
      throw new InferenceError('internal_error', 'The vector store was given another model meanwhile.');
    const odd = vectors.find(({ length }) => length !== pinned.dimension);
    if (odd === undefined) return dimension;
    throw new IngestFailed('server_error', otherDimension(pinned.dimension, model.id, odd.length));
  }
}

export function otherDimension(there: number, model: string, now: number): string {
  return `The vectors of this store have ${there.toLocaleString('en-US')} numbers; those that the model ${model} makes now have ${now.toLocaleString('en-US')}. Serve the model that the store was made with, or make another store.`;
}

function sizesFor(entry: TakenEntry, { id, contextLength }: EmbeddingModel): ChunkSizes {
  const { chunk_tokens_asked: asked, overlap_tokens_asked: overlap } = entry;
  if (asked === null || overlap === null) return sizesThatFit(contextLength);
  if (contextLength === 0 || asked <= contextLength) return { tokensMax: asked, overlapTokens: overlap };
  throw new IngestFailed(
    'invalid_file',
    `Its chunks are to have up to ${asked.toLocaleString('en-US')} tokens; the model ${id} takes ${contextLength.toLocaleString('en-US')}. Attach it with a smaller \`max_chunk_size_tokens\`.`,
  );
}

function sizesThatFit(contextLength: number): ChunkSizes {
  const room = contextLength === 0 ? CHUNK_TOKENS_DEFAULT : Math.floor(contextLength * CONTEXT_SHARE);
  const tokensMax = Math.max(CHUNK_TOKENS_LEAST, Math.min(CHUNK_TOKENS_DEFAULT, room));
  return { tokensMax, overlapTokens: Math.min(OVERLAP_TOKENS_DEFAULT, Math.floor(tokensMax / 2)) };
}

function isTooLong(error: unknown): error is InferenceError {
  return error instanceof InferenceError && error.code === 'context_length_exceeded';
}

/** What was asked for is not changed in silence. */
function smaller(entry: TakenEntry, { tokensMax, overlapTokens }: ChunkSizes, error: InferenceError): ChunkSizes {
  const next = Math.floor(tokensMax * SHRINK);
  if (entry.chunk_tokens_asked !== null || next < CHUNK_TOKENS_LEAST) {
    throw new IngestFailed('invalid_file', `A chunk is too long for the model: ${error.message}`);
  }
  return { tokensMax: next, overlapTokens: Math.floor(overlapTokens * SHRINK) };
}

function explainMissing(error: unknown): never {
  if (error instanceof InferenceError && error.code === 'file_not_found')
    throw new DocumentRefused(
      'invalid_file',
      'The file was deleted, or has expired, before it was read. Upload it again.',
    );
  throw error;
}
