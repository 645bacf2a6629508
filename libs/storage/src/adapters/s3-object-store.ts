import { AsyncLocalStorage } from 'node:async_hooks';
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { Client, S3Error } from 'minio';
import { MeasuredContent } from '../measured-content.js';
import {
  type ByteRange,
  checkKey,
  checkPage,
  checkPrefix,
  checkRange,
  type ListPage,
  type ObjectInfo,
  type ObjectStore,
  ObjectStoreFull,
  ObjectStoreUnavailable,
  ObjectTooLarge,
  type OpenObject,
  type PutLimits,
  type PutObject,
  REMOVED_KEYS_MAX,
} from '../object-store.js';
import { StoreState } from '../store-state.js';

export interface S3Options {
  /** `https://…` or `http://…`, with a port where it is not the usual one, and without a path. */
  readonly url: URL;
  /** It has to be there. */
  readonly bucket: string;
  /** What all keys begin with there; '' or something that ends with `/`. */
  readonly prefix: string;
  readonly region: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** So long it may say nothing while something is expected of it. */
  readonly silenceMsMax: number;
  /** Of what is larger, so much goes at a time; absent: PART_BYTES. For servers that take nothing in parts. */
  readonly partBytes?: number | undefined;
  /** The authorities to believe, as they are when a connection is made; absent: those that Node believes. */
  readonly trust?: (() => string | Buffer | undefined) | undefined;
}

const MEBIBYTE = 1024 * 1024;
/** What is larger goes in parts of that size, and so much of a file is in memory at a time. S3 takes no smaller parts than 5 MiB. */
const PART_BYTES = 8 * MEBIBYTE;
/** What is set aside for a file before it is known to be longer. */
const FIRST_BYTES = 256 * 1024;
/** Of S3. */
const PARTS_MAX = 10_000;
/** Where it is known how large it will be, roughly: its parts are larger, rather than too many. */
const PARTS_PLANNED = 8_000;
const PART_TRIES_MAX = 3;
const SOCKETS_MAX = 32;
/** What is left of an upload that failed is given so long to be removed. */
const CLEAN_UP_MS = 10_000;
/** What minio's client takes for worth another try, and does not read. */
const UNREAD: ReadonlySet<number> = new Set([408, 429, 499, 500, 502, 503, 504, 520]);
const CONTENT_TYPE = 'application/octet-stream';

/** A bucket of MinIO's, or of anything else that speaks S3. Nothing beyond the plain S3 API is asked for. */
export class S3ObjectStore implements ObjectStore {
  readonly #state = new StoreState();
  readonly #client: Client;
  readonly #agent: HttpAgent;
  /** The signal of the call that is being made: minio's client knows none, and makes its requests far below. */
  readonly #calls = new AsyncLocalStorage<AbortSignal>();

