import { rmSync, writeFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { DocumentReader } from './document-reader.js';
import { docxOf, docxWith, pdfOf, pdfWith, zipOf } from './documents.testing.js';

/** Where the process is as it was built. */
const entry = new URL('../../../dist/vector-stores/documents/document-process-main.js', import.meta.url);
const LIMITS = { documentTimeoutMs: 30_000, documentMemoryMib: 512, vectorTextBytesMax: 4_000_000 };
const never = new AbortController().signal;
const MIB = 1024 * 1024;

async function* contentOf(document: Uint8Array | string): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(document as string);
  for (let from = 0; from < bytes.length; from += MIB) yield bytes.subarray(from, from + MIB);
}

function read(filename: string, document: Uint8Array | string, limits: Partial<typeof LIMITS> = {}): Promise<string> {
  return new DocumentReader({ ...LIMITS, ...limits }).read(filename, contentOf(document), never);
}

const refused = (code: string, sentence: RegExp) =>
  expect.objectContaining({ name: 'DocumentRefused', code, message: expect.stringMatching(sentence) });

describe('the reader of documents, as it was built', { timeout: 60_000 }, () => {
  it.each([
    ['text', 'a.txt', 'Grüße 🌊\r\nzwei', 'Grüße 🌊\r\nzwei'],
    ['Markdown', 'a.md', '# One\n\ntwo', '# One\n\ntwo'],
    ['JSON', 'a.json', '{"a": [1, 2]}', '{"a": [1, 2]}'],
    ['CSV', 'a.CSV', 'a,b\n1,2\n', 'a,b\n1,2\n'],
    ['a file without an ending', 'LICENSE', 'free', 'free'],
    ['UTF-8 with its mark', 'a.txt', Buffer.from('\ufeffone'), 'one'],
    ['UTF-16, the little end first', 'a.txt', Buffer.from('\ufeffzwölf', 'utf16le'), 'zwölf'],
    ['UTF-16, the big end first', 'a.txt', Buffer.from('\ufeffzwölf', 'utf16le').swap16(), 'zwölf'],
  ])('takes %s as it stands', async (_what, name, document, text) => {
    expect(await read(name, document)).toBe(text);
  });

  it('reads a page without its scripts and styles, and with its lines', async () => {
    const page = `<!doctype html><html><head><title>The title</title><style>p { color: red }</style>
      <script>steal("<p>not text</p>")</script></head><body><h1>Head&shy;ing &amp; more</h1>
      <p>One <b>two</b>,\n three.<p>Four<br>five<noscript>no</noscript><ul><li>six<li>seven</ul>
      <pre>  as
  it is</pre><table><tr><td>a</td><td>b</td></tr></table><template>hidden</template><svg><text>x</text></svg></body></html>`;
    expect(await read('a.html', page)).toBe(
      'The title\n\nHead\u00ading & more\n\nOne two, three.\n\nFour\nfive\n\nsix\nseven\n\n  as\n  it is\n\na\tb\n',
    );
  });

  it('reads a page in the encoding that it declares', async () => {
    expect(await read('a.htm', Buffer.from('<meta charset="iso-8859-1"><p>gr\u00fcn', 'latin1'))).toBe('grün\n');
  });

  it('reads the pages of a PDF', async () => {
    expect((await read('a.PDF', pdfOf('The first page', 'The second'))).split(/\s*\n+/)).toEqual([
      'The first page',
      'The second',
      '',
    ]);
  });

  it('reads a Word document: paragraphs, tabs, tables, and nothing that was deleted or is shown otherwise', async () => {
    const body = `<w:p><w:r><w:t>One &lt;two&gt;</w:t><w:tab/><w:t xml:space="preserve"> three</w:t><w:delText>gone</w:delText></w:r></w:p>
      <w:p><w:r><w:instrText>PAGE</w:instrText><w:t>four</w:t><w:br/><w:t>five</w:t></w:r>
      <mc:AlternateContent><mc:Choice><w:t>!</w:t></mc:Choice><mc:Fallback><w:t>?</w:t></mc:Fallback></mc:AlternateContent></w:p>
      <w:tbl><w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc></w:tr></w:tbl>`;
    expect(await read('a.docx', docxWith(body))).toBe('One <two>\t three\n\nfour\nfive!\n\na\n\n\t\n\n\n');
  });

  it('reads several at once', async () => {
    const reader = new DocumentReader(LIMITS);
    const all = ['one', 'two', 'three'].map((text) => reader.read('a.txt', contentOf(text), never));
    expect(await Promise.all(all)).toEqual(['one', 'two', 'three']);
  });
});

