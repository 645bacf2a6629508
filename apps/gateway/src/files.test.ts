import { once } from 'node:events';
import { connect } from 'node:net';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import type { Settings } from '@millrace/contracts';
import type { ObjectStore } from '@millrace/storage';
import OpenAI, { toFile } from 'openai';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { CertificateFolder, TestAuthority } from '../../../libs/runtime/src/certificates.testing.js';
import { filesOn, folderOfItsOwn, keysIn } from './files/files.testing.js';
import { collected, rawExchange, settingsWith, TestBed } from './gateway.testing.js';
import { EVERYBODY } from './keys/authenticator.js';
import { openEmbedded } from './request-log/database.testing.js';
import type { SqlDatabase } from './stores/sql-database.js';
import { ANYONE } from './vocabulary.js';

let database: SqlDatabase;
let objects: ObjectStore;

beforeAll(async () => {
  database = await openEmbedded();
  objects = folderOfItsOwn();
});
afterEach(async () => {
  await database.query('delete from files');
  await objects.remove(await keysIn(objects), new AbortController().signal);
});
afterAll(async () => {
  await objects.close();
  await database.close();
});

/** Whoever calls is the key that they send. */
const byName = {
  ...EVERYBODY,
  authenticate: (presented = 'any') => ({ ...ANYONE, keyId: presented, keyName: presented }),
};

function bedWith(settings: Partial<Settings> = {}): Promise<TestBed> {
  const files = filesOn(database, objects, settingsWith(settings));
  return TestBed.start(settings, [], false, '127.0.0.1', { authenticator: byName, objects, files });
}

/** What came of it, or why nothing did. */
const settled = (asked: Promise<unknown>) => asked.catch((error: unknown) => error);

const stateOf = async () => ({
  rows: (await database.query('select from files')).length,
  objects: (await keysIn(objects)).length,
});
const NOTHING = { rows: 0, objects: 0 };