  constructor(private readonly options: S3Options) {
    const { url, region, accessKey, secretKey } = options;
    const secure = url.protocol === 'https:';
    const agentOptions = { keepAlive: true, maxSockets: SOCKETS_MAX };
    this.#agent = secure ? new HttpsAgent(agentOptions) : new HttpAgent(agentOptions);
    this.#client = new Client({
      endPoint: url.hostname.replace(/^\[|\]$/g, ''),
      ...(url.port !== '' && { port: Number(url.port) }),
      useSSL: secure,
      // Said, so that it does not ask for it.
      region,
      accessKey,
      secretKey,
      transportAgent: this.#agent,
      transport: this.#transport(secure),
      // It waits without an end and writes to the console; what is worth it is tried again here.
      retryOptions: { disableRetry: true },
    });
  }

  get trouble(): string | undefined {
    return this.#state.trouble;
  }

  async put(
    key: string,
    content: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
    limits: PutLimits = {},
  ): Promise<PutObject> {
    checkKey(key);
    return this.#run(signal, async (either) => {
      const measured = new MeasuredContent(content, either, limits);
      const partBytes = partBytesFor(limits, this.options.partBytes);
      const parts = inParts(measured.pieces(), partBytes);
      try {
        const { value: first = Buffer.alloc(0) } = await parts.next();
        if (first.byteLength < partBytes) await this.#putWhole(key, first, either);
        else await this.#putParts(key, first, parts, partBytes, either);
      } finally {
        await parts.return(undefined);
      }
      return measured.measured();
    });
  }

  async open(key: string, signal: AbortSignal, range: ByteRange = { from: 0 }): Promise<OpenObject | undefined> {
    checkKey(key);
    checkRange(range);
    return this.#run(signal, async (either) => {
      const { bucket } = this.options;
      try {
        const response = (await this.#ask(either, () =>
          this.#client.getPartialObject(bucket, this.#nameOf(key), range.from, range.bytes ?? 0),
        )) as IncomingMessage;
        return new OpenResponse(key, response, either, this.options);
      } catch (error) {
        if (isMissing(error)) return undefined;
        if (!hasS3Code(error, 'InvalidRange')) throw error;
        const info = await this.#infoAt(key, either);
        return info && { ...info, content: nothing(), [Symbol.asyncDispose]: async () => {} };
      }
    });
  }

  async stat(key: string, signal: AbortSignal): Promise<ObjectInfo | undefined> {
    checkKey(key);
    return this.#run(signal, (either) => this.#infoAt(key, either));
  }

  async remove(keys: readonly string[], signal: AbortSignal): Promise<void> {
    if (keys.length > REMOVED_KEYS_MAX)
      throw new RangeError(`At most ${REMOVED_KEYS_MAX} keys can be removed at a time, and not ${keys.length}.`);
    for (const key of keys) checkKey(key);
    if (keys.length === 0) return;
    await this.#run(signal, async (either) => {
      const names = keys.map((key) => this.#nameOf(key));
      const results = await this.#ask(either, () => this.#client.removeObjects(this.options.bucket, names));
      const failed = results.filter((one) => one !== null && one !== undefined);
      if (failed.length > 0)
        throw new ObjectStoreUnavailable(
          `The bucket ${this.options.bucket} did not remove ${failed.length} of ${keys.length} files: ${JSON.stringify(failed[0])}.`,
        );
    });
  }

  async list(prefix: string, page: ListPage, signal: AbortSignal): Promise<readonly ObjectInfo[]> {
    checkPrefix(prefix);
    checkPage(page);
    return this.#run(signal, async (either) => {
      const found: ObjectInfo[] = [];
      let after = page.after === undefined ? '' : this.#nameOf(page.after);
      for (let more = true; more && found.length < page.limit; ) {
        const { objects, isTruncated } = await this.#ask(either, () =>
          this.#client.listObjectsV2Query(
            this.options.bucket,
            this.options.prefix + prefix,
            '',
            '',
            page.limit - found.length,
            after,
          ),
        );
        found.push(...objects.flatMap((one) => this.#listed(one)));
        after = objects.at(-1)?.name ?? after;
        more = isTruncated && objects.length > 0;
      }
      return found;
    });
  }

  async close(): Promise<void> {
    this.#state.close();
    this.#agent.destroy();
  }

  #run<T>(signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return this.#state.run(signal, (error) => error, work);
  }

  #nameOf(key: string): string {
    return this.options.prefix + key;
  }

  /** Others may have put there what is no key. */
  #listed({ name, size, etag, lastModified }: ListedItem): ObjectInfo[] {
    const key = name?.slice(this.options.prefix.length) ?? '';
    try {
      checkKey(key);
    } catch {
      return [];
    }
    return [{ key, bytes: size ?? 0, version: versionOf(etag, size ?? 0), modifiedMs: Number(lastModified) }];
  }

  async #infoAt(key: string, signal: AbortSignal): Promise<ObjectInfo | undefined> {
    const { bucket } = this.options;
    try {
      const found = await this.#ask(signal, () => this.#client.statObject(bucket, this.#nameOf(key)));
      const { size, etag, lastModified } = found;
      return { key, bytes: size, version: versionOf(etag, size), modifiedMs: lastModified.getTime() };
    } catch (error) {
      if (!isMissing(error)) throw error;
      // An answer without a body does not tell a file that is not there from a bucket that is not.
      if (await this.#ask(signal, () => this.#client.bucketExists(bucket))) return undefined;
      throw new ObjectStoreUnavailable(noBucket(bucket), { cause: error });
    }
  }

  async #putWhole(key: string, content: Buffer, signal: AbortSignal): Promise<void> {
    const { bucket } = this.options;
    const headers = { 'Content-Type': CONTENT_TYPE };
    await this.#again(signal, () =>
      this.#client.putObject(bucket, this.#nameOf(key), content, content.byteLength, headers),
    );
  }

  async #putParts(
    key: string,
    first: Buffer,
    rest: AsyncIterable<Buffer>,
    partBytes: number,
    signal: AbortSignal,
  ): Promise<void> {
    const { bucket } = this.options;
    const objectName = this.#nameOf(key);
    const headers = { 'Content-Type': CONTENT_TYPE };
    const uploadID = await this.#ask(signal, () =>
      this.#client.initiateNewMultipartUpload(bucket, objectName, headers),
    );
    const parts: { part: number; etag: string }[] = [];
    const send = async (content: Buffer) => {
      const partNumber = parts.length + 1;
      if (partNumber > PARTS_MAX) throw new ObjectTooLarge(PARTS_MAX * partBytes + 1, PARTS_MAX * partBytes);
      const { etag } = await this.#again(signal, () =>
        this.#client.uploadPart({ bucketName: bucket, objectName, uploadID, partNumber, headers: {} }, content),
      );
      parts.push({ part: partNumber, etag });
    };
    try {
      await send(first);
      for await (const part of rest) await send(part);
      await this.#ask(signal, () => this.#client.completeMultipartUpload(bucket, objectName, uploadID, parts));
    } catch (error) {
      await this.#abandon(objectName, uploadID);
      throw error;
    }
  }

  /** Parts that nobody asks for any more cost room until they are removed. */
  async #abandon(objectName: string, uploadID: string): Promise<void> {
    const soon = AbortSignal.timeout(CLEAN_UP_MS);
    await this.#ask(soon, () => this.#client.abortMultipartUpload(this.options.bucket, objectName, uploadID)).catch(
      () => {},
    );
  }

  /** What can be sent twice without harm. */
  async #again<T>(signal: AbortSignal, call: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#ask(signal, call);
      } catch (error) {
        signal.throwIfAborted();
        if (attempt === PART_TRIES_MAX || !isPassing(error)) throw error;
      }
    }
  }

  /** Only what is wrong with the bucket becomes an `ObjectStoreUnavailable`, and not what the caller's content throws. */
  async #ask<T>(signal: AbortSignal, call: () => Promise<T>): Promise<T> {
    try {
      return await this.#calls.run(signal, call);
    } catch (error) {
      signal.throwIfAborted();
      throw inWords(error, this.options);
    }
  }

  #transport(secure: boolean) {
    const { trust, silenceMsMax } = this.options;
    const start = secure ? httpsRequest : httpRequest;
    const request: typeof httpsRequest = (...args: unknown[]) => {
      const [options, onResponse] = args as [object, (response: IncomingMessage) => void];
      const ca = trust?.();
      const sent = start(
        { ...options, signal: this.#calls.getStore(), ...(secure && { minVersion: 'TLSv1.2', ...(ca && { ca }) }) },
        (response) => {
          // It throws before it reads these, and the connection would wait for that.
          if (UNREAD.has(response.statusCode!)) response.resume();
          onResponse(response);
        },
      );
      return sent.setTimeout(silenceMsMax, () => sent.destroy(silent(silenceMsMax)));
    };
    return { request } as { request: typeof httpsRequest } & typeof import('node:https');
  }
}

