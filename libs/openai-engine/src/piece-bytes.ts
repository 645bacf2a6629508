/** How GPT-2 and all vocabularies after its kind write bytes that are no printable character. */
const BYTE_OF_LETTER = byteAlphabet();

/**
 * The bytes of tokens as a vocabulary spells them, in one of the two ways there are: each byte as a letter of its own
 * (GPT-2, Llama 3, Qwen), or text with `▁` for a space and `<0x0A>` for a byte (SentencePiece).
 *
 * @param text what they are the tokens of, if it is known: the way that gives it back is the right one.
 */
export function pieceBytes(spellings: readonly string[], text: string | undefined): Uint8Array[] {
  const byteLevel = spellings.map(fromByteLetters);
  if (byteLevel.every((piece) => piece !== undefined)) {
    const joined = Buffer.concat(byteLevel).toString('utf8');
    if (text === undefined ? !joined.includes('\ufffd') : joined.includes(text)) return byteLevel;
  }
  return spellings.map(fromSentencePiece);
}

function fromByteLetters(spelling: string): Uint8Array | undefined {
  const bytes: number[] = [];
  for (const letter of spelling) {
    const byte = BYTE_OF_LETTER.get(letter);
    if (byte === undefined) return undefined;
    bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

function fromSentencePiece(spelling: string): Uint8Array {
  const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(spelling)?.[1];
  return byte === undefined ? Buffer.from(spelling.replaceAll('▁', ' ')) : Uint8Array.of(Number.parseInt(byte, 16));
}

/** Printable bytes stand for themselves; the others, in their order, for the letters from U+0100 on. */
function byteAlphabet(): ReadonlyMap<string, number> {
  const letters = new Map<string, number>();
  let others = 0;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    letters.set(String.fromCodePoint(printable ? byte : 0x100 + others++), byte);
  }
  return letters;
}
