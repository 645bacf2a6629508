import { randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Client } from 'minio';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { objectStoreContract, type ServerFault } from '../object-store.contract.js';
import { ObjectStoreUnavailable } from '../object-store.js';
import { S3ObjectStore, type S3Options } from './s3-object-store.js';

const NEVER = new AbortController().signal;
/** `http://key:secret@host:port` of a real S3 server that may be written to. */
const url = process.env.TEST_S3_URL;
/** It takes nothing in parts and believes every key; whatever else it does wrong is left out. `make test-services` says so. */
const isS3rver = process.env.TEST_S3_SERVER === 's3rver';
const FAULTS = new Set<ServerFault>(isS3rver ? ['mixes puts', 'ranges', 'order of keys'] : []);

async function* piecesOf(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

describe.skipIf(url === undefined)('S3ObjectStore, with a real S3 server (TEST_S3_URL)', () => {
  const { username: accessKey, password: secretKey, origin } = new URL(url ?? 'http://a:b@127.0.0.1');
  const bucket = `test-${randomUUID()}`;
  const options: S3Options = {
    url: new URL(origin),
    bucket,
    prefix: 'tests/',
    region: 'us-east-1',
    accessKey,
    secretKey,
    silenceMsMax: 10_000,
    ...(isS3rver && { partBytes: 1024 ** 3 }),
  };
  const admin = () =>
    new Client({
      endPoint: options.url.hostname,
      port: Number(options.url.port),
      useSSL: false,
      region: options.region,
      accessKey,
      secretKey,
    });
  beforeAll(() => admin().makeBucket(bucket));
  let prefixes = 0;
  const opened = (more: Partial<S3Options> = {}) =>
    new S3ObjectStore({ ...options, prefix: `store-${prefixes++}/`, ...more });

  objectStoreContract(async () => opened(), FAULTS);

  if (!isS3rver)
    it('leaves no parts behind of what could not be put whole', async () => {
      const store = opened();
      async function* failing() {
        for (let round = 0; round < 20; round++) yield Buffer.alloc(1024 * 1024);
        throw new Error('the client left');
      }
      await expect(store.put('a', failing(), NEVER)).rejects.toThrow('the client left');
      const leaving = new AbortController();
      async function* left() {
        for (let round = 0; round < 20; round++) yield Buffer.alloc(1024 * 1024);
        leaving.abort(new Error('left'));
        await new Promise((wake) => setTimeout(wake, 100));
      }
      await expect(store.put('a', left(), leaving.signal)).rejects.toThrow('left');
      await store.close(); // Whoever failed does not wait for the parts to be removed; closing does.
      const unfinished: unknown[] = [];
      for await (const upload of admin().listIncompleteUploads(bucket, '', true)) unfinished.push(upload);
      expect(unfinished).toEqual([]);
    });

  it('sees nothing of what others keep in the bucket', async () => {
    const [one, other] = [opened(), opened()];
    await one.put('a', piecesOf('x'), NEVER);
    expect(await other.stat('a', NEVER)).toBeUndefined();
    expect(await other.list('', { limit: 9 }, NEVER)).toEqual([]);
  });

  it('says that the bucket has gone, and never that a file is not there', async () => {
    const vanished = `gone-${randomUUID()}`;
    await admin().makeBucket(vanished);
    const store = opened({ bucket: vanished });
    await store.put('a', piecesOf('x'), NEVER);
    await store.remove(['a'], NEVER);
    await admin().removeBucket(vanished);
    const gone = new RegExp(`The bucket ${vanished} is not there`);
    await expect(store.stat('a', NEVER)).rejects.toThrow(gone);
    await expect(store.open('a', NEVER)).rejects.toThrow(gone);
    await expect(store.put('a', piecesOf('x'), NEVER)).rejects.toThrow(gone);
    await expect(store.list('', { limit: 1 }, NEVER)).rejects.toThrow(gone);
    expect(store.trouble).toMatch(gone);
    await admin().makeBucket(vanished);
    expect(await store.stat('a', NEVER)).toBeUndefined();
    expect(store.trouble).toBeUndefined();
  });

  if (!isS3rver)
    it('says that its keys are refused', async () => {
      const store = opened({ secretKey: 'wrong-secret' });
      await expect(store.put('a', piecesOf('x'), NEVER)).rejects.toThrow(/refuses its keys .*SignatureDoesNotMatch/);
      await expect(store.list('', { limit: 1 }, NEVER)).rejects.toThrow(/refuses its keys/);
    });
});

describe('S3ObjectStore', () => {
  let server: Server | undefined;
  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
  });
  /** A server that does as `answer` says. */
  const openedAt = async (answer: Parameters<typeof createServer>[1], silenceMsMax = 200) => {
    server = createServer(answer);
    await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    return new S3ObjectStore({
      url: new URL(`http://127.0.0.1:${port}`),
      bucket: 'bucket',
      prefix: 'files/',
      region: 'us-east-1',
      accessKey: 'key',
      secretKey: 'secret-of-the-store',
      silenceMsMax,
    });
  };

  it('does not wait for a server that says nothing', async () => {
    const store = await openedAt(() => {});
    await expect(store.stat('a', NEVER)).rejects.toThrow(/It said nothing for 200 ms/);
    await expect(store.put('a', piecesOf('x'), NEVER)).rejects.toThrow(ObjectStoreUnavailable);
    await expect(store.list('', { limit: 1 }, NEVER)).rejects.toThrow(ObjectStoreUnavailable);
    await store.close();
  });

  it('does not wait for the rest of a file that stops coming, but for whoever reads it slowly', async () => {
    const store = await openedAt((_request, response) => {
      response.writeHead(200, { 'content-length': '20', etag: '"e"' });
      response.write('0123456789');
    });
    await using object = (await store.open('a', NEVER))!;
    const got: string[] = [];
    const reading = (async () => {
      for await (const piece of object.content) {
        got.push(Buffer.from(piece).toString());
        await new Promise((wake) => setTimeout(wake, 400));
      }
    })();
    await expect(reading).rejects.toThrow(/It said nothing for 200 ms/);
    expect(got).toEqual(['0123456789']);
  });

  it.each([
    ['sends all of a file where a part was wanted', { 'content-length': '10' }],
    ['does not say how much it sends', {}],
    ['sends another part', { 'content-length': '2', 'content-range': 'bytes 0-1/10' }],
  ])('does not take for the part what comes from a server that %s', async (_what, headers) => {
    const store = await openedAt((_request, response) => {
      response.writeHead('content-range' in headers ? 206 : 200, { etag: '"e"', ...headers }).end();
    });
    await expect(store.open('a', NEVER, { from: 5, bytes: 2 })).rejects.toThrow(/which part of a file/);
  });

  it('wants a prefix that ends with a slash', () => {
    const options = { bucket: 'b', region: 'r', accessKey: 'k', secretKey: 's', silenceMsMax: 1 };
    for (const prefix of ['', 'x'])
      expect(() => new S3ObjectStore({ ...options, url: new URL('http://127.0.0.1'), prefix })).toThrow(RangeError);
  });

  it('tells of a file that breaks off', async () => {
    const store = await openedAt((_request, response) => {
      response.writeHead(200, { 'content-length': '20', etag: '"e"' });
      response.write('0123456789', () => response.destroy());
    });
    await using object = (await store.open('a', NEVER))!;
    const reading = (async () => {
      for await (const _piece of object.content);
    })();
    await expect(reading).rejects.toThrow(ObjectStoreUnavailable);
  });

  it('tries a part again that the server was too busy for, and gives up when it stays so', async () => {
    let asked = 0;
    const store = await openedAt((request, response) => {
      request.resume().on('end', () => response.writeHead(++asked < 3 ? 503 : 200, { etag: '"e"' }).end());
    });
    expect(await store.put('a', piecesOf('x'), NEVER)).toMatchObject({ bytes: 1 });
    expect(asked).toBe(3);
    asked = -10;
    await expect(store.put('a', piecesOf('x'), NEVER)).rejects.toThrow(/can't be used: it answers with status 503/);
    expect(asked).toBe(-7);
  });

  it('says where it looked when nobody is there, and never its secret', async () => {
    const store = await openedAt(() => {});
    server!.close();
    const failure = await store.stat('a', NEVER).catch((error: Error) => error);
    expect(String(failure)).toMatch(/127\.0\.0\.1:\d+ can't be used/);
    expect(JSON.stringify(failure) + String(failure)).not.toContain('secret-of-the-store');
  });

  it('ends a call that nobody waits for any more', async () => {
    const store = await openedAt(() => {}, 60_000);
    const startedMs = performance.now();
    await expect(store.stat('a', AbortSignal.timeout(50))).rejects.toThrow(/timeout/);
    expect(performance.now() - startedMs).toBeLessThan(5_000);
  });
});