describe('the official client', () => {
  it('keeps a file, finds it, reads it and removes it', async () => {
    await using bed = await bedWith();
    const file = await bed.client.files.create({
      file: await toFile(Buffer.from('one\ntwo'), 'lines.jsonl'),
      purpose: 'batch',
    });
    expect(file).toEqual({
      id: expect.stringMatching(/^file-[0-9a-f]{32}$/),
      object: 'file',
      bytes: 7,
      created_at: expect.any(Number),
      expires_at: file.created_at + 2_592_000,
      filename: 'lines.jsonl',
      purpose: 'batch',
      status: 'processed',
    });
    expect(await bed.client.files.retrieve(file.id)).toEqual(file);
    expect(await bed.client.files.waitForProcessing(file.id)).toEqual(file);
    expect(await (await bed.client.files.content(file.id)).text()).toBe('one\ntwo');
    expect(await bed.client.files.delete(file.id)).toEqual({ id: file.id, object: 'file', deleted: true });
    await expect(bed.client.files.retrieve(file.id)).rejects.toMatchObject({ status: 404, code: 'file_not_found' });
    await expect(bed.client.files.content(file.id)).rejects.toMatchObject({ status: 404 });
    await expect(bed.client.files.delete(file.id)).rejects.toMatchObject({ status: 404 });
    expect(await stateOf()).toEqual(NOTHING);
  });

  it('lists page by page, also while it deletes what it has read', async () => {
    await using bed = await bedWith();
    const names = Array.from({ length: 7 }, (_, index) => `${index}.txt`);
    for (const name of names) {
      await bed.client.files.create({
        file: await toFile(Buffer.from('x'), name),
        purpose: name < '3' ? 'user_data' : 'batch',
      });
    }
    const named = async (query: OpenAI.FileListParams) =>
      (await collected(bed.client.files.list(query))).map(({ filename }) => filename);
    expect(await named({ limit: 2 })).toEqual(names.toReversed());
    expect(await named({ limit: 3, order: 'asc' })).toEqual(names);
    expect(await named({ limit: 1, purpose: 'user_data' })).toEqual(['2.txt', '1.txt', '0.txt']);
    for await (const file of bed.client.files.list({ limit: 2 })) await bed.client.files.delete(file.id);
    expect(await named({})).toEqual([]);
    expect(await stateOf()).toEqual(NOTHING);
  });

  it('is told what is wrong with a list', async () => {
    await using bed = await bedWith();
    for (const [query, status, param] of [
      ['limit=0', 400, 'limit'],
      ['limit=10001', 400, 'limit'],
      ['limit=x', 400, 'limit'],
      ['order=up', 400, 'order'],
      ['purpose=cake', 400, 'purpose'],
      ['colour=red', 400, 'colour'],
      ['after=file-%00', 404, 'after'],
      [`after=${'9'.repeat(300)}`, 400, 'after'],
    ] as const)
      expect(await refusalOf(await fetch(`${bed.url}/v1/files?${query}`)), query).toMatchObject({ status, param });
  });

  it('may name the type of a body that it does not send, as Python’s does', async () => {
    await using bed = await bedWith();
    const headers = { 'content-type': 'application/json' };
    const gone = await fetch(`${bed.url}/v1/files/file-1`, { method: 'DELETE', headers });
    expect(await refusalOf(gone)).toMatchObject({ status: 404, code: 'file_not_found' });
    const cancelled = await fetch(`${bed.url}/v1/uploads/upload_1/cancel`, { method: 'POST', headers });
    expect(await refusalOf(cancelled)).toMatchObject({ status: 404, code: 'upload_not_found' });
  });

  it('says when a file expires', async () => {
    await using bed = await bedWith();
    const file = await toFile(Buffer.from('x'), 'x.txt');
    const create = (seconds: number) =>
      bed.client.files.create({ file, purpose: 'user_data', expires_after: { anchor: 'created_at', seconds } });
    const kept = await create(3_600);
    expect(kept.expires_at).toBe(kept.created_at + 3_600);
    for (const seconds of [3_599, 2_592_001])
      await expect(create(seconds)).rejects.toMatchObject({ status: 400, param: 'expires_after.seconds' });
    await database.query("update files set expires_at = now() - interval '1 second'");
    await expect(bed.client.files.retrieve(kept.id)).rejects.toMatchObject({ status: 404 });
    expect(await collected(bed.client.files.list())).toEqual([]);
  });

  it('sees nothing of another key’s', async () => {
    await using bed = await bedWith();
    const file = await bed.client.files.create({ file: await toFile(Buffer.from('mine'), 'a'), purpose: 'vision' });
    const other = new OpenAI({ baseURL: `${bed.url}/v1`, apiKey: 'somebody-else', maxRetries: 0 });
    const { files } = other;
    for (const ask of [files.retrieve(file.id), files.content(file.id), files.delete(file.id)].map(settled))
      expect(await ask).toMatchObject({ status: 404, code: 'file_not_found' });
    expect(await collected(other.files.list())).toEqual([]);
    expect(await (await bed.client.files.content(file.id)).text()).toBe('mine');
  });
});

/** A form as bytes, each part with its headers as they stand here. */
function formOf(...parts: readonly (readonly [disposition: string, content: string | Buffer])[]): Buffer<ArrayBuffer> {
  const pieces = parts.flatMap(([disposition, content]) => [
    Buffer.from(`--b\r\ncontent-disposition: form-data; ${disposition}\r\n\r\n`),
    Buffer.from(content),
    Buffer.from('\r\n'),
  ]);
  return Buffer.concat([...pieces, Buffer.from('--b--\r\n')]);
}
const A_FILE = ['name="file"; filename="a.txt"', 'content'] as const;
const PURPOSE = ['name="purpose"', 'user_data'] as const;
const FORM_TYPE = { 'content-type': 'multipart/form-data; boundary=b' };