describe('a document that can not be read', { timeout: 60_000 }, () => {
  it.each([
    ['is empty', 'a.txt', '', 'invalid_file', /is empty/],
    ['holds white space alone', 'a.md', ' \n\t ', 'invalid_file', /no text/],
    ['is of a kind that nobody reads', 'a.pptx', 'x', 'unsupported_file', /\.pptx can not be read/],
    ['is no UTF-8', 'a.txt', Buffer.from([0x61, 0xff, 0x62]), 'invalid_file', /not valid UTF-8/],
    ['ends in the middle of a character', 'a.txt', Buffer.from('ü').subarray(0, 1), 'invalid_file', /not valid UTF-8/],
    ['is half a pair in UTF-16', 'a.txt', Buffer.from([0xff, 0xfe, 0, 0xd8]), 'invalid_file', /not valid UTF-16LE/],
    ['holds NUL', 'a.txt', 'a\0b', 'unsupported_file', /NUL/],
    ['is a program with the ending of a text', 'a.txt', Buffer.from('\x7fELF\x02\x01\0\0'), 'unsupported_file', /NUL/],
    ['is a PDF by its name alone', 'a.pdf', 'Hello', 'invalid_file', /no PDF/],
    ['is a broken PDF', 'a.pdf', '%PDF-1.7\nnonsense', 'invalid_file', /The PDF can not be read/],
    ['is a PDF without text', 'a.pdf', pdfOf(''), 'invalid_file', /no text.*scan/],
    ['is a Word document without text', 'a.docx', docxWith('<w:p/>'), 'invalid_file', /holds no text\.$/],
    ['is a page without text', 'a.html', '<p><img src="x">', 'invalid_file', /holds no text\.$/],
    ['is a Word document by its name alone', 'a.docx', 'Hello', 'invalid_file', /no ZIP archive/],
    [
      'is of the older kind',
      'a.docx',
      Buffer.from('d0cf11e0a1b11ae1', 'hex'),
      'invalid_file',
      /older kind, or encrypted/,
    ],
    [
      'is some other archive',
      'a.docx',
      zipOf([{ name: 'x', content: 'y' }]),
      'invalid_file',
      /without word\/document\.xml/,
    ],
    ['leaves its archive', 'a.docx', zipOf([{ name: '../x', content: 'y' }]), 'invalid_file', /can not be read/],
    ['names NUL', 'a.docx', zipOf([{ name: '/\0x', content: 'y' }]), 'invalid_file', /^[^\0]*can not be read[^\0]*$/],
    [
      'leaves by NUL',
      'a.docx',
      zipOf([{ name: '../\0x', content: 'y' }]),
      'invalid_file',
      /^[^\0]*can not be read[^\0]*$/,
    ],
    ['is cut off', 'a.docx', docxOf('Hello').subarray(0, 200), 'invalid_file', /no ZIP archive/],
  ])('says so where it %s', async (_what, name, document, code, sentence) => {
    await expect(read(name, document)).rejects.toEqual(refused(code, sentence));
  });

  it('says so of an encrypted PDF', async () => {
    const pdf = pdfWith(
      ['<< /Type /Catalog /Pages 2 0 R >>', '<< /Type /Pages /Kids [] /Count 0 >>', ENCRYPTION],
      '/Encrypt 3 0 R /ID [<00112233445566778899aabbccddeeff> <00112233445566778899aabbccddeeff>]',
    );
    await expect(read('a.pdf', pdf)).rejects.toEqual(refused('invalid_file', /encrypted.*password/));
  });
});

