import { createHash } from 'node:crypto';
import type { Settings } from '@millrace/contracts';
import { type ObjectStore, ObjectStoreFull, ObjectStoreUnavailable, openObjectStore } from '@millrace/storage';
import OpenAI, { toFile } from 'openai';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { bucketOfItsOwn } from '../../../libs/storage/src/adapters/bucket.testing.js';
import { filesOn, folderOfItsOwn, keysIn } from './files/files.testing.js';
import { settingsWith, TestBed } from './gateway.testing.js';
import { EVERYBODY } from './keys/authenticator.js';
import { NO_DATABASE } from './plain-parts.testing.js';
import { openEmbedded } from './request-log/database.testing.js';
import type { SqlDatabase } from './stores/sql-database.js';
import { ANYONE } from './vocabulary.js';

const MIB = 1024 * 1024;
const NEVER = new AbortController().signal;

let database: SqlDatabase;
beforeAll(async () => {
  database = await openEmbedded();
});
afterEach(() => database.query('delete from files; delete from uploads'));
afterAll(() => database.close());

function bedOn(objects: ObjectStore, settings: Partial<Settings> = {}, sql = database): Promise<TestBed> {
  const authenticate = (presented = 'any') => ({ ...ANYONE, keyId: presented, keyName: presented });
  const files = filesOn(sql, objects, settingsWith(settings));
  const parts = { authenticator: { ...EVERYBODY, authenticate }, objects, files };
  return TestBed.start(settings, [], false, '127.0.0.1', {
    ...parts,
    degraded: () => (objects.trouble === undefined ? [] : [{ part: 'objects', detail: objects.trouble }]),
  });
}

/** What it is made of depends on where it is: parts in another order are another file. */
function bytesOf(length: number, from = 0): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let at = 0; at < length; at++) bytes[at] = ((at + from) * 31 + ((at + from) >> 13)) & 255;
  return bytes;
}

function uploadsBy(open: () => Promise<ObjectStore>): void {
  let objects: ObjectStore;
  beforeAll(async () => {
    objects = await open();
  });
  afterEach(async () => objects.remove(await keysIn(objects), NEVER));
  afterAll(() => objects.close());

  it('are put together within fileUploadsMax, and whoever waits for another to do it takes no place', async () => {
    const halt = Promise.withResolvers<void>();
    const slow: ObjectStore = Object.assign(Object.create(objects), {
      open: async (...asked: Parameters<ObjectStore['open']>) => {
        await halt.promise;
        return objects.open(...asked);
      },
      put: objects.put.bind(objects),
      remove: objects.remove.bind(objects),
      list: objects.list.bind(objects),
    });
    await using bed = await bedOn(slow, { fileUploadsMax: 1 });
    const { uploads } = bed.client;
    const begun = async () => {
      const { id } = await uploads.create({ bytes: 3, filename: 'a', mime_type: 'text/plain', purpose: 'vision' });
      const part = await uploads.parts.create(id, { data: await toFile(Buffer.from('abc'), 'part') });
      return () => uploads.complete(id, { part_ids: [part.id] });
    };
    const [first, second] = [await begun(), await begun()];
    const asked = [first()];
    await expect.poll(() => database.query("select from uploads where state = 'completing'")).toHaveLength(1);
    asked.push(first());
    await expect(second()).rejects.toMatchObject({ status: 429, message: expect.stringMatching(/fileUploadsMax/) });
    halt.resolve();
    const [one, same] = await Promise.all(asked);
    expect(one!.file!.id).toBe(same!.file!.id);
    // Its place is free again.
    await expect
      .poll(() =>
        second().then(
          ({ status }) => status,
          () => 'busy',
        ),
      )
      .toBe('completed');
  });

  it('come in parts, in any order and at once, and become a file', async () => {
    await using bed = await bedOn(objects);
    const { uploads, files } = bed.client;
    const whole = bytesOf(20 * MIB);
    const upload = await uploads.create({
      bytes: whole.length,
      filename: 'large.bin',
      mime_type: 'application/octet-stream',
      purpose: 'user_data',
      expires_after: { anchor: 'created_at', seconds: 7_200 },
    });
    expect(upload).toEqual({
      id: expect.stringMatching(/^upload_[0-9a-f]{32}$/),
      object: 'upload',
      bytes: whole.length,
      created_at: expect.any(Number),
      expires_at: upload.created_at + 3_600,
      filename: 'large.bin',
      purpose: 'user_data',
      status: 'pending',
    });
    const slices = [0, 1, 2].map((index) => whole.subarray(index * 9 * MIB, (index + 1) * 9 * MIB));
    const parts = await Promise.all(
      slices.map(async (slice) => uploads.parts.create(upload.id, { data: await toFile(slice, 'part') })),
    );
    expect(parts[0]).toMatchObject({ object: 'upload.part', upload_id: upload.id, created_at: expect.any(Number) });
    const md5 = createHash('md5').update(whole).digest('hex');
    const completed = await uploads.complete(upload.id, { part_ids: parts.map(({ id }) => id), md5 });
    expect(completed).toMatchObject({ status: 'completed', file: { bytes: whole.length, filename: 'large.bin' } });
    expect(completed.file!.expires_at).toBe(completed.file!.created_at + 7_200);
    expect(await uploads.complete(upload.id, { part_ids: parts.map(({ id }) => id) })).toEqual(completed);
    const read = Buffer.from(await (await files.content(completed.file!.id)).arrayBuffer());
    expect(read.equals(whole)).toBe(true);
    await expect.poll(() => keysIn(objects)).toEqual([completed.file!.id]);
  });

  it('are cancelled, and nothing of them stays', async () => {
    await using bed = await bedOn(objects);
    const { uploads } = bed.client;
    const asked = { bytes: 3, filename: 'a', mime_type: 'text/plain', purpose: 'batch' } as const;
    const { id } = await uploads.create(asked);
    await uploads.parts.create(id, { data: await toFile(Buffer.from('abc'), 'part') });
    expect(await uploads.cancel(id)).toMatchObject({ id, status: 'cancelled' });
    const late = uploads.parts.create(id, { data: await toFile(Buffer.from('abc'), 'part') });
    await expect(late).rejects.toMatchObject({ status: 400, param: 'upload_id' });
    await expect.poll(() => keysIn(objects)).toEqual([]);
  });

  it('keep a file of the official client, and stream it back', async () => {
    await using bed = await bedOn(objects);
    const content = bytesOf(18 * MIB);
    const file = await bed.client.files.create({ file: await toFile(content, 'x.bin'), purpose: 'vision' });
    const read = Buffer.from(await (await bed.client.files.content(file.id)).arrayBuffer());
    expect(read.equals(content)).toBe(true);
    const range = { headers: { range: `bytes=${9 * MIB}-${9 * MIB + 4}` } };
    const part = await fetch(`${bed.url}/v1/files/${file.id}/content`, range);
    expect(Buffer.from(await part.arrayBuffer()).equals(content.subarray(9 * MIB, 9 * MIB + 5))).toBe(true);
    // Those who leave in the middle hold nothing: more of them than there are connections to a bucket.
    for (let reader = 0; reader < 140; reader++) {
      const leaving = new AbortController();
      await fetch(`${bed.url}/v1/files/${file.id}/content`, { signal: leaving.signal });
      leaving.abort();
    }
    const again = await (await bed.client.files.content(file.id)).arrayBuffer();
    expect(again.byteLength).toBe(content.length);
    await bed.client.files.delete(file.id);
    await expect.poll(() => keysIn(objects)).toEqual([]);
  });
}

