import type { DocumentKind } from './document-kind.js';

/** What the process that reads a document is started with; the document itself comes by its standard input, and goes as UTF-8 by its output. */
export interface DocumentJob {
  readonly kind: DocumentKind;
  /** Of the text; more is refused. */
  readonly textBytesMax: number;
  /** Of the whole process. */
  readonly memoryBytesMax: number;
}

/** Its last words, when all of its text is out. */
export type DocumentOutcome =
  | { readonly kind: 'done' }
  | { readonly kind: 'refused'; readonly code: RefusalCode; readonly message: string };

/** Of a sentence about a document. */
const MESSAGE_CHARACTERS_MAX = 1_000;

/** What the process said, which a document may have taken over; undefined: nothing that it says by itself. */
export function outcomeOf(message: unknown): DocumentOutcome | undefined {
  if (typeof message !== 'object' || message === null) return undefined;
  const { kind, code, message: sentence } = message as Record<string, unknown>;
  if (kind === 'done') return { kind };
  if (kind !== 'refused' || typeof sentence !== 'string') return undefined;
  if (code !== 'unsupported_file' && code !== 'invalid_file') return undefined;
  return { kind, code, message: keepableText(sentence.slice(0, MESSAGE_CHARACTERS_MAX)) };
}

/** NUL is no text, and no database takes it; half a character is none either. */
export function keepableText(text: string): string {
  return text.replaceAll('\0', ' ').toWellFormed();
}

/** OpenAI's, of `last_error`; its third, `server_error`, is nobody's document's fault. */
export type RefusalCode = 'unsupported_file' | 'invalid_file';

/** Written by the process to its standard error just before it ends itself. */
export const OUT_OF_MEMORY_MARK = 'document-process: out of memory';

/** A document that can not be read, whoever tries again. The sentence is for whoever uploaded it. */
export class DocumentRefused extends Error {
  override readonly name = 'DocumentRefused';

  constructor(
    readonly code: RefusalCode,
    message: string,
  ) {
    super(message);
  }
}
