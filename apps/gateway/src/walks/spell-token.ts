import { isUtf8 } from 'node:buffer';

/** A token as text; one that is no whole characters has `\xf0` for each byte that belongs to none. */
export interface Spelling {
  readonly text: string;
  readonly whole: boolean;
}

export function spellToken(bytes: Uint8Array): Spelling {
  if (isUtf8(bytes)) return { text: textOf(bytes), whole: true };
  let text = '';
  for (let at = 0; at < bytes.length; ) {
    const length = characterLength(bytes, at);
    text += length === 0 ? escaped(bytes[at]!) : textOf(bytes.subarray(at, at + length));
    at += Math.max(1, length);
  }
  return { text, whole: false };
}

/** How many characters begin in these bytes: the end of one that an earlier token began is none. */
export function charactersBegun(bytes: Uint8Array): number {
  let characters = 0;
  for (const byte of bytes) if ((byte & 0b1100_0000) !== 0b1000_0000) characters++;
  return characters;
}

const CHARACTER_BYTES_MAX = 4;

/** Bytes of the character that stands at `at`; 0 if none does. */
function characterLength(bytes: Uint8Array, at: number): number {
  for (let length = 1; length <= CHARACTER_BYTES_MAX && at + length <= bytes.length; length++) {
    if (isUtf8(bytes.subarray(at, at + length))) return length;
  }
  return 0;
}

function escaped(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, '0')}`;
}

/** A view, not a copy: there may be twenty of these for every token. */
function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();
}