interface ListedItem {
  readonly name?: string | undefined;
  readonly size?: number | undefined;
  readonly etag?: string | undefined;
  readonly lastModified?: Date | undefined;
}

/** What is being read. Only while something is waited for it may not be silent: whoever reads may take their time. */
class OpenResponse implements OpenObject {
  readonly bytes: number;
  readonly version: string;
  readonly modifiedMs: number;
  readonly #left: number;

  constructor(
    readonly key: string,
    private readonly response: IncomingMessage,
    private readonly signal: AbortSignal,
    private readonly options: S3Options,
  ) {
    const { headers } = response;
    this.#left = Number(headers['content-length'] ?? 0);
    this.bytes = Number(/\/(\d+)$/.exec(headers['content-range'] ?? '')?.[1] ?? this.#left);
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
    let left = this.#left;
    const pieces = this.response[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
    for (let next = await this.#next(pieces); !next.done; next = await this.#next(pieces)) {
      left -= next.value.byteLength;
      yield next.value;
    }
    if (left > 0) throw new ObjectStoreUnavailable(`The file ${this.key} broke off: ${left} bytes of it did not come.`);
  }

  async #next(pieces: AsyncIterator<Uint8Array>): Promise<IteratorResult<Uint8Array>> {
    const { silenceMsMax } = this.options;
    const timer = setTimeout(() => this.response.destroy(silent(silenceMsMax)), silenceMsMax);
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

async function* nothing(): AsyncGenerator<Uint8Array> {}

/** Each as large as a part, but for the last. The next is written over the one before, which is sent by then. */
async function* inParts(pieces: AsyncIterable<Uint8Array>, partBytes: number): AsyncGenerator<Buffer, undefined> {
  let part: Buffer = Buffer.allocUnsafe(Math.min(partBytes, FIRST_BYTES));
  let filled = 0;
  for await (const piece of pieces) {
    for (let at = 0; at < piece.byteLength; ) {
      if (filled === part.length) part = grown(part, Math.min(partBytes, 2 * part.length));
      const taken = Math.min(piece.byteLength - at, part.length - filled);
      part.set(piece.subarray(at, at + taken), filled);
      at += taken;
      filled += taken;
      if (filled < partBytes) continue;
      yield part;
      filled = 0;
    }
  }
  if (filled > 0) yield part.subarray(0, filled);
  return undefined;
}

function grown(part: Buffer, bytes: number): Buffer {
  const larger = Buffer.allocUnsafe(bytes);
  part.copy(larger);
  return larger;
}

function partBytesFor({ bytesExpected = 0 }: PutLimits, partBytes = PART_BYTES): number {
  return Math.max(partBytes, Math.ceil(bytesExpected / PARTS_PLANNED / MEBIBYTE) * MEBIBYTE);
}

function versionOf(etag: string | undefined, bytes: number): string {
  return `${(etag ?? '').replaceAll('"', '')}-${bytes}`;
}

function isMissing(error: unknown): boolean {
  return hasS3Code(error, 'NoSuchKey', 'NotFound');
}

function hasS3Code(error: unknown, ...codes: readonly string[]): boolean {
  const cause = error instanceof ObjectStoreUnavailable ? error.cause : error;
  return cause instanceof S3Error && codes.includes(cause.code ?? '');
}

/** It may go well another time: it was too busy, or the connection was lost. */
function isPassing(error: unknown): boolean {
  if (!(error instanceof ObjectStoreUnavailable) || error instanceof ObjectStoreFull) return false;
  return !(error.cause instanceof S3Error) || hasS3Code(error, 'SlowDown', 'InternalError', 'ServiceUnavailable');
}

function silent(ms: number): ObjectStoreUnavailable {
  return new ObjectStoreUnavailable(`It said nothing for ${ms.toLocaleString('en-US')} ms.`);
}

function noBucket(bucket: string): string {
  return `The bucket ${bucket} is not there. Make it, or name another.`;
}

const KEYS_REFUSED: ReadonlySet<string> = new Set(['AccessDenied', 'InvalidAccessKeyId', 'SignatureDoesNotMatch']);
const FULL: ReadonlySet<string> = new Set(['XMinioStorageFull', 'QuotaExceeded', 'XMinioAdminBucketQuotaExceeded']);

function inWords(error: unknown, { url, bucket }: S3Options): ObjectStoreUnavailable {
  const { message, code } = error as Partial<S3Error>;
  const said = error instanceof S3Error ? (code ?? '') : '';
  const options = { cause: error };
  if (said === 'NoSuchBucket') return new ObjectStoreUnavailable(noBucket(bucket), options);
  if (KEYS_REFUSED.has(said))
    return new ObjectStoreUnavailable(
      `The object store at ${url.host} refuses its keys for the bucket ${bucket} (${said}). Put valid ones into the settings.`,
      options,
    );
  if (FULL.has(said)) return new ObjectStoreFull(`The object store at ${url.host} is full (${said}).`, options);
  const [, status] = /Retryable HTTP status: (\d+)/.exec(message ?? '') ?? [];
  const why = status ? `it answers with status ${status}.` : [said, message || code].filter(Boolean).join(': ');
  return new ObjectStoreUnavailable(`The object store at ${url.host} can't be used: ${why || 'it failed.'}`, options);
}
