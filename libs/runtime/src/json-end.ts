/** Sees where the first value of a JSON text ends, if that is an object or a list, without keeping it. */
export class JsonEnd {
  #depth = 0;
  #inText = false;
  #escaped = false;
  #opened = false;
  #empty = true;

  get empty(): boolean {
    return this.#empty;
  }

  get reached(): boolean {
    return this.#opened && this.#depth === 0;
  }

  push(text: string): void {
    if (text !== '') this.#empty = false;
    for (const character of text) this.#see(character);
  }

  #see(character: string): void {
    if (this.#inText) {
      if (this.#escaped) this.#escaped = false;
      else if (character === '\\') this.#escaped = true;
      else if (character === '"') this.#inText = false;
    } else if (character === '"') this.#inText = true;
    else if (character === '{' || character === '[') {
      this.#opened = true;
      this.#depth++;
    } else if (character === '}' || character === ']') this.#depth--;
  }
}
