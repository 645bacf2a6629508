import { mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ModelBucket } from '../models/model-bucket.js';
import { DEMO, EMBED, openCache, pushModel, useModel } from '../models/model-cache.testing.js';
import { bucketOfItsOwn, removeBucket } from './bucket.testing.js';
import { S3ObjectStore } from './s3-object-store.js';

let root: string;
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'models-in-s3-')));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const never = new AbortController().signal;

const url = process.env.TEST_S3_URL; // set by `make test-services`

describe.skipIf(url === undefined)('models of a bucket, with a real S3 server (TEST_S3_URL)', () => {
  it('are pushed, listed, fetched by two workers at a time, and gone when their bucket is', async () => {
    const { s3Url, s3Bucket, s3Region: region, s3AccessKey, s3SecretKey, s3SilenceMsMax } = await bucketOfItsOwn(url!);
    const openS3 = (name: string) =>
      new S3ObjectStore({
        ...{ url: new URL(s3Url), bucket: name, prefix: 'millrace/models/', region },
        ...{ accessKey: s3AccessKey, secretKey: s3SecretKey, silenceMsMax: s3SilenceMsMax },
      });
    const [s3, nowhere] = [openS3(s3Bucket), openS3(`not-${s3Bucket}`)];
    await expect(pushModel(root, nowhere, 'demo', DEMO)).rejects.toThrow(`The bucket not-${s3Bucket} is not there`);
    const entry = await pushModel(root, s3, 'demo', DEMO);
    await pushModel(root, s3, 'embed', EMBED);
    expect([...(await new ModelBucket(s3).models(never)).keys()]).toEqual(['demo', 'embed']);
    const [one, other] = await Promise.all([0, 1].map(() => useModel(openCache(root, s3), 'demo', entry)));
    expect(one!.path).toBe(other!.path);
    expect(readFileSync(one!.path).equals(readFileSync(DEMO))).toBe(true);
    const bucket = new ModelBucket(s3);
    for (const id of ['demo', 'embed']) expect(await bucket.remove(id, never)).toBe(true);
    expect([...(await bucket.models(never)).keys()]).toEqual([]);
    await removeBucket(url!, s3Bucket);
    await expect(bucket.models(never)).rejects.toMatchObject({
      kind: 'unavailable',
      message: expect.stringContaining(`The bucket ${s3Bucket} is not there`),
    });
    for (const each of [s3, nowhere]) await each.close();
  });
});