function send(bed: TestBed, form: Buffer | string, headers: Record<string, string> = FORM_TYPE): Promise<Response> {
  return fetch(`${bed.url}/v1/files`, { method: 'POST', body: form, headers });
}

/** For more than a second, and never standing still for long. */
function slowly(form: Buffer): ReadableStream {
  let at = 0;
  return new ReadableStream({
    pull: async (controller) => {
      controller.enqueue(form.subarray(at, at + 50_000));
      at += 50_000;
      await new Promise((resolve) => setTimeout(resolve, 150));
      if (at >= form.length) controller.close();
    },
  });
}

async function refusalOf(response: Response) {
  const { error } = (await response.json()) as { error: { code: string; param: string | null; message: string } };
  return { status: response.status, code: error.code, param: error.param, message: error.message };
}

const headOf = (length: number | 'chunked') =>
  [
    'POST /v1/files HTTP/1.1',
    'host: x',
    `content-type: ${FORM_TYPE['content-type']}`,
    length === 'chunked' ? 'transfer-encoding: chunked' : `content-length: ${length}`,
    '\r\n',
  ].join('\r\n');

describe('a form', () => {
  it.each([
    ['no purpose', [A_FILE], 'purpose', /required/],
    ['a purpose that nobody knows', [A_FILE, ['name="purpose"', 'cake']], 'purpose', /"cake".*"user_data"/],
    ['a purpose of what only the server makes', [['name="purpose"', 'batch_output'], A_FILE], 'purpose', /itself/],
    ['no file', [PURPOSE], 'file', /no file in it. Send it under `file`/],
    ['a text in the place of the file', [['name="file"', 'text'], PURPOSE], 'file', /no file/],
    ['its file under another name', [['name="data"; filename="a"', 'x'], PURPOSE], 'file', /under "data"/],
    ['two files', [A_FILE, A_FILE, PURPOSE], null, /two files/],
    ['a field that nobody knows', [A_FILE, PURPOSE, ['name="colour"', 'red']], 'colour', /colour/],
    ['half an expiry', [A_FILE, PURPOSE, ['name="expires_after[anchor]"', 'created_at']], 'expires_after.seconds', /./],
    [
      'an expiry of no number',
      [A_FILE, PURPOSE, ['name="expires_after[anchor]"', 'created_at'], ['name="expires_after[seconds]"', '1e5']],
      'expires_after.seconds',
      /whole number/,
    ],
    ['a field that is too long', [A_FILE, ['name="purpose"', 'x'.repeat(20_000)]], null, /16384 bytes/],
    [
      'too many fields',
      [A_FILE, ...Array.from({ length: 40 }, (_, index) => [`name="f${index}"`, 'x'] as const)],
      null,
      /more than 32/,
    ],
    ['a file without a name', [['name="file"; filename=""', 'x'], PURPOSE], 'file', /./],
    ['a name with control characters', [['name="file"; filename="a\u0007b"', 'x'], PURPOSE], 'file', /control/],
    ['a name that is too long', [[`name="file"; filename="${'n'.repeat(600)}"`, 'x'], PURPOSE], 'file', /500/],
  ] as const)('with %s is a 400 that says so, and leaves nothing behind', async (_what, parts, param, message) => {
    await using bed = await bedWith();
    const refusal = await refusalOf(await send(bed, formOf(...parts)));
    expect(refusal).toMatchObject({ status: 400, param, message: expect.stringMatching(message) });
    await expect.poll(stateOf).toEqual(NOTHING);
  });

  it('may not begin with megabytes that are no form', async () => {
    await using bed = await bedWith();
    const form = Buffer.concat([Buffer.alloc(3_000_000, 'x'), formOf(A_FILE, PURPOSE)]);
    const refusal = await refusalOf(await send(bed, form));
    expect(refusal).toMatchObject({ status: 400, message: expect.stringMatching(/No file began within 1048576/) });
    expect(await stateOf()).toEqual(NOTHING);
  });

  it('is no form without its type, or without a boundary', async () => {
    await using bed = await bedWith();
    const json = await refusalOf(await send(bed, '{}', { 'content-type': 'application/json' }));
    expect(json).toMatchObject({ status: 415, code: 'unsupported_media_type' });
    const bare = await refusalOf(await send(bed, formOf(A_FILE, PURPOSE), { 'content-type': 'multipart/form-data' }));
    expect(bare).toMatchObject({ status: 400, message: expect.stringMatching(/oundary/) });
    const elsewhere = await fetch(`${bed.url}/v1/chat/completions`, {
      method: 'POST',
      body: formOf(A_FILE),
      headers: FORM_TYPE,
    });
    expect(elsewhere.status).toBe(415);
    expect(await stateOf()).toEqual(NOTHING);
  });

  it('that ends in the middle of its file, or before its last boundary, is a 400 and leaves nothing', async () => {
    await using bed = await bedWith();
    const whole = formOf(PURPOSE, ['name="file"; filename="a"', 'y'.repeat(300_000)]);
    for (const length of [whole.length - 5, whole.length - 10, 200_000, 120, 10]) {
      expect(await refusalOf(await send(bed, whole.subarray(0, length))), String(length)).toMatchObject({
        status: 400,
      });
    }
    await expect.poll(stateOf).toEqual(NOTHING);
  });

  it('has its fields before its file or behind it, and names that are what they are', async () => {
    await using bed = await bedWith();
    const names = [
      ['../../etc/passwd', 'passwd'],
      ['C:\\\\temp\\\\x.txt', 'x.txt'],
      ['Zürich 日本.txt', 'Zürich 日本.txt'],
      ["a'b;c=d.txt", "a'b;c=d.txt"],
      ['a\\"b.txt', 'a"b.txt'],
    ];
    for (const [sent, kept] of names) {
      const file = [`name="file"; filename="${sent}"`, 'content'] as const;
      for (const parts of [
        [file, PURPOSE],
        [PURPOSE, file],
      ]) {
        const { id, filename } = (await (await send(bed, formOf(...parts))).json()) as { id: string; filename: string };
        expect(filename).toBe(kept);
        const { headers } = await fetch(`${bed.url}/v1/files/${id}/content`);
        expect(headers.get('x-content-type-options')).toBe('nosniff');
        const disposition = headers.get('content-disposition')!;
        expect(disposition).toMatch(/^attachment; filename="[^"\\%]*"; filename\*=UTF-8''[A-Za-z0-9%._~!$&+-]*$/);
        expect(decodeURIComponent(disposition.split("''")[1]!)).toBe(kept);
      }
    }
  });

  it('may be longer than bodyBytesMax, take longer than bodyTimeoutMs, and have any bytes in its file', async () => {
    await using bed = await bedWith({ bodyBytesMax: 1_024, bodyTimeoutMs: 1_000 });
    const content = Buffer.from(Array.from({ length: 400_000 }, (_, index) => (index * 7 + (index >> 8)) % 256));
    const form = formOf(
      ['name="file"; filename="a"', Buffer.concat([content, Buffer.from('\r\n--B--\r\n--c')])],
      PURPOSE,
    );
    const response = await fetch(`${bed.url}/v1/files`, {
      method: 'POST',
      body: slowly(form),
      headers: FORM_TYPE,
      duplex: 'half',
    } as RequestInit);
    const { id, bytes } = (await response.json()) as { id: string; bytes: number };
    expect(bytes).toBe(400_000 + 12);
    const read = Buffer.from(await (await fetch(`${bed.url}/v1/files/${id}/content`)).arrayBuffer());
    expect(read.subarray(0, 400_000).equals(content)).toBe(true);
  });

  it('may be followed by other requests on its connection, whether it was taken or refused', async () => {
    await using bed = await bedWith();
    const taken = formOf(A_FILE, PURPOSE);
    const refused = formOf(['name="purpose"', 'cake'], ['name="file"; filename="a"', 'z'.repeat(100_000)]);
    const last = 'GET /v1/files HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n';
    const bytes = [taken, refused, taken].map((form) => headOf(form.length) + form.toString('latin1')).join('') + last;
    const said = await rawExchange(bed.gateway.port, bytes);
    expect([...said.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)).toEqual(['200', '400', '200', '200']);
  });
});

