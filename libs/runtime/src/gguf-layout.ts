import { type FileHandle, open, stat } from 'node:fs/promises';

/** What a GGUF file holds and how long it must be, by what it says at its beginning. */
export interface GgufLayout {
  readonly version: number;
  readonly tensors: number;
  readonly keys: number;
  readonly fileBytes: number;
  /** Where the last tensor ends, as far as the sizes of the tensors' types are known. */
  readonly neededBytes: number;
  readonly facts: GgufFacts;
}

/** Of what it says of itself, the little that tells models apart. */
export interface GgufFacts {
  readonly architecture?: string | undefined;
  readonly name?: string | undefined;
  readonly licence?: string | undefined;
  /** llama.cpp's `llama_ftype`. */
  readonly fileType?: number | undefined;
  /** llama.cpp's `llama_pooling_type`. */
  readonly pooling?: number | undefined;
  readonly hasChatTemplate: boolean;
}

/** The file is none that a model can be loaded from; `message` goes on after "…: ". */
export class GgufDamage extends Error {
  override readonly name = 'GgufDamage';

  constructor(
    problem: string,
    /** Whether it is a beginning of a good file. */
    readonly truncated: boolean,
  ) {
    super(problem);
  }
}

/*
 * What is let through is read by others, who make objects of all of it in the worker's own process: far beyond what
 * is known (a vocabulary takes about 12 MiB in 500,000 entries, and files have some hundred keys and thousand tensors), and soon read.
 */
const HEADER_BYTES_MAX = 128 * 1024 * 1024;
const KEYS_MAX = 4_096;
const TENSORS_MAX = 65_536;
/** Of all lists together. */
const ENTRIES_MAX = 4_194_304;
/** Each dot in a key is another object around its value. */
const NAME_BYTES_MAX = 256;
/** Of llama.cpp. */
const DIMENSIONS_MAX = 4;
const ARRAY_DEPTH_MAX = 4;
const WINDOW_BYTES = 1024 * 1024;

/**
 * Walks over the beginning of a GGUF file (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): every count and
 * length in it is held against what is left of the file before anything is done by it, so that a damaged file costs a
 * sentence, and neither memory nor time. It keeps no value of it but a few short ones.
 *
 * @throws GgufDamage when it is no GGUF, is cut short or contradicts itself; what `open` and `read` throw.
 */
export async function readGgufLayout(path: string): Promise<GgufLayout> {
  // Opening a pipe would wait for somebody who writes into it.
  if (!(await stat(path)).isFile()) throw new GgufDamage('it is a folder, a pipe or a device', false);
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    return await new Walk(file, size).layout();
  } finally {
    await file.close();
  }
}

const PARTS_MAX = 1_000;
const PART_OF = /-(\d{5})-of-(\d{5})\.gguf$/i;

/** A model may lie in several files (`…-00001-of-00003.gguf`); all of them, by the path of any. */
export function ggufParts(path: string): readonly string[] {
  const found = PART_OF.exec(path);
  const [ending = '', part, parts] = found ?? [];
  // A name that only looks like it.
  if (found === null || Number(part) < 1 || Number(part) > Number(parts) || Number(parts) > PARTS_MAX) return [path];
  const numbers = Array.from({ length: Number(parts) }, (_, index) => String(index + 1).padStart(5, '0'));
  return numbers.map((number) => `${path.slice(0, -ending.length)}-${number}-of-${parts}.gguf`);
}

/** By type of a value: u8 i8 u16 i16 u32 i32 f32 bool, string and array, u64 i64 f64. */
const VALUE_BYTES: readonly (number | undefined)[] = [1, 1, 2, 2, 4, 4, 4, 1, undefined, undefined, 8, 8, 8];
const STRING = 8;
const ARRAY = 9;
const UINT32 = 4;

/** By ggml's number of a tensor's type: weights of a block, and its bytes. Types that are not here are left to llama.cpp. */
const BLOCKS: Readonly<Record<number, readonly [weights: number, bytes: number]>> = {
  0: [1, 4], // f32
  1: [1, 2], // f16
  2: [32, 18], // q4_0
  3: [32, 20], // q4_1
  6: [32, 22], // q5_0
  7: [32, 24], // q5_1
  8: [32, 34], // q8_0
  10: [256, 84], // q2_K
  11: [256, 110], // q3_K
  12: [256, 144], // q4_K
  13: [256, 176], // q5_K
  14: [256, 210], // q6_K
  15: [256, 292], // q8_K
  16: [256, 66], // iq2_xxs
  17: [256, 74], // iq2_xs
  18: [256, 98], // iq3_xxs
  19: [256, 50], // iq1_s
  20: [32, 18], // iq4_nl
  21: [256, 110], // iq3_s
  22: [256, 82], // iq2_s
  23: [256, 136], // iq4_xs
  24: [1, 1], // i8
  25: [1, 2], // i16
  26: [1, 4], // i32
  27: [1, 8], // i64
  28: [1, 8], // f64
  29: [256, 56], // iq1_m
  30: [1, 2], // bf16
  34: [256, 54], // tq1_0
  35: [256, 66], // tq2_0
  39: [32, 17], // mxfp4
};

