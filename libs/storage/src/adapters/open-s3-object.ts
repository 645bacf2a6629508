import type { IncomingMessage } from 'node:http';
import { type ByteRange, ObjectStoreUnavailable, type OpenObject } from '../object-store.js';
import { inWords, Silence } from './s3-failures.js';

/** What a reader has to know of its store. */
interface ReadFrom {
  readonly url: URL;
  readonly bucket: string;
  readonly silenceMsMax: number;
}

/** What is being read. Only while something is waited for it may not be silent: whoever reads may take their time. */
export class OpenS3Object implements OpenObject {
  readonly bytes: number;
  readonly version: string;
  readonly modifiedMs: number;
  readonly #left: number;

  constructor(
    readonly key: string,
    private readonly response: IncomingMessage,
    range: ByteRange,
    private readonly signal: AbortSignal,
    private readonly options: ReadFrom,
  ) {
    const { headers } = response;
    const [, from, all] = /^bytes (\d+)-\d+\/(\d+)$/.exec(headers['content-range'] ?? '') ?? [];
    const isPart = range.from > 0 || range.bytes !== undefined;
    if (headers['content-length'] === undefined || (isPart && Number(from) !== range.from)) {
      response.destroy();
      throw new ObjectStoreUnavailable(
        `The object store at ${options.url.host} does not say how long its answers are, or which part of a file they are.`,
      );
    }
    this.#left = Number(headers['content-length']);
    this.bytes = Number(all ?? this.#left);
    this.version = versionOf(headers.etag, this.bytes);
    this.modifiedMs = Date.parse(headers['last-modified'] ?? '') || 0;
    response.setTimeout(0);
    response.on('error', () => {}); // Whoever reads is told; maybe nobody does.
  }

  get content(): AsyncIterable<Uint8Array> {
    return this.#read();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.response.destroy();
  }

  async *#read(): AsyncGenerator<Uint8Array> {
    this.signal.throwIfAborted();
    let left = this.#left;
    const pieces = this.response[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
    for (let next = await this.#next(pieces); !next.done; next = await this.#next(pieces)) {
      left -= next.value.byteLength;
      yield next.value;
    }
    this.signal.throwIfAborted();
    if (left > 0) throw new ObjectStoreUnavailable(`The file ${this.key} broke off: ${left} bytes of it did not come.`);
  }

  async #next(pieces: AsyncIterator<Uint8Array>): Promise<IteratorResult<Uint8Array>> {
    const { silenceMsMax } = this.options;
    const timer = setTimeout(() => this.response.destroy(new Silence(silenceMsMax)), silenceMsMax);
    try {
      return await pieces.next();
    } catch (error) {
      this.signal.throwIfAborted();
      throw inWords(error, this.options);
    } finally {
      clearTimeout(timer);
    }
  }
}

export function versionOf(etag: string | undefined, bytes: number): string {
  return `${(etag ?? '').replaceAll('"', '')}-${bytes}`;
}