describe('an upload that is not what it says', () => {
  async function opened(bed: TestBed) {
    const socket = Object.assign(connect(bed.gateway.port, '127.0.0.1'), { said: '' });
    socket.setEncoding('utf8').on('data', (data) => {
      socket.said += data;
    });
    socket.on('error', () => {});
    await once(socket, 'connect');
    return socket;
  }
  const begun = formOf(PURPOSE, ['name="file"; filename="a"', 'y'.repeat(300_000)]).subarray(0, 250_000);

  it('stands still, and is ended after bodyTimeoutMs', async () => {
    await using bed = await bedWith({ bodyTimeoutMs: 300 });
    const socket = await opened(bed);
    socket.write(headOf(300_000));
    socket.write(begun);
    await expect.poll(() => socket.closed).toBe(true);
    expect(socket.said).toMatch(/^HTTP\/1\.1 408 [\s\S]*brought \d+ bytes in 0\.3 s/);
    await expect.poll(stateOf).toEqual(NOTHING);
    expect(bed.records()).toMatchObject([{ endpoint: 'files', code: 'request_timeout', status: 408 }]);
  });

  it('brings a byte at a time, and is ended as well', async () => {
    await using bed = await bedWith({ bodyTimeoutMs: 300 });
    for (const start of ['', begun]) {
      const socket = await opened(bed);
      socket.write(headOf(3_000_000));
      socket.write(start);
      const drip = setInterval(() => socket.write('x'), 20);
      await expect.poll(() => socket.closed).toBe(true);
      clearInterval(drip);
      expect(socket.said).toMatch(/^HTTP\/1\.1 408 /);
    }
    await expect.poll(stateOf).toEqual(NOTHING);
  });

  it('takes longer than it may, though it never stands still', async () => {
    await using bed = await bedWith({ fileUploadTimeoutMs: 1_000 });
    const socket = await opened(bed);
    socket.write(headOf(300_000_000));
    socket.write(begun);
    const flow = setInterval(() => socket.write('x'.repeat(20_000)), 20);
    await expect.poll(() => socket.said, { timeout: 10_000 }).toMatch(/^HTTP\/1\.1 408 [\s\S]*longer than 1 s/);
    clearInterval(flow);
    socket.destroy();
    await expect.poll(stateOf).toEqual(NOTHING);
  });

  it('is left in the middle', async () => {
    await using bed = await bedWith();
    for (const how of ['destroy', 'end', 'resetAndDestroy'] as const) {
      const socket = await opened(bed);
      socket.write(headOf(300_000));
      socket.write(begun);
      await expect.poll(stateOf).toMatchObject({ rows: 1 });
      socket[how]();
      await expect.poll(stateOf).toEqual(NOTHING);
    }
    await expect.poll(() => bed.records().map(({ code }) => code)).toEqual(Array(3).fill('client_closed_request'));
  });

  it('has less in it than its length says, or more', async () => {
    await using bed = await bedWith({ bodyTimeoutMs: 300 });
    const form = formOf(A_FILE, PURPOSE);
    const more = await rawExchange(bed.gateway.port, headOf(form.length + 500) + form);
    expect(more).toMatch(/^HTTP\/1\.1 408 /);
    const less = await rawExchange(bed.gateway.port, headOf(form.length - 20) + form);
    // What follows is no request, and ends the connection: perhaps before the answer.
    expect(less).toMatch(/^($|HTTP\/1\.1 400 )/);
    await expect.poll(stateOf).toEqual(NOTHING);
  });

  it('is too large: by what it says, and by what comes', async () => {
    await using bed = await bedWith({ fileBytesMax: 200_000, batchFileBytesMax: 100_000 });
    const large = formOf(PURPOSE, ['name="file"; filename="a"', 'y'.repeat(300_000)]);
    expect(await refusalOf(await send(bed, large))).toMatchObject({
      status: 413,
      code: 'file_too_large',
      param: 'file',
      message: expect.stringMatching(/200,000/),
    });
    // The form may be larger.
    const whole = formOf(PURPOSE, ['name="file"; filename="a"', 'y'.repeat(200_000)]);
    const taken = (await (await send(bed, whole)).json()) as { id: string; bytes: number };
    expect(taken.bytes).toBe(200_000);
    await bed.client.files.delete(taken.id);
    const body = new Blob([large]).stream();
    const chunked = await fetch(`${bed.url}/v1/files`, {
      method: 'POST',
      body,
      headers: FORM_TYPE,
      duplex: 'half',
    } as RequestInit);
    expect(await refusalOf(chunked)).toMatchObject({ status: 413, code: 'file_too_large' });
    const batch = formOf(['name="file"; filename="a"', 'y'.repeat(150_000)], ['name="purpose"', 'batch']);
    expect(await refusalOf(await send(bed, batch))).toMatchObject({
      status: 413,
      message: expect.stringMatching(/150,000.*100,000/),
    });
    await expect.poll(stateOf).toEqual(NOTHING);
  });
});

