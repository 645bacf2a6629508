/**
 * Files by key, in a folder or in a bucket: kept whole or not at all, and read as they are wanted, so that none is ever held in memory.
 *
 * A key is a path: see `checkKey`. No key is the beginning of another's path: where `a` is, `a/b` can't be.
 *
 * What is away, or silent for longer than it may be, is an `ObjectStoreUnavailable`. What the caller did wrong is a `RangeError`. Aborting
 * `signal` rejects with its reason. What was being written then is not there; or it is, whole, where the store had all of it and only its
 * answer was lost.
 */
export interface ObjectStore {
  /**
   * Keeps what `content` brings, in place of what was there under this key. Until it resolves, whoever reads gets what was there before.
   *
   * `content` is read no faster than it can be kept. How long it may take to bring more is for whoever makes it to say.
   *
   * @throws ObjectTooLarge as soon as it brings more than `bytesMax`; ObjectStoreFull; whatever `content` throws.
   */
  put(key: string, content: AsyncIterable<Uint8Array>, signal: AbortSignal, limits?: PutLimits): Promise<PutObject>;
  /** Undefined: there is none. Ownership: whoever gets it disposes of it, whether its content was read or not. */
  open(key: string, signal: AbortSignal, range?: ByteRange): Promise<OpenObject | undefined>;
  /** Undefined: there is none. */
  stat(key: string, signal: AbortSignal): Promise<ObjectInfo | undefined>;
  /** Whether they were there or not. At most REMOVED_KEYS_MAX at a time; where it fails, some may be gone. */
  remove(keys: readonly string[], signal: AbortSignal): Promise<void>;
  /** Those whose keys begin with `prefix`, by their keys; at most `page.limit`, which is at most LISTED_KEYS_MAX. */
  list(prefix: string, page: ListPage, signal: AbortSignal): Promise<readonly ObjectInfo[]>;
  /** What is wrong with it just now, as a sentence; undefined: nothing, as far as the last attempts tell. */
  readonly trouble: string | undefined;
  /** Ends what is running. Afterwards everything is `ObjectStoreUnavailable`. */
  close(): Promise<void>;
}

export interface PutLimits {
  /** Absent: as much as the store takes. */
  readonly bytesMax?: number | undefined;
  /** How much it will be, roughly, where that is known: a bucket takes what is large in larger pieces. */
  readonly bytesExpected?: number | undefined;
}

export interface PutObject {
  readonly bytes: number;
  /** Of all of it, in lower-case hexadecimal digits. */
  readonly sha256: string;
}

/** From the first byte that is wanted, counted from 0, to the end, or so many. Beyond the end there is nothing. */
export interface ByteRange {
  readonly from: number;
  readonly bytes?: number | undefined;
}

export interface ListPage {
  /** Only keys behind this one. */
  readonly after?: string | undefined;
  readonly limit: number;
}

export interface ObjectInfo {
  readonly key: string;
  /** Of all of it, whatever part of it is read. */
  readonly bytes: number;
  /** Another where something else was put under this key. */
  readonly version: string;
  /** Milliseconds since 1970; a bucket rounds them to seconds. */
  readonly modifiedMs: number;
}

export interface OpenObject extends ObjectInfo, AsyncDisposable {
  /** To be read once. Throws `ObjectStoreUnavailable` where it ends too early. */
  readonly content: AsyncIterable<Uint8Array>;
}

export const REMOVED_KEYS_MAX = 1_000;
export const LISTED_KEYS_MAX = 1_000;
/** With what a bucket's prefix adds it stays below the 1,024 bytes that S3 allows. */
export const KEY_CHARACTERS_MAX = 512;
/** Of each part between two `/`: file systems allow 255 bytes. */
const PART_CHARACTERS_MAX = 200;

/** Letters, digits, `.`, `_`, `-` and `=`, which every store writes alike; not a dot first, which is for what a store hides. */
const PART = /^[A-Za-z0-9_=-][A-Za-z0-9._=-]*$/;

/**
 * Keys are made by this program, and may hold ids that somebody else chose: nothing in them can leave the folder or hide in it.
 *
 * @throws RangeError
 */
export function checkKey(key: string): void {
  const parts = key.split('/');
  const isKey =
    key.length <= KEY_CHARACTERS_MAX && parts.every((part) => part.length <= PART_CHARACTERS_MAX && PART.test(part));
  if (!isKey) throw new RangeError(`${JSON.stringify(key.slice(0, 100))} is no key of an object store: ${KEY_RULE}`);
}

const KEY_RULE = `up to ${KEY_CHARACTERS_MAX} letters, digits, ".", "_", "-" and "=", in parts of up to ${PART_CHARACTERS_MAX} between "/", none of which begins with a dot.`;

/** The beginning of keys, which may end in the middle of a part. @throws RangeError */
export function checkPrefix(prefix: string): void {
  if (prefix === '') return;
  checkKey(prefix.endsWith('/') ? prefix.slice(0, -1) : prefix);
}

/** @throws RangeError */
export function checkRange({ from, bytes }: ByteRange): void {
  const isCount = (value: number) => Number.isSafeInteger(value) && value >= 0;
  if (!isCount(from)) throw new RangeError(`A range can't begin at ${from}.`);
  if (bytes !== undefined && !(isCount(bytes) && bytes > 0)) throw new RangeError(`A range can't have ${bytes} bytes.`);
}

/** @throws RangeError */
export function checkPage({ after, limit }: ListPage): void {
  if (after !== undefined) checkKey(after);
  if (!(Number.isSafeInteger(limit) && limit >= 1 && limit <= LISTED_KEYS_MAX))
    throw new RangeError(`A page has 1 to ${LISTED_KEYS_MAX.toLocaleString('en-US')} keys, and not ${limit}.`);
}

/** It is away, or does not do what it should; later it may. */
export class ObjectStoreUnavailable extends Error {
  override readonly name = 'ObjectStoreUnavailable';
}

/** There is no room for it. */
export class ObjectStoreFull extends ObjectStoreUnavailable {}

/** More was brought than was allowed. */
export class ObjectTooLarge extends Error {
  override readonly name = 'ObjectTooLarge';
  constructor(
    readonly bytes: number,
    readonly bytesMax: number,
  ) {
    super(
      `The file has more than ${bytesMax.toLocaleString('en-US')} bytes, which is what is allowed; ${bytes.toLocaleString('en-US')} had come.`,
    );
  }
}
