import { describe, expect, it } from 'vitest';
import { FolderObjectStore } from './adapters/folder-object-store.js';
import { S3ObjectStore } from './adapters/s3-object-store.js';
import { type ObjectStoreSettings, openObjectStore } from './open-object-store.js';

const NONE: ObjectStoreSettings = {
  s3Url: undefined,
  s3Bucket: undefined,
  s3Prefix: 'millrace',
  s3Region: 'us-east-1',
  s3AccessKey: undefined,
  s3SecretKey: undefined,
  s3SilenceMsMax: 30_000,
};
const BUCKET = { ...NONE, s3Url: 'https://host:9000', s3Bucket: 'b', s3AccessKey: 'a', s3SecretKey: 's' };
const open = (settings: ObjectStoreSettings) => openObjectStore(settings, 'files', '/nowhere', undefined);

describe('openObjectStore', () => {
  it('takes the folder where no server is named, and the bucket where one is', async () => {
    expect(await open(NONE)).toBeInstanceOf(FolderObjectStore);
    const store = await open(BUCKET);
    expect(store).toBeInstanceOf(S3ObjectStore);
    await store.close();
  });

  it.each(['host:9000', 'ftp://host', 'https://host/bucket', 'https://a:b@host', 'https://host?x=1', 'nonsense'])(
    'refuses %s as an address, and says how to write one',
    async (s3Url) => {
      await expect(open({ ...BUCKET, s3Url })).rejects.toThrow(/s3Url is not an address.*https:\/\/host:9000/);
    },
  );

  it.each(['a b', '../x', '', '.hidden'])('refuses "%s" as a prefix', async (s3Prefix) => {
    await expect(open({ ...BUCKET, s3Prefix })).rejects.toThrow(/s3Prefix can't be used/);
  });
});