describe('uploads to a folder', () => uploadsBy(async () => folderOfItsOwn()));

const url = process.env.TEST_S3_URL;
describe.skipIf(url === undefined)('uploads to a real bucket (TEST_S3_URL)', () => {
  uploadsBy(async () => openObjectStore(await bucketOfItsOwn(url!), 'files', '', undefined));
});

describe('an upload that is asked for wrongly', () => {
  it.each([
    [{ bytes: 0 }, 'bytes', /at least 1/],
    [{ bytes: 9_000_000_000 }, 'file', /9,000,000,000.*8,589,934,592/],
    [{ bytes: 200_000_001, purpose: 'batch' }, 'file', /200,000,000.*batchFileBytesMax/],
    [{ filename: 'a\nb' }, 'filename', /control/],
    [{ mime_type: undefined }, 'mime_type', /required/],
    [{ mime_type: 'a\u0000' }, 'mime_type', /control/],
    [{ purpose: 'batch_output' }, 'purpose', /itself/],
    [{ expires_after: { anchor: 'created_at', seconds: 1 } }, 'expires_after.seconds', /3600/],
    [{ colour: 'red' }, 'colour', /./],
  ])('is refused, and the parameter is named: %j', async (changes, param, message) => {
    const objects = folderOfItsOwn();
    await using bed = await bedOn(objects);
    const body = { bytes: 1, filename: 'a', mime_type: 'text/plain', purpose: 'user_data', ...changes };
    const { error } = (await (await bed.post('/v1/uploads', body)).json()) as { error: object };
    expect(error).toMatchObject({ param, message: expect.stringMatching(message) });
    await objects.close();
  });

  it('is a 404 where it is somebody else’s, or there is none', async () => {
    const objects = folderOfItsOwn();
    await using bed = await bedOn(objects);
    const asked = { bytes: 1, filename: 'a', mime_type: 'text/plain', purpose: 'vision' } as const;
    const { id } = await bed.client.uploads.create(asked);
    const other = new OpenAI({ baseURL: `${bed.url}/v1`, apiKey: 'somebody-else', maxRetries: 0 });
    const data = await toFile(Buffer.from('x'), 'part');
    for (const asking of [
      () => other.uploads.parts.create(id, { data }),
      () => other.uploads.complete(id, { part_ids: ['part_1'] }),
      () => other.uploads.cancel(id),
      () => bed.client.uploads.cancel('upload_1'),
    ])
      await expect(asking()).rejects.toMatchObject({ status: 404, code: 'upload_not_found' });
    const empty = bed.client.uploads.complete(id, { part_ids: [] });
    await expect(empty).rejects.toMatchObject({ status: 400, param: 'part_ids' });
    await objects.close();
  });

  it('takes no part of more than 64 MiB, and none whose form breaks off or has no file', async () => {
    const objects = folderOfItsOwn();
    await using bed = await bedOn(objects);
    const asked = { bytes: 100 * MIB, filename: 'a', mime_type: 'text/plain', purpose: 'vision' } as const;
    const { id } = await bed.client.uploads.create(asked);
    const form = (length: number) =>
      Buffer.concat([
        Buffer.from('--b\r\ncontent-disposition: form-data; name="data"; filename="p"\r\n\r\n'),
        Buffer.alloc(length),
      ]);
    const send = async (body: Buffer<ArrayBuffer>) => {
      const headers = { 'content-type': 'multipart/form-data; boundary=b' };
      const response = await fetch(`${bed.url}/v1/uploads/${id}/parts`, { method: 'POST', body, headers });
      return ((await response.json()) as { error: object }).error;
    };
    const large = await send(Buffer.concat([form(64 * MIB + 1), Buffer.from('\r\n--b--\r\n')]));
    expect(large).toMatchObject({ code: 'file_too_large', message: expect.stringMatching(/67,108,864/) });
    expect(await send(form(1_000))).toMatchObject({ code: 'invalid_request' });
    const text = Buffer.from('--b\r\ncontent-disposition: form-data; name="data"\r\n\r\ntext\r\n--b--\r\n');
    expect(await send(text)).toMatchObject({ param: 'data', message: expect.stringMatching(/Send it under `data`/) });
    await expect.poll(() => keysIn(objects)).toEqual([]);
    await objects.close();
  });
});

