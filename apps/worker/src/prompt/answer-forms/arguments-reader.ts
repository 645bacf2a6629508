/** Follows the arguments of a call while they are written, to where they end. */
export interface ArgumentsReader {
  /** Reads `text` from `from` on; `at` is behind what was read, `json` what it adds to the arguments. */
  read(text: string, from: number): { readonly at: number; readonly json: string; readonly over: boolean };
  /** What is missing where the answer ends in their midst, as far as that is known. */
  end(): string;
}

/** A JSON object: told by its brackets and quotes, and given out as it is written. */
export class ObjectArguments implements ArgumentsReader {
  #depth = 0;
  #inString = false;
  #escaped = false;

  read(text: string, from: number): { at: number; json: string; over: boolean } {
    let at = from;
    let over = false;
    while (at < text.length && !over) over = this.#ends(text[at++]!);
    return { at, json: text.slice(from, at), over };
  }

  end(): string {
    return '';
  }

  /** Whether the object ends with this character. */
  #ends(character: string): boolean {
    if (this.#escaped) {
      this.#escaped = false;
      return false;
    }
    if (this.#inString) {
      if (character === '\\') this.#escaped = true;
      else if (character === '"') this.#inString = false;
      return false;
    }
    if (character === '"') this.#inString = true;
    if (character === '{' || character === '[') this.#depth++;
    return (character === '}' || character === ']') && --this.#depth === 0;
  }
}

/** An escape sequence, whole. */
const ESCAPE = /\\(?:u[0-9a-fA-F]{4}|[^u])/y;
const ESCAPE_LENGTH = 6;

/** A JSON string that holds the object's text, as some models write it. */
export class StringArguments implements ArgumentsReader {
  #begun = false;
  /** A part of an escape sequence. */
  #held = '';

  read(text: string, from: number): { at: number; json: string; over: boolean } {
    let json = '';
    for (let at = from; at < text.length; at++) {
      const character = text[at]!;
      if (!this.#begun) this.#begun = true;
      else if (this.#held === '' && character === '"') return { at: at + 1, json, over: true };
      else json += this.#decode(character);
    }
    return { at: text.length, json, over: false };
  }

  end(): string {
    return '';
  }

  #decode(character: string): string {
    if (this.#held === '' && character !== '\\') return character;
    this.#held += character;
    ESCAPE.lastIndex = 0;
    const sequence = ESCAPE.exec(this.#held)?.[0];
    if (sequence === undefined && this.#held.length < ESCAPE_LENGTH) return '';
    const held = this.#held;
    this.#held = '';
    try {
      return sequence === undefined ? held : (JSON.parse(`"${sequence}"`) as string);
    } catch {
      return held;
    }
  }
}
