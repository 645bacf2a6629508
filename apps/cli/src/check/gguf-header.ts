import { open } from 'node:fs/promises';

export interface GgufHeader {
  readonly version: number;
  readonly tensors: bigint;
  readonly keys: bigint;
}

const HEADER_BYTES = 24;

/** The first bytes of a GGUF file (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), or why they are none. */
export async function readGgufHeader(path: string): Promise<GgufHeader | string> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEADER_BYTES), 0, HEADER_BYTES, 0);
    if (bytesRead < HEADER_BYTES) return `it has only ${bytesRead} bytes`;
    const magic = buffer.toString('latin1', 0, 4);
    if (magic !== 'GGUF') return `it begins with ${JSON.stringify(magic)}, not with "GGUF"`;
    const version = buffer.readUInt32LE(4);
    if (version < 2 || version > 3) return `it is of GGUF version ${version}; versions 2 and 3 can be read`;
    return { version, tensors: buffer.readBigUInt64LE(8), keys: buffer.readBigUInt64LE(16) };
  } finally {
    await file.close();
  }
}