const ALIGNMENT_KEY = 'general.alignment';
const CHAT_TEMPLATE_KEY = 'tokenizer.chat_template';
/** Texts and numbers that are kept. */
const FACT_KEYS: Readonly<Record<string, keyof Omit<GgufFacts, 'hasChatTemplate'>>> = {
  'general.architecture': 'architecture',
  'general.name': 'name',
  'general.license': 'licence',
  'general.file_type': 'fileType',
};
const POOLING_KEY = /^[a-z0-9_-]+\.pooling_type$/;
/** What is longer is no name. */
const FACT_BYTES_MAX = 500;
const ALIGNMENT_USUAL = 32;
/** A multiple of 8 in the specification; a page is more than anyone takes. */
const ALIGNMENT_MAX = 1024 * 1024;

/**
 * One pass over the beginning of a file. Ownership: the file is the caller's.
 *
 * `#fill` alone reads; whatever it made sure of is taken from the window without waiting, since a vocabulary has some
 * hundred thousand texts and a promise for each would be most of the time.
 */
class Walk {
  #window = Buffer.alloc(0);
  /** Of the window's first byte, in the file. */
  #windowAt = 0;
  /** In the window. */
  #at = 0;
  #alignment = ALIGNMENT_USUAL;
  /** Of lists, so far. */
  #entries = 0;
  readonly #facts: Record<string, string | number> = {};
  #hasChatTemplate = false;

  constructor(
    private readonly file: FileHandle,
    private readonly fileBytes: number,
  ) {}

  async layout(): Promise<GgufLayout> {
    const { version, tensors, keys } = await this.#start();
    for (let key = 0; key < keys; key++) await this.#key(key);
    let end = 0;
    for (let tensor = 0; tensor < tensors; tensor++) end = Math.max(end, await this.#tensor(tensor));
    const neededBytes = end === 0 ? this.#position : this.#aligned(this.#position) + end;
    const { fileBytes } = this;
    if (neededBytes > fileBytes) throw cutShort(fileBytes, neededBytes);
    const facts: GgufFacts = { ...this.#facts, hasChatTemplate: this.#hasChatTemplate };
    return { version, tensors, keys, fileBytes, neededBytes, facts };
  }

  async #start(): Promise<{ version: number; tensors: number; keys: number }> {
    if (this.fileBytes < 24) throw new GgufDamage(`it has only ${count(this.fileBytes)} bytes`, true);
    await this.#fill(24);
    const magic = this.#window.toString('latin1', 0, 4);
    if (magic !== 'GGUF') throw new GgufDamage(`it begins with ${JSON.stringify(magic)}, not with "GGUF"`, false);
    const version = this.#window.readUInt32LE(4);
    if (version < 2 || version > 3) {
      throw new GgufDamage(`it is of GGUF version ${version}; versions 2 and 3 can be read`, false);
    }
    const [tensors, keys] = [this.#window.readBigUInt64LE(8), this.#window.readBigUInt64LE(16)];
    this.#at = 24;
    if (tensors > TENSORS_MAX) throw tooMany('tensors', tensors, TENSORS_MAX);
    if (keys > KEYS_MAX) throw tooMany('keys', keys, KEYS_MAX);
    return { version, tensors: Number(tensors), keys: Number(keys) };
  }

  async #key(index: number): Promise<void> {
    const name = await this.#text(`the name of key ${index}`);
    const type = await this.#uint32();
    if (name === CHAT_TEMPLATE_KEY) this.#hasChatTemplate = true;
    const fact = POOLING_KEY.test(name) ? 'pooling' : Object.hasOwn(FACT_KEYS, name) ? FACT_KEYS[name] : undefined;
    if (name === ALIGNMENT_KEY && type === UINT32) this.#alignment = checkedAlignment(await this.#uint32());
    else if (fact !== undefined && type === UINT32) this.#facts[fact] = await this.#uint32();
    else if (fact !== undefined && type === STRING) await this.#keep(fact, name);
    else await this.#skipValue(type, name, 0);
  }

  async #keep(fact: string, name: string): Promise<void> {
    const bytes = await this.#length(name);
    if (bytes > FACT_BYTES_MAX) return this.#skip(bytes, name);
    await this.#fill(bytes);
    this.#facts[fact] = this.#window.toString('utf8', this.#at, this.#at + bytes);
    this.#at += bytes;
  }

