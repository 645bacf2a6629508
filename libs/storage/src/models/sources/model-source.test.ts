import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FolderObjectStore } from '../../adapters/folder-object-store.js';
import { ModelStore } from '../model-store.js';
import { serveFile, sha256Of, startModelServer } from './model-server.testing.js';
import { parseModelSource, sourceText } from './model-source.js';
import { PRESETS } from './presets.js';

const DEMO = join(import.meta.dirname, '../../../../../models/millrace-demo.gguf');
const never = new AbortController().signal;
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sources-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('a source', () => {
  it.each([
    ['./a b.gguf', './a b.gguf'],
    ['https://host/a.gguf?signature=secret#x', 'https://host/a.gguf'],
    ['s3://bucket/models/a.gguf', 's3://bucket/models/a.gguf'],
    ['hf:owner/repo/sub/a.gguf', 'hf:owner/repo/sub/a.gguf@main'],
    ['hf://owner/repo/a.gguf@v1', 'hf:owner/repo/a.gguf@v1'],
    ['qwen3-4b', 'preset:qwen3-4b'],
    ['preset:qwen3-4b', 'preset:qwen3-4b'],
  ])('%s is understood, and written down without what is secret in it', (text, written) => {
    expect(sourceText(parseModelSource(text))).toBe(written);
  });

  it.each([
    ['ftp://host/a.gguf', /can't be had from/],
    ['file:///etc/passwd', /can't be had from/],
    ['https://', /is no address/],
    ['https://me:secret@[host/a.gguf', /^What begins with http:\/\/ or https:\/\/ here is no address(?!.*secret)/],
    ['https://me:secret@host/a.gguf', /holds a name or a password/],
    ['s3://bucket/a.gguf', /has to lie in a folder/],
    ['s3://bucket/../a/b.gguf', /is no file of a bucket/],
    ['hf:owner/repo', /is no file of the Hugging Face hub/],
    ['hf:owner/../x/a.gguf', /is no file of the Hugging Face hub/],
    ['preset:qwen3-4', /There is no preset "qwen3-4". Did you mean qwen3-4b\?/],
    ['', /has 1 to 4,000 characters/],
  ])('%s is refused', (text, sentence) => expect(() => parseModelSource(text)).toThrow(sentence));

  it('that is a preset names a file of the hub, and a digest or none', () => {
    for (const [name, { file, sha256 }] of Object.entries(PRESETS)) {
      expect(parseModelSource(name)).toMatchObject({ kind: 'preset' });
      expect(file).toMatch(/^[^/]+\/[^/]+\/[^/]+\.gguf$/);
      if (sha256 !== undefined) expect(sha256).toMatch(/^[0-9a-f]{64}$/);
    }
  });
});

describe('a model that is added from', () => {
  const demo = readFileSync(DEMO);
  const storeFor = (hubUrl: string, hubToken?: string, openBucket?: () => Promise<FolderObjectStore>) =>
    new ModelStore({
      folder: join(folder, 'models'),
      sources: { ...{ mayAsk: () => true, silenceMsMax: 5_000, hubUrl, hubToken, openBucket } },
      freeBytes: async () => 1e12,
    });
  const add = (store: ModelStore, source: string, more: object = {}) =>
    store.add(source, { allowPaths: false, ...more }, () => {}, never);

  it('an address is fetched, looked at and registered', async () => {
    await using server = await startModelServer(serveFile(demo));
    const store = storeFor('');
    // Called as a bucket can hold it.
    const named = await add(store, `${server.url}/files/My%20Model.gguf?key=secret`, { id: 'mine' });
    expect(named.entry.path).toBe('mine/My-Model.gguf');
    const added = await add(store, `${server.url}/files/my-model.gguf?key=secret`);
    expect(added).toMatchObject({
      id: 'my-model',
      entry: { path: 'my-model/my-model.gguf', source: `${server.url}/files/my-model.gguf`, digest: sha256Of(demo) },
    });
    expect(await store.verify('my-model', () => {}, never)).toEqual([]);
  });

  it('an address that brings no model leaves nothing behind', async () => {
    await using server = await startModelServer(serveFile(Buffer.from('<html>log in</html>'.repeat(10))));
    const store = storeFor('');
    await expect(add(store, `${server.url}/a.gguf`)).rejects.toThrow(/is no GGUF file that can be run/);
    await expect(add(store, `${server.url}/a.zip`)).rejects.toThrow(/leads to no .gguf file/);
    expect((await store.registry.models()).size).toBe(0);
  });

  it('the hub is checked by the digest that the hub tells, and sees the token that its keeper does not', async () => {
    await using keeper = await startModelServer(serveFile(demo));
    await using hub = await startModelServer((_request, response) => {
      response
        .writeHead(302, {
          location: `${keeper.url}/blob`,
          'x-linked-etag': `"${sha256Of(demo)}"`,
          'x-linked-size': demo.length,
        })
        .end();
    });
    const store = storeFor(hub.url, 'hf_secret');
    const { entry } = await add(store, 'hf:owner/repo/a.gguf@v2');
    expect(entry).toMatchObject({ digest: sha256Of(demo), source: 'hf:owner/repo/a.gguf@v2' });
    expect(hub.asked).toEqual(['GET /owner/repo/resolve/v2/a.gguf auth=Bearer hf_secret']);
    expect(keeper.asked).toEqual(['GET /blob']);
    hub.answer = (_request, response) =>
      void response.writeHead(302, { location: `${keeper.url}/blob`, 'x-linked-etag': `"${'c'.repeat(64)}"` }).end();
    await expect(add(store, 'hf:owner/repo/b.gguf')).rejects.toThrow(/should have ccc/);
    hub.answer = (_request, response) => void response.writeHead(401).end();
    await expect(add(store, 'hf:owner/repo/c.gguf')).rejects.toThrow(/token in HF_TOKEN may not have it/);
    await expect(add(storeFor(hub.url), 'hf:owner/repo/c.gguf')).rejects.toThrow(
      /accept its licence on the hub, and give a token by HF_TOKEN/,
    );
  });

  it('a preset is refused where the hub has another file than was published', async () => {
    await using hub = await startModelServer(serveFile(demo));
    const store = storeFor(hub.url);
    await expect(add(store, 'qwen3-0.6b')).rejects.toThrow(
      /should have dc4503da5d7cc7254055a86cd90e1a8c9d16c6ac71eb3a32b34bf48a1f4e0999/,
    );
    // Of one whose digest nobody published, that of the hub's file is kept.
    const { id, entry } = await add(store, 'llama-3.2-1b-instruct');
    expect({ id, entry }).toMatchObject({
      id: 'llama-3.2-1b-instruct',
      entry: { digest: sha256Of(demo), source: 'preset:llama-3.2-1b-instruct' },
    });
  });

  it('a bucket is fetched from there', async () => {
    mkdirSync(join(folder, 's3'));
    copyFileSync(DEMO, join(folder, 's3/a.gguf'));
    const store = storeFor('', undefined, async () => new FolderObjectStore(join(folder, 's3')));
    expect(await add(store, 's3://bucket/models/a.gguf')).toMatchObject({ id: 'a', entry: { digest: sha256Of(demo) } });
    await expect(add(store, 's3://bucket/models/b.gguf')).rejects.toThrow(/b.gguf is not in the object store/);
    await expect(add(storeFor(''), 's3://bucket/models/a.gguf', { id: 'x' })).rejects.toThrow(
      /settings, and they name none/,
    );
  });

  it('several parts brings all of them', async () => {
    await using server = await startModelServer(serveFile(demo));
    const { entry } = await add(storeFor(''), `${server.url}/a-00001-of-00002.gguf`);
    expect(entry.files!.map(({ path }) => path)).toEqual(['a-00001-of-00002.gguf', 'a-00002-of-00002.gguf']);
    expect(entry).toMatchObject({ path: 'a/a-00001-of-00002.gguf', size: 2 * demo.length });
  });
});
