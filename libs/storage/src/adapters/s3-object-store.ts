import { AsyncLocalStorage } from 'node:async_hooks';
import { type ClientRequest, Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'minio';
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
  ObjectStoreUnavailable,
  ObjectTooLarge,
  type OpenObject,
  type PutLimits,
  type PutObject,
  REMOVED_KEYS_MAX,
} from '../object-store.js';
import { StoreState } from '../store-state.js';
import { OpenS3Object, versionOf } from './open-s3-object.js';
import { hasS3Code, inWords, isPassing, noBucket, Silence } from './s3-failures.js';

export interface S3Options {
  /** `https://…` or `http://…`, with a port where it is not the usual one, and without a path. */
  readonly url: URL;
  /** It has to be there. */
  readonly bucket: string;
  /** What all keys begin with there, up to a `/`. Not empty: minio's client takes names like `1.10` for numbers. */
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
/** Of what can be asked twice without harm. */
const TRIES_MAX = 3;
const RETRY_DELAY_MS = 100;
const SOCKETS_MAX = 32;
/** Of their own: whoever reads slowly keeps a connection for long, and nothing else may wait for that. */
const READING_SOCKETS_MAX = 128;
/** A list is asked for at least so many, though fewer are wanted: others' files may be among them. */
const LISTED_MIN = 100;
/** So that minio's client never makes parts by itself: S3 takes no more at once. */
const WHOLE_BYTES_MAX = 5 * 1024 * 1024 * 1024;
/** What is left of an upload that failed is given so long to be removed. */
const CLEAN_UP_MS = 10_000;
/** What minio's client takes for worth another try, and does not read. */
const UNREAD: ReadonlySet<number> = new Set([408, 429, 499, 500, 502, 503, 504, 520]);
const CONTENT_TYPE = 'application/octet-stream';

/** A bucket of MinIO's, or of anything else that speaks S3. Nothing beyond the plain S3 API is asked for. */
export class S3ObjectStore implements ObjectStore {
  readonly #state = new StoreState();
  readonly #client: Client;
  readonly #agents: { readonly usual: HttpAgent; readonly reading: HttpAgent };
  /** The call that is being made: minio's client knows no signal, and makes its requests far below. */
  readonly #calls = new AsyncLocalStorage<CallInProgress>();