describe('what a file is read by', () => {
  const twenty = '01234567890123456789';
  async function kept(bed: TestBed, content: string | Buffer = twenty): Promise<string> {
    const file = await toFile(Buffer.from(content), 'a.txt');
    return (await bed.client.files.create({ file, purpose: 'user_data' })).id;
  }

  it.each([
    ['bytes=0-4', '01234', 'bytes 0-4/20'],
    ['bytes=15-', '56789', 'bytes 15-19/20'],
    ['bytes=-3', '789', 'bytes 17-19/20'],
    ['bytes=-900', twenty, 'bytes 0-19/20'],
    ['bytes=18-900', '89', 'bytes 18-19/20'],
  ])('is a part of it: %s', async (range, text, told) => {
    await using bed = await bedWith();
    const response = await fetch(`${bed.url}/v1/files/${await kept(bed)}/content`, { headers: { range } });
    expect([response.status, response.headers.get('content-range')]).toEqual([206, told]);
    expect(response.headers.get('content-length')).toBe(String(text.length));
    expect(await response.text()).toBe(text);
  });

  it.each(['bytes=5-4', 'bytes=0-1,3-4', 'lines=1-2', 'bytes=', 'bytes=-', 'bytes=1e3-'])(
    'is all of it where what is asked for is no range: %s',
    async (range) => {
      await using bed = await bedWith();
      const response = await fetch(`${bed.url}/v1/files/${await kept(bed)}/content`, { headers: { range } });
      expect([response.status, await response.text()]).toEqual([200, twenty]);
    },
  );

  it('is refused behind the end, with the length', async () => {
    await using bed = await bedWith();
    for (const [content, range] of [
      [twenty, 'bytes=20-'],
      ['', 'bytes=0-'],
      [twenty, 'bytes=-0'],
    ] as const) {
      const response = await fetch(`${bed.url}/v1/files/${await kept(bed, content)}/content`, { headers: { range } });
      expect(response.headers.get('content-range')).toBe(`bytes */${content.length}`);
      expect(await refusalOf(response)).toMatchObject({ status: 416, code: 'range_not_satisfiable' });
    }
  });

  it('is its head alone, and nothing where there is nothing in it', async () => {
    await using bed = await bedWith();
    const head = await fetch(`${bed.url}/v1/files/${await kept(bed)}/content`, { method: 'HEAD' });
    expect([head.status, head.headers.get('content-length')]).toEqual([200, '20']);
    const empty = await fetch(`${bed.url}/v1/files/${await kept(bed, '')}/content`);
    expect([empty.status, empty.headers.get('content-length'), await empty.text()]).toEqual([200, '0', '']);
  });

  it('is a 405 with its methods by any other', async () => {
    await using bed = await bedWith();
    const response = await fetch(`${bed.url}/v1/files/file-1/content`, { method: 'PUT' });
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
  });

  it('releases what it holds when its reader leaves, begun or not, and removing it meanwhile harms nobody', async () => {
    await using bed = await bedWith();
    const open = { now: 0 };
    const real = objects.open.bind(objects);
    objects.open = async (...asked) => {
      const opened = await real(...asked);
      if (opened === undefined) return undefined;
      open.now++;
      const { key, bytes, version, modifiedMs, content } = opened;
      const release = async () => {
        open.now--;
        await opened[Symbol.asyncDispose]();
      };
      return { key, bytes, version, modifiedMs, content, [Symbol.asyncDispose]: release };
    };
    const id = await kept(bed, Buffer.alloc(30_000_000, 'x'));
    const request = `GET /v1/files/${id}/content HTTP/1.1\r\nhost: x\r\n\r\n`;
    const sockets = Array.from({ length: 5 }, () => connect(bed.gateway.port, '127.0.0.1'));
    for (const socket of sockets) socket.on('error', () => {}).write(request.repeat(2));
    await expect.poll(() => open.now).toBeGreaterThanOrEqual(5);
    for (const socket of sockets) socket.destroy();
    await expect.poll(() => open.now).toBe(0);
    const reading = await fetch(`${bed.url}/v1/files/${id}/content`);
    await bed.client.files.delete(id);
    expect((await reading.arrayBuffer()).byteLength).toBe(30_000_000);
    await expect.poll(() => open.now).toBe(0);
    objects.open = real;
  });
});

