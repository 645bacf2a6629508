import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type FetchTerms, fetchFile } from './fetch-file.js';
import { HttpFile, type HttpFileOptions, type HttpTerms } from './http-file.js';
import { breakOff, type ModelServer, serveFile, sha256Of, startModelServer } from './model-server.testing.js';
import { isPublicAddress } from './public-address.js';

let folder: string;
let target: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fetch-'));
  target = join(folder, 'model.gguf');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const never = new AbortController().signal;
const content = randomBytes(300_000);
const quick = { retryDelayMs: 1, freeBytes: async () => 1e12 };
const local: HttpTerms = { mayAsk: () => true, silenceMsMax: 5_000 };

const httpFile = (server: ModelServer, path = '/model.gguf', terms = local, options?: HttpFileOptions) =>
  new HttpFile(new URL(path, server.url), terms, options);
const fetch = (server: ModelServer, terms: FetchTerms = {}, signal = never) =>
  fetchFile(httpFile(server), target, signal, { ...quick, ...terms });
const left = () => readdirSync(folder);

describe('a file that is fetched', () => {
  it('is there whole, with its digest, and nothing else is', async () => {
    await using server = await startModelServer(serveFile(content));
    const told: number[] = [];
    expect(await fetch(server, { onProgress: (bytes) => told.push(bytes) })).toEqual({
      bytes: 300_000,
      sha256: sha256Of(content),
    });
    expect(readFileSync(target).equals(content)).toBe(true);
    expect(left()).toEqual(['model.gguf']);
    expect(told.at(-1)).toBe(300_000);
  });

  it('goes on where it broke off, as often as it breaks off', async () => {
    await using server = await startModelServer(serveFile(content, { breakAfter: 70_000 }));
    expect(await fetch(server)).toMatchObject({ sha256: sha256Of(content) });
    expect(server.asked.length).toBeGreaterThanOrEqual(5);
    expect(server.asked.some((each) => /range=bytes=\d+-/.test(each))).toBe(true);
  });

  it('goes on in another process, which reads again what the first left', async () => {
    await using server = await startModelServer(serveFile(content, { breakAfter: 70_000 }));
    const stop = new AbortController();
    const onProgress = (bytes: number) => bytes > 0 && stop.abort(new Error('killed'));
    await expect(fetch(server, { onProgress }, stop.signal)).rejects.toThrow('killed');
    expect(left()).toEqual(['model.gguf.part', 'model.gguf.part.json']);
    server.answer = serveFile(content);
    server.asked.length = 0;
    expect(await fetch(server)).toMatchObject({ sha256: sha256Of(content), bytes: 300_000 });
    expect(server.asked).toEqual([expect.stringMatching(/range=bytes=\d+-/)]);
  });

  it('begins anew where the server has another file by now', async () => {
    const former = randomBytes(300_000);
    await using server = await startModelServer(serveFile(former, { breakAfter: 70_000 }));
    const stop = new AbortController();
    await expect(fetch(server, { onProgress: (bytes) => bytes > 0 && stop.abort() }, stop.signal)).rejects.toThrow();
    server.answer = serveFile(content);
    expect(await fetch(server)).toMatchObject({ sha256: sha256Of(content) });
    expect(readFileSync(target).equals(content)).toBe(true);
  });

  it.each([
    ['another file', '"c"'],
    ['a file of which it says nothing', ''],
  ])('begins anew where a server sends a part of %s, whatever If-Range asked for', async (_what, etag) => {
    const former = randomBytes(300_000);
    await using server = await startModelServer((request, response) => {
      if (request.headers.range === undefined)
        return serveFile(former, { etag: '"a"', breakAfter: 70_000 })(request, response);
      server.answer = serveFile(content);
      const from = Number(/\d+/.exec(request.headers.range)![0]);
      response.writeHead(206, { ...(etag && { etag }), 'content-range': `bytes ${from}-299999/300000` });
      response.end(content.subarray(from));
    });
    expect(await fetch(server)).toMatchObject({ sha256: sha256Of(content) });
    expect(readFileSync(target).equals(content)).toBe(true);
  });

  it('begins anew where what an earlier process left was changed meanwhile', async () => {
    await using server = await startModelServer(serveFile(content));
    writeFileSync(`${target}.part`, randomBytes(1_000));
    writeFileSync(`${target}.part.json`, JSON.stringify({ version: `"${sha256Of(content).slice(0, 8)}"` }));
    expect(await fetch(server, { sha256: sha256Of(content) })).toMatchObject({ sha256: sha256Of(content) });
    expect(server.asked).toHaveLength(2);
  });

  it('begins anew each time where the server says nothing to know the file by', async () => {
    await using server = await startModelServer(serveFile(content, { etag: '', breakAfter: 70_000 }));
    const answers = [serveFile(content, { etag: '', breakAfter: 70_000 }), serveFile(content, { etag: '' })];
    server.answer = (request, response) => answers.shift()!(request, response);
    expect(await fetch(server)).toMatchObject({ sha256: sha256Of(content) });
    expect(server.asked).toEqual(['GET /model.gguf', 'GET /model.gguf']);
  });

  it('is thrown away where its digest is another than was promised', async () => {
    await using server = await startModelServer(serveFile(content));
    await expect(fetch(server, { sha256: 'b'.repeat(64) })).rejects.toThrow(
      /has the digest .* and should have bbb.*thrown away/,
    );
    expect(left()).toEqual([]);
  });

  it('is not taken from a server that says that it is longer than it is', async () => {
    await using server = await startModelServer((_request, response) => {
      response.writeHead(200, { 'content-length': 500_000, etag: '"x"' });
      breakOff(response, content.subarray(0, 1_000));
    });
    await expect(fetch(server)).rejects.toThrow(/can't be had|only .* came/);
    expect(existsSync(target)).toBe(false);
  });

  it('is not taken where its length is another than was promised', async () => {
    await using server = await startModelServer(serveFile(content));
    await expect(fetch(server, { bytes: 299_999 })).rejects.toThrow(/has 300,000 bytes, and should have 299,999/);
    server.answer = (_request, response) => void response.writeHead(200, { etag: '"x"' }).end(content);
    await expect(fetch(server, { bytes: 299_999 })).rejects.toThrow(/sends more than the 299,999 bytes/);
  });

  it('is not begun where the disk has no room for it', async () => {
    await using server = await startModelServer(serveFile(content));
    await expect(fetch(server, { freeBytes: async () => 67_300_000 })).rejects.toMatchObject({
      kind: 'full',
      message: expect.stringMatching(/needs 1 MB more, and .* has 68 MB free/),
    });
    expect(left()).toEqual([]);
  });

  it.each([
    [404, /can't be had: its server answers with status 404. Check the address/],
    [403, /status 403. Check the address/],
    [503, /answers with status 503/],
  ])('is told not to be there by status %i', async (status, sentence) => {
    await using server = await startModelServer((_request, response) => void response.writeHead(status).end());
    await expect(fetch(server)).rejects.toThrow(sentence);
    expect(server.asked).toHaveLength(status === 503 ? 5 : 1);
  });

  it('is given up where the server says nothing', async () => {
    await using server = await startModelServer(
      (_request, response) => void response.writeHead(200, { 'content-length': 10, etag: '"x"' }).flushHeaders(),
    );
    const remote = httpFile(server, '/m.gguf', { ...local, silenceMsMax: 30 });
    await expect(fetchFile(remote, target, never, quick)).rejects.toThrow(/said nothing for 30 ms/);
  });

  it('is not taken packed', async () => {
    await using server = await startModelServer(
      (_request, response) => void response.writeHead(200, { 'content-encoding': 'gzip' }).end('x'),
    );
    await expect(fetch(server)).rejects.toThrow(/comes packed as gzip/);
  });
});

describe('where it leads', () => {
  const redirectTo =
    (location: string): ModelServer['answer'] =>
    (_request, response) =>
      void response.writeHead(302, { location }).end();
  /** The server of a test is on this machine; everything else is as it should be. */
  const onlyTheTest: HttpTerms = { ...local, mayAsk: (address) => address === '127.0.0.1' || isPublicAddress(address) };

  it.each([
    'http://169.254.169.254/latest/meta-data/',
    'http://[::ffff:169.254.169.254]/',
    'http://[fd00:ec2::254]/',
    'http://[::1]:1/',
    'http://10.0.0.1/',
    'http://100.64.0.1/',
    'http://2852039166/',
    'http://0xa9fea9fe/',
    'http://0.0.0.0:1/',
  ])('a redirect to %s is not followed', async (location) => {
    await using server = await startModelServer(redirectTo(location));
    const fetched = fetchFile(httpFile(server, '/m.gguf', onlyTheTest), target, never, quick);
    await expect(fetched).rejects.toThrow(/is an address of this machine or of a private network/);
    expect(server.asked).toHaveLength(1);
  });

  it('a name that means such an address is not connected to, whatever it meant before', async () => {
    await using server = await startModelServer(serveFile(content));
    const port = new URL(server.url).port;
    const meanings = [['127.0.0.1'], ['127.0.0.1', '169.254.169.254']];
    const lookup = ((_host: string, _options: object, callback: (error: null, found: object[]) => void) =>
      callback(
        null,
        meanings.shift()!.map((address) => ({ address, family: 4 })),
      )) as unknown as NonNullable<HttpTerms['lookup']>;
    const remote = new HttpFile(new URL(`http://rebound.example:${port}/m.gguf`), { ...onlyTheTest, lookup });
    await fetchFile(remote, target, never, quick);
    await expect(fetchFile(remote, target, never, quick)).rejects.toThrow(
      /rebound.example \(169.254.169.254\) is an address of this machine/,
    );
    expect(server.asked).toHaveLength(1);
  });

  it('nothing but http and https is followed, and not for ever', async () => {
    await using server = await startModelServer(redirectTo('file:///etc/passwd'));
    await expect(fetch(server)).rejects.toThrow(/redirects to "file:\/\/\/etc\/passwd", which is no http/);
    server.answer = redirectTo('/again');
    await expect(fetch(server)).rejects.toThrow(/redirects more than 5 times/);
  });

  it('a token is shown to the first host alone', async () => {
    await using keeper = await startModelServer(serveFile(content));
    await using hub = await startModelServer(redirectTo(`${keeper.url}/kept`));
    const remote = httpFile(hub, '/m.gguf', local, { authorization: 'Bearer secret' });
    await fetchFile(remote, target, never, quick);
    expect(hub.asked).toEqual(['GET /m.gguf auth=Bearer secret']);
    expect(keeper.asked).toEqual(['GET /kept']);
  });
});

describe('isPublicAddress', () => {
  it.each(['8.8.8.8', '1.1.1.1', '2606:4700:4700::1111', '172.15.0.1', '100.63.0.1', '169.253.0.1'])(
    'takes %s',
    (address) => expect(isPublicAddress(address)).toBe(true),
  );
  it.each([
    ...[
      '127.0.0.1',
      '10.1.2.3',
      '172.16.0.1',
      '172.31.255.255',
      '192.168.1.1',
      '169.254.169.254',
      '100.64.0.1',
      '0.0.0.0',
    ],
    ...['224.0.0.1', '255.255.255.255', '::', '::1', 'fe80::1', 'fe80::1%eth0', 'fd00::1', 'fc00::1', 'ff02::1'],
    ...['::ffff:127.0.0.1', '::ffff:8.8.8.8', '64:ff9b::7f00:1', '2002:7f00:1::', '2001:db8::1', 'nonsense', ''],
  ])('refuses %s', (address) => expect(isPublicAddress(address)).toBe(false));
});
