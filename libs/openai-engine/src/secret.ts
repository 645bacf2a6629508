/** What a key looks like, for those that are not ours: an upstream may tell of its own, or of a part of ours. */
const LIKE_A_KEY = /\b(?:sk|pk|gsk|fw|hf|key)[-_][A-Za-z0-9_*-]{6,}|\bBearer\s+[^\s"',]+/gi;
const HIDDEN = '***';
/** A shorter beginning of a key may be a word, and tells nothing. */
const BEGINNING_CHARACTERS = 8;

/**
 * The key of an upstream, or none. It leaves this object in one header and nowhere else.
 */
export class Secret {
  readonly #key: string | undefined;

  constructor(key: string | undefined) {
    this.#key = key;
  }

  get exists(): boolean {
    return this.#key !== undefined;
  }

  /** For the request to the upstream, and for nothing else. */
  headers(): Readonly<Record<string, string>> {
    return this.#key === undefined ? {} : { authorization: `Bearer ${this.#key}` };
  }

  /** `text` without the key, without the beginning of it, and without anything else that looks like one. */
  mask(text: string): string {
    const plain = this.#key === undefined ? text : hideKey(text, this.#key);
    return plain.replaceAll(LIKE_A_KEY, HIDDEN);
  }

  /** In case one is logged by mistake. */
  toJSON(): string {
    return HIDDEN;
  }
}

/** Also where it is cut off: what is left of it is a run of its characters from the first on. */
function hideKey(text: string, key: string): string {
  const beginning = key.slice(0, BEGINNING_CHARACTERS);
  let rest = text;
  let hidden = '';
  for (let at = rest.indexOf(beginning); at !== -1; at = rest.indexOf(beginning)) {
    let length = beginning.length;
    while (length < key.length && rest[at + length] === key[length]) length++;
    hidden += rest.slice(0, at) + HIDDEN;
    rest = rest.slice(at + length);
  }
  return hidden + rest;
}