  async #skipValue(type: number, name: string, depth: number): Promise<void> {
    const bytes = VALUE_BYTES[type];
    if (bytes !== undefined) return this.#skip(bytes, name);
    if (type === STRING) return this.#skip(await this.#length(name), name);
    if (type !== ARRAY || depth === ARRAY_DEPTH_MAX) {
      throw new GgufDamage(`its key ${JSON.stringify(name)} has a value of the unknown type ${type}`, false);
    }
    const itemType = await this.#uint32();
    const items = await this.#length(name);
    this.#entries += items;
    if (this.#entries > ENTRIES_MAX) throw tooMany('entries in lists', this.#entries, ENTRIES_MAX);
    const itemBytes = VALUE_BYTES[itemType];
    if (itemBytes !== undefined) return this.#skip(items * itemBytes, name);
    for (let item = 0; item < items; item++) {
      if (itemType !== STRING || !this.#skipNear(name)) await this.#skipValue(itemType, name, depth + 1);
    }
  }

  /** Whether a text was skipped whose length the window holds: all of a vocabulary but one in many thousand. */
  #skipNear(name: string): boolean {
    if (!this.#has(8)) return false;
    const length = this.#window.readBigUInt64LE(this.#at);
    if (length > BigInt(this.#window.length - this.#at - 8)) return false;
    this.#skip(8 + Number(length), name);
    return true;
  }

  /** Where it ends, counted from the first tensor's beginning. */
  async #tensor(index: number): Promise<number> {
    const name = await this.#text(`the name of tensor ${index}`);
    const dimensions = await this.#uint32();
    if (dimensions > DIMENSIONS_MAX) {
      const problem = `its tensor ${JSON.stringify(name)} has ${count(dimensions)} dimensions; there can be ${DIMENSIONS_MAX}`;
      throw new GgufDamage(problem, false);
    }
    let weights = 1;
    for (let dimension = 0; dimension < dimensions; dimension++) weights *= Number(await this.#uint64());
    const type = await this.#uint32();
    const offset = Number(await this.#uint64());
    const [blockWeights, blockBytes] = BLOCKS[type] ?? [1, 0];
    return offset + Math.ceil(weights / blockWeights) * blockBytes;
  }

  async #text(about: string): Promise<string> {
    const bytes = await this.#length(about);
    if (bytes > NAME_BYTES_MAX) {
      throw new GgufDamage(`${about} has ${count(bytes)} bytes; at most ${count(NAME_BYTES_MAX)} make sense`, false);
    }
    await this.#fill(bytes);
    const text = this.#window.toString('utf8', this.#at, this.#at + bytes);
    this.#at += bytes;
    return text;
  }

  /** A number of bytes, or of items of at least one byte: never more than the file has left. */
  async #length(about: string): Promise<number> {
    const length = await this.#uint64();
    const left = this.fileBytes - this.#position;
    if (length > BigInt(left)) {
      const problem = `it says that ${JSON.stringify(about)} has ${count(length)} bytes or entries, and only ${count(left)} bytes are left`;
      throw new GgufDamage(problem, true);
    }
    return Number(length);
  }

  async #uint32(): Promise<number> {
    if (!this.#has(4)) await this.#fill(4);
    const value = this.#window.readUInt32LE(this.#at);
    this.#at += 4;
    return value;
  }

  async #uint64(): Promise<bigint> {
    if (!this.#has(8)) await this.#fill(8);
    const value = this.#window.readBigUInt64LE(this.#at);
    this.#at += 8;
    return value;
  }

  #skip(bytes: number, about: string): void {
    const left = this.fileBytes - this.#position;
    if (bytes > left) throw cutShort(this.fileBytes, this.#position + bytes);
    this.#at += bytes;
    if (this.#position <= HEADER_BYTES_MAX) return;
    const problem = `its header is beyond ${count(HEADER_BYTES_MAX)} bytes at ${JSON.stringify(about)}`;
    throw new GgufDamage(problem, false);
  }

  get #position(): number {
    return this.#windowAt + this.#at;
  }

  #aligned(position: number): number {
    return Math.ceil(position / this.#alignment) * this.#alignment;
  }

  #has(bytes: number): boolean {
    return this.#at + bytes <= this.#window.length;
  }

  /** Makes sure that the window holds the next `bytes`. */
  async #fill(bytes: number): Promise<void> {
    if (this.#has(bytes)) return;
    const position = this.#position;
    if (position + bytes > this.fileBytes) throw cutShort(this.fileBytes, position + bytes);
    const window = Buffer.alloc(Math.min(Math.max(bytes, WINDOW_BYTES), this.fileBytes - position));
    const { bytesRead } = await this.file.read(window, 0, window.length, position);
    // Somebody cuts the file while it is read.
    if (bytesRead < bytes) throw cutShort(position + bytesRead, position + bytes);
    this.#window = window.subarray(0, bytesRead);
    this.#windowAt = position;
    this.#at = 0;
  }
}

function checkedAlignment(alignment: number): number {
  if (alignment >= 1 && alignment <= ALIGNMENT_MAX) return alignment;
  throw new GgufDamage(`its alignment is ${count(alignment)}; it must be from 1 to ${count(ALIGNMENT_MAX)}`, false);
}

function tooMany(what: string, given: number | bigint, most: number): GgufDamage {
  return new GgufDamage(`it says that it has ${count(given)} ${what}; at most ${count(most)} make sense`, false);
}

function cutShort(fileBytes: number, neededBytes: number): GgufDamage {
  const problem = `it ends too early, after ${count(fileBytes)} bytes, and needs ${count(neededBytes)}`;
  return new GgufDamage(problem, true);
}

function count(number: number | bigint): string {
  return number.toLocaleString('en-US');
}
