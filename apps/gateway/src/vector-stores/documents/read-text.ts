import { DocumentRefused } from './document-wire.js';
import type { TextSink } from './text-sink.js';

/** Of the document, to be decoded at a time: what it becomes is sent on before the next is. */
const PIECE_BYTES = 1024 * 1024;

/** Text as it stands: UTF-8, or what its byte order mark says. */
export function readText(document: Buffer, sink: TextSink): void {
  for (const text of decodedPieces(document, encodingOf(document))) sink.write(text);
}

/** @throws DocumentRefused where the bytes are none of that encoding, or no text at all. */
export function* decodedPieces(document: Buffer, encoding: string): Generator<string> {
  const decoder = new TextDecoder(encoding, { fatal: true });
  for (let from = 0; from < document.length; from += PIECE_BYTES) {
    const piece = document.subarray(from, from + PIECE_BYTES);
    yield checked(decode(decoder, piece, { stream: true }, encoding));
  }
  yield checked(decode(decoder, Buffer.alloc(0), {}, encoding));
}

function decode(
  decoder: InstanceType<typeof TextDecoder>,
  bytes: Buffer,
  options: { stream?: boolean },
  encoding: string,
): string {
  try {
    return decoder.decode(bytes, options);
  } catch {
    throw new DocumentRefused(
      'invalid_file',
      `The file is not valid ${encoding.toUpperCase()}. Save it as UTF-8, or as UTF-16 with a byte order mark; if it is no text, give it the ending of what it is.`,
    );
  }
}

function checked(text: string): string {
  if (!text.includes('\0')) return text;
  throw new DocumentRefused(
    'unsupported_file',
    'The file holds NUL bytes, and so is no text. What can be read: text, Markdown, JSON, CSV, HTML, PDF and DOCX.',
  );
}

export function encodingOf(document: Buffer): string {
  if (document[0] === 0xff && document[1] === 0xfe) return 'utf-16le';
  if (document[0] === 0xfe && document[1] === 0xff) return 'utf-16be';
  return 'utf-8';
}