describe('files while a store is away', () => {
  const create = async (bed: TestBed) =>
    bed.client.files.create({ file: await toFile(Buffer.from('x'), 'a'), purpose: 'vision' });

  it('are 503 with the reason, /readyz tells of it, and they are back when it is', async () => {
    const folder = folderOfItsOwn();
    let away = true;
    const objects: ObjectStore = Object.assign(Object.create(folder), {
      put: async (...asked: Parameters<ObjectStore['put']>) => {
        if (away) throw new ObjectStoreUnavailable('The object store at s3:9000 is away.');
        return folder.put(...asked);
      },
    });
    Object.defineProperty(objects, 'trouble', {
      get: () => (away ? 'The object store at s3:9000 is away.' : undefined),
    });
    await using bed = await bedOn(objects, { readyWithoutWorkers: true });
    await expect(create(bed)).rejects.toMatchObject({
      status: 503,
      code: 'store_unavailable',
      message: expect.stringMatching(/s3:9000 is away.*again/),
    });
    const ready = await fetch(`${bed.url}/readyz`);
    expect(ready.status).toBe(200);
    expect(await ready.json()).toMatchObject({
      degraded: [{ part: 'objects', detail: expect.stringMatching(/away/) }],
    });
    away = false;
    await create(bed);
    expect(await (await fetch(`${bed.url}/readyz`)).json()).not.toHaveProperty('degraded');
    await folder.close();
  });

  it('are a 507 that no client tries again, where it is full', async () => {
    const folder = folderOfItsOwn();
    const objects: ObjectStore = Object.assign(Object.create(folder), {
      put: async (_key: string, content: AsyncIterable<Uint8Array>) => {
        for await (const _piece of content) throw new ObjectStoreFull('The disk has no room left.');
      },
    });
    await using bed = await bedOn(objects);
    let asked = 0;
    const client = new OpenAI({
      baseURL: `${bed.url}/v1`,
      apiKey: 'any',
      maxRetries: 5,
      fetch: (...sent) => {
        if (String(sent[0]).startsWith(bed.url)) asked++;
        return fetch(...sent);
      },
    });
    const file = await toFile(Buffer.from('x'), 'a');
    await expect(client.files.create({ file, purpose: 'vision' })).rejects.toMatchObject({
      status: 507,
      code: 'store_full',
    });
    expect(asked).toBe(1);
    await folder.close();
  });

  it('are 503 without the database, too', async () => {
    const objects = folderOfItsOwn();
    await using bed = await bedOn(objects, {}, NO_DATABASE);
    await expect(create(bed)).rejects.toMatchObject({ status: 503, code: 'store_unavailable' });
    await expect(bed.client.files.list()).rejects.toMatchObject({ status: 503 });
    await objects.close();
  });
});
