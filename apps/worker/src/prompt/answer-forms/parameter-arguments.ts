import type { ArgumentsReader } from './arguments-reader.js';
import { MORE, Scan } from './scan.js';

export const PARAMETER = '<parameter=';
export const PARAMETER_END = '</parameter>';

/** A parameter that may be JSON is held until it is whole; a longer one is taken for a text. */
export const JSON_CHARACTERS_MAX = 65_536;
/** Characters of what stands between two parameters, with the name of the next. */
const BETWEEN_CHARACTERS_MAX = 1_024;

/**
 * Parameters one by one, each between tags: `<parameter=city>⏎Rome⏎</parameter>`. The line ends within the tags are theirs.
 * What can only be a string is a text as it stands; all else is JSON, unless it turns out to be none.
 */
export class ParameterArguments implements ArgumentsReader {
  /** `begun`: behind a tag, before the line end that belongs to it. */
  #state: 'between' | 'begun' | 'text' | 'json' = 'between';
  #count = 0;
  #name = '';
  #json = '';

  /** @param texts names of the parameters that can only be strings. */
  constructor(private readonly texts: ReadonlySet<string>) {}

  read(text: string, from: number): { at: number; json: string; over: boolean } {
    let at = from;
    let json = '';
    for (;;) {
      const step = this.#step(text, at);
      json += step.json;
      if (step.over || step.at === at) return { at: step.at, json, over: step.over };
      at = step.at;
    }
  }

  end(): string {
    switch (this.#state) {
      case 'between':
        return this.#count === 0 ? '{}' : '}';
      case 'json':
        return this.#json;
      default:
        return '';
    }
  }

  #step(text: string, at: number): { at: number; json: string; over: boolean } {
    if (this.#state === 'between') return this.#readTag(text, at);
    if (this.#state === 'begun') return this.#readLineEnd(text, at);
    return this.#readValue(text, at);
  }

  #readValue(text: string, at: number): { at: number; json: string; over: boolean } {
    const end = text.indexOf(PARAMETER_END, at);
    const to = end < 0 ? text.length - heldAtEnd(text, at) : end;
    const value = text.slice(at, end > at && text[end - 1] === '\n' ? end - 1 : to);
    const json = this.#state === 'text' ? escaped(value) : this.#collect(value);
    if (end < 0) return { at: to, json, over: false };
    if (this.#state === 'json' && endsInString(this.#json)) {
      const more = text.slice(at + value.length, end + PARAMETER_END.length);
      return { at: end + PARAMETER_END.length, json: this.#collect(more), over: false };
    }
    const closing = this.#state === 'text' ? '"' : jsonOf(this.#json);
    this.#state = 'between';
    this.#json = '';
    return { at: end + PARAMETER_END.length, json: json + closing, over: false };
  }

  #readTag(text: string, at: number): { at: number; json: string; over: boolean } {
    const scan = new Scan(text, at, at + BETWEEN_CHARACTERS_MAX, false);
    try {
      scan.skipBlanks();
      const name = scan.takes(PARAMETER) ? scan.takeUntil('>') : undefined;
      if (name === undefined) return { at, json: this.#count === 0 ? '{}' : '}', over: true };
      this.#name = name;
      this.#state = 'begun';
      const before = this.#count++ === 0 ? '{' : ', ';
      return { at: scan.at, json: `${before}${JSON.stringify(name)}: `, over: false };
    } catch (error) {
      if (error !== MORE) throw error;
      return { at, json: '', over: false };
    }
  }

  #readLineEnd(text: string, at: number): { at: number; json: string; over: boolean } {
    if (at === text.length) return { at, json: '', over: false };
    const isText = this.texts.has(this.#name);
    this.#state = isText ? 'text' : 'json';
    const after = text[at] === '\n' ? at + 1 : at;
    // Behind a tag without a line end there is no step to be seen, but the state has changed.
    const rest = after === at ? this.#step(text, at) : { at: after, json: '', over: false };
    return { ...rest, json: (isText ? '"' : '') + rest.json };
  }

  /** Gives out nothing, until it is more than JSON may be. */
  #collect(value: string): string {
    this.#json += value;
    if (this.#json.length <= JSON_CHARACTERS_MAX) return '';
    const json = `"${escaped(this.#json)}`;
    this.#state = 'text';
    this.#json = '';
    return json;
  }
}

/** How many characters at the end may belong to the end of the parameter. */
function heldAtEnd(text: string, from: number): number {
  const end = `\n${PARAMETER_END}`;
  // Half a character is written together with its other half.
  if (/[\ud800-\udbff]$/.test(text)) return Math.min(1, text.length - from);
  for (let length = Math.min(end.length - 1, text.length - from); length > 0; length--) {
    const last = text.slice(text.length - length);
    if (end.startsWith(last) || PARAMETER_END.startsWith(last)) return length;
  }
  return 0;
}

/** Whether a string within JSON is still open, so that what seems to end the parameter is a part of it. */
function endsInString(json: string): boolean {
  if (!/^\s*["{[]/.test(json)) return false;
  const quotes = json.replace(/\\./gs, '').split('"').length - 1;
  return quotes % 2 === 1;
}

function escaped(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

const WORDS: Readonly<Record<string, string>> = { True: 'true', False: 'false', None: 'null' };

/** JSON as it stands; what is none becomes a string. */
function jsonOf(written: string): string {
  const value = written.trim();
  if (Object.hasOwn(WORDS, value)) return WORDS[value]!;
  try {
    JSON.parse(value);
    return value;
  } catch {
    return JSON.stringify(written);
  }
}
