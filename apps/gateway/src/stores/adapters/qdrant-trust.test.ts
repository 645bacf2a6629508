import { createLogger, WatchedTls } from '@millrace/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CertificateFolder, TestAuthority } from '../../../../../libs/runtime/src/certificates.testing.js';
import { VectorStoreUnavailable } from '../vector-store.js';
import { QdrantServer } from './qdrant-server.testing.js';
import { trustOfQdrant } from './qdrant-trust.js';
import { QdrantVectorStore } from './qdrant-vector-store.js';

const logger = createLogger({ name: 'test', level: 'silent', format: 'json' });
const spec = { name: 'test', dimension: 3 };
const { signal } = new AbortController();
/** On a machine that has much else to do. */
const SOON = { timeout: 10_000 };

describe('a Qdrant that speaks HTTPS', () => {
  let [authority, stranger]: TestAuthority[] = [];
  let folder: CertificateFolder;
  let server: QdrantServer;
  let tls: WatchedTls;
  beforeAll(async () => {
    folder = new CertificateFolder();
    [authority, stranger] = [await TestAuthority.make('ours'), await TestAuthority.make('theirs')];
    server = await QdrantServer.start('secret', await authority.sign('qdrant'));
    const caFile = folder.write('ca.pem', stranger.cert);
    tls = await WatchedTls.open({ group: 'qdrantTls', caFile }, logger, { checkMs: 20 });
  });
  afterAll(async () => {
    tls.close();
    await server.end();
    folder[Symbol.dispose]();
  });

  it('is believed by its authority alone, and by the one that is in the file by then', async () => {
    const options = { url: server.url, apiKey: 'secret', timeoutMs: 5_000 };
    const store = new QdrantVectorStore({ ...options, requestInit: trustOfQdrant(tls) });
    const points = [{ id: 'one', vector: [1, 0, 0], attributes: {} }];
    await expect(store.collection(spec).upsert(points, signal)).rejects.toThrow(VectorStoreUnavailable);
    expect(store.trouble).toContain('its certificate is of another authority than qdrantTls.caFile holds');
    expect(server.asked).toEqual([]);
    folder.write('ca.pem', authority!.cert);
    await expect.poll(() => tls.current.subject, SOON).toBe('CN=ours');
    await store.collection(spec).upsert(points, signal);
    expect(await store.collection(spec).count({}, signal)).toBe(1);
    expect(store.trouble).toBeUndefined();
    await store.close();
  });

  it('is not believed by the authorities of the system', async () => {
    const store = new QdrantVectorStore({ url: server.url, apiKey: 'secret', timeoutMs: 5_000 });
    await expect(store.collection(spec).count({}, signal)).rejects.toThrow(VectorStoreUnavailable);
    expect(store.trouble).toContain('its certificate is of another authority than qdrantTls.caFile holds');
    await store.close();
  });
});