describe('over HTTPS', () => {
  it('a long upload goes on, and one that stands still is ended, as without', async () => {
    using folder = new CertificateFolder();
    const authority = await TestAuthority.make();
    setDefaultCACertificates([...getCACertificates('default'), authority.cert]);
    const { certFile, keyFile } = folder.writePair('server', await authority.sign('gateway'));
    await using bed = await bedWith({ bodyTimeoutMs: 1_000, 'tls.certFile': certFile, 'tls.keyFile': keyFile });
    const form = formOf(['name="file"; filename="a"', 'y'.repeat(400_000)], PURPOSE);
    const ask = (body: ReadableStream) =>
      fetch(`${bed.url}/v1/files`, { method: 'POST', body, headers: FORM_TYPE, duplex: 'half' } as RequestInit);
    expect(await (await ask(slowly(form))).json()).toMatchObject({ bytes: 400_000 });
    const still = new ReadableStream({ start: (controller) => controller.enqueue(form.subarray(0, 100_000)) });
    expect(await refusalOf(await ask(still))).toMatchObject({ status: 408, code: 'request_timeout' });
    await expect.poll(stateOf).toEqual({ rows: 1, objects: 1 });
  });
});

describe('many downloads', () => {
  it('beyond fileDownloadsMax are told to come back, and have a place when one is through or its reader left', async () => {
    await using bed = await bedWith({ fileDownloadsMax: 1 });
    const file = await toFile(Buffer.alloc(30_000_000), 'a');
    const { id } = await bed.client.files.create({ file, purpose: 'vision' });
    const ask = (init: RequestInit = {}) => fetch(`${bed.url}/v1/files/${id}/content`, init);
    const leaving = new AbortController();
    await ask({ signal: leaving.signal });
    expect(await refusalOf(await ask())).toMatchObject({
      status: 429,
      message: expect.stringMatching(/fileDownloadsMax/),
    });
    leaving.abort();
    await expect.poll(async () => (await ask({ method: 'HEAD' })).status).toBe(200);
    await (await ask()).arrayBuffer();
    await expect.poll(async () => (await ask({ method: 'HEAD' })).status).toBe(200);
    expect((await fetch(`${bed.url}/v1/files/file-1/content`)).status).toBe(404);
  });
});