/** Of a password that nobody knows. */
const ENCRYPTION = `<< /Filter /Standard /V 2 /R 3 /Length 128 /P -4 /O <${'ab'.repeat(32)}> /U <${'cd'.repeat(32)}> >>`;

describe('a hostile document', { timeout: 60_000 }, () => {
  it('that unpacks to gigabytes is refused by what it says of itself', async () => {
    const bomb = zipOf([{ name: 'word/document.xml', content: 'x', saysBytes: 4_000_000_000 }]);
    await expect(read('a.docx', bomb)).rejects.toEqual(
      refused('invalid_file', /4,000,000,000 bytes when it is unpacked/),
    );
  });

  it('that lies about what it unpacks to is refused when it has unpacked so much', async () => {
    const bomb = zipOf([{ name: 'word/document.xml', content: Buffer.alloc(64 * MIB, ' '), saysBytes: 1_000 }]);
    await expect(read('a.docx', bomb, { documentMemoryMib: 160 })).rejects.toEqual(
      refused('invalid_file', /can not be read: too many bytes/),
    );
  });

  it('that unpacks to a lot of text is refused when that is too much', async () => {
    const bomb = docxWith(`<w:p><w:t>${'many words '.repeat(3_000_000)}</w:t></w:p>`);
    expect(bomb.length).toBeLessThan(200_000);
    await expect(read('a.docx', bomb)).rejects.toEqual(refused('invalid_file', /more than 4,000,000 bytes of text/));
  });

  it('whose entities laugh a billion times is refused, and none of them is expanded', async () => {
    const laughs = Array.from({ length: 9 }, (_, at) => `<!ENTITY l${at + 1} "${`&l${at};`.repeat(10)}">`).join('');
    const docx = docxWith('<w:p><w:t>&l9;</w:t></w:p>', `<!DOCTYPE x [<!ENTITY l0 "lol">${laughs}]>`);
    await expect(read('a.docx', docx)).rejects.toEqual(refused('invalid_file', /DOCTYPE/));
    const page = `<!DOCTYPE x [<!ENTITY l0 "lol">${laughs}]><p>&l9;</p>`;
    expect((await read('a.html', page)).length).toBeLessThan(10 * page.length);
    const xml = `<?xml version="1.0"?>${page}`;
    expect(await read('a.xml', xml)).toBe(xml);
  });

  it('that is nested a million deep is read, or refused, without harm', async () => {
    expect(await read('a.html', `${'<div>'.repeat(9_000)}deep`)).toBe('deep\n');
    await expect(read('a.html', `${'<div>'.repeat(1_000_000)}deep`)).rejects.toEqual(
      refused('invalid_file', /nested more than 10,000 deep/),
    );
    const docx = docxWith(`${'<w:p>'.repeat(100_000)}<w:t>deep</w:t>`);
    await expect(read('a.docx', docx)).rejects.toEqual(refused('invalid_file', /nested more than 1000 deep/));
  });

  it('that has a million objects costs its process, and nobody else', async () => {
    const count = 1_000_000;
    const kids = Array.from({ length: count }, (_, at) => `${at + 3} 0 R`).join(' ');
    const page = '<< /Type /Page /Parent 2 0 R >>';
    const pdf = pdfWith([
      '<< /Type /Catalog /Pages 2 0 R >>',
      `<< /Type /Pages /Kids [${kids}] /Count ${count} >>`,
      ...new Array<string>(count).fill(page),
    ]);
    const limits = { documentMemoryMib: 256, documentTimeoutMs: 10_000 };
    const before = process.memoryUsage().rss;
    await expect(read('a.pdf', pdf, limits)).rejects.toEqual(refused('invalid_file', /To read the file takes/));
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * MIB);
    expect(await read('a.pdf', pdfOf('Another one'), limits)).toContain('Another one');
  });

  it('that needs more memory than it may have is told so', async () => {
    const page = `<p>${'x'.repeat(100 * MIB)}`;
    await expect(read('a.html', page, { documentMemoryMib: 96, vectorTextBytesMax: 500_000_000 })).rejects.toEqual(
      refused('invalid_file', /more memory than 96 MiB/),
    );
  });

  it('that takes too long is told so', async () => {
    await expect(read('a.html', '<p>hello', { documentTimeoutMs: 1 })).rejects.toEqual(
      refused('invalid_file', /longer than 1 ms/),
    );
  });
});

