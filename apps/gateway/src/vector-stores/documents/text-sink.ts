import { DocumentRefused, keepableText } from './document-wire.js';

const PIECE_CHARACTERS = 64 * 1024;

/** Where the text of a document goes, piece by piece; more than is allowed is refused as soon as it comes. */
export class TextSink {
  #pieces: string[] = [];
  #characters = 0;
  #bytes = 0;
  #holdsText = false;

  constructor(
    private readonly bytesMax: number,
    private readonly send: (text: string) => void,
  ) {}

  /** Whether anything but white space came. */
  get holdsText(): boolean {
    return this.#holdsText;
  }

  write(text: string): void {
    if (text === '') return;
    this.#holdsText ||= /\S/.test(text);
    this.#pieces.push(text);
    this.#characters += text.length;
    if (this.#characters >= PIECE_CHARACTERS) this.flush();
  }

  flush(): void {
    const text = keepableText(this.#pieces.join(''));
    this.#pieces = [];
    this.#characters = 0;
    this.#bytes += Buffer.byteLength(text);
    if (this.#bytes > this.bytesMax) throw tooMuchText(this.bytesMax);
    this.send(text);
  }
}

export function tooMuchText(bytesMax: number): DocumentRefused {
  return new DocumentRefused(
    'invalid_file',
    `The file holds more than ${bytesMax.toLocaleString('en-US')} bytes of text (vectorTextBytesMax). Split it, or raise that setting.`,
  );
}