describe('the metrics', () => {
  it('say how much went in and out, and the records that it was files', async () => {
    await using bed = await bedWith();
    const { id } = await bed.client.files.create({ file: await toFile(Buffer.alloc(1_000), 'a'), purpose: 'vision' });
    await (await bed.client.files.content(id)).arrayBuffer();
    await bed.client.files.retrieve('file-1').catch(() => {});
    const page = await (await fetch(`${bed.url}/metrics`)).text();
    expect(page).toMatch(/^millrace_file_bytes_total\{.*direction="in".*\} 1000$/m);
    expect(page).toMatch(/^millrace_file_bytes_total\{.*direction="out".*\} 1000$/m);
    expect(page).toMatch(/^millrace_requests_total\{.*endpoint="files".*outcome="served".*\} 2$/m);
    expect(page).toMatch(/^millrace_requests_total\{.*endpoint="files".*code="file_not_found".*\} 1$/m);
    expect(bed.records().map(({ endpoint, keyId, status }) => [endpoint, keyId, status])).toEqual([
      ['files', 'any', 200],
      ['files', 'any', 200],
      ['files', 'any', 404],
    ]);
  });
});

describe('limits', () => {
  it('of a key are its own, and say how much is kept', async () => {
    await using bed = await bedWith({ filesPerKeyMax: 3, fileBytesPerKeyMax: 1_000 });
    const create = async (bytes: number, client = bed.client) =>
      client.files.create({ file: await toFile(Buffer.alloc(bytes, 'x'), 'a'), purpose: 'vision' });
    await create(500);
    await expect(create(800)).rejects.toMatchObject({
      status: 400,
      code: 'storage_limit_exceeded',
      message: expect.stringMatching(/500 bytes.*1,000/),
    });
    // Without a length of its form nobody knows before it is there.
    const body = new Blob([formOf(['name="file"; filename="a"', 'y'.repeat(501)], PURPOSE)]).stream();
    const headers = { ...FORM_TYPE, authorization: 'Bearer any' };
    const chunked = await fetch(`${bed.url}/v1/files`, {
      method: 'POST',
      body,
      headers,
      duplex: 'half',
    } as RequestInit);
    expect(await refusalOf(chunked)).toMatchObject({ status: 400, code: 'storage_limit_exceeded' });
    const first = await create(1);
    await create(1);
    await expect(create(1)).rejects.toMatchObject({
      code: 'storage_limit_exceeded',
      message: expect.stringMatching(/3 files.*and 3/),
    });
    await create(1, new OpenAI({ baseURL: `${bed.url}/v1`, apiKey: 'somebody-else', maxRetries: 0 }));
    await bed.client.files.delete(first.id);
    await create(1);
  });

  it('keep to what they are, however many come at once', async () => {
    await using bed = await bedWith({ filesPerKeyMax: 4, fileUploadsMax: 100 });
    const file = await toFile(Buffer.from('x'), 'a');
    const all = await Promise.allSettled(
      Array.from({ length: 20 }, () => bed.client.files.create({ file, purpose: 'vision' })),
    );
    expect(all.filter(({ status }) => status === 'fulfilled')).toHaveLength(4);
    await expect.poll(stateOf).toEqual({ rows: 4, objects: 4 });
  });

  it('of a gateway turn away whoever comes beyond them, until somebody is through', async () => {
    await using bed = await bedWith({ fileUploadsMax: 1 });
    const socket = connect(bed.gateway.port, '127.0.0.1').on('error', () => {});
    socket.write(headOf(5_000));
    await expect.poll(() => bed.gateway.port && stateOf()).toMatchObject({ rows: 0 });
    const busy = async () => {
      const response = await send(bed, formOf(A_FILE, PURPOSE));
      return response.status === 429 && response.headers.get('retry-after') === '1';
    };
    await expect.poll(busy).toBe(true);
    socket.destroy();
    await expect.poll(busy).toBe(false);
  });
});
