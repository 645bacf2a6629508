import { DocumentRefused } from './document-wire.js';
import type { TextSink } from './text-sink.js';

/** A PDF begins within its first kilobyte, whatever stands before. */
const BEGINS_WITHIN_BYTES = 1024;

/** The text of a PDF, page by page. Pictures of text are none. */
export async function readPdf(document: Buffer, sink: TextSink): Promise<void> {
  if (!document.subarray(0, BEGINS_WITHIN_BYTES).includes('%PDF-')) {
    throw new DocumentRefused('invalid_file', 'The file ends in .pdf, but is no PDF: it does not begin with %PDF-.');
  }
  const { getDocumentProxy } = await import('unpdf');
  const pdf = await getDocumentProxy(new Uint8Array(document), {
    verbosity: 0,
    // Nothing is fetched, drawn or run.
    isEvalSupported: false,
    useWorkerFetch: false,
    useSystemFonts: false,
    disableFontFace: true,
    enableXfa: false,
    disableAutoFetch: true,
    disableStream: true,
  } as Parameters<typeof getDocumentProxy>[1]).catch(refuse);
  for (let number = 1; number <= pdf.numPages; number++) {
    const page = await pdf.getPage(number).catch(refuse);
    const { items } = await page.getTextContent().catch(refuse);
    for (const item of items) {
      if (!('str' in item)) continue;
      sink.write(item.str);
      if (item.hasEOL) sink.write('\n');
    }
    sink.write('\n\n');
    page.cleanup();
  }
  await pdf.loadingTask.destroy();
}

function refuse(error: unknown): never {
  const { name, message } = error as Error;
  throw new DocumentRefused(
    'invalid_file',
    name === 'PasswordException'
      ? 'The PDF is encrypted, and opens only with a password. Upload a copy without one.'
      : `The PDF can not be read: ${message.slice(0, 200).replace(/\.$/, '')}. Open it elsewhere and save it anew.`,
  );
}
