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
