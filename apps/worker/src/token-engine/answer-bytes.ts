/** Tokens that are looked back at for a character that has begun; most hold a byte or more. */
const LOOK_BACK_TOKENS = 16;
/** A character of UTF-8 has at most four bytes, so an unfinished one has at most these. */
const UNFINISHED_BYTES_MAX = 3;

/**
 * What a grammar has derived at the moment it begins to bind: `text`, and the bytes of a character that the answer has
 * begun, which no text shows yet.
 *
 * @param before the tokens of the answer up to that moment. @param bytesOf what the detokenizer shows of a token.
 */
export function derivedBytes(
  text: string,
  before: readonly number[],
  bytesOf: (token: number) => Uint8Array,
): { readonly text: Buffer; readonly unfinished: Buffer } {
  let tail: Buffer = Buffer.alloc(0);
  for (const token of before.slice(-LOOK_BACK_TOKENS).reverse()) {
    if (tail.length >= UNFINISHED_BYTES_MAX) break;
    tail = Buffer.concat([bytesOf(token), tail]);
  }
  return { text: Buffer.from(text), unfinished: unfinishedCharacter(tail) };
}

/** The bytes at the end that begin a character and do not end it. */
export function unfinishedCharacter(bytes: Buffer): Buffer {
  for (let length = 1; length <= Math.min(UNFINISHED_BYTES_MAX, bytes.length); length++) {
    const tail = bytes.subarray(bytes.length - length);
    if ((tail[0]! & 0xc0) === 0x80) continue;
    // A decoder that holds all of it back takes it for a beginning; otherwise it shows something at once.
    const begins = length < characterLength(tail[0]!) && new TextDecoder().decode(tail, { stream: true }) === '';
    return begins ? tail : Buffer.alloc(0);
  }
  return Buffer.alloc(0);
}

/** Bytes of a character that begins with `first`; 0 where none does. */
function characterLength(first: number): number {
  if (first >= 0xf0) return first <= 0xf4 ? 4 : 0;
  if (first >= 0xe0) return 3;
  return first >= 0xc2 ? 2 : first < 0x80 ? 1 : 0;
}
