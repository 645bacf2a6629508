import { stdout } from 'node:process';
import { type DocumentJob, type DocumentOutcome, DocumentRefused } from './document-wire.js';
import { takeNetworkAway } from './no-network.js';
import { TextSink } from './text-sink.js';
import { watchProcess } from './watch-process.js';

/**
 * The entry of the process that reads one document, which anybody may have made: it takes the document from standard input, writes its
 * text to standard output, says how it went, and ends.
 */
// Before the first await: what is below it is not there yet when a document is read.
const NO_TEXT = 'The file holds no text.';
const NO_TEXT_IN_PDF = `${NO_TEXT} Pictures of text are not read: if it is a scan, have its text recognised first, and upload the result.`;
const job = JSON.parse(process.argv[2]!) as DocumentJob;
watchProcess(job.memoryBytesMax);
takeNetworkAway();
process.on('disconnect', () => process.exit(0));
// Ctrl-C reaches the whole group of processes; whoever started this one ends it.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => undefined);

const outcome = await read(job);
stdout.write('', () => process.send?.(outcome, () => process.exit(0)));

async function read({ kind, textBytesMax }: DocumentJob): Promise<DocumentOutcome> {
  const sink = new TextSink(textBytesMax, (text) => stdout.write(text));
  try {
    const document = await whole(process.stdin);
    if (document.length === 0) throw new DocumentRefused('invalid_file', 'The file is empty.');
    await readInto(document, sink);
    sink.flush();
    if (!sink.holdsText) throw new DocumentRefused('invalid_file', kind === 'pdf' ? NO_TEXT_IN_PDF : NO_TEXT);
    return { kind: 'done' };
  } catch (error) {
    if (error instanceof DocumentRefused) return { kind: 'refused', code: error.code, message: error.message };
    const message = `The file can not be read: ${String((error as Error)?.message ?? error).slice(0, 200)}.`;
    return { kind: 'refused', code: 'invalid_file', message };
  }
}

/** Each library is loaded by who needs it: a text needs none. */
async function readInto(document: Buffer, sink: TextSink): Promise<void> {
  switch (job.kind) {
    case 'pdf':
      return (await import('./read-pdf.js')).readPdf(document, sink);
    case 'docx':
      return (await import('./read-docx.js')).readDocx(document, sink);
    case 'html':
      return (await import('./read-html.js')).readHtml(document, sink);
    case 'text':
      return (await import('./read-text.js')).readText(document, sink);
  }
}

async function whole(input: AsyncIterable<Buffer>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of input) pieces.push(piece);
  return Buffer.concat(pieces);
}