describe('whoever has a document read', { timeout: 60_000 }, () => {
  it('can leave at any time, and the process is gone then', async () => {
    const leaving = new AbortController();
    const reason = new Error('changed my mind');
    const endless = async function* () {
      yield Buffer.from('one');
      leaving.abort(reason);
      await new Promise(() => {});
    };
    await expect(new DocumentReader(LIMITS).read('a.txt', endless(), leaving.signal)).rejects.toBe(reason);
  });

  it('is told what is wrong with where the document comes from', async () => {
    const broken = async function* () {
      yield Buffer.from('one');
      throw new Error('The bucket is gone.');
    };
    await expect(new DocumentReader(LIMITS).read('a.txt', broken(), never)).rejects.toThrow('The bucket is gone.');
  });

  describe('and has secrets', () => {
    const prying = new URL('./prying.mjs', entry);

    afterEach(() => {
      rmSync(prying, { force: true });
      delete process.env.DOCUMENT_TEST_SECRET;
    });

    it('gives the process none of them, no network, no files and no other program', async () => {
      process.env.DOCUMENT_TEST_SECRET = 'secret';
      writeFileSync(prying, PRYING);
      const told = await new DocumentReader(LIMITS, prying).read('a.txt', contentOf('x'), never);
      expect(JSON.parse(told)).toEqual({
        secret: 'undefined',
        files: 'ERR_ACCESS_DENIED',
        writes: 'ERR_ACCESS_DENIED',
        programs: 'ERR_ACCESS_DENIED',
        code: 'EvalError',
        ...Object.fromEntries(REACHES.map((name) => [name, 'This process has no network.'])),
      });
    });
  });
});

const REACHES = [
  'network',
  'thread',
  'datagram',
  'resolver',
  'promised',
  'name',
  'reversed',
  'kill',
  'signal',
  'debug',
  'fetch',
];

/** Stands in for a document that took over the process that reads it, and tells what it could reach. */
const PRYING = `
import { spawnSync } from 'node:child_process';
import { Socket } from 'node:dgram';
import dns, { reverse } from 'node:dns';
import { lookup, Resolver } from 'node:dns/promises';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { Worker } from 'node:worker_threads';
import { takeNetworkAway } from './no-network.js';
import { watchProcess } from './watch-process.js';

watchProcess(1024 * 1024 * 1024);
takeNetworkAway();
const told = {
  secret: String(process.env.DOCUMENT_TEST_SECRET),
  files: tried(() => readFileSync('/etc/hostname')),
  writes: tried(() => writeFileSync('/tmp/document-test', 'x')),
  programs: tried(() => spawnSync('true')),
  code: tried(() => new Function('return 1')),
  network: tried(() => connect(1, '127.0.0.1')),
  thread: tried(() => new Worker('', { eval: true })),
  datagram: tried(() => new Socket('udp4')),
  resolver: tried(() => new dns.Resolver().resolve4('localhost', () => {})),
  promised: tried(() => new Resolver().resolve4('localhost')),
  name: tried(() => lookup('localhost')),
  reversed: tried(() => reverse('127.0.0.1', () => {})),
  kill: tried(() => process.kill(process.ppid, 0)),
  signal: tried(() => process._kill(process.ppid, 0)),
  debug: tried(() => process._debugProcess(process.ppid)),
  fetch: tried(() => fetch('http://127.0.0.1:1')),
};
process.stdout.write(JSON.stringify(told), () => process.send({ kind: 'done' }, () => process.exit(0)));

function tried(work) {
  try {
    work();
    return 'done';
  } catch (error) {
    return error.code ?? (error.name === 'Error' ? error.message : error.name);
  }
}
`;
