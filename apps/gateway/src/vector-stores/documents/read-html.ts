import { Parser } from 'htmlparser2';
import { DocumentRefused } from './document-wire.js';
import { decodedPieces, encodingOf } from './read-text.js';
import type { TextSink } from './text-sink.js';

/** Of elements in each other; browsers stop at 512. What the parser does when they end takes the square of it. */
const DEPTH_MAX = 10_000;
/** What is in these is no text that anybody reads. */
const UNREAD = new Set(['script', 'style', 'template', 'noscript', 'svg', 'math', 'iframe', 'object', 'canvas']);
/** What stands on lines of its own, with an empty one before it. */
const PARAGRAPHS = new Set(
  'address article aside blockquote body dd details div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr html main nav ol p pre section table title ul'.split(
    ' ',
  ),
);
const LINES = new Set(['br', 'li', 'tr', 'option', 'caption', 'summary', 'legend']);
const CELLS = new Set(['td', 'th']);

/**
 * The text of a page, in the order in which it stands there.
 *
 * A parser that tells what it meets and builds no tree: it does not recurse, and what was read is not kept.
 */
export function readHtml(document: Buffer, sink: TextSink): void {
  const text = new FlowingText(sink);
  /** Names of those unread elements that we are in. */
  const unread: string[] = [];
  let preformatted = 0;
  let depth = 0;
  const parser = new Parser(
    {
      onopentagname: (name) => {
        if (++depth > DEPTH_MAX) throw tooDeep();
        if (UNREAD.has(name)) unread.push(name);
        if (name === 'pre' || name === 'textarea') preformatted++;
        if (unread.length === 0) text.separate(name);
      },
      onclosetag: (name) => {
        depth--;
        if (unread.at(-1) === name) unread.pop();
        if (name === 'pre' || name === 'textarea') preformatted = Math.max(0, preformatted - 1);
        if (unread.length === 0 && (PARAGRAPHS.has(name) || LINES.has(name))) text.separate(name);
      },
      ontext: (data) => {
        if (unread.length === 0) text.add(data, preformatted > 0);
      },
    },
    { decodeEntities: true },
  );
  for (const piece of decodedPieces(document, declaredEncoding(document))) parser.write(piece);
  parser.end();
  text.end();
}

function tooDeep(): DocumentRefused {
  return new DocumentRefused(
    'invalid_file',
    `The page can not be read: its elements are nested more than ${DEPTH_MAX.toLocaleString('en-US')} deep. Save it in a simpler form.`,
  );
}

/** White space is one space, as browsers show it, but for what stands between elements. */
class FlowingText {
  /** What goes before the next word: the strongest of what separates it from the last. */
  #gap = '';
  #began = false;

  constructor(private readonly sink: TextSink) {}

  separate(element: string): void {
    const gap = PARAGRAPHS.has(element) ? '\n\n' : LINES.has(element) ? '\n' : CELLS.has(element) ? '\t' : '';
    if (STRENGTH.indexOf(gap) > STRENGTH.indexOf(this.#gap)) this.#gap = gap;
  }

  add(data: string, isPreformatted: boolean): void {
    if (isPreformatted) this.#put(data);
    else this.#addFlowing(data);
  }

  #addFlowing(data: string): void {
    const words = data.replace(/\s+/g, ' ');
    if (words === '') return;
    if (words.startsWith(' ')) this.#gap ||= ' ';
    const inner = words.trim();
    if (inner === '') return;
    this.#put(inner);
    if (words.endsWith(' ')) this.#gap = ' ';
  }

  end(): void {
    if (this.#began) this.sink.write('\n');
  }

  #put(text: string): void {
    if (this.#began) this.sink.write(this.#gap);
    this.#gap = '';
    this.#began = true;
    this.sink.write(text);
  }
}

const STRENGTH = ['', ' ', '\t', '\n', '\n\n'];

/** Where a page says how it is written, it does so in its first bytes. */
const DECLARED_WITHIN_BYTES = 1024;

function declaredEncoding(document: Buffer): string {
  const byMark = encodingOf(document);
  if (byMark !== 'utf-8') return byMark;
  const beginning = document.subarray(0, DECLARED_WITHIN_BYTES).toString('latin1');
  const declared = /<meta[^>]{0,200}charset\s*=\s*["']?([\w-]{1,40})/i.exec(beginning)?.[1];
  return declared !== undefined && isKnown(declared) ? declared : 'utf-8';
}

function isKnown(encoding: string): boolean {
  try {
    // A page that can be read as ASCII this far is not UTF-16, whatever it says.
    return !new TextDecoder(encoding).encoding.startsWith('utf-16');
  } catch {
    return false;
  }
}
