import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'minio';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ModelBucket } from '../models/model-bucket.js';
import { ModelCache } from '../models/model-cache.js';
import { ModelStore } from '../models/model-store.js';
import type { RegistryEntry } from '../models/registry-entry.js';
import type { ObjectStore } from '../object-store.js';
import { S3ObjectStore } from './s3-object-store.js';

const MODELS = join(import.meta.dirname, '../../../../models');
const [DEMO, EMBED] = [join(MODELS, 'millrace-demo.gguf'), join(MODELS, 'millrace-demo-embed.gguf')];

let root: string;
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'models-in-s3-')));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const never = new AbortController().signal;
const nothing = () => {};

async function push(objects: ObjectStore, id: string, path: string): Promise<RegistryEntry> {
  const bucket = new ModelBucket(objects);
  const sources = { mayAsk: () => true, silenceMsMax: 5_000, hubUrl: '', hubToken: undefined, openBucket: undefined };
  const store = new ModelStore({ folder: join(root, `pushes-${randomUUID()}`), bucket, sources });
  await store.add(path, { id, allowPaths: true }, nothing, never);
  await store.push(id, nothing, never);
  return (await bucket.find(id, never))!;
}

const openCache = (objects: ObjectStore, bytesMax = 1e9, freeBytes = async () => 1e12) =>
  new ModelCache(new ModelBucket(objects), { folder: join(root, 'cache'), bytesMax, freeBytes });
const use = (cache: ModelCache, id: string, entry: RegistryEntry) => cache.use(id, entry, nothing, never);

const url = process.env.TEST_S3_URL; // set by `make test-services`

describe.skipIf(url === undefined)('models of a bucket, with a real S3 server (TEST_S3_URL)', () => {
  const server = URL.parse(url ?? 'http://a:b@127.0.0.1:1')!;
  const bucketName = `test-models-${randomUUID().slice(0, 8)}`;
  const admin = new Client({
    ...{ endPoint: server.hostname, port: Number(server.port), useSSL: server.protocol === 'https:' },
    ...{ accessKey: server.username, secretKey: server.password, region: 'us-east-1' },
  });
  const openS3 = () =>
    new S3ObjectStore({
      ...{ url: new URL(server.origin), bucket: bucketName, prefix: 'millrace/models/', region: 'us-east-1' },
      ...{ accessKey: server.username, secretKey: server.password, silenceMsMax: 10_000 },
    });

  it('are pushed, listed, fetched by two workers at a time, and gone when their bucket is', async () => {
    const s3 = openS3();
    await expect(push(s3, 'demo', DEMO)).rejects.toThrow(`The bucket ${bucketName} is not there`);
    await admin.makeBucket(bucketName, 'us-east-1');
    const entry = await push(s3, 'demo', DEMO);
    await push(s3, 'embed', EMBED);
    expect([...(await new ModelBucket(s3).models(never)).keys()]).toEqual(['demo', 'embed']);
    const [one, other] = await Promise.all([use(openCache(s3), 'demo', entry), use(openCache(s3), 'demo', entry)]);
    expect(one!.path).toBe(other!.path);
    expect(readFileSync(one!.path).equals(readFileSync(DEMO))).toBe(true);
    const bucket = new ModelBucket(s3);
    for (const id of ['demo', 'embed']) expect(await bucket.remove(id, never)).toBe(true);
    expect([...(await bucket.models(never)).keys()]).toEqual([]);
    await admin.removeBucket(bucketName);
    await expect(bucket.models(never)).rejects.toMatchObject({
      kind: 'unavailable',
      message: expect.stringContaining(`The bucket ${bucketName} is not there`),
    });
    await s3.close();
  });
});