  constructor(private readonly options: S3Options) {
    const { url, region, accessKey, secretKey } = options;
    const secure = url.protocol === 'https:';
    if (!/^.+\/$/.test(options.prefix)) throw new RangeError('The prefix in a bucket has to end with a "/".');
    const agent = (maxSockets: number) => new (secure ? HttpsAgent : HttpAgent)({ keepAlive: true, maxSockets });
    this.#agents = { usual: agent(SOCKETS_MAX), reading: agent(READING_SOCKETS_MAX) };
    this.#client = new Client({
      endPoint: url.hostname.replace(/^\[|\]$/g, ''),
      ...(url.port !== '' && { port: Number(url.port) }),
      useSSL: secure,
      // Said, so that it does not ask for it.
      region,
      accessKey,
      secretKey,
      transportAgent: this.#agents.usual,
      transport: this.#transport(secure),
      partSize: WHOLE_BYTES_MAX,
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
      const call: CallInProgress = { signal: either, reads: true };
      try {
        const response = (await this.#again(call, () =>
          this.#client.getPartialObject(bucket, this.#nameOf(key), range.from, range.bytes ?? 0),
        )) as IncomingMessage;
        return new OpenS3Object(key, response, range, either, this.options);
      } catch (error) {
        if (call.status === 416) {
          const info = await this.#infoAt(key, either);
          return info && { ...info, content: nothing(), [Symbol.asyncDispose]: async () => {} };
        }
        return await this.#missing(error, either);
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
      const results = await this.#again({ signal: either }, () =>
        this.#client.removeObjects(this.options.bucket, names),
      );
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
      const wanted = Math.max(LISTED_MIN, page.limit);
      let after = page.after === undefined ? '' : this.#nameOf(page.after);
      for (let more = true; more && found.length < page.limit; ) {
        const { objects, isTruncated } = await this.#again({ signal: either }, () =>
          this.#client.listObjectsV2Query(this.options.bucket, this.options.prefix + prefix, '', '', wanted, after),
        );
        found.push(...objects.flatMap((one) => this.#listed(one)));
        const last = objects.at(-1)?.name ?? after;
        if (objects.length > 0 && last <= after)
          throw new ObjectStoreUnavailable(`The bucket ${this.options.bucket} lists the same files again and again.`);
        after = last;
        more = isTruncated && objects.length > 0;
      }
      return found.slice(0, page.limit);
    });
  }

  async close(): Promise<void> {
    await this.#state.close();
    for (const agent of Object.values(this.#agents)) agent.destroy();
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
      const found = await this.#again({ signal }, () => this.#client.statObject(bucket, this.#nameOf(key)));
      const { size, etag, lastModified } = found;
      return { key, bytes: size, version: versionOf(etag, size), modifiedMs: lastModified.getTime() };
    } catch (error) {
      return await this.#missing(error, signal);
    }
  }

  /** Undefined for a file that is not there; an answer without a body does not tell that from a bucket that is not. */
  async #missing(error: unknown, signal: AbortSignal): Promise<undefined> {
    const { bucket } = this.options;
    if (hasS3Code(error, 'NoSuchKey')) return undefined;
    if (!hasS3Code(error, 'NotFound')) throw error;
    if (await this.#again({ signal }, () => this.#client.bucketExists(bucket))) return undefined;
    throw new ObjectStoreUnavailable(noBucket(bucket), { cause: error });
  }

  async #putWhole(key: string, content: Buffer, signal: AbortSignal): Promise<void> {
    const { bucket } = this.options;
    const headers = { 'Content-Type': CONTENT_TYPE };
    await this.#again({ signal }, () =>
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
    // One that consists of digits comes as a number.
    const uploadID = String(
      await this.#ask({ signal }, () => this.#client.initiateNewMultipartUpload(bucket, objectName, headers)),
    );
    const parts: { part: number; etag: string }[] = [];
    const send = async (content: Buffer) => {
      const partNumber = parts.length + 1;
      if (partNumber > PARTS_MAX) throw new ObjectTooLarge(PARTS_MAX * partBytes + 1, PARTS_MAX * partBytes);
      const { etag } = await this.#again({ signal }, () =>
        this.#client.uploadPart({ bucketName: bucket, objectName, uploadID, partNumber, headers: {} }, content),
      );
      parts.push({ part: partNumber, etag });
    };
    try {
      await send(first);
      for await (const part of rest) await send(part);
      await this.#again({ signal }, () => this.#client.completeMultipartUpload(bucket, objectName, uploadID, parts));
    } catch (error) {
      // Nobody waits for that but `close`.
      void this.#state.awaited(this.#abandon(objectName, uploadID));
      throw error;
    }
  }

  /** Parts that nobody asks for any more cost room until they are removed. */
  async #abandon(objectName: string, uploadID: string): Promise<void> {
    const soon = AbortSignal.timeout(CLEAN_UP_MS);
    await this.#again({ signal: soon }, () =>
      this.#client.abortMultipartUpload(this.options.bucket, objectName, uploadID),
    ).catch(() => {});
  }

  /** What can be asked twice without harm. */
  async #again<T>(call: CallInProgress, ask: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#ask(call, ask);
      } catch (error) {
        call.signal.throwIfAborted();
        if (attempt === TRIES_MAX || !isPassing(error)) throw error;
        const delayMs = RETRY_DELAY_MS * 2 ** (attempt - 1) * (0.5 + Math.random());
        await sleep(delayMs, undefined, { signal: call.signal }).catch(() => call.signal.throwIfAborted());
      }
    }
  }

  /** Only what is wrong with the bucket becomes an `ObjectStoreUnavailable`, and not what the caller's content throws. */
  async #ask<T>(call: CallInProgress, ask: () => Promise<T>): Promise<T> {
    try {
      return await this.#calls.run(call, ask);
    } catch (error) {
      call.signal.throwIfAborted();
      throw inWords(error, this.options);
    }
  }

  #transport(secure: boolean) {
    const { trust, silenceMsMax } = this.options;
    const start = secure ? httpsRequest : httpRequest;
    const request: typeof httpsRequest = (...args: unknown[]) => {
      const [options, onResponse] = args as [object, (response: IncomingMessage) => void];
      const call = this.#calls.getStore();
      const agent = call?.reads ? this.#agents.reading : this.#agents.usual;
      const ca = trust?.();
      const sent = start(
        { ...options, agent, signal: call?.signal, ...(secure && { minVersion: 'TLSv1.2', ...(ca && { ca }) }) },
        (response) => {
          if (call) call.status = response.statusCode;
          // It throws before it reads these, and the connection would wait for that.
          if (UNREAD.has(response.statusCode!)) response.resume();
          onResponse(response);
        },
      );
      endUnlessConnected(sent, secure, silenceMsMax);
      return sent.setTimeout(silenceMsMax, () => sent.destroy(new Silence(silenceMsMax)));
    };
    return { request } as { request: typeof httpsRequest } & typeof import('node:https');
  }
}

interface CallInProgress {
  readonly signal: AbortSignal;
  /** Whether its answer is the content of a file. */
  readonly reads?: boolean;
  /** Of the answer. */
  status?: number | undefined;
}

/** Node's own time-out begins with the connection: a wait for a free one, and one that is never made, know none. */
function endUnlessConnected(sent: ClientRequest, secure: boolean, ms: number): void {
  const timer = setTimeout(() => sent.destroy(new Silence(ms)), ms);
  const end = () => clearTimeout(timer);
  sent.once('close', end);
  sent.once('socket', (socket) => {
    if (socket.connecting) socket.once(secure ? 'secureConnect' : 'connect', end);
    else end();
  });
}

interface ListedItem {
  readonly name?: string | undefined;
  readonly size?: number | undefined;
  readonly etag?: string | undefined;
  readonly lastModified?: Date | undefined;
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
