import { type FileHandle, open } from 'node:fs/promises';

/**
 * GGUF, read as far as its metadata and written as a stream
 * (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). Little-endian, version 3.
 */
export const ValueType = { uint32: 4, float32: 6, bool: 7, string: 8, array: 9 } as const;

/** A value of the metadata as it lies in the file, without its key; `bytes` begins after the type. */
export interface MetadataValue {
  readonly type: number;
  readonly bytes: Buffer;
}

export type Metadata = ReadonlyMap<string, MetadataValue>;

export const TensorType = { f32: 0, f16: 1, q8_0: 8 } as const;
export type TensorTypeName = keyof typeof TensorType;

/** A tensor to write. `data` is asked for once, when its turn comes, and yields exactly `bytes` bytes in all. */
export interface TensorToWrite {
  readonly name: string;
  /** As GGUF has them: the length of a row first. */
  readonly dimensions: readonly number[];
  readonly type: TensorTypeName;
  readonly bytes: number;
  readonly data: () => Iterable<Uint8Array>;
}

export const uint32 = (value: number): MetadataValue => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return { type: ValueType.uint32, bytes };
};

export const float32 = (value: number): MetadataValue => {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return { type: ValueType.float32, bytes };
};

export const bool = (value: boolean): MetadataValue => ({ type: ValueType.bool, bytes: Buffer.of(value ? 1 : 0) });

export const string = (value: string): MetadataValue => ({ type: ValueType.string, bytes: stringBytes(value) });

export const strings = (values: readonly string[]): MetadataValue => ({
  type: ValueType.array,
  bytes: Buffer.concat([uint32(ValueType.string).bytes, length64(values.length), ...values.map(stringBytes)]),
});

function stringBytes(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([length64(bytes.length), bytes]);
}

function length64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

// ----------------------------------------------------------------------------------------------------------- reading

/** Metadata beyond this is refused: the largest vocabularies known take about 12 MiB. */
const METADATA_BYTES_MAX = 64 * 1024 * 1024;

/** @throws Error naming `path`, when it is not GGUF or its metadata is cut. */
export async function readMetadata(path: string): Promise<Metadata> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const bytes = Buffer.alloc(Math.min(size, METADATA_BYTES_MAX));
    await file.read(bytes, 0, bytes.length, 0);
    return parseMetadata(bytes);
  } catch (cause) {
    throw new Error(`${path} can't be read as GGUF: ${cause instanceof Error ? cause.message : cause}`, { cause });
  } finally {
    await file.close();
  }
}

function parseMetadata(bytes: Buffer): Metadata {
  if (bytes.toString('latin1', 0, 4) !== 'GGUF') throw new Error('it does not begin with "GGUF"');
  const version = bytes.readUInt32LE(4);
  if (version < 2 || version > 3) throw new Error(`it is of version ${version}; versions 2 and 3 can be read`);
  const metadata = new Map<string, MetadataValue>();
  let at = 24;
  for (let left = bytes.readBigUInt64LE(16); left > 0n; left--) {
    const keyEnd = at + 8 + lengthAt(bytes, at);
    const key = bytes.toString('utf8', at + 8, keyEnd);
    const type = bytes.readUInt32LE(keyEnd);
    const end = endOfValue(bytes, type, keyEnd + 4);
    metadata.set(key, { type, bytes: bytes.subarray(keyEnd + 4, end) });
    at = end;
  }
  return metadata;
}

/** By type: u8 i8 u16 i16 u32 i32 f32 bool, then string and array, then u64 i64 f64. */
const FIXED_BYTES = [1, 1, 2, 2, 4, 4, 4, 1, undefined, undefined, 8, 8, 8];

function endOfValue(bytes: Buffer, type: number, at: number): number {
  const fixed = FIXED_BYTES[type];
  if (fixed !== undefined) return at + fixed;
  if (type === ValueType.string) return at + 8 + lengthAt(bytes, at);
  if (type !== ValueType.array) throw new Error(`a value has the unknown type ${type}`);
  const itemType = bytes.readUInt32LE(at);
  const items = lengthAt(bytes, at + 4);
  const itemBytes = FIXED_BYTES[itemType];
  if (itemBytes !== undefined) return at + 12 + items * itemBytes;
  let end = at + 12;
  for (let item = 0; item < items; item++) end = endOfValue(bytes, itemType, end);
  return end;
}

function lengthAt(bytes: Buffer, at: number): number {
  return Number(bytes.readBigUInt64LE(at));
}

/** How many items the array `key` has. */
export function arrayLength(metadata: Metadata, key: string): number {
  const value = metadata.get(key);
  if (value?.type !== ValueType.array) throw new Error(`The metadata has no array "${key}": it has no vocabulary.`);
  return lengthAt(value.bytes, 4);
}

/** The items of an array of strings. @throws Error when it is none. */
export function stringsOf({ type, bytes }: MetadataValue): string[] {
  if (type !== ValueType.array || bytes.readUInt32LE(0) !== ValueType.string)
    throw new Error('It is no array of strings.');
  const values: string[] = [];
  for (let at = 12, left = lengthAt(bytes, 4); left > 0; left--) {
    const end = at + 8 + lengthAt(bytes, at);
    values.push(bytes.toString('utf8', at + 8, end));
    at = end;
  }
  return values;
}

// ----------------------------------------------------------------------------------------------------------- writing

const ALIGNMENT_BYTES = 32;
/** A write for every small piece would be most of the time. */
const WRITE_BYTES = 1024 * 1024;

/** Writes piece by piece: memory does not grow with the model. */
export async function writeGguf(path: string, metadata: Metadata, tensors: readonly TensorToWrite[]): Promise<void> {
  const file = await open(path, 'w');
  try {
    const writer = new Writer(file);
    await writer.write(header(metadata, tensors));
    await writer.align();
    for (const tensor of tensors) {
      for (const piece of tensor.data()) await writer.write(piece);
      await writer.align();
    }
    await writer.flush();
  } finally {
    await file.close();
  }
}

function header(metadata: Metadata, tensors: readonly TensorToWrite[]): Buffer {
  const start = Buffer.from('GGUF\x03\0\0\0', 'latin1');
  const parts = [start, length64(tensors.length), length64(metadata.size)];
  for (const [key, { type, bytes }] of metadata) parts.push(stringBytes(key), uint32(type).bytes, bytes);
  let offset = 0;
  for (const { name, dimensions, type, bytes } of tensors) {
    parts.push(stringBytes(name), uint32(dimensions.length).bytes, ...dimensions.map(length64));
    parts.push(uint32(TensorType[type]).bytes, length64(offset));
    offset += Math.ceil(bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
  }
  return Buffer.concat(parts);
}

/** Ownership: the caller owns the file; the writer keeps at most one piece of `WRITE_BYTES` that is not written yet. */
class Writer {
  readonly #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #position = 0;
  readonly #file: FileHandle;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    this.#position += bytes.length;
    if (this.#pendingBytes >= WRITE_BYTES) await this.flush();
  }

  align(): Promise<void> {
    return this.write(new Uint8Array((ALIGNMENT_BYTES - (this.#position % ALIGNMENT_BYTES)) % ALIGNMENT_BYTES));
  }

  async flush(): Promise<void> {
    await this.#file.writeFile(Buffer.concat(this.#pending.splice(0)));
    this.#pendingBytes = 0;
  }
}
