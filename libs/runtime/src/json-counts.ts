/**
 * How much of what is dear to parse a JSON text may have. JSON.parse holds up everybody else while it runs: 16 MB of one
 * text take it 0.07 s, of names that differ more than 2 s. A thread of its own would win nothing, since what comes back
 * from there is put together again here, at the same price. The largest request that the schemas take, ten thousand
 * messages of several parts, has half of this.
 */
export const JSON_COUNTS_MAX = {
  /** Of objects, equal ones too. */
  names: 100_000,
  /** Names, texts, lists and objects. */
  parts: 200_000,
  /** What commas part: ids of tokens, for the most. */
  entries: 2_000_000,
} as const;

type Counted = keyof typeof JSON_COUNTS_MAX;

const WORDS: Readonly<Record<Counted, string>> = {
  names: 'names of fields',
  parts: 'names, texts, lists and objects',
  entries: 'entries of lists and objects',
};

const QUOTE = '"'.charCodeAt(0);
const BACKSLASH = '\\'.charCodeAt(0);
const COLON = ':'.charCodeAt(0);
const COMMA = ','.charCodeAt(0);
const LIST = '['.charCodeAt(0);
const OBJECT = '{'.charCodeAt(0);

/**
 * What a JSON text has too much of, as a sentence; undefined: nothing. It is looked at before it is parsed, in one pass
 * that leaps over texts and ends where a count is passed. Whether it is JSON at all is JSON.parse's to say.
 */
export function tooMuchInJson(bytes: Buffer): string | undefined {
  // A part takes two bytes at least, and so do a name and an entry: an ordinary body is not looked at.
  if (bytes.length <= 2 * JSON_COUNTS_MAX.names) return undefined;
  let names = 0;
  let parts = 0;
  let entries = 0;
  for (let index = 0; index < bytes.length; index++) {
    const byte = bytes[index]!;
    if (byte === QUOTE) {
      if (++parts > JSON_COUNTS_MAX.parts) return tooMany('parts');
      index = endOfText(bytes, index);
    } else if (byte === COMMA) {
      if (++entries > JSON_COUNTS_MAX.entries) return tooMany('entries');
    } else if (byte === COLON) {
      if (++names > JSON_COUNTS_MAX.names) return tooMany('names');
    } else if (byte === LIST || byte === OBJECT) {
      if (++parts > JSON_COUNTS_MAX.parts) return tooMany('parts');
    }
  }
  return undefined;
}

/** Where the text that begins at `start` is closed; the end of the bytes, if it is not. */
function endOfText(bytes: Buffer, start: number): number {
  for (let end = bytes.indexOf(QUOTE, start + 1); end !== -1; end = bytes.indexOf(QUOTE, end + 1)) {
    let backslashes = 0;
    while (bytes[end - 1 - backslashes] === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return end;
  }
  return bytes.length;
}

function tooMany(counted: Counted): string {
  return `has more than ${JSON_COUNTS_MAX[counted].toLocaleString('en')} ${WORDS[counted]}, which is more than this server parses. Send fewer.`;
}
