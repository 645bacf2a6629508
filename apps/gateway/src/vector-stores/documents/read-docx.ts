import type { Readable } from 'node:stream';
import { Parser } from 'htmlparser2';
import { type Entry, fromBuffer, type ZipFile } from 'yauzl';
import { DocumentRefused } from './document-wire.js';
import type { TextSink } from './text-sink.js';

/** What is read, in this order; the first has to be there. */
const PARTS = ['word/document.xml', 'word/footnotes.xml', 'word/endnotes.xml'];
/** A Word document has some dozens, and one for each picture. */
const ENTRIES_MAX = 10_000;
/** Of all parts that are read, as they are when inflated: a thousand pages have some 10 MB. */
const INFLATED_BYTES_MAX = 256 * 1024 * 1024;
/** Of elements in each other. */
const DEPTH_MAX = 1_000;

/**
 * The text of a Word document: paragraphs, tables with tabs between their cells, and notes at the end.
 *
 * Its XML is read as it is inflated, and never built into a tree, so that what inflates to gigabytes is noticed by its directory, or if that
 * lies, by the bytes that came.
 */
export async function readDocx(document: Buffer, sink: TextSink): Promise<void> {
  const zip = await openZip(document);
  const entries = await listEntries(zip);
  if (!entries.has(PARTS[0]!)) {
    throw new DocumentRefused(
      'invalid_file',
      `The file is a ZIP archive without ${PARTS[0]}, and so no Word document. Save it from Word as .docx.`,
    );
  }
  const parts = PARTS.flatMap((name) => entries.get(name) ?? []);
  checkSizes(parts);
  for (const part of parts) {
    await readPart(zip, part, sink);
    sink.write('\n\n');
  }
}

function openZip(document: Buffer): Promise<ZipFile> {
  return new Promise((resolve, reject) => {
    const options = { lazyEntries: true, validateEntrySizes: true, strictFileNames: true } as const;
    fromBuffer(document, options, (error, zip) => {
      if (error === null && zip !== undefined) return resolve(zip);
      const isOle = document.subarray(0, 4).toString('hex') === 'd0cf11e0';
      reject(
        new DocumentRefused(
          'invalid_file',
          isOle
            ? 'The file ends in .docx, but is of the older kind, or encrypted. Save it from Word as .docx, without a password.'
            : 'The file ends in .docx, but is no ZIP archive, as Word documents are. Save it from Word as .docx.',
        ),
      );
    });
  });
}

function listEntries(zip: ZipFile): Promise<Map<string, Entry>> {
  if (zip.entryCount > ENTRIES_MAX) {
    return Promise.reject(
      damaged(
        `it has ${zip.entryCount.toLocaleString('en-US')} parts; up to ${ENTRIES_MAX.toLocaleString('en-US')} are read`,
      ),
    );
  }
  return new Promise((resolve, reject) => {
    const entries = new Map<string, Entry>();
    zip.on('error', (error: Error) => reject(damaged(error.message)));
    zip.on('end', () => resolve(entries));
    zip.on('entry', (entry: Entry) => {
      if (PARTS.includes(entry.fileName)) entries.set(entry.fileName, entry);
      zip.readEntry();
    });
    zip.readEntry();
  });
}

function checkSizes(parts: readonly Entry[]): void {
  const bytes = parts.reduce((sum, { uncompressedSize }) => sum + uncompressedSize, 0);
  if (bytes > INFLATED_BYTES_MAX) {
    throw damaged(
      `its text is ${bytes.toLocaleString('en-US')} bytes when it is unpacked; up to ${INFLATED_BYTES_MAX.toLocaleString('en-US')} are read`,
    );
  }
  if (parts.some((entry) => entry.isEncrypted())) throw damaged('it is encrypted');
}

async function readPart(zip: ZipFile, entry: Entry, sink: TextSink): Promise<void> {
  const stream = await new Promise<Readable>((resolve, reject) => {
    zip.openReadStream(entry, (error, opened) => (error ? reject(damaged(error.message)) : resolve(opened!)));
  });
  const parser = wordParser(sink);
  const decoder = new TextDecoder('utf-8');
  let bytes = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > INFLATED_BYTES_MAX) throw damaged('it unpacks to more than it says');
      parser.write(decoder.decode(chunk, { stream: true }));
    }
  } catch (error) {
    throw error instanceof DocumentRefused ? error : damaged((error as Error).message);
  }
  parser.end(decoder.decode());
}

/** Text runs are `w:t`; deleted text, field codes and the second form of alternative content are no text of the document. */
function wordParser(sink: TextSink): Parser {
  let depth = 0;
  let inText = 0;
  let inFallback = 0;
  return new Parser(
    {
      onopentagname: (name) => {
        if (++depth > DEPTH_MAX) throw damaged(`its elements are nested more than ${DEPTH_MAX} deep`);
        if (name === 'mc:Fallback') inFallback++;
        if (inFallback > 0) return;
        if (name === 'w:t') inText++;
        else if (name === 'w:tab' || name === 'w:ptab') sink.write('\t');
        else if (name === 'w:br' || name === 'w:cr') sink.write('\n');
        else if (name === 'w:noBreakHyphen') sink.write('-');
      },
      onclosetag: (name) => {
        depth--;
        if (name === 'mc:Fallback') inFallback--;
        if (inFallback > 0) return;
        if (name === 'w:t') inText--;
        else if (name === 'w:p') sink.write('\n\n');
        else if (name === 'w:tc') sink.write('\t');
        else if (name === 'w:tr') sink.write('\n');
      },
      ontext: (data) => {
        if (inText > 0 && inFallback === 0) sink.write(data);
      },
      onprocessinginstruction: (name) => {
        // Where entities would be declared. None are expanded here, and no Word document has one.
        if (/^!doctype/i.test(name)) throw damaged('its XML has a DOCTYPE, which Word never writes');
      },
    },
    { xmlMode: true, decodeEntities: true },
  );
}

function damaged(why: string): DocumentRefused {
  return new DocumentRefused(
    'invalid_file',
    `The Word document can not be read: ${why.slice(0, 300)}. Open it in Word and save it anew.`,
  );
}
